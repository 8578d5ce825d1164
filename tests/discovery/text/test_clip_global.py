"""Global directions against planted words, a slow loop, and the official code's known fault."""

import json
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file
from torch.nn.functional import normalize

from directions import Direction, DirectionBank, LatdirError
from directions.classifiers.clip.prompts import prompts_of, text_directions
from directions.planted.clip import PlantedClip
from directions.planted.world import planted
from discovery.text import relevance as clip_relevance
from discovery.text.axes import Axes
from discovery.text.clip_global import ClipGlobal
from discovery.text.relevance import measure_relevance

NAMES = ("smile", "age", "yaw")


@pytest.fixture(scope="module")
def world():
    return planted(factors=3, dim=24, bend=0.4, names=NAMES, seed=3)


@pytest.fixture(scope="module")
def clip(world):
    return PlantedClip(world)


@pytest.fixture(scope="module")
def relevance(world, clip):
    return measure_relevance(world, clip, Axes.coordinates(world, "z"), count=30)


def slow_relevance(world, clip, axes, *, count, strength):
    """One axis, one code, one image at a time, each from the code as it was drawn."""
    codes = world.sample(count, seed=0)
    rows = []
    for c in range(len(axes)):
        step = strength * axes.steps(c, c + 1)
        total = torch.zeros(clip.dim)
        for code in codes:
            ahead = clip.encode_images(world.synthesize(code[None] + step))[0]
            behind = clip.encode_images(world.synthesize(code[None] - step))[0]
            total += (ahead - behind) / (ahead - behind).norm()
        rows.append(total / count)
    return torch.stack(rows)


def test_relevance_is_the_slow_loops(world, clip):
    axes = Axes.coordinates(world, "z")
    found = measure_relevance(world, clip, axes, count=3, strength=2.0, batch=7)
    slow = slow_relevance(world, clip, axes, count=3, strength=2.0)
    torch.testing.assert_close(found.means, slow, atol=2e-5, rtol=0)


def test_relevance_of_a_channel_does_not_depend_on_those_before_it(
    world, clip, relevance, monkeypatch
):
    """Both official ports leave a channel moved when they go on to the next."""
    names = [f"axis {i}" for i in range(24)]
    unit = torch.eye(24)
    bank = DirectionBank(
        tuple(Direction(n, unit[i], "z") for i, n in enumerate(names)),
        world.name,
        world.fingerprint,
    )
    order = torch.randperm(24, generator=torch.Generator().manual_seed(0)).tolist()
    turned = Axes.of(bank.select([names[i] for i in order]))
    monkeypatch.setattr(clip_relevance, "CHUNK_IMAGES", 300)
    found = measure_relevance(world, clip, turned, count=30)
    torch.testing.assert_close(found.means, relevance.means[order], atol=1e-5, rtol=0)
    alone = measure_relevance(world, clip, Axes.of(bank.select([names[17]])), count=30)
    torch.testing.assert_close(alone.means[0], relevance.means[17], atol=1e-5, rtol=0)


def test_planted_words_are_found(world, clip, relevance):
    method = ClipGlobal(n_codes=30, channels=24, relevance=relevance)
    bank = method.discover(
        world,
        text={"smile": "a smile", "other": "yaw"},
        neutral="nothing",
        clip=clip,
    )
    assert list(bank) == ["smile", "other"]
    for name, j in (("smile", 0), ("other", 2)):
        # Every coordinate moves all factors a little and is brought to unit length.
        expected = normalize(world.truth[j] / world.truth.norm(dim=0), dim=0)
        assert bank[name].vector @ expected > 0.99
        assert bank[name].vector @ world.truth[j] > 0.8
    assert bank["smile"].method == "clip_global"
    assert bank["smile"].evidence["text"] == "a smile"
    assert bank["smile"].evidence["channels"] == 24


def test_a_text_that_denies_points_the_other_way(world, clip, relevance):
    found = ClipGlobal(channels=24, relevance=relevance).discover(
        world, text=["smile", "no=no smile"], neutral="nothing", clip=clip
    )
    assert found["no"].vector @ found["smile"].vector < -0.98


def test_of_axes_that_do_one_thing_each_the_right_one_is_kept(world, clip):
    rows = [*world.truth, *world._nuisances]
    axes = DirectionBank(
        tuple(Direction(str(i), row, "z") for i, row in enumerate(rows)),
        world.name,
        world.fingerprint,
    )
    words = {"neutral": "nothing", "clip": clip}
    found = ClipGlobal(n_codes=20, beta=0.5, axes=axes).discover(world, text=list(NAMES), **words)
    assert torch.allclose(found.matrix(), world.truth, atol=1e-5)
    assert [d.evidence["top"][0][0] for d in found.directions] == ["0", "1", "2"]


