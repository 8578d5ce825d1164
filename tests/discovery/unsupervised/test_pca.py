"""PCA of planted worlds, of layers, and of the official code's own samples."""

import logging

import numpy as np
import pytest
import torch
from torch import nn

from directions import load_generator
from directions.errors import LatdirError
from directions.generators.base import Generator
from directions.numerics.eigen import eigh
from directions.planted.world import planted
from directions.scoring.activations import layer_activations, layer_names
from directions.space import Space
from discovery.unsupervised.pca import PCA
from tests.parity import FIXTURES
from tests.turned import Turned

FIXTURE = FIXTURES / "ganspace_stylegan2/pca.npz"


class Stored(Generator):
    """Gives the codes it is told to, through a network of modules."""

    name = "stored"
    image_shape = (3, 2, 2)
    fingerprint = "0" * 64

    def __init__(self, codes, network=None):
        self.codes = codes
        self.network = network
        self.spaces = {"z": Space("z", tuple(codes.shape[1:]))}

    def sample(self, count, *, seed, start=0, space=None, truncation=1.0):
        return self.codes[start : start + count]

    def synthesize(self, codes, space="z"):
        out = torch.tanh(self.network(codes)) if self.network else codes.flatten(1)
        return out.flatten(1)[:, :12].reshape(-1, 3, 2, 2)


def cosines(bank, expected):
    return (bank.matrix().double() @ torch.as_tensor(expected).double().flatten(1).T).abs()


def normal(count, scales, seed=0):
    rng = torch.Generator().manual_seed(seed)
    basis, _ = torch.linalg.qr(torch.randn(len(scales), len(scales), generator=rng))
    return torch.randn(count, len(scales), generator=rng) * torch.tensor(scales) @ basis.T, basis.T


def test_planted_prior_is_recovered():
    world = planted(dim=12, condition=6.0, seed=3)
    bank = PCA(n_directions=12, n_codes=60_000).discover(world, seed=1)
    truth = eigh(world.prior().covariance)
    assert cosines(bank, truth.vectors).diagonal().min() > np.cos(np.radians(5))
    sigmas = torch.tensor([d.sigma for d in bank.directions])
    assert torch.allclose(sigmas, truth.values.sqrt().float(), rtol=0.02)
    assert sum(d.evidence["share"] for d in bank.directions) == pytest.approx(1)


@pytest.mark.skipif(not FIXTURE.exists(), reason="needs ../shared/fixtures/ganspace_stylegan2")
def test_parity_with_the_official_code():
    stored = np.load(FIXTURE)
    codes = torch.from_numpy(stored["w_samples"])
    bank = PCA(n_directions=80, n_codes=len(codes), batch_size=999).discover(Stored(codes))
    exact = eigh(torch.from_numpy(np.cov(stored["w_samples"].astype(np.float64), rowvar=False)))
    assert len(bank) == 32
    assert cosines(bank, exact.vectors).diagonal().min() > 1 - 1e-7
    official = torch.from_numpy(stored["ipca_c80.act_comp"])[:, 0]
    assert cosines(bank, official).diagonal().min() > 1 - 1e-6
    sigmas = np.array([d.sigma for d in bank.directions])
    np.testing.assert_allclose(sigmas, stored["ipca_c80.act_stdev"], rtol=1e-4)
    shares = [d.evidence["share"] for d in bank.directions]
    np.testing.assert_allclose(shares, stored["ipca_c80.var_ratio"], rtol=1e-3, atol=1e-7)


def test_layer_components_are_carried_back_to_the_code():
    torch.manual_seed(0)
    layer = nn.Linear(8, 40)
    codes = torch.randn(5000, 8, generator=torch.Generator().manual_seed(1))
    bank = PCA(n_directions=8, n_codes=5000, layer="0").discover(
        Stored(codes, nn.Sequential(layer, nn.Tanh()))
    )
    # Of white codes, the layer's components are its left singular vectors, met by the right ones.
    outputs = torch.cov(codes.T) @ layer.weight.T
    components = torch.linalg.svd(torch.linalg.cholesky(torch.cov(codes.T)).T @ layer.weight.T).Vh
    expected = (outputs @ components[:8].T).T
    expected = expected / expected.norm(dim=1, keepdim=True)
    assert cosines(bank, expected.detach()).diagonal().min() > 1 - 1e-5
    assert all(d.evidence["linear_fit"] == pytest.approx(1, abs=1e-4) for d in bank.directions)
    # Moving along a direction moves its own component's score and no other.
    moved = bank.matrix() @ layer.weight.T @ components[:8].T
    assert (moved - moved.diagonal().diag()).abs().max() < 1e-3 * moved.abs().max()


