"""The streaming covariance equals the covariance of all rows at once."""

import gc

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from directions.errors import LatdirError
from discovery.decomposition.covariance import StreamingCovariance, column_gram
from discovery.decomposition.randomized_range import find_range


def rows_of(count, size, *, seed=0, far=0.0):
    rng = torch.Generator().manual_seed(seed)
    mix = torch.randn(size, size, generator=rng)
    return torch.randn(count, size, generator=rng) @ mix + far


def streamed(rows, *, chunk, precision="float32"):
    stream = StreamingCovariance(rows.shape[1], precision=precision)
    for part in rows.split(chunk):
        stream.add(part)
    return stream


@given(
    count=st.integers(2, 200),
    size=st.integers(1, 20),
    chunk=st.integers(1, 70),
    far=st.sampled_from([0.0, 100.0]),
)
@example(count=23, size=1, chunk=2, far=100.0)
@settings(max_examples=40, deadline=None)
def test_any_chunks_give_the_covariance_of_all(count, size, chunk, far):
    rows = rows_of(count, size, seed=count * 100 + size, far=far)
    stream = streamed(rows, chunk=chunk)
    exact = rows.double().numpy()
    expected = np.cov(exact, rowvar=False).reshape(size, size)
    # Rows themselves are rounded to float32 at their distance from the origin.
    atol = 1e-5 * np.abs(expected).max() * (1 + far / 30)
    np.testing.assert_allclose(stream.covariance().numpy(), expected, rtol=0, atol=atol)
    np.testing.assert_allclose(stream.mean.numpy(), exact.mean(0), atol=1e-5 * (1 + far))
    assert stream.count == count


def test_float32_products_survive_a_mean_far_from_the_origin():
    rows = rows_of(4000, 10, far=3000.0)
    expected = np.cov(rows.double().numpy(), rowvar=False)
    found = streamed(rows, chunk=512).covariance().numpy()
    assert np.abs(found - expected).max() < 1e-4 * np.abs(expected).max()
    naive = (rows.T @ rows - len(rows) * torch.outer(rows.mean(0), rows.mean(0))).numpy()
    assert np.abs(naive / 3999 - expected).max() > 0.1 * np.abs(expected).max()


def test_merging_two_streams_is_the_stream_of_both():
    rows = rows_of(300, 6, far=5.0)
    left, right = streamed(rows[:110], chunk=64), streamed(rows[110:], chunk=50)
    left.merge(right)
    left.merge(StreamingCovariance(6))
    whole = streamed(rows, chunk=64)
    assert left.count == 300
    assert torch.allclose(left.covariance(), whole.covariance(), rtol=1e-5)
    assert torch.allclose(left.mean, whole.mean, rtol=1e-6)


def test_bfloat16_errs_as_little_as_stated():
    rng = torch.Generator().manual_seed(3)
    basis, _ = torch.linalg.qr(torch.randn(128, 128, generator=rng))
    rows = torch.randn(16384, 128, generator=rng) @ (basis * torch.logspace(0, -1.5, 128)) + 2
    exact = torch.linalg.eigvalsh(streamed(rows.double(), chunk=4096).covariance())
    low = torch.linalg.eigvalsh(streamed(rows, chunk=4096, precision="bfloat16").covariance())
    error = ((low - exact) / exact).abs()
    assert error[-80:].max() < 5e-3
    assert error.max() < 2e-2
    assert error.max() > 1e-5


def test_gram_is_exactly_symmetric_and_right_for_odd_sizes():
    rows = rows_of(500, 301)
    product = column_gram(rows)
    assert torch.equal(product, product.T)
    assert torch.allclose(product, rows.T @ rows, rtol=1e-4, atol=1e-2)


def test_no_chunk_outlives_its_turn():
    stream = StreamingCovariance(300)
    gc.disable()
    try:
        before = len([o for o in gc.get_objects() if type(o) is torch.Tensor])
        for _ in range(5):
            stream.add(torch.randn(50, 300))
        after = len([o for o in gc.get_objects() if type(o) is torch.Tensor])
    finally:
        gc.enable()
    assert after == before


def test_a_run_goes_on_from_its_state_bit_for_bit(tmp_path):
    rows, label = rows_of(400, 5), {"seed": "1"}
    whole = streamed(rows, chunk=100)
    half = streamed(rows[:200], chunk=100)
    half.save(tmp_path / "state", label=label)
    resumed = StreamingCovariance(5)
    resumed.load(tmp_path / "state", label=label)
    for part in rows[200:].split(100):
        resumed.add(part)
    assert torch.equal(resumed.scatter, whole.scatter)
    assert torch.equal(resumed.mean, whole.mean)
    with pytest.raises(LatdirError, match="was written for seed 1, not 2: give another file"):
        StreamingCovariance(5).load(tmp_path / "state", label={"seed": "2"})
    (tmp_path / "state").write_bytes(b"half a file")
    with pytest.raises(LatdirError, match=r"is not a readable covariance file .*; delete it"):
        resumed.load(tmp_path / "state", label=label)


def test_refusals():
    stream = StreamingCovariance(3)
    with pytest.raises(LatdirError, match="rows have 4 coordinates, not 3"):
        stream.add(torch.zeros(2, 4))
    with pytest.raises(LatdirError, match="rows have 4 coordinates, not 3"):
        stream.merge(StreamingCovariance(4))
    with pytest.raises(LatdirError, match="at least 2 rows, not 0"):
        stream.covariance()
    stream.add(torch.randn(5, 3))
    with pytest.raises(LatdirError, match=r"rows 5 … 6 have NaN or infinite values"):
        stream.add(torch.tensor([[0.0, 0.0, 0.0], [float("inf"), 0.0, 0.0]]))
    assert stream.count == 5


def test_range_holds_the_leading_components():
    rng = torch.Generator().manual_seed(5)
    basis, _ = torch.linalg.qr(torch.randn(300, 300, generator=rng))
    scales = torch.logspace(0, -2, 300)
    rows = torch.randn(600, 300, generator=rng) * scales @ basis.T + 7
    centered = (rows - rows.mean(0)).double()
    found = find_range(lambda: rows.split(128), rank=40, passes=3, seed=0)
    top = torch.linalg.svd(centered, full_matrices=False).Vh[:10]
    kept = (top @ found.basis.double()).norm(dim=1)
    assert kept.min() > 0.999
    assert torch.allclose(found.mean, rows.mean(0), atol=1e-5)
    assert found.variance == pytest.approx(float(centered.square().sum()) / 599, rel=1e-5)
    with pytest.raises(LatdirError, match="rank is 301: rows of 300 coordinates allow 1 … 300"):
        find_range(lambda: [rows], rank=301, passes=1, seed=0)
    with pytest.raises(LatdirError, match="at least 2 rows, not 0"):
        find_range(list, rank=1, passes=1, seed=0)
    with pytest.raises(LatdirError, match="passes is 0"):
        find_range(lambda: [rows], rank=1, passes=0, seed=0)
