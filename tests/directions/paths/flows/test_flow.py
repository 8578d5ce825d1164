"""Couplings against automatic differentiation; flow paths reverse, commute, and keep their file."""

from dataclasses import replace

import pytest
import torch

from directions.errors import LatdirError
from directions.paths import FlowPath, load_path
from directions.paths.flows.couplings import Couplings


def bent(size=5, conditions=2, *, seed=0, dtype=torch.float64, layers=3):
    """Couplings whose networks do something."""
    rng = torch.Generator().manual_seed(seed)
    start = Couplings.started(size, conditions, hidden=8, layers=layers, seed=seed)
    w3 = torch.randn(start.w3.shape, generator=rng)
    return start._replace(w3=w3).like(torch.zeros(1, dtype=dtype))


def path(name="a", *, dtype=torch.float32, d=9):
    """A path of codes of 9 numbers, of which the chart sees 7."""
    rng = torch.Generator().manual_seed(5)
    chart = torch.randn(d, 7, generator=rng)
    back = torch.linalg.pinv(chart.double()).float()
    flow = bent(dtype=dtype)
    return FlowPath(
        name, "w", ("a", "b"), "years", 4.0, 0.5, torch.ones(d), chart, back, flow, "toy", "0" * 64
    )


@pytest.mark.parametrize("size", [2, 3, 6])
def test_the_inverse_is_exact_and_the_volume_is_the_determinant(size):
    flow = bent(size)
    rng = torch.Generator().manual_seed(1)
    x = torch.randn(20, size, generator=rng, dtype=torch.float64)
    c = torch.randn(20, 2, generator=rng, dtype=torch.float64)
    z, volume = flow.forward(x, c)
    assert (z - x).abs().max() > 0.1
    torch.testing.assert_close(flow.inverse(z, c), x, atol=1e-5, rtol=0)
    for i in range(3):
        jacobian = torch.autograd.functional.jacobian(
            lambda v, i=i: flow.forward(v[None], c[i : i + 1])[0][0], x[i]
        )
        torch.testing.assert_close(torch.linalg.slogdet(jacobian)[1], volume[i], atol=1e-5, rtol=0)


def test_a_path_changes_its_own_attribute_holds_the_rest_and_returns():
    a, b = path("a"), path("b")
    codes = torch.randn(30, 9, generator=torch.Generator().manual_seed(2))
    moved = a.shift(codes, 1.5)
    change = a.readout(moved) - a.readout(codes)
    torch.testing.assert_close(change, torch.tensor([1.5, 0.0]).expand(30, 2), atol=1e-4, rtol=0)
    torch.testing.assert_close(a.latent(moved), a.latent(codes), atol=1e-4, rtol=0)
    torch.testing.assert_close(a.shift(moved, -1.5), codes, atol=1e-4, rtol=0)
    halves = a.shift(a.shift(codes, 0.5), 1.0)
    torch.testing.assert_close(halves, moved, atol=1e-4, rtol=0)
    there, here = b.shift(moved, -0.7), a.shift(b.shift(codes, -0.7), 1.5)
    torch.testing.assert_close(there, here, atol=1e-4, rtol=0)
    torch.testing.assert_close(a.shift(codes, 0.0), codes, atol=1e-4, rtol=0)
    # What the chart does not see stays.
    unseen = torch.eye(9) - a.chart @ a.back
    torch.testing.assert_close((moved - codes) @ unseen, torch.zeros(30, 9), atol=1e-4, rtol=0)


def test_amounts_have_units_and_may_differ():
    codes = torch.randn(4, 9, generator=torch.Generator().manual_seed(3))
    a = path()
    torch.testing.assert_close(a.shift(codes, 4.0, unit="years"), a.shift(codes, 1.0))
    torch.testing.assert_close(a.shift(codes, 4.0, unit="attribute"), a.shift(codes, 1.0))
    torch.testing.assert_close(a.shift(codes, 0.5, unit="latent"), a.shift(codes, 1.0))
    each = a.shift(codes, torch.tensor([0.0, 1.0, 2.0, -1.0]))
    torch.testing.assert_close(each[2], a.shift(codes, 2.0)[2])
    layered = a.shift(codes.reshape(4, 3, 3), 1.0)
    torch.testing.assert_close(layered.flatten(1), a.shift(codes, 1.0))
    assert a.shift(codes.double(), 1.0).dtype == torch.float64


def test_a_file_keeps_the_path(tmp_path):
    codes = torch.randn(4, 9, generator=torch.Generator().manual_seed(0))
    for name in ("a", "b"):
        made = path(name)
        again = load_path(made.save(tmp_path / "p.safetensors"))
        assert isinstance(again, FlowPath)
        assert (again.name, again.attributes, again.unit) == (name, ("a", "b"), "years")
        moved = made.shift(codes, 1.0)
        torch.testing.assert_close(again.shift(codes, 1.0), moved, atol=5e-5, rtol=1e-4)


def test_bad_input_is_named(tmp_path):
    a, codes = path(), torch.zeros(2, 9)
    with pytest.raises(LatdirError, match="no unit 'degrees': use sigma, latent, attribute, years"):
        a.shift(codes, 1.0, unit="degrees")
    with pytest.raises(LatdirError, match="moves codes of 9 numbers, not 8"):
        a.shift(codes[:, :8], 1.0)
    with pytest.raises(LatdirError, match=r"amount has shape \[3\]: give one number"):
        a.shift(codes, torch.ones(3))
    with pytest.raises(LatdirError, match="this flow has no attribute 'c': it has a, b"):
        replace(a, name="c")
    with pytest.raises(LatdirError, match=r"tensors of shapes .* they must be"):
        replace(a, attributes=("a", "b", "c"))
    with pytest.raises(LatdirError, match="a length is positive"):
        replace(a, length=0.0)
    file = a.save(tmp_path / "p.safetensors")
    from directions.planted.world import planted

    with pytest.raises(LatdirError, match=r"was made for toy .*, not for planted"):
        load_path(file, generator=planted())
