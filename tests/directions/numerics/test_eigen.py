"""Order, sign, ties and refusals of the shared eigenproblems."""

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from directions.errors import LatdirError
from directions.numerics.eigen import eigh, generalized_eigh, near_ties, signed


def spd(size, seed):
    factor = torch.randn(size, size, generator=torch.Generator().manual_seed(seed)).double()
    return factor @ factor.T + 0.1 * torch.eye(size)


def test_known_spectrum_is_recovered_in_descending_order():
    basis, _ = torch.linalg.qr(torch.randn(6, 6, generator=torch.Generator().manual_seed(1)))
    values = torch.tensor([0.5, 9.0, 2.0, 4.0, 1.0, 0.1])
    spectrum = eigh((basis * values) @ basis.T, count=3)
    assert torch.allclose(spectrum.values, torch.tensor([9.0, 4.0, 2.0]).double(), atol=1e-5)
    cosines = (spectrum.vectors @ basis[:, [1, 3, 2]].double()).diagonal().abs()
    assert (cosines > 1 - 1e-6).all()
    assert spectrum.total == pytest.approx(16.6, rel=1e-6)
    assert spectrum.evidence(0)["share"] == pytest.approx(9 / 16.6, rel=1e-6)


@given(seed=st.integers(0, 2**31), size=st.integers(1, 12))
@settings(max_examples=25, deadline=None)
def test_signs_do_not_depend_on_the_signs_given(seed, size):
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(4, size, generator=generator)
    flips = torch.randint(0, 2, (4, 1), generator=generator) * 2 - 1
    assert torch.equal(signed(vectors), signed(vectors * flips))
    largest = signed(vectors).gather(1, vectors.abs().argmax(1, keepdim=True))
    assert (largest > 0).all()


def test_sign_of_equal_magnitudes_is_decided_by_the_first():
    vectors = torch.tensor([[-0.5, 0.5 + 1e-9, 0.5, -0.5]]).double()
    assert torch.equal(signed(vectors), -vectors)


def test_generalized_solutions_agree_with_scipy():
    a, b = spd(7, 2), spd(7, 3)
    spectrum = generalized_eigh(a, b, count=4)
    values, columns = scipy.linalg.eigh(a.numpy(), b.numpy())
    np.testing.assert_allclose(spectrum.values.numpy(), values[::-1][:4], rtol=1e-9)
    expected = columns[:, ::-1][:, :4] / np.linalg.norm(columns[:, ::-1][:, :4], axis=0)
    np.testing.assert_allclose(np.abs(spectrum.vectors.numpy() @ expected).diagonal(), 1, atol=1e-9)
    assert spectrum.total == pytest.approx(values.sum())


def test_generalized_with_identity_is_the_ordinary_problem():
    a = spd(5, 4)
    ordinary, general = eigh(a), generalized_eigh(a, torch.eye(5))
    assert torch.allclose(ordinary.values, general.values)
    assert torch.allclose(ordinary.vectors, general.vectors)


def test_ties_are_grouped_and_reported_in_the_evidence():
    spectrum = eigh(torch.diag(torch.tensor([4.0, 3.0, 3.0, 1.0, 1.0, 1.0])), count=5)
    assert spectrum.ties == ((1, 2), (3, 4))
    assert spectrum.open_end
    assert spectrum.evidence(0)["tied_with"] == []
    assert spectrum.evidence(1)["tied_with"] == [2]
    assert not spectrum.evidence(1)["tied_beyond"]
    assert spectrum.evidence(4)["tied_beyond"]


def test_a_few_leading_pairs_are_those_of_the_whole():
    matrix = spd(60, 6)
    whole, few = eigh(matrix), eigh(matrix, count=5)
    assert torch.allclose(few.values, whole.values[:5], rtol=1e-12)
    assert torch.allclose(few.vectors, whole.vectors[:5], atol=1e-10)
    assert few.total == whole.total
    tied = eigh(torch.diag(torch.tensor([3.0, 2.0, *[1.0] * 28])), count=3)
    assert tied.open_end
    assert not eigh(torch.diag(torch.tensor([3.0, 2.0, *[1.0] * 28])), count=2).open_end


def test_tie_tolerance_is_relative():
    values = torch.tensor([1000.0, 999.5, 1.0, 0.9])
    assert near_ties(values) == ((0, 1),)
    assert near_ties(values, tolerance=0.2) == ((0, 1), (2, 3))
    assert near_ties(values, tolerance=1e-5) == ()


def test_two_runs_are_bit_identical():
    first, second = eigh(spd(40, 5)), eigh(spd(40, 5))
    assert torch.equal(first.values, second.values)
    assert torch.equal(first.vectors, second.vectors)


def test_refusals():
    with pytest.raises(LatdirError, match=r"square matrix, not shape \[2, 3\]"):
        eigh(torch.zeros(2, 3))
    with pytest.raises(LatdirError, match=r"differs from its transpose by 1: .*\(m \+ m\.T\) / 2"):
        eigh(torch.tensor([[0.0, 1.0], [0.0, 0.0]]))
    with pytest.raises(LatdirError, match="NaN or infinite"):
        eigh(torch.full((2, 2), float("nan")))
    with pytest.raises(LatdirError, match="NaN or infinite"):
        eigh(torch.diag(torch.tensor([1.0, float("inf")])))
    with pytest.raises(LatdirError, match="count is 4: the matrix has 1 … 3 eigenvectors"):
        eigh(torch.eye(3), count=4)
    singular = torch.diag(torch.tensor([1.0, 0.0]))
    with pytest.raises(LatdirError, match=r"not positive definite.*a ridge above the present 0"):
        generalized_eigh(torch.eye(2), singular)
    assert float(generalized_eigh(torch.eye(2), singular, ridge=0.5).values[0]) == 4.0