def test_the_published_step(world, clip, relevance):
    """Δs = σ r / max|r| where |r| ≥ β; sigma counts what the paper's α = 1 is."""
    prompts = prompts_of("a smile", neutral="nothing")
    row = normalize(relevance.means, dim=1) @ text_directions(clip, prompts)[0]
    beta = 0.3
    step = torch.where(row.abs() >= beta, row / row.abs().max(), 0.0)
    found = ClipGlobal(beta=beta, relevance=relevance).discover(
        world, text="a smile", neutral="nothing", clip=clip
    )["smile"]
    assert 0 < found.evidence["channels"] < 24
    assert found.evidence["channels"] == int((row.abs() >= beta).sum())
    published = found.shift(torch.zeros(1, 24), found.evidence["alpha_sigma"])[0]
    torch.testing.assert_close(published, step, atol=1e-5, rtol=0)
    assert found.evidence["largest"] == pytest.approx(float(row.abs().max()))
    name, value = found.evidence["top"][0]
    assert abs(value) == pytest.approx(found.evidence["largest"])
    assert row[int(name.split(".")[1])] == pytest.approx(value)


@given(channels=st.integers(1, 24))
@settings(max_examples=8, deadline=None)
def test_channels_sets_beta(world, clip, relevance, channels):
    found = ClipGlobal(channels=channels, relevance=relevance).discover(
        world, text="a smile", neutral="nothing", clip=clip
    )["smile"]
    assert found.evidence["channels"] == channels
    assert int((found.vector != 0).sum()) == channels


def test_without_renormalizing_disagreement_counts(relevance):
    texts = normalize(torch.randn(2, 32, generator=torch.Generator().manual_seed(0)), dim=1)
    plain = relevance.along(texts, renormalize=False)
    unit = relevance.along(texts)
    torch.testing.assert_close(plain, unit * relevance.agreement, atol=1e-6, rtol=0)
    assert relevance.agreement.max() <= 1


def test_leakage_sets_beta(clip):
    """Of axes that are the truth and mixtures of it, only the clean ones may stay."""
    world = planted(factors=3, dim=12, names=NAMES)
    clip = PlantedClip(world)
    mixed = normalize(0.6 * world.truth[0] + world.truth[1], dim=0)
    axes = DirectionBank(
        (Direction("clean", world.truth[0], "z"), Direction("mixed", mixed, "z")),
        world.name,
        world.fingerprint,
    )
    words = {"text": {n: n for n in NAMES}, "neutral": "nothing", "clip": clip}
    method = ClipGlobal(n_codes=10, leakage=5.0, axes=axes)
    free = method.discover(world, **words | {"text": ["smile", "age"]})
    assert free["smile"].evidence["channels"] == 2
    method = ClipGlobal(n_codes=10, leakage=0.1, axes=axes, classifier=world.classifier())
    tight = method.discover(world, **words | {"text": "smile"})
    assert tight["smile"].evidence["channels"] == 1
    assert tight["smile"].vector @ world.truth[0] > 1 - 1e-5
    assert [n for n, _ in tight["smile"].evidence["measured"]] == [1, 2]


def test_jacobian_agrees_with_small_differences(world, clip):
    axes = Axes.coordinates(world, "z")
    small = measure_relevance(world, clip, axes, count=6, strength=0.02)
    exact = measure_relevance(world, clip, axes, count=6, way="jacobian", batch=4)
    cosines = torch.nn.functional.cosine_similarity(small.means, exact.means, dim=1)
    assert cosines.min() > 0.999
    torch.testing.assert_close(small.agreement, exact.agreement, atol=0.02, rtol=0)