def test_range_finding_agrees_with_the_exact_covariance(monkeypatch):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(10, 300), nn.Tanh())
    codes = torch.randn(3000, 10, generator=torch.Generator().manual_seed(1))
    method = PCA(n_directions=6, n_codes=3000, layer="1", passes=4)
    exact = method.discover(Stored(codes, network))
    monkeypatch.setattr("discovery.unsupervised.pca.EXACT_LIMIT", 100)
    found = method.discover(Stored(codes, network))
    assert cosines(found, exact.matrix()).diagonal().min() > 0.9999
    for a, b in zip(found.directions, exact.directions, strict=True):
        for key in ("eigenvalue", "share", "linear_fit"):
            assert a.evidence[key] == pytest.approx(b.evidence[key], rel=1e-3)
    with pytest.raises(LatdirError, match="layer '1' has 300 numbers: sparse components"):
        PCA(layer="1", n_codes=100, estimator="sparse").discover(Stored(codes, network))


def test_activations_of_functions_stop_at_the_layer():
    world = planted(dim=12)
    names = layer_names(world, space="z")
    assert "tanh.0" in names
    codes = world.sample(6, seed=0)
    tanh = layer_activations(world, layer="tanh.0", space="z")(codes)
    levels = world.factors(codes)
    assert torch.allclose(
        torch.atanh(tanh[:, :4]) / torch.atanh(tanh[:1, :1]), levels / levels[0, 0]
    )
    with pytest.raises(LatdirError, match=r"planted runs no layer 'conv' .* it has matmul.0, "):
        layer_activations(world, layer="conv", space="z")(codes)


def test_independent_components_are_the_mixing_columns():
    rng = np.random.default_rng(0)
    sources = torch.from_numpy(rng.laplace(size=(20_000, 4))).float()
    mixing = torch.from_numpy(rng.standard_normal((4, 4))).float() * torch.tensor([4.0, 3, 2, 1])
    bank = PCA(n_directions=4, n_codes=20_000, estimator="ica").discover(Stored(sources @ mixing.T))
    columns = (mixing / mixing.norm(dim=0)).T
    found = cosines(bank, columns)
    assert found.amax(1).min() > 0.995
    assert sorted(found.argmax(1).tolist()) == [0, 1, 2, 3]
    shares = [d.evidence["share"] for d in bank.directions]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1, rel=1e-3)


def test_sparse_components_touch_few_coordinates():
    rng = torch.Generator().manual_seed(0)
    truth = torch.zeros(2, 10)
    truth[0, :3], truth[1, 5:7] = 3**-0.5, 2**-0.5
    scores = torch.randn(4000, 2, generator=rng) * torch.tensor([3.0, 2.0])
    codes = scores @ truth + 0.2 * torch.randn(4000, 10, generator=rng)
    bank = PCA(n_directions=2, n_codes=4000, estimator="sparse").discover(Stored(codes))
    assert cosines(bank, truth).diagonal().min() > 0.99
    assert [d.evidence["coordinates"] for d in bank.directions] == [3, 2]
    assert (bank.directions[0].vector != 0).sum() == 3


def test_rotating_the_codes_rotates_the_directions():
    codes, _ = normal(4000, [4.0, 2.0, 1.0, 0.5])
    turn, _ = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(9)))
    plain = PCA(n_directions=4, n_codes=4000).discover(Stored(codes))
    turned = PCA(n_directions=4, n_codes=4000).discover(Stored(codes @ turn.T))
    assert cosines(turned, plain.matrix() @ turn.T).diagonal().min() > 1 - 1e-6


