"""The session, without a browser."""

import io
import json
import re
from pathlib import Path

import pytest
import torch
from PIL import Image

import directions
from directions import Direction, DirectionBank, wrap
from directions.generators import load_generator
from directions.images.tensors import to_uint8
from directions.planted.world import planted
from latdir.explorer.session import Session
from latdir.explorer.state import State
from tests.latdir.explorer.conftest import opened, worked

ASTRONAUT = Path(__file__).parents[3] / "docs" / "images" / "astronaut.jpg"


def test_the_page_gets_everything_once(session):
    answer, picture = session.handle({"verb": "open", "id": 7})
    assert json.loads(json.dumps(answer))["total"] == answer["total"]
    assert (answer["verb"], answer["id"], answer["total"]) == ("open", 7, 3)
    assert answer["sliders"][0]["band"] == (-1.0, 1.5)
    assert answer["attributes"][0] == {"name": "factor_0", "unit": "latent"}
    assert opened(picture).size == tuple(answer["size"])
    assert len(answer["steps"]) == 1


def test_an_edit_is_the_move_of_the_library(session, world, small_bank):
    answer, picture = session.handle({"verb": "edit", "amounts": {"factor_0": 1.5}, "final": True})
    assert answer["state"] == {"amounts": {"factor_0": 1.5}}
    code = directions.move(world.sample(1, seed=State().seed), small_bank, {"factor_0": 1.5})
    assert torch.equal(session.studio.edited(session.state), code)
    assert len(picture) > 0


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"verb": "edit", "amounts": {"factor_9": 1}}, "no direction 'factor_9' in this bank"),
        ({"verb": "edit", "amounts": {"factor_0": float("nan")}}, "finite number"),
        ({"verb": "dance"}, "a message that this session does not know"),
        (None, "a message that this session does not know"),
        ({"verb": "lock", "names": ["hat"]}, "no classifier here scores 'hat': it scores factor_0"),
        ({"verb": "layers", "range": [0, 3]}, "codes of z have no layers to choose"),
        ({"verb": "layers", "range": None, "channels": 5}, "codes of z have no layers to choose"),
        ({"verb": "source", "truncation": 7}, "less than or equal to 2"),
        ({"verb": "go", "number": 99}, "there is no step 99"),
        ({"verb": "again", "number": 99}, "no picture 99 on the shelf"),
        ({"verb": "drop"}, "not a picture that can be read"),
        ({"verb": "export", "what": "sweep"}, "nothing is edited yet"),
        ({"verb": "export", "what": "bank"}, "no direction is moved"),
    ],
)
def test_bad_input_is_one_sentence_and_changes_nothing(session, message, text):
    session.handle({"verb": "open"})
    before = session.state
    answer, picture = session.handle(message, b"no picture")
    assert answer["verb"] == "error"
    assert text in answer["text"]
    assert "\n" not in answer["text"]
    assert "Traceback" not in answer["text"]
    assert picture == b""
    assert session.state == before


def test_a_generator_that_fails_in_the_middle_keeps_the_last_picture(caplog):
    broken = []

    def net(codes):
        if broken:
            raise RuntimeError("CUDA error: an illegal\nmemory access")
        return torch.tanh(codes[:, :3, None, None]).expand(-1, 3, 8, 8)

    generator = wrap(net, latent_dim=4, name="mine", version="1")
    bank = DirectionBank.of(generator, [Direction("up", torch.eye(4)[0], "z")])
    session = Session(bank, generator)
    session.handle({"verb": "edit", "amounts": {"up": 1.0}, "final": True})
    broken.append(True)
    answer, _ = session.handle({"verb": "edit", "amounts": {"up": 2.0}, "final": True})
    assert answer["text"] == (
        "A model failed (RuntimeError: CUDA error: an illegal memory access); the last picture is "
        "kept."
    )
    assert session.state.amounts == {"up": 1.0}
    assert "the explorer goes on after a failure" in caplog.text
    broken.clear()
    assert session.handle({"verb": "edit", "amounts": {"up": 2.0}})[0]["verb"] == "picture"


