"""SeFa against the official code's results, planted weights and its own slow form."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from directions.errors import LatdirError
from directions.generators.base import Generator
from directions.planted.world import planted
from directions.space import Space
from discovery.unsupervised.sefa import SeFa, factorize, parse_layers
from tests.parity import FIXTURES

needs_fixtures = pytest.mark.skipif(not FIXTURES.exists(), reason="needs ../shared/fixtures")


class Weights(Generator):
    """Nothing but style matrices."""

    name = "weights"
    image_shape = (3, 8, 8)
    fingerprint = "1" * 64

    def __init__(self, matrices, slots=()):
        self.matrices, self._slots = matrices, tuple(slots)
        size = matrices[0].shape[1]
        self.spaces = {"z": Space("z", (size,))}
        if slots:
            self.spaces["w"] = Space("w", (size,))

    def synthesize(self, codes, space="z"):
        raise NotImplementedError

    def _map(self, codes, source, target):
        return 2 * codes

    def style_matrices(self, layers=None):
        return [self.matrices[i] for i in (layers or range(len(self.matrices)))]

    @property
    def style_slots(self):
        return self._slots


def fixture(folder):
    state = load_file(FIXTURES / folder / "state_dict.safetensors")
    if folder == "gf_pggan64":
        # A transposed convolution on a 1x1 image: every output number has a row of d weights.
        first = state["layer0.weight"]
        return [first.permute(0, 2, 3, 1).flatten(0, 2)], ()
    matrices, slots = [], []
    for slot in range(10):
        if slot % 2 == 1 and folder == "gf_stylegan2_64":
            matrices.append(state[f"synthesis.output{slot // 2}.style.weight"])
            slots.append(slot)
        name = f"synthesis.layer{slot}.style.weight"
        if name in state:
            matrices.append(state[name])
            slots.append(slot)
    return matrices, slots


CASES = [
    (folder, layers)
    for folder in ("gf_stylegan2_64", "gf_stylegan1_64", "gf_pggan64")
    for layers in ("all", "0-1", "2-5", "0_and_3")
    if layers == "all" or folder != "gf_pggan64"
]


@needs_fixtures
@pytest.mark.parametrize(("folder", "layers"), CASES)
def test_parity_with_the_official_code(folder, layers):
    stored = np.load(FIXTURES / folder / "sefa.npz")
    values = stored[f"eigh64_values_{layers}"]
    vectors = torch.from_numpy(stored[f"eigh64_vectors_{layers}"])
    rank = int((values > 1e-6 * values[0]).sum())
    generator = Weights(*fixture(folder))
    bank = SeFa(n_directions=rank, layers=layers.replace("_and_", ",")).discover(generator)
    assert len(bank) == rank
    found = [d.evidence["eigenvalue"] for d in bank.directions]
    np.testing.assert_allclose(found, values[:rank], rtol=1e-5)
    assert (bank.matrix() @ vectors[:rank].T.float()).diagonal().abs().min() > 1 - 1e-5
    # The official rows are the same vectors in no order.
    official = torch.from_numpy(stored[f"boundaries_{layers}"])
    assert (bank.matrix() @ official.T).abs().amax(1).min() > 1 - 1e-3
    expected = tuple(stored[f"layers_{layers}"].tolist())
    acting = bank.directions[0].layers
    assert acting == (None if layers == "all" else expected)


@needs_fixtures
def test_parity_with_the_unnormalized_variant():
    stored = np.load(FIXTURES / "ros_narrow64_converted/closed_form_factorization.npz")
    weights = torch.from_numpy(stored["W"])
    (spectrum,) = factorize([weights], [(0,)], normalize=False)
    np.testing.assert_allclose(spectrum.values.sqrt(), stored["singular_values"], rtol=1e-5)
    official = torch.from_numpy(stored["eigvec"]).double()
    assert (spectrum.vectors @ official).diagonal().abs().min() > 1 - 1e-5
    (normalized,) = factorize([weights], [(0,)])
    assert (normalized.vectors @ official).diagonal().abs().min() < 0.99


@needs_fixtures
def test_edits_with_a_layer_range_move_those_layers_only():
    stored = np.load(FIXTURES / "gf_stylegan2_64/sefa.npz")
    generator = Weights(*fixture("gf_stylegan2_64"))
    bank = SeFa(n_directions=64, layers="2-5").discover(generator)
    boundary = torch.from_numpy(stored["edit_boundary"])[0]
    match = max(bank.directions, key=lambda d: float((d.vector @ boundary).abs()))
    codes = torch.from_numpy(stored["edit_code"])
    edited = match.shift(codes, 3.0 * float((match.vector @ boundary).sign()), unit="latent")
    expected = codes.clone()
    expected[:, stored["edit_layers"]] += 3.0 * boundary
    assert torch.allclose(edited, expected, atol=2e-4)


def test_planted_amplification_is_recovered():
    world = planted(factors=3, dim=20, nuisances=2, gains=[5.0, 4.0, 3.0, 2.0, 1.0])
    bank = SeFa(n_directions=20, normalize=False).discover(world)
    assert len(bank) == 5
    cosines = (bank.matrix()[:3] @ world.truth.T).abs()
    assert cosines.diagonal().min() > 1 - 1e-5
    assert [d.sigma for d in bank.directions] == pytest.approx([1] * 5, rel=1e-5)


def test_normalized_rows_count_the_same_so_planted_weights_tie():
    bank = SeFa().discover(planted(factors=3, dim=20, nuisances=2, gains=[5.0, 4.0, 3.0, 2.0, 1.0]))
    assert bank["sefa_00"].evidence["tied_with"] == [1, 2, 3, 4]


@given(seed=st.integers(0, 2**31), normalize=st.booleans())
@settings(max_examples=20, deadline=None)
def test_many_sets_at_once_are_each_set_alone(seed, normalize):
    rng = torch.Generator().manual_seed(seed)
    weights = [torch.randn(n, 12, generator=rng) for n in (3, 20, 7, 5, 30)]
    sets = [(0, 1, 2, 3, 4), (0,), (3,), (1, 2), (0, 2, 4), (4, 3)]
    for chosen, spectrum in zip(sets, factorize(weights, sets, normalize=normalize), strict=True):
        rows = torch.cat([weights[i] for i in chosen]).double()
        if normalize:
            rows = rows / rows.norm(dim=1, keepdim=True)
        _, singular, right = torch.linalg.svd(rows, full_matrices=False)
        assert len(spectrum) == len(singular)
        assert torch.allclose(spectrum.values.sqrt(), singular, atol=1e-6)
        assert ((spectrum.vectors @ right.T).diagonal().abs() > 1 - 1e-5).all()


def test_rotating_the_codes_rotates_the_directions():
    rng = torch.Generator().manual_seed(0)
    weights = torch.randn(40, 6, generator=rng)
    turn, _ = torch.linalg.qr(torch.randn(6, 6, generator=rng))
    plain = SeFa(n_directions=6).discover(Weights([weights])).matrix()
    turned = SeFa(n_directions=6).discover(Weights([weights @ turn.T])).matrix()
    assert (turned @ (plain @ turn.T).T).diagonal().abs().min() > 1 - 1e-5


def test_two_runs_are_bit_identical():
    weights = torch.randn(50, 16, generator=torch.Generator().manual_seed(1))
    first, second = (SeFa().discover(Weights([weights])) for _ in range(2))
    assert torch.equal(first.matrix(), second.matrix())


def test_sigma_is_the_priors():
    bank = SeFa(n_directions=2).discover(Weights([torch.randn(9, 4)], slots=(0,)))
    assert bank["sefa_00"].space == "w"
    assert bank["sefa_00"].sigma == pytest.approx(2, rel=0.03)


def test_refusals():
    generator = Weights([torch.eye(3)])
    with pytest.raises(LatdirError, match="n_directions is 0: give at least 1"):
        SeFa(n_directions=0).discover(generator)
    with pytest.raises(LatdirError, match="no layers to choose from: use layers='all'"):
        SeFa(layers="0-1").discover(generator)
    layered = Weights([torch.eye(3)] * 4, slots=range(4))
    with pytest.raises(LatdirError, match=r"layers '2-4' are not among 0 … 3"):
        SeFa(layers="2-4").discover(layered)
    with pytest.raises(LatdirError, match="layers 'a-b' are not 'all' or numbers and ranges"):
        SeFa(layers="a-b").discover(layered)
    with pytest.raises(LatdirError, match=r"layers '3-2' are not among"):
        parse_layers("3-2", count=4)
    with pytest.raises(LatdirError, match="all zero: there is nothing in them"):
        SeFa().discover(Weights([torch.zeros(5, 3)]))
    with pytest.raises(LatdirError, match=r"layers \[0, 1\] are not distinct numbers of 0 … 0"):
        factorize([torch.eye(2)], [(0, 1)])
    wide = Weights([torch.eye(3)])
    wide.spaces = {"z": Space("z", (4,))}
    with pytest.raises(LatdirError, match="3 columns, but codes of space 'z' have 4 coordinates"):
        SeFa().discover(wide)