@pytest.mark.parametrize("way", ["differences", "jacobian"])
def test_an_interrupted_run_goes_on(world, clip, tmp_path, monkeypatch, way):
    axes, path = Axes.coordinates(world, "z"), tmp_path / "relevance.safetensors"
    monkeypatch.setattr(clip_relevance, "CHUNK_IMAGES", 40)
    monkeypatch.setattr(clip_relevance, "SAVE_SECONDS", -1.0)
    whole = measure_relevance(world, clip, axes, count=10, way=way, batch=4)

    calls = 0
    encode = PlantedClip.encode_images

    def failing(self, images):
        nonlocal calls
        calls += 1
        if calls > (20 if way == "differences" else 2):
            raise KeyboardInterrupt
        return encode(self, images)

    monkeypatch.setattr(PlantedClip, "encode_images", failing)
    with pytest.raises(KeyboardInterrupt):
        measure_relevance(world, clip, axes, count=10, way=way, batch=4, path=path)
    with safe_open(path, "pt") as file:
        done = json.loads(file.metadata()["manifest"])["done"]
    assert 0 < done < (24 if way == "differences" else 10)

    calls = -(10**6)
    again = measure_relevance(world, clip, axes, count=10, way=way, batch=4, path=path)
    torch.testing.assert_close(again.means, whole.means, atol=1e-6, rtol=0)
    resumed, calls = calls + 10**6, -(10**6)
    measure_relevance(world, clip, axes, count=10, way=way, batch=4)
    assert resumed < calls + 10**6
    calls = 0
    stored = measure_relevance(world, clip, axes, count=10, way=way, batch=4, path=path)
    assert torch.equal(stored.means, again.means)
    assert calls <= 1


def test_a_file_of_another_run_is_refused(world, clip, tmp_path):
    axes, path = Axes.coordinates(world, "z"), tmp_path / "relevance.safetensors"
    measure_relevance(world, clip, axes, count=2, path=path)
    with pytest.raises(LatdirError, match="was measured with count 2, not 3: name another file"):
        measure_relevance(world, clip, axes, count=3, path=path)
    with pytest.raises(LatdirError, match=r"was measured with strength 5\.0, not 1\.0"):
        measure_relevance(world, clip, axes, count=2, strength=1.0, path=path)
    other = PlantedClip(world, seed=1)
    with pytest.raises(LatdirError, match=r"was measured with clip [0-9a-f]{12}…, not"):
        measure_relevance(world, other, axes, count=2, path=path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(LatdirError, match="not a readable relevance file"):
        measure_relevance(world, clip, axes, count=2, path=path)
    save_file({"means": torch.zeros(1)}, path)
    with pytest.raises(LatdirError, match="without a relevance manifest; delete it"):
        measure_relevance(world, clip, axes, count=2, path=path)


def test_a_channel_that_changes_nothing_has_no_relevance(clip):
    world = planted(factors=3, dim=24, names=NAMES, seed=3)
    free = torch.linalg.svd(torch.cat([world.truth, world._nuisances]))[2][-1]
    bank = DirectionBank((Direction("idle", free, "z"),), world.name, world.fingerprint)
    found = measure_relevance(world, PlantedClip(world), Axes.of(bank), count=8)
    assert found.agreement.max() == 0
    with pytest.raises(LatdirError, match=r"no channel of planted moves toward 'smile'.*largest"):
        ClipGlobal(beta=0.5, n_codes=8, axes=bank).discover(
            world, text="smile", neutral="nothing", clip=PlantedClip(world)
        )


def test_refusals(world, clip, relevance):
    words = {"neutral": "nothing", "clip": clip}
    method = partial(ClipGlobal, relevance=relevance)
    largest = r"the largest \|relevance\| met is 0\.\d+ \(z\.\d+\); use a beta below that"
    with pytest.raises(LatdirError, match=r"relevance of beta = 0\.999: " + largest):
        method(beta=0.999).discover(world, text="smile", **words)
    with pytest.raises(LatdirError, match=r"least met is .*, with .* the largest"):
        method(leakage=1e-6).discover(world, text=["smile", "age"], **words)
    with pytest.raises(LatdirError, match="'smile' is the only text: give more texts"):
        method(leakage=0.5).discover(world, text="smile", **words)
    with pytest.raises(LatdirError, match="planted-clip cannot distinguish 'a hat' from 'nothing'"):
        method().discover(world, text="a hat", **words)
    with pytest.raises(LatdirError, match="channels is 0: keep at least 1"):
        ClipGlobal(channels=0)
    with pytest.raises(LatdirError, match=r"beta 1.5 must be in \[0, 1\)"):
        ClipGlobal(beta=1.5)
    with pytest.raises(LatdirError, match="give beta or leakage, not both"):
        ClipGlobal(beta=0.1, leakage=0.1)
    with pytest.raises(LatdirError, match=r"leakage -1\.0 must be positive"):
        ClipGlobal(leakage=-1.0)
    with pytest.raises(LatdirError, match="n_codes is 0: give at least 1"):
        ClipGlobal(n_codes=0)
    some = Direction("some", torch.eye(24)[0], "z", layers=(0,))
    with pytest.raises(LatdirError, match=r"acts on layers \[0\] only: axes act on whole codes"):
        Axes.of(DirectionBank((some,), world.name, world.fingerprint))