def test_a_bank_of_another_generator_is_refused(small_bank):
    with pytest.raises(directions.BankError, match="not for planted"):
        Session(small_bank, planted(factors=3, dim=8, seed=5))


def test_scores_come_apart_from_pictures_with_changes_since_the_start(session, world):
    session.handle({"verb": "open"})
    answer, _ = session.handle({"verb": "edit", "amounts": {"factor_1": 1.0}})
    assert "scores" not in answer
    [told] = worked(session)
    code = session.studio.edited(session.state)
    wanted = world.classifier()(world.synthesize(code))[0]
    start = world.classifier()(world.synthesize(session.studio.start(session.state)))[0]
    assert [s["value"] for s in told["scores"]] == pytest.approx(wanted.tolist(), abs=1e-4)
    assert [s["change"] for s in told["scores"]] == pytest.approx(
        (wanted - start).tolist(), abs=1e-4
    )
    assert worked(session) == []


def test_scores_of_a_picture_that_is_gone_are_not_told(session):
    session.handle({"verb": "open"})
    job = session.job()
    result = job.run()
    session.handle({"verb": "edit", "amounts": {"factor_1": 1.0}})
    assert job.finish(result) == []


def test_undo_and_redo_restore_states(session):
    session.handle({"verb": "open"})
    for amount in (1.0, 2.0):
        message = {"verb": "edit", "amounts": {"factor_0": amount}, "final": True}
        _, picture = session.handle(message)
    answer, _ = session.handle({"verb": "move", "by": -1})
    assert answer["state"] == {"amounts": {"factor_0": 1.0}}
    assert session.handle({"verb": "move", "by": -5})[0]["state"] == {"amounts": {}}
    assert session.handle({"verb": "move", "by": 2})[1] == picture


def test_a_drag_is_one_step_of_the_history(session):
    session.handle({"verb": "open"})
    for amount in (0.1, 0.2, 0.3):
        session.handle({"verb": "edit", "amounts": {"factor_0": amount}})
    session.handle({"verb": "edit", "amounts": {"factor_0": 0.3}, "final": True})
    assert len(session.history.steps) == 2


def test_a_picture_that_is_shown_is_not_sent_again(session):
    session.handle({"verb": "open"})
    edit = {"verb": "edit", "amounts": {"factor_0": 0.3}}
    first = session.handle(edit)[1]
    answer, again = session.handle({**edit, "final": True})
    assert (answer["step"], again) == (1, b"")
    assert session.history.steps[1].picture == first
    assert session.handle({"verb": "edit", "amounts": {"factor_0": 0.4}})[1] not in (b"", first)
    assert session.handle({"verb": "open"})[1] != b""


def test_the_shelf_brings_a_state_back(session):
    session.handle({"verb": "source", "seed": 3})
    session.handle({"verb": "edit", "amounts": {"factor_0": 1.0}})
    kept = session.handle({"verb": "keep"})[0]["step"]
    state = session.state
    session.handle({"verb": "source", "seed": 4})
    session.handle({"verb": "again", "number": kept["number"]})
    assert session.state == state
    session.handle({"verb": "remove", "number": kept["number"]})
    assert session.handle({"verb": "open"})[0]["shelf"] == []


def test_a_mix_lies_on_the_arc_between_two_seeds(session, world):
    session.handle({"verb": "source", "seed": 3, "mix": {"seed": 4, "fraction": 0.25}})
    ends = [world.sample(1, seed=s) for s in (3, 4)]
    wanted = directions.slerp(*ends, [0.25])[0]
    assert torch.equal(session.studio.edited(session.state), wanted)
    session.handle({"verb": "source", "unmixed": True})
    assert session.state.mix is None