def test_layered_codes_keep_their_shape():
    codes, _ = normal(500, [3.0, 2.0, 1.0, 0.8, 0.6, 0.4])
    bank = PCA(n_directions=2, n_codes=500).discover(Stored(codes.reshape(500, 2, 3)))
    assert bank["pca_00"].vector.shape == (2, 3)


def test_ties_are_reported(caplog):
    codes, _ = normal(5000, [3.0, 1.0, 1.0, 0.2])
    bank = PCA(n_directions=3, n_codes=5000).discover(Stored(codes))
    assert bank["pca_00"].evidence["tied_with"] == []
    assert bank["pca_01"].evidence["tied_with"] == [2]
    with caplog.at_level(logging.WARNING):
        PCA(n_directions=4, n_codes=500).discover(planted(dim=12), seed=0)
    assert "the codes vary equally in all directions" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        PCA(n_directions=4, n_codes=500).discover(planted(dim=12, condition=3.0), seed=0)
    assert not caplog.text


def test_two_runs_and_a_resumed_one_are_bit_identical(tmp_path, monkeypatch):
    world = planted(dim=12, condition=5.0)
    method = PCA(n_directions=5, n_codes=3000, batch_size=512)
    first, second = method.discover(world, seed=4), method.discover(world, seed=4)
    state = tmp_path / "pca.state"
    PCA(n_directions=5, n_codes=1024, batch_size=512).discover(world, seed=4, state=state)
    drawn = []
    sample = type(world).sample
    monkeypatch.setattr(
        type(world),
        "sample",
        lambda self, count, **given: drawn.append(given["start"]) or sample(self, count, **given),
    )
    resumed = method.discover(world, seed=4, state=state)
    assert sorted(set(drawn)) == [0, 1024, 1536, 2048, 2560]
    assert torch.equal(first.matrix(), second.matrix())
    assert torch.equal(first.matrix(), resumed.matrix())
    assert [d.evidence for d in first.directions] == [d.evidence for d in resumed.directions]
    with pytest.raises(LatdirError, match="holds 3000 samples already, more than the 100"):
        PCA(n_codes=100, batch_size=512).discover(world, seed=4, state=state)
    with pytest.raises(LatdirError, match="was written for seed 4, not 5"):
        method.discover(world, seed=5, state=state)


def test_rank_is_reported(caplog):
    codes, _ = normal(300, [2.0, 1.0, 0.0, 0.0])
    with caplog.at_level(logging.WARNING):
        bank = PCA(n_codes=300).discover(Stored(codes))
    assert len(bank) == 2
    assert "4 components requested, but there are only 2" in caplog.text


def test_refusals(monkeypatch):
    with pytest.raises(LatdirError, match="n_directions is 0: give at least 1"):
        PCA(n_directions=0)
    with pytest.raises(LatdirError, match=r"sparsity -1\.0: give at least 2, and 0 or more"):
        PCA(sparsity=-1.0)
    with pytest.raises(LatdirError, match="the codes do not vary"):
        PCA(n_codes=50).discover(Stored(torch.ones(50, 3)))
    with pytest.raises(LatdirError, match="has no space 'w': it has z"):
        PCA(space="w").discover(planted())
    monkeypatch.setattr("discovery.decomposition.ica_and_sparse_pca.ICA_ITERATIONS", 1)
    with pytest.raises(
        LatdirError, match=r"ICA found no 3 independent components.*estimator='pca'"
    ):
        PCA(n_codes=300, estimator="ica").discover(Stored(normal(300, [3.0, 2.0, 1.0])[0]))


def test_a_pool_sums_the_same_covariance() -> None:
    world = planted(dim=12)
    here = PCA(n_directions=3, n_codes=2000, batch_size=512)
    there = PCA(n_directions=3, n_codes=2000, batch_size=512, executor=Turned())
    assert torch.equal(here.discover(world).matrix(), there.discover(world).matrix())
    with pytest.raises(LatdirError, match="activations are read in this process: leave the"):
        PCA(layer="relu.0", executor=Turned()).discover(load_generator("digiface64"))
