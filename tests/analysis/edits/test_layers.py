"""Directions of w that act on some layers are measured where they act: on codes of w+."""

import pytest
import torch

from analysis.edits.held_out import measure_curves
from analysis.edits.realism import measure_realism
from analysis.edits.sweeps import scored_sweep
from analysis.naming.by_effects import name_directions
from analysis.spaces.path_length import edit_path_length, lipschitz
from directions import LatdirError, load_classifier
from directions.editing.grids import edit_grid
from discovery.unsupervised.sefa import SeFa
from tests.styles import small_stylegan2
from tests.worlds import world


@pytest.fixture(scope="module")
def generator():
    return small_stylegan2()


@pytest.fixture(scope="module")
def bank(generator):
    found = SeFa(n_directions=2, layers="0-1").discover(generator)
    assert all(d.space == "w" and d.layers == (0, 1) for d in found.directions)
    whole = SeFa(n_directions=1).discover(generator).directions[0].evolve(name="whole")
    return found.replaced([*found.directions, whole])


pixels = load_classifier("pixels")


def test_curves_are_those_of_the_layers(generator, bank) -> None:
    found = measure_curves(
        generator, pixels, bank, amounts=[-2.0, 2.0], attributes=["brightness"], count=8, seed=5
    )
    for k, direction in enumerate(bank.directions):
        codes = generator.sample(8, seed=5, space="w+")
        moved = direction.shift(codes, 2.0)
        expected = pixels(generator.synthesize(moved, "w+"))[:, pixels.columns(["brightness"])]
        torch.testing.assert_close(found.scores[k, 2], expected, atol=1e-5, rtol=1e-5)
    assert found.spaces == ("w", "w", "w")


def test_everything_that_moves_codes_takes_them(generator, bank) -> None:
    direction = bank.directions[0]
    kept = measure_realism(generator, bank, lambda x: x.mean((2, 3)), count=8, reference=16)
    assert (kept.code_density[:, kept.amounts == 0] > 0).all()
    swept = scored_sweep(generator, pixels, direction, attributes=["brightness"], count=2)
    assert (swept.images[:, 0] != swept.images[:, -1]).any()
    features = {"features": lambda x: x.flatten(1)}
    assert bool((lipschitz(generator, direction, count=4, **features) > 0).all())
    path = edit_path_length(generator, direction, count=4, **features)
    assert bool((path.straightness <= 1.0001).all())
    named = name_directions(generator, pixels, bank, attributes=["brightness"], count=8, null=3)
    assert len(named.entries) == len(bank)


def test_codes_of_pn_with_layers_are_shown_as_such(generator) -> None:
    codes = generator.sample(1, seed=0, space="pn+")
    direction = SeFa(n_directions=1).discover(generator).directions[0].evolve(space="pn", sigma=1.0)
    shown = edit_grid(generator, codes, direction, amounts=[0.0], layers=[0], title="")
    own = edit_grid(
        generator, codes, direction.evolve(space="pn", layers=(0,)), amounts=[0.0], title=""
    )
    as_w = edit_grid(
        generator, codes, direction.evolve(space="w"), amounts=[0.0], layers=[0], title=""
    )
    assert shown.tobytes() == own.tobytes() != as_w.tobytes()


def test_layers_that_the_generator_lacks_are_an_error() -> None:
    flat = world("anisotropic")
    direction = SeFa(n_directions=1).discover(small_stylegan2()).directions[0]
    with pytest.raises(LatdirError, match=r"acts on layers \[0\], and the generator has no space"):
        direction.evolve(layers=(0,)).acts_in(flat.spaces)