STATES = {
    "edited": {"seed": 5, "amounts": {"factor_0": 1.2, "factor_2": -0.7}},
    "plain": {"seed": 6},
    "truncated mix": {
        "truncation": 0.7,
        "mix": {"seed": 8, "fraction": 0.3},
        "amounts": {"factor_1": 2.0},
    },
}


@pytest.mark.parametrize("values", STATES.values(), ids=STATES)
def test_copied_code_makes_that_very_image(session, world, small_bank, values):
    session.handle({"verb": "open", "state": values})
    code = session.handle({"verb": "export", "what": "code"})[0]["text"]
    assert len(code.strip().splitlines()) == 2
    made = {"directions": directions, "generator": world, "bank": small_bank}
    exec(code, made)
    shown = session.studio.images(session.studio.edited(session.state), session.state)
    assert torch.equal(made["image"], shown)


@pytest.mark.parametrize("values", STATES.values(), ids=STATES)
def test_a_png_restores_its_state_and_its_pixels(session, world, small_bank, values):
    session.handle({"verb": "open", "state": values})
    data = session.handle({"verb": "export", "what": "png"})[1]
    image = session.studio.images(session.studio.edited(session.state), session.state)[0]
    exported = torch.tensor(list(opened(data).tobytes())).reshape(*opened(data).size[::-1], 3)
    assert torch.equal(exported, to_uint8(image).permute(1, 2, 0).long())
    other = Session(small_bank, world)
    assert other.handle({"verb": "drop"}, data)[0]["notice"] == "Restored from the picture."
    assert other.state == session.state


def test_a_png_of_another_generator_is_refused(session):
    data = session.handle({"verb": "export", "what": "png"})[1]
    other = planted(factors=3, dim=8, seed=5)
    bank = DirectionBank.of(other, [Direction("factor_0", other.truth[0], "z")])
    text = Session(bank, other).handle({"verb": "drop"}, data)[0]["text"]
    assert re.search("this picture was made by planted.*open the explorer with that", text)


def test_a_photograph_becomes_a_code(session):
    session.handle({"verb": "source", "seed": 77})
    photo = session.studio.unedited(session.state)
    picture = session.handle({"verb": "export", "what": "png"})[1]
    plain = opened(picture).copy()
    plain.info = {}
    held = io.BytesIO()
    plain.save(held, "PNG")
    session.handle({"verb": "source", "seed": 1})
    assert session.handle({"verb": "drop"}, held.getvalue())[0]["verb"] == "working"
    told = worked(session)
    assert told[0]["notice"].startswith("Found at")
    assert session.state.photo is not None
    near = session.studio.unedited(session.state)
    difference = torch.tensor(list(near.tobytes())) - torch.tensor(list(photo.tobytes()))
    assert difference.abs().float().mean() < 2
    code = session.handle({"verb": "export", "what": "code"})[0]["text"]
    made = {"directions": directions, "generator": session.studio.generator, "bank": None}
    exec(code, made)
    assert torch.equal(made["codes"], session.studio.edited(session.state))


@pytest.mark.slow
def test_a_face_of_a_photograph_is_aligned(faces):
    session = Session(*faces)
    session.handle({"verb": "drop"}, ASTRONAUT.read_bytes())
    told = worked(session)
    assert told[0]["notice"].startswith("The largest face is aligned.")
    blank = io.BytesIO()
    Image.new("RGB", (90, 90), "gray").save(blank, "PNG")
    session.handle({"verb": "drop"}, blank.getvalue())
    told = [t for t in worked(session) if t["verb"] == "picture"]
    assert told[0]["notice"].startswith("No face is found in it, so its middle is taken.")


