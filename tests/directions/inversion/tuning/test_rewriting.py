"""Rewriting: the smallest change of one layer that maps chosen keys to other values."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from directions.errors import LatdirError
from directions.generators.base import Generator
from directions.inversion.tuning import Deltas, Rewriter, rewrite
from directions.inversion.tuning import rewriting as module
from directions.planted.world import planted
from tests.directions.inversion.tuning.test_pivotal import dcgan, style_generator


def everywhere(count: int, side: int = 8) -> Tensor:
    return torch.ones(count, side, side, dtype=torch.bool)


def test_a_linear_layer_gets_the_constrained_least_change() -> None:
    """Its closed form: ΔW = (v − W k) (C⁻¹ k)ᵀ / (kᵀ C⁻¹ k)."""
    generator = dcgan()
    codes = generator.sample(2, seed=5)
    method = Rewriter(steps=300, rate=0.3)
    made = rewrite(
        generator, "layers.0.weight", codes[:1], everywhere(1), value=codes[1:],
        source=everywhere(1), method=method, progress=False,
    )  # fmt: skip
    weight = generator.tunable["layers.0.weight"].flatten(1)  # [i, o · t]
    key, other = codes.double()
    moment = module._second_moment(generator, "layers.0.weight", "z")
    toward = torch.linalg.solve(moment, key)
    missing = (other - key) @ weight.double()
    change = torch.outer(toward, missing) / (key @ toward)
    found = made.generator.tunable["layers.0.weight"].flatten(1) - weight
    assert torch.allclose(found.double(), change, atol=0.02 * float(change.abs().max()))
    assert made.after < 0.02 < made.before
    # In C's norm no other change that does it is smaller: what is orthogonal to the key stays.
    rest = torch.randn(6, dtype=torch.float64)
    rest -= key * (rest @ toward) / (key @ toward)
    assert float((rest @ found.double()).norm()) < 0.02 * float((key @ found.double()).norm())


@pytest.mark.parametrize(
    ("make", "layer"),
    [(dcgan, "layers.1.weight"), (style_generator, "layers.1.weight"),
     (style_generator, "layers.2.weight"), (style_generator, "rgbs.1.weight")],
)  # fmt: skip
def test_regions_come_near_the_value_and_others_are_held(make, layer: str) -> None:
    generator: Generator = make()
    codes = generator.sample(3, seed=2)
    region = torch.zeros(1, 8, 8, dtype=torch.bool)
    region[:, :4, :4] = True
    if layer.startswith("rgbs"):
        layer = next(k for k in reversed(list(generator.tunable)) if k.startswith("rgbs"))
    made = rewrite(
        generator, layer, codes[:2], region.expand(2, -1, -1), value=codes[2:], source=region,
        space="z", method=Rewriter(rank=2, steps=30), progress=False,
    )  # fmt: skip
    assert made.after < 0.97 * made.before
    assert made.others.shape == (64,)
    assert made.generator.base_fingerprint == generator.fingerprint
    [(key, change)] = made.deltas.changes.items()
    assert key == layer
    assert all(part.dtype == torch.float16 for part in change.values())
    assert f"{made.before:.2f} -> {made.after:.2f} sd" in repr(made)


def test_what_has_changed_is_measured_where_it_was_not_asked_for() -> None:
    generator = dcgan()
    codes = generator.sample(3, seed=2)
    region = torch.zeros(1, 8, 8, dtype=torch.bool)
    region[:, :2] = True
    made = rewrite(
        generator, "layers.1.weight", codes[:2], region.expand(2, -1, -1), value=codes[2:],
        source=region, method=Rewriter(steps=5), progress=False,
    )  # fmt: skip
    probe = generator.sample(64, seed=module.TUNING_SEED)
    for found, batch, rows in (
        (made.outside, codes[:2], slice(2, None)),
        (made.others, probe, slice(None)),
    ):
        off = made.generator.synthesize(batch)[:, :, rows] - generator.synthesize(batch)[:, :, rows]
        torch.testing.assert_close(found, 10 * (4 / off.square().mean((1, 2, 3))).log10())


def test_keys_are_those_of_the_regions_whitened_by_the_priors() -> None:
    generator, layer = dcgan(), "layers.1.weight"
    codes = generator.sample(2, seed=2)
    place = torch.zeros(1, 4, 4, dtype=torch.bool)
    place[:, 2, 1] = True
    made = rewrite(
        generator, layer, codes[:1], place, value=codes[1:], source=place,
        method=Rewriter(steps=2), progress=False,
    )  # fmt: skip
    keys = [
        generator.activations(part, layer).inputs
        for part in (codes[:1], generator.sample(256, seed=module.TUNING_SEED))
    ]
    rows = keys[1].permute(0, 2, 3, 1).flatten(0, 2).double()
    moment = rows.T @ rows / len(rows)
    moment += 1e-3 * moment.diagonal().mean() * torch.eye(len(moment))
    toward = torch.linalg.solve(moment, keys[0][0, :, 2, 1].double())
    left = made.deltas.changes[layer]["left"][:, 0].double()
    torch.testing.assert_close(left, toward / toward.norm(), atol=1e-3, rtol=0)


@pytest.mark.parametrize("make", [dcgan, style_generator])
def test_activations_are_what_the_layer_multiplies(make) -> None:
    """Of a layer's inputs, its weight makes its outputs: gradients of both agree."""
    generator: Generator = make()
    codes = generator.sample(2, seed=1)
    for key, weight in generator.tunable.items():
        seen = generator.activations(codes, key, "z")
        assert seen.inputs.shape[1] == weight.shape[seen.axis]
        assert seen.outputs.shape[1] == weight.shape[1 - seen.axis]
        direction = torch.randn(weight.shape[seen.axis])
        # A change along keys that are orthogonal to all inputs changes no output.
        rows = seen.inputs.permute(0, 2, 3, 1).flatten(0, 2)
        direction -= torch.linalg.pinv(rows) @ (rows @ direction)
        shape = [-1 if axis == seen.axis else 1 for axis in range(4)]
        other = generator.with_weights({key: weight + direction.reshape(shape)})
        if not key.startswith("layers") or seen.axis == 0:  # demodulation sees the weight itself
            again = other.activations(codes, key, "z").outputs
            assert torch.allclose(again, seen.outputs, atol=1e-3)


