"""Locality in closed form: the quadratic form, the gates, and images reached with others held."""

from dataclasses import replace
from pathlib import Path

import matplotlib
import pytest
import torch
from torch.nn import functional

import directions as d
from directions.errors import LatdirError
from directions.generators.deltas import changed
from directions.inversion import find_solver, load_encoder, psnr
from directions.inversion.tuning import LocalPivotal, local, tune
from directions.inversion.tuning.base import Task
from directions.progress import tqdm
from directions.seeds import HELD_OUT_SEED
from tests.directions.inversion.tuning.test_pivotal import dcgan, style_generator, target
from tests.styles import small_stylegan1

ASTRONAUT = Path(__file__).parents[4] / "docs/images/astronaut.jpg"
SHORT = LocalPivotal(steps=12, first_block=0, probes=16)


def task(generator, codes, observed, space):
    return Task(generator, space, observed, codes, None, None, 0, tqdm(disable=True))


@pytest.mark.parametrize("make", [dcgan, small_stylegan1])
def test_codes_come_to_make_the_images(make) -> None:
    generator = make()
    codes, images, _ = target(generator)
    before = generator.fingerprint
    made = tune(generator, images, codes, method=SHORT, progress=False)
    assert generator.fingerprint == before == made.generator.base_fingerprint
    assert bool((made.psnr > made.before + 0.2).all())
    assert {set(c) == {"left", "right"} for c in made.deltas.changes.values()} == {True}


def test_locality_holds_other_images_without_rendering_them() -> None:
    generator = style_generator()
    codes, images, _ = target(generator)

    def others(locality: float) -> float:
        method = replace(SHORT, steps=24, locality=locality, style_rate=0.0)
        return float(tune(generator, images, codes, method=method, progress=False).others.median())

    held, free = others(1e4), others(0.0)
    assert held > free + 10


def test_the_form_is_the_mean_square_change_of_other_images() -> None:
    """Of small changes, equal in all coordinates, against images of the prior's codes."""
    generator = style_generator()
    codes, images, space = target(generator)
    changes = local._Whitened(task(generator, codes, images, space), SHORT)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for left in changes.left.values():
            left.copy_(1e-3 * torch.randn(left.shape, generator=draw))
        probe = generator.sample(64, seed=5, space=space)
        moved = changes.tuned().synthesize(probe, space) - generator.synthesize(probe, space)
        ratio = float(moved.square().mean() / changes.drift())
    assert 0.4 < ratio < 2.5


def test_a_goal_counts_once_other_images_stay() -> None:
    generator = dcgan()
    codes, images, _ = target(generator)
    probe = generator.sample(16, seed=0)
    before = generator.synthesize(probe)

    def ended(others: float | None) -> tuple[int, float]:
        method = replace(SHORT, steps=80, goal=28.0, others=others, falling=False)
        made = tune(generator, images, codes, method=method, progress=False)
        assert float(made.psnr.min()) >= 27.9
        return made.steps, float(psnr(made.generator.synthesize(probe), before).min())

    soon, least = ended(None)
    later, kept = ended(least + 0.5)
    assert soon < later < 80
    assert kept >= least + 0.4
    # Others are not looked at where they are free.
    method = replace(SHORT, steps=40, goal=28.0, others=99.0, locality=0.0)
    assert tune(generator, images, codes, method=method, progress=False).steps < 40


def test_styles_move_at_the_pivots_alone() -> None:
    generator = style_generator()
    codes, images, space = target(generator)
    gates = local._gates(task(generator, codes, images, space))
    assert set(gates) == {k for k in generator.weights if k.endswith("affine.weight")}
    for gate in gates.values():
        torch.testing.assert_close(gate @ codes.T, torch.eye(2), atol=1e-3, rtol=0)
    assert local._gates(task(dcgan(), codes, images, "z")) == {}
    frozen = LocalPivotal(steps=1, style_rate=0.0)
    made = tune(generator, images, codes, method=frozen, progress=False)
    assert not set(made.deltas.changes) & set(gates)


def test_the_first_blocks_stay() -> None:
    generator = style_generator()
    codes, images, _ = target(generator)
    method = LocalPivotal(steps=1, style_rate=0.0, first_block=1)
    made = tune(generator, images, codes, method=method, progress=False)
    assert {generator.block_of(key) for key in made.deltas.changes} == {1}
    # A generator of fewer blocks has its last tuned.
    last = tune(generator, images, codes, method=LocalPivotal(steps=1, first_block=9, style_rate=0),
                progress=False)  # fmt: skip
    assert set(last.deltas.changes) == set(made.deltas.changes)


def test_factors_in_half_precision_are_those_learned() -> None:
    generator = style_generator()
    codes, images, space = target(generator)
    changes = local._Whitened(task(generator, codes, images, space), SHORT)
    with torch.no_grad():
        for left in changes.left.values():
            left.fill_(0.1)
        tuned = changes.tuned().weights
    for key, change in changes.kept().items():
        floats = {part: tensor.float() for part, tensor in change.items()}
        expected = changed(generator.weights[key], floats)
        torch.testing.assert_close(tuned[key], expected, atol=1e-3, rtol=1e-3)


def test_bad_settings_have_one_line() -> None:
    with pytest.raises(LatdirError, match="style_rate -1 must be at least 0"):
        LocalPivotal(style_rate=-1)
    with pytest.raises(LatdirError, match="others is a finite number, not inf"):
        LocalPivotal(others=float("inf"))
    with pytest.raises(LatdirError, match="first_block -1"):
        LocalPivotal(first_block=-1)
    wrapped = d.wrap(
        lambda z: z[:, :3, None, None].expand(-1, -1, 8, 8).tanh(), latent_dim=4, name="mine"
    )
    with pytest.raises(LatdirError, match="has no weights that can be tuned"):
        tune(wrapped, torch.zeros(1, 3, 8, 8), wrapped.sample(1, seed=0))


HOPPER = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
HARD = LocalPivotal(goal=35.0, steps=500)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("file", "method", "median"), [(ASTRONAUT, LocalPivotal(), 43.0), (HOPPER, HARD, 40.0)]
)
def test_a_photograph_at_full_fidelity_in_seconds(file, method, median) -> None:
    generator = d.load_generator("styleface64")
    made = tuned(generator, d.open_photograph(file, generator).image, method)
    assert float(made.psnr) >= 35.0
    assert float(made.others.median()) >= median
    assert float(made.others.min()) >= 35.0
    assert made.deltas.size <= 1e6


@pytest.mark.slow
def test_a_few_quick_steps_hold_all_other_images_too() -> None:
    """A rotated face, at 34.5 dB least where the goal alone ends the tuning."""
    generator = d.load_generator("styleface64")
    own = generator.synthesize(generator.sample(5, seed=HELD_OUT_SEED, space="w"), "w")
    turn = torch.tensor([[[0.940, -0.342, 0.0], [0.342, 0.940, 0.0]]])
    places = functional.affine_grid(turn, [1, 3, 64, 64], align_corners=False)
    face = functional.grid_sample(
        own[4:].clamp(-1, 1), places, padding_mode="reflection", align_corners=False
    )
    made = tuned(generator, face, LocalPivotal(goal=35.0))
    assert float(made.psnr) >= 35.0
    assert float(made.others.min()) >= 35.0


def tuned(generator, image, method):
    quick = find_solver("levenberg_marquardt", steps=4)
    start = load_encoder("styleface64")
    pivot = d.invert(generator, image, space="w", solver=quick, start=start, restarts=0)
    return tune(generator, image, pivot.codes, space="w", method=method)