def test_exports(session, small_bank, world, tmp_path):
    session.handle({"verb": "edit", "amounts": {"factor_0": 1.0, "factor_2": -1.0}})
    for name in (None, "factor_1"):
        answer, data = session.handle({"verb": "export", "what": "sweep", "name": name})
        assert answer["name"].endswith(".webp")
        assert opened(data).size == (256, 256)
    sheet = session.handle({"verb": "export", "what": "sheet"})[1]
    assert opened(sheet).width > opened(sheet).height
    (tmp_path / "bank.safetensors").write_bytes(
        session.handle({"verb": "export", "what": "bank"})[1]
    )
    assert list(DirectionBank.load(tmp_path / "bank.safetensors", world)) == [
        "factor_0", "factor_2",
    ]  # fmt: skip
    cell = session.handle({"verb": "export", "what": "cell"})[0]["text"]
    assert f"load_generator('{world.name}')" in cell
    compile(cell, "cell", "exec")


def test_many_directions_are_searched(world):
    made = [Direction.from_vector(f"d{k:05}", torch.randn(8), space="z") for k in range(3000)]
    session = Session(DirectionBank.of(world, made), world)
    answer, _ = session.handle({"verb": "open"})
    assert (len(answer["sliders"]), answer["total"]) == (200, 3000)
    found = session.handle({"verb": "search", "text": "2999"})[0]["sliders"]
    assert [s["name"] for s in found] == ["d02999"]
    assert session.handle({"verb": "edit", "amounts": {"d02999": 1.0}})[0]["verb"] == "picture"


@pytest.fixture(scope="module")
def styled():
    """A style generator, and a bank of one direction in w."""
    generator = load_generator("styleface64")
    up = Direction.from_vector("a", torch.ones(256), space="w", sigma=2.0)
    return generator, DirectionBank.of(generator, [up])


def test_style_generators_move_some_channels(styled):
    generator, bank = styled
    session = Session(bank, generator)
    answer, _ = session.handle({"verb": "open"})
    assert answer["channels"] == generator.space("s").size
    session.handle({"verb": "source", "seed": 3, "mix": {"seed": 4, "fraction": 0.5}})
    session.handle({"verb": "layers", "range": [4, 9], "channels": 12})
    session.handle({"verb": "edit", "amounts": {"a": 2.0}})
    moved = session.studio.edited(session.state) - session.studio.start(session.state)
    wanted = directions.strongest_channels(bank, generator, count=12, layers=range(4, 10))["a"]
    assert moved.shape == (1, generator.space("s").size)
    torch.testing.assert_close(moved[0], 2 * wanted.sigma * wanted.vector, atol=1e-5, rtol=1e-4)
    code = session.handle({"verb": "export", "what": "code"})[0]["text"]
    made = {"directions": directions, "generator": generator, "bank": bank}
    exec(code, made)
    assert torch.equal(made["codes"], session.studio.edited(session.state))
    other = Session(bank, generator)
    other.handle({"verb": "drop"}, session.handle({"verb": "export", "what": "png"})[1])
    assert other.state == session.state
    assert session.handle({"verb": "export", "what": "sheet"})[0]["verb"] == "file"


def test_style_generators_move_some_layers(styled):
    generator, bank = styled
    session = Session(bank, generator)
    answer, _ = session.handle({"verb": "open"})
    assert answer["layers"] == 10
    session.handle({"verb": "layers", "range": [0, 3]})
    answer, _ = session.handle({"verb": "edit", "amounts": {"a": 2.0}})
    start = generator.sample(1, seed=State().seed, space="w+")
    wanted = directions.move(start, bank, {"a": 2.0}, layers=range(4))
    assert torch.equal(session.studio.edited(session.state), wanted)
    assert not torch.equal(wanted[:, :4], start[:, :4])
    assert torch.equal(wanted[:, 4:], start[:, 4:])
    code = session.handle({"verb": "export", "what": "code"})[0]["text"]
    made = {"directions": directions, "generator": generator, "bank": bank}
    exec(code, made)
    assert torch.equal(made["codes"], wanted)
    sweep = session.handle({"verb": "export", "what": "sweep", "name": "a"})[1]
    assert opened(sweep).n_frames > 25
    text = session.handle({"verb": "layers", "range": [4, 12]})[0]["text"]
    assert text == "layers 4 … 12 are not all there: choose of 0 … 9"
