"""Directions in weights: the images, derivatives, files and measures of the changed generator."""

from pathlib import Path

import pytest
import torch

import directions as d
from analysis import measure_distinguishability, measure_effects, name_directions
from analysis.edits.sweeps import scored_sweep
from directions.errors import BankError, CheckpointError, LatdirError, SpaceError
from directions.generators.base import Generator
from directions.planted.weights import PlantedWeights
from directions.planted.world import planted
from directions.weight_space import WeightBasis, WeightDirection, WeightedGenerator, widened
from tests.directions.inversion.tuning.test_pivotal import dcgan, style_generator

QUIET = d.Rendering(progress=False)


def basis_of(generator: Generator, *, low_rank: bool = False, k: int = 3) -> WeightBasis:
    """Random changes of the generator's middle weight, about a tenth of it each."""
    name = [*generator.tunable][len(generator.tunable) // 2]
    weight = generator.tunable[name]
    rng = torch.Generator().manual_seed(0)
    size = 0.1 * float(weight.std())
    if low_rank:
        left = size * torch.randn(k, len(weight), 2, generator=rng)
        right = torch.randn(k, 2, weight[0].numel(), generator=rng)
        changes = {"left": left.half(), "right": right.half()}
    else:
        changes = {"added": (size * torch.randn(k, *weight.shape, generator=rng)).half()}
    [latent] = generator.space(generator.default_space()).shape
    return WeightBasis(name, tuple(weight.shape), latent, changes)


def bank_of(generator: Generator, **form: bool) -> d.DirectionBank:
    basis = basis_of(generator, **form)
    rows = [[1.0, 0.0, 0.0], [0.5, -2.0, 1.0]]
    made = [WeightDirection.of(basis, row, name=f"d{i}") for i, row in enumerate(rows)]
    return d.DirectionBank.of(generator, made)


def world() -> PlantedWeights:
    return PlantedWeights.of(planted(factors=2, dim=8, nuisances=1))


def true_bank(generator: PlantedWeights) -> d.DirectionBank:
    """Each change of the weight that adds 1 to one level, the nuisance's last."""
    changes = torch.stack([generator.change(j) for j in range(3)])
    basis = WeightBasis("mixing", tuple(changes.shape[1:]), 8, {"added": changes})
    names = [*generator.names, "other"]
    made = [WeightDirection.of(basis, torch.eye(3)[i], name=n) for i, n in enumerate(names)]
    return d.DirectionBank.of(generator, made)


@pytest.mark.parametrize("low_rank", [False, True])
@pytest.mark.parametrize("make", [dcgan, style_generator])
def test_codes_of_weights_make_the_images_of_the_changed_generator(make, low_rank):
    generator = make()
    bank = bank_of(generator, low_rank=low_rank)
    direction, wide = bank["d1"], bank.widened(generator)
    latents = generator.sample(3, seed=1)
    codes = wide.map(latents, "z", direction.space)
    amounts = torch.tensor([2.0, -1.0, 2.0])
    moved = direction.shift(codes, amounts)
    alone = [direction.applied(generator, float(a)) for a in amounts]
    expected = torch.cat(
        [g.synthesize(z[None]) for g, z in zip(alone, latents, strict=True)]
    ).detach()
    assert float((expected - generator.synthesize(latents)).abs().max()) > 0.02
    close = {"rtol": 0, "atol": 2e-3}  # deltas are kept in float16
    torch.testing.assert_close(wide.synthesize(moved, direction.space), expected, **close)
    run = wide.inference(space=direction.space)
    torch.testing.assert_close(run(moved).clone(), expected, **close)
    tracked = wide.synthesize(moved.requires_grad_(), direction.space)
    torch.testing.assert_close(tracked.detach(), expected, **close)
    unmoved = wide.synthesize(codes, direction.space)
    torch.testing.assert_close(unmoved, generator.synthesize(latents), rtol=0, atol=1e-5)
    assert alone[0].base_fingerprint == generator.fingerprint
    assert not run(codes[:0]).numel()


@pytest.mark.parametrize("make", [dcgan, style_generator])
def test_derivatives_along_amounts_are_those_of_the_weights(make):
    generator = make()
    bank = bank_of(generator)
    wide, space = bank.widened(generator), bank["d0"].space
    codes = bank["d1"].shift(wide.sample(2, seed=1, space=space), torch.tensor([0.5, -0.5]))
    tangent = 1e-3 * torch.randn(codes.shape, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        ahead, back = (wide.synthesize(codes + t, space) for t in (tangent, -tangent))
    model = wide.linearize_batch(codes, space=space)
    pushed = model.push(tangent)
    assert float((pushed - (ahead - back) / 2).norm() / pushed.norm()) < 0.02
    # <J t, u> = <t, Jᵀ u>
    u = torch.randn(pushed.shape, generator=torch.Generator().manual_seed(3))
    assert float((model.pull(u) * tangent).sum()) == pytest.approx(
        float((pushed * u).sum()), rel=1e-3
    )
    one = wide.linearize(codes[0], space=space)
    torch.testing.assert_close(one.push(tangent)[0], pushed[0], rtol=1e-3, atol=1e-6)


def test_a_planted_direction_of_the_weight_changes_its_factor_and_no_other():
    generator = world()
    bank = true_bank(generator)
    effects = measure_effects(
        generator, generator.classifier(), bank, count=16, step=1.0, rendering=QUIET
    )
    expected = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    torch.testing.assert_close(effects.mean, expected, rtol=0, atol=1e-3)
    assert effects.source.fingerprint == generator.fingerprint


def test_weights_and_codes_are_measured_and_named_in_one_bank():
    generator = world()
    codes = d.DirectionBank.of(
        generator, [d.Direction("up", generator.truth[0], "z", method="code")]
    )
    both = true_bank(generator).merge(codes)
    effects = measure_effects(
        generator, generator.classifier(), both, count=16, step=1.0, rendering=QUIET
    )
    assert float(effects.mean[3, 0]) == pytest.approx(1.0, abs=1e-3)
    naming = name_directions(
        generator, generator.classifier(), both, count=16, null=8, alpha=0.5, rendering=QUIET
    )
    kinds = {type(found) for found in naming.bank.directions}
    assert kinds == {WeightDirection, d.Direction}
    assert set(naming.found) == {"factor_0", "factor_1"}


def test_other_measures_and_pictures_take_them():
    generator = world()
    bank = true_bank(generator)
    told = measure_distinguishability(generator, bank, count=16, epochs=1, rendering=QUIET)
    assert told.directions == tuple(bank)
    swept = scored_sweep(
        generator, generator.classifier(), bank["factor_1"], attributes=["factor_1"]
    )
    steps = swept.scores[0, :, 0] - swept.scores[0, 3, 0]
    torch.testing.assert_close(steps, swept.amounts, rtol=0, atol=1e-2)
    picture = d.edit_grid(
        generator, generator.sample(2, seed=0), bank, space="z", amounts=[-1.0, 1.0]
    )
    alone = d.edit_grid(
        generator, generator.sample(2, seed=0), bank["other"], space="z", amounts=[-1.0, 1.0]
    )
    assert picture.size[1] > alone.size[1]


def test_files_hold_the_changes(tmp_path: Path):
    generator = world()
    bank = true_bank(generator)
    loaded = d.DirectionBank.load(bank.save(tmp_path / "a.safetensors"), generator)
    assert list(loaded) == list(bank)
    for one, other in zip(loaded.directions, bank.directions, strict=True):
        assert isinstance(one, WeightDirection)
        assert torch.equal(one.vector, other.vector)
        assert torch.equal(one.basis.changes["added"], other.basis.changes["added"])
    again = loaded.save(tmp_path / "b.safetensors")
    assert again.read_bytes() == (tmp_path / "a.safetensors").read_bytes()
    deltas = bank["factor_0"].deltas(generator, 2.0)
    deltas.save(tmp_path / "c.deltas")
    edited = generator.with_deltas(d.Deltas.load(tmp_path / "c.deltas"))
    z = generator.sample(2, seed=0)
    change = generator.classifier()(edited.synthesize(z)) - generator.classifier()(
        generator.synthesize(z)
    )
    torch.testing.assert_close(change[:, 0], torch.full((2,), 2.0), rtol=0, atol=1e-2)


def test_damaged_files_are_refused(tmp_path: Path):
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    path = true_bank(world()).save(tmp_path / "a.safetensors")
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    held = load_file(path)
    [key] = [key for key in held if key.startswith("basis/")]
    for name, change, message in (
        ("less", {k: t for k, t in held.items() if k != key}, "lists 1 bases of weights"),
        ("other", held | {key: held[key] + 1}, "are not those it was saved with"),
        ("nan", held | {key: held[key] * torch.nan}, "are not finite"),
        ("shape", held | {key: held[key][:, :2].contiguous()}, "are none of a weight 'mixing'"),
        ("part", held | {f"{key}2": held[key].clone()}, "are none of a weight 'mixing'"),
    ):
        save_file(change, tmp_path / name, metadata=metadata)
        with pytest.raises(BankError, match=message):
            d.DirectionBank.load(tmp_path / name)


def test_another_generator_is_refused():
    bank, other = true_bank(world()), PlantedWeights.of(planted(factors=2, dim=8, seed=1))
    with pytest.raises(BankError, match="this bank was made for planted"):
        measure_effects(other, other.classifier(), bank)
    with pytest.raises(BankError, match="'factor_0' was made for another generator"):
        bank["factor_0"].applied(other)
    unbound = bank["factor_0"].evolve(fingerprint=None)
    with pytest.raises(CheckpointError, match=r"'mixing' of shape .* has none of that name"):
        unbound.applied(dcgan())
    with pytest.raises(CheckpointError, match=r"has shape \[6, 12\]"):
        bank.transfer(other)
    with pytest.raises(SpaceError, match="of 8 coordinates"):
        bank.transfer(PlantedWeights.of(planted(factors=2, dim=9, nuisances=1)))


def test_what_makes_no_direction_is_refused():
    generator = world()
    direction = true_bank(generator)["factor_0"]
    for amounts in ([0.0, 0.0, 0.0], [1.0]):
        with pytest.raises(SpaceError, match="no direction among 3 changes of 'mixing'"):
            WeightDirection.of(direction.basis, amounts, name="none")
    turned = direction.vector.roll(1)
    with pytest.raises(SpaceError, match="moves the code beside the weights"):
        direction.evolve(vector=direction.vector.roll(-1))
    with pytest.raises(SpaceError, match="its basis of 'mixing#"):
        direction.evolve(space="z", vector=turned)
    with pytest.raises(
        SpaceError, match=r"amount 1e\+20 of 'factor_0' changes weights by more than"
    ):
        direction.deltas(generator, 1e20)
    with pytest.raises(LatdirError, match=r"has no space 'mixing#.*it has z"):
        generator.space(direction.space)


def test_a_generator_is_widened_once_by_each_basis():
    generator = world()
    bank = true_bank(generator)
    wide = bank.widened(generator)
    assert isinstance(wide, WeightedGenerator)
    assert bank.widened(wide) is wide
    assert widened(generator, [d.Direction("up", generator.truth[0], "z")]) is generator
    first = bank["factor_0"].basis
    other = WeightBasis(first.weight, first.shape, 8, {"added": 2 * first.changes["added"]})
    twice = widened(wide, [WeightDirection.of(other, [1.0, 0.0, 0.0], name="twice")])
    assert [*twice.spaces] == ["z", first.space.name, other.space.name]
    assert torch.equal(
        wide.sample(3, seed=1, truncation=0.5), generator.sample(3, seed=1, truncation=0.5)
    )
    codes = wide.sample(3, seed=1, space=first.space.name)
    assert torch.equal(wide.map(codes, first.space.name, "z"), generator.sample(3, seed=1))
    assert wide.prior(first.space.name).sigma(bank["other"].vector) == 1.0
