"""Pivotal tuning: images reached, others held, deltas kept apart from the generator."""

import logging
from pathlib import Path

import pytest
import torch
from torch import Tensor

import directions as d
from directions.errors import BankError, CheckpointError, LatdirError, SpaceError
from directions.generators.base import Generator
from directions.generators.checkpoints.stylegan2 import stylegan2_generator
from directions.generators.dcgan import DCGAN, digiface64
from directions.generators.deltas import changed
from directions.inversion import Best, find_solver, psnr
from directions.inversion.tuning import Deltas, Pivotal, Tuning, tune
from tests.directions.generators.checkpoints import written

SHORT = Pivotal(steps=16, rate=1e-2)


def style_generator() -> Generator:
    generator = stylegan2_generator(written.stylegan2_state(channels=(8, 8)), name="small")
    # Images of its random weights reach far beyond [-1, 1].
    weights = {k: 0.1 * w for k, w in generator.tunable.items() if k.startswith("rgbs")}
    return generator.with_weights(weights)


def dcgan() -> Generator:
    draw = torch.Generator().manual_seed(0)
    sizes = {"main.0.weight": (6, 8, 4, 4), "main.3.weight": (8, 3, 4, 4)}
    return DCGAN({k: 0.1 * torch.randn(s, generator=draw) for k, s in sizes.items()}, name="tiny")


def target(generator: Generator) -> tuple[Tensor, Tensor, str]:
    """Codes, images that they do not make, and the codes' space."""
    space = generator.default_space("w")
    codes = generator.sample(2, seed=3, space=space)
    other = generator.sample(2, seed=4, space=space)
    return codes, generator.synthesize(other, space).detach().clamp(-1, 1), space


@pytest.mark.parametrize("form", ["low_rank", "channel", "full", "all"])
@pytest.mark.parametrize("make", [style_generator, dcgan])
def test_codes_come_to_make_the_images(make: object, form: str) -> None:
    generator = make()  # type: ignore[operator]
    codes, images, _ = target(generator)
    before = generator.fingerprint
    method = Pivotal(steps=16, rate=1e-2, form=form, rank=5)  # type: ignore[arg-type]
    made = tune(generator, images, codes, method=method, progress=False)
    assert bool((made.psnr > made.before + 0.2).all())
    assert generator.fingerprint == before != made.generator.fingerprint
    assert made.generator.base_fingerprint == before
    assert made.generator.name == f"{generator.name}+tuned"
    if form == "low_rank":
        for key, change in made.deltas.changes.items():
            weight = generator.weights[key]
            assert change["left"].shape[1] == min(5, len(weight), weight[0].numel())
        again = tune(generator, images, codes, method=method, progress=False)
        assert made.generator.fingerprint == again.generator.fingerprint


def test_locality_holds_other_images() -> None:
    generator = style_generator()
    codes, images, _ = target(generator)

    def others(locality: float) -> float:
        method = Pivotal(steps=30, rate=1e-2, locality=locality)
        return float(tune(generator, images, codes, method=method, progress=False).others.median())

    assert others(3.0) > others(0.0) + 2


def test_tuning_stops_before_the_step_once_the_goal_is_reached() -> None:
    generator = style_generator()
    codes, images, space = target(generator)
    weights = {k: w.clone().requires_grad_() for k, w in generator.tunable.items()}
    adam = torch.optim.Adam(list(weights.values()), lr=1e-3)
    quality, before = [], []
    for _ in range(26):
        images_now = generator.with_weights(weights).synthesize(codes, space)
        before.append({k: w.detach().clone() for k, w in weights.items()})
        quality.append(float(psnr(images_now.detach(), images).min()))
        adam.zero_grad()
        (images_now - images).square().mean().backward()
        adam.step()
    # Of the convolutions alone, the last weights being the best.
    method = Pivotal.original(form="full", steps=25, rate=1e-3)
    made = tune(generator, images, codes, method=method, progress=False)
    expected = generator.with_weights(before[25]).synthesize(codes, space)
    torch.testing.assert_close(made.generator.synthesize(codes, space), expected, atol=2e-3, rtol=0)
    goal = quality[10] - 1e-3
    method = Pivotal.original(form="full", rate=1e-3, goal=goal)
    stopped = tune(generator, images, codes, method=method, progress=False)
    assert stopped.steps == next(i for i, q in enumerate(quality) if q >= goal)