def test_values_are_pasted_at_the_size_of_each_region() -> None:
    outputs, copied = torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)
    inside = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    inside[:, :, 1:3, 0:3] = True
    inside[:, :, 1, 1] = False
    source = torch.zeros(1, 1, 4, 4, dtype=torch.bool)
    source[:, :, 2:, 2:] = True
    assert torch.equal(module._pasted(outputs, inside, copied, source), inside.float())
    # From where it is in the source.
    copied, square = torch.arange(16.0).reshape(1, 1, 4, 4), torch.zeros_like(source)
    square[:, :, :2, 1:3] = True
    made = module._pasted(outputs, square, copied, source)
    assert torch.equal(made[0, 0, :2, 1:3], copied[0, 0, 2:, 2:])


def test_regions_fit_features_of_any_size() -> None:
    region = torch.zeros(1, 8, 8, dtype=torch.bool)
    region[:, 5, 5] = True
    small = module._at(region, torch.zeros(1, 1, 2, 2))[0, 0]
    assert small.tolist() == [[False, False], [False, True]]
    large = module._at(region, torch.zeros(1, 1, 16, 16))
    assert torch.equal(large, functional.interpolate(region[:, None].float(), 16) > 0)


def test_deltas_are_kept_and_undone(tmp_path: Path) -> None:
    generator = style_generator()
    codes, before = generator.sample(2, seed=5), generator.fingerprint
    made = rewrite(
        generator, "layers.1.weight", codes[:1], everywhere(1), value=codes[1:],
        source=everywhere(1), space="z", method=Rewriter(steps=3), progress=False,
    )  # fmt: skip
    made.deltas.save(tmp_path / "d")
    again = generator.with_deltas(Deltas.load(tmp_path / "d"))
    assert again.fingerprint == made.generator.fingerprint != before == generator.fingerprint


def test_what_cannot_be_rewritten_is_refused() -> None:
    generator = dcgan()
    codes, all_ = generator.sample(2, seed=5), everywhere(1)
    rest = {"value": codes[1:], "source": all_, "progress": False}
    with pytest.raises(LatdirError, match=r"tiny has no layer 'layers.9.weight'"):
        rewrite(generator, "layers.9.weight", codes[:1], all_, **rest)
    with pytest.raises(LatdirError, match="a region is empty"):
        rewrite(generator, "layers.0.weight", codes[:1], ~all_, **rest)
    with pytest.raises(LatdirError, match=r"regions has shape \[1, 8, 8\], not \[n, h, w\]"):
        rewrite(generator, "layers.0.weight", codes, all_, **rest)
    world = planted()
    z = world.sample(1, seed=0)
    with pytest.raises(LatdirError, match="planted's layers cannot be looked into"):
        rewrite(world, "a", z, all_, value=z, source=all_, progress=False)