def test_deltas_are_a_small_file_of_their_own(tmp_path: Path) -> None:
    generator = style_generator()
    codes, images, space = target(generator)
    made = tune(generator, images, codes, method=SHORT, name="me", progress=False)
    made.deltas.save(tmp_path / "me.deltas")
    read = Deltas.load(tmp_path / "me.deltas")
    assert (read.name, read.base, read.size) == ("me", "small", made.deltas.size)
    assert read.record["steps"] == made.steps == 16
    tuned = generator.with_deltas(read)
    assert tuned.fingerprint == made.generator.fingerprint
    assert torch.equal(tuned.synthesize(codes, space), made.generator.synthesize(codes, space))
    torch.testing.assert_close(
        tuned.inference(space=space)(codes), tuned.synthesize(codes, space), atol=1e-3, rtol=0
    )
    # The inversion of a tuned generator's image finds its code.
    assert tuned.sample(2, seed=1).equal(generator.sample(2, seed=1))


def test_deltas_of_another_base_or_damaged_are_refused(tmp_path: Path) -> None:
    generator = style_generator()
    codes, images, _ = target(generator)
    made = tune(generator, images, codes, method=SHORT, progress=False)
    with pytest.raises(CheckpointError, match=r"are a change of small .* is another generator"):
        dcgan().with_deltas(made.deltas)
    key, weight = next(iter(dcgan().tunable.items()))
    added = {key: {"added": torch.zeros_like(weight)}}
    mine = dcgan().with_deltas(Deltas("mine", "tiny", dcgan().fingerprint, added))
    with pytest.raises(CheckpointError, match=r"and tiny\+mine .* is another generator"):
        mine.with_deltas(made.deltas)
    with pytest.raises(CheckpointError, match="is a tuned copy of it: load small and apply"):
        made.generator.with_deltas(made.deltas)
    path = tmp_path / "a.deltas"
    made.deltas.save(path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(CheckpointError, match=r"a\.deltas is not a readable deltas file"):
        Deltas.load(path)
    made.deltas.save(path)
    with pytest.raises(CheckpointError, match=r"not 'latdir\.encoder'; Deltas\.load reads it"):
        d.load_encoder(path)
    with pytest.raises(CheckpointError, match="there is no deltas file"):
        Deltas.load(tmp_path / "b.deltas")
    key, change = next(iter(made.deltas.changes.items()))
    bad = {key: {part: torch.full_like(tensor, torch.inf) for part, tensor in change.items()}}
    Deltas("bad", "small", generator.fingerprint, bad).save(path)
    with pytest.raises(CheckpointError, match=r"has numbers in '.*/left' that are not finite"):
        Deltas.load(path)
    for change in ({"left": torch.ones(1, 1)}, {"added": torch.ones(3)}, {"scale": torch.ones(7)}):
        odd = Deltas("odd", "small", generator.fingerprint, {key: change})
        with pytest.raises(CheckpointError, match="'odd'"):
            generator.with_deltas(odd)
    odd = Deltas("odd", "small", generator.fingerprint, {"none": {"added": torch.ones(1)}})
    with pytest.raises(CheckpointError, match="'none', which is not a weight"):
        generator.with_deltas(odd)


def test_directions_of_the_base_are_taken_with_one_note(caplog: pytest.LogCaptureFixture) -> None:
    generator = style_generator()
    codes, images, space = target(generator)
    vector = generator.sample(1, seed=9, space=space)[0]
    direction = d.Direction.from_vector("a", vector, space=space)
    bank = d.DirectionBank((direction,), generator.name, generator.fingerprint)
    tuned = tune(generator, images, codes, method=SHORT, progress=False).generator
    with caplog.at_level(logging.WARNING):
        d.move(codes, bank, {"a": 1.0}, generator=tuned)
        bank.check(tuned)
    assert caplog.text.count("small+tuned is a tuned copy") == 1
    with pytest.raises(BankError, match="was made for small"):
        bank.check(dcgan())
    # Of a copy tuned again too.
    again = tune(tuned, images, codes, method=Pivotal(steps=1), progress=False).generator
    bank.check(again)
    assert again.ancestors == (tuned.fingerprint, generator.fingerprint)
    own = d.DirectionBank((direction,), tuned.name, tuned.fingerprint)
    own.check(again)
    with pytest.raises(BankError, match=r"was made for small\+tuned"):
        own.check(generator)


def test_bad_input_has_one_line() -> None:
    generator = style_generator()
    codes, images, _ = target(generator)
    with pytest.raises(SpaceError, match="with n = 2 as in images"):
        tune(generator, images, codes[:1])
    with pytest.raises(LatdirError, match=r"images for small are \[n, 3, 8, 8\]"):
        tune(generator, images[:, :, :4, :4], codes)
    hole = images.clone()
    hole[1, 0, 0, 0] = torch.nan
    with pytest.raises(LatdirError, match=r"1 of 2 images have NaN .*, such as number 1: leave"):
        tune(generator, hole, codes)
    with pytest.raises(LatdirError, match=r"tuning diverged at step .*: lower the rate"):
        tune(generator, images, codes, method=Pivotal(rate=1e30), progress=False)
    with pytest.raises(LatdirError, match=r"rate 0\.0 must be above 0"):
        Pivotal(rate=0.0)
    with pytest.raises(LatdirError, match=r"away 0\.0 must be above 0"):
        Pivotal(away=0.0)
    wrapped = d.wrap(
        lambda z: z[:, :3, None, None].expand(-1, -1, 8, 8).tanh(), latent_dim=4, name="mine"
    )
    with pytest.raises(LatdirError, match="has no weights that can be tuned"):
        tune(wrapped, images, wrapped.sample(2, seed=0))


def test_features_are_minimized_beside_pixels() -> None:
    generator = style_generator()
    codes, images, space = target(generator)

    def features(x: Tensor) -> Tensor:
        return 10 * x.mean((2, 3))

    def left(made: Tuning) -> float:
        off = made.generator.synthesize(codes, space).mean((2, 3)) - images.mean((2, 3))
        return float(off.square().sum())

    plain = tune(generator, images, codes, method=SHORT, progress=False)
    both = tune(generator, images, codes, method=SHORT, features=features, progress=False)
    assert left(both) < left(plain)


def test_a_change_is_a_product_a_scale_or_a_sum() -> None:
    weight = torch.randn(4, 3, 2, 2)
    left, right = torch.randn(4, 2), torch.randn(2, 12)
    product = torch.einsum("or,rk->ok", left, right).reshape(4, 3, 2, 2)
    torch.testing.assert_close(changed(weight, {"left": left, "right": right}), weight + product)
    scale = torch.randn(4, 3, 1, 1)
    torch.testing.assert_close(changed(weight, {"scale": scale}), weight + weight * scale)
    assert torch.equal(changed(weight, {"added": weight}), 2 * weight)


def test_digiface64_is_tuned_too() -> None:
    generator = digiface64()
    codes = generator.sample(1, seed=1)
    images = generator.synthesize(codes).flip(3)
    made = tune(generator, images, codes, method=Pivotal(steps=3), progress=False)
    assert float(made.psnr) > float(made.before)
    assert made.deltas.size < 1e6


@pytest.mark.slow
def test_a_photograph_at_full_fidelity() -> None:
    generator = d.load_generator("styleface64")
    photo = d.open_photograph(Path(__file__).parents[4] / "docs/images/astronaut.jpg", generator)
    quick = find_solver("levenberg_marquardt", steps=12)
    pivot = d.invert(generator, photo.image, space="w", solver=quick, start=Best(128), restarts=0)
    made = tune(generator, photo.image, pivot.codes, space="w")
    assert float(made.psnr) >= 35.0
    assert float(made.others.median()) >= 38.0
    assert float(made.others.min()) >= 34.0
    assert made.deltas.size <= 1e6
