"""Directions of a region, face masks, and the split into low-rank and sparse."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from directions.errors import LatdirError
from directions.fingerprints import fingerprint
from directions.generators.base import Generator
from directions.planted.world import planted
from directions.space import Space
from discovery.decomposition.robust_pca import robust_pca
from discovery.jacobian.masks import PARTS, bounding_window, box_mask, part_mask
from discovery.jacobian.region import Region

SIZE = 12


class Patches(Generator):
    """Six coordinates, each the brightness of one pattern on the mouth, elsewhere, or both."""

    name = "patches"
    image_shape = (3, SIZE, SIZE)
    fingerprint = fingerprint({}, {"patches": 1})

    def __init__(self, turn: Tensor | None = None) -> None:
        self.spaces = {"z": Space("z", (6,))}
        self.turn = torch.eye(6) if turn is None else turn
        self.windows: list[object] = []
        mouth, rest = torch.zeros(SIZE, SIZE), torch.zeros(SIZE, SIZE)
        mouth[8:11, 3:9] = 1
        rest[0:4] = 1
        waves = [torch.cos(torch.arange(SIZE) * k) for k in (0.3, 0.7, 1.1, 1.9)]
        self.patterns = torch.stack(
            [
                mouth,
                rest,
                5 * (mouth + rest) * waves[0],
                mouth * waves[1] + 0.5 * rest * waves[2],
                0.5 * rest * waves[3],
                0 * rest,
            ]
        )

    def synthesize(self, codes: Tensor, space: str = "z") -> Tensor:
        levels = torch.tanh(codes @ self.turn.T / 8)
        image = torch.einsum("nk,khw->nhw", levels, self.patterns)
        return image[:, None].expand(-1, 3, -1, -1)

    def linearize(self, code, *, space=None, window=None):
        self.windows.append(window)
        return super().linearize(code, space=space, window=window)


MOUTH = "8,3,11,9"


def turned() -> Patches:
    rng = torch.Generator().manual_seed(0)
    return Patches(torch.linalg.qr(torch.randn(6, 6, generator=rng))[0])


class TestRegion:
    @pytest.mark.parametrize("solver", ["contrast", "null_space"])
    def test_recovers_what_moves_the_region_alone(self, solver: str) -> None:
        generator = turned()
        method = Region(
            region=MOUTH, n_directions=1, n_codes=10, solver=solver, ridge=1e-4, protected=0.999
        )
        bank = method.discover(generator)
        first = bank.directions[0]
        assert abs(float(first.vector @ generator.turn[0])) > 0.99
        assert first.evidence["inside"] > 0.99

    def test_alone_prefers_the_strong_direction_that_spills(self) -> None:
        generator = turned()
        bank = Region(region=MOUTH, n_directions=2, solver="alone").discover(generator)
        assert abs(float(bank.matrix()[0] @ generator.turn[2])) > 0.9

    def test_alone_computes_no_more_than_the_region(self) -> None:
        generator = Patches()
        bank = Region(region=MOUTH, n_directions=3, n_codes=2, solver="alone").discover(generator)
        assert generator.windows == [(8, 3, 11, 9)] * 2
        mask = box_mask((8, 3, 11, 9), height=SIZE, width=SIZE)
        padded = mask.clone()
        padded[0, 0] = 1e-30
        whole = Region(n_directions=3, n_codes=2, solver="alone").discover(generator, mask=padded)
        assert generator.windows[-1] == (0, 0, 11, 9)
        assert torch.allclose(bank.matrix(), whole.matrix(), atol=1e-4)

    def test_generalized_eigenvectors_satisfy_their_equation(self) -> None:
        generator = turned()
        bank = Region(region=MOUTH, n_directions=6, n_codes=3, ridge=0.1).discover(generator)
        mask = box_mask((8, 3, 11, 9), height=SIZE, width=SIZE)
        metrics = []
        for weights in (mask, 1 - mask):
            total = torch.zeros(6, 6, dtype=torch.float64)
            for code in generator.sample(3, seed=0):
                rows = (
                    torch.func.jacrev(lambda z: generator.synthesize(z[None]))(code)
                    * weights[..., None]
                )
                rows = rows.reshape(-1, 6).double()
                total += rows.T @ rows / 3
            metrics.append(total)
        front, back = metrics
        back += 0.1 * back.diagonal().mean() * torch.eye(6)
        for direction in bank.directions:
            v = direction.vector.double()
            error = front @ v - direction.evidence["eigenvalue"] * back @ v
            assert float(error.norm()) < 1e-4 * float(front.norm())

    def test_null_space_stays_orthogonal_to_the_background(self) -> None:
        generator = turned()
        bank = Region(region=MOUTH, n_directions=3, solver="null_space", protected=0.9).discover(
            generator
        )
        v = bank.matrix()
        assert torch.allclose(v @ v.T, torch.eye(len(v)), atol=1e-5)
        assert abs(float(v[0] @ generator.turn[2])) < 0.05

    def test_robust_low_rank_part(self) -> None:
        generator = turned()
        method = Region(region=MOUTH, n_directions=1, n_codes=5, solver="null_space")
        plain, robust = (
            replace(method, low_rank=kind).discover(generator)
            for kind in ("spectrum", "robust_pca")
        )
        assert not torch.equal(plain.matrix(), robust.matrix())
        assert robust.directions[0].evidence["inside"] > 0.6

    def test_a_mask_for_each_code(self) -> None:
        generator = turned()
        codes = generator.sample(2, seed=0)
        mouth = box_mask((8, 3, 11, 9), height=SIZE, width=SIZE)
        top = box_mask((0, 0, 4, 12), height=SIZE, width=SIZE)
        both = Region(n_directions=6).discover(
            generator, codes=codes, mask=torch.stack([mouth, top])
        )
        plain = Region(n_directions=6).discover(generator, codes=codes, mask=mouth)
        assert not torch.allclose(both.matrix(), plain.matrix(), atol=1e-2)
        same = Region(n_directions=6).discover(generator, codes=codes, mask=mouth.expand(2, -1, -1))
        assert torch.equal(same.matrix(), plain.matrix())

    def test_parts_of_the_face_follow_the_landmarks(self) -> None:
        generator = turned()
        seen = []

        def landmarks(images: Tensor) -> Tensor:
            seen.append(len(images))
            return (face() * 0.11).expand(len(images), 68, 2)

        bank = Region(region="mouth", n_directions=1, n_codes=3).discover(
            generator, landmarks=landmarks
        )
        assert seen == [3]
        mask = part_mask(face() * 0.11, "mouth", height=SIZE, width=SIZE)
        want = Region(n_directions=1, n_codes=3).discover(generator, mask=mask)
        assert torch.equal(bank.matrix(), want.matrix())

    def test_runs_are_bit_identical(self) -> None:
        first, second = (Region(region=MOUTH).discover(turned(), seed=2) for _ in range(2))
        assert torch.equal(first.matrix(), second.matrix())

    def test_errors(self) -> None:
        generator = Patches()
        with pytest.raises(LatdirError, match="no region 'hair': it is one of eyes, mouth"):
            Region(region="hair").discover(generator)
        with pytest.raises(LatdirError, match="is empty or leaves the image of 12×12 pixels"):
            Region(region="0,0,13,2").discover(generator)
        with pytest.raises(LatdirError, match=r"the mask has shape \[3, 3\]: give \[12, 12\]"):
            Region().discover(generator, mask=torch.ones(3, 3))
        with pytest.raises(LatdirError, match=r"a mask must be in 0 … 1, not 2.0 … 2.0"):
            Region().discover(generator, mask=torch.full((12, 12), 2.0))
        with pytest.raises(LatdirError, match="a mask is empty"):
            Region().discover(generator, mask=torch.zeros(12, 12))
        with pytest.raises(LatdirError, match=r"protected 1\.0 must be between 0 and 1"):
            Region(protected=1.0)
        with pytest.raises(LatdirError, match="not positive definite"):
            Region(region=MOUTH, ridge=0.0).discover(generator)
        full = planted(factors=6, nuisances=0, dim=6)
        with pytest.raises(LatdirError, match="takes all 6 dimensions: lower protected"):
            Region(region="0,0,1,1", solver="null_space", protected=1 - 1e-12).discover(full)
        unknown = copy.copy(Region())
        object.__setattr__(unknown, "solver", "magic")
        with pytest.raises(
            LatdirError, match=r"no solver .*: use one of contrast, null_space, alone"
        ):
            unknown.__post_init__()


def face() -> Tensor:
    """A plain face of 68 points in a frame of 100, x to the right and y down."""
    turn = torch.linspace(torch.pi, 0, 17)
    jaw = torch.stack([50 + 40 * turn.cos(), 45 + 45 * turn.sin()], 1)
    brows = torch.stack(
        [
            torch.cat([torch.linspace(18, 42, 5), torch.linspace(58, 82, 5)]),
            torch.full((10,), 30.0),
        ],
        1,
    )
    nose = torch.cat(
        [
            torch.stack([torch.full((4,), 50.0), torch.linspace(40, 58, 4)], 1),
            torch.stack([torch.linspace(43, 57, 5), torch.full((5,), 62.0)], 1),
        ]
    )
    ring = torch.arange(6) / 6 * 2 * torch.pi
    eye = torch.stack([-7 * ring.cos(), 3 * ring.sin()], 1)
    eyes = torch.cat([eye + torch.tensor([30.0, 40.0]), eye + torch.tensor([70.0, 40.0])])
    ring = torch.arange(20) / 20 * 2 * torch.pi
    mouth = torch.stack([50 - 14 * ring.cos(), 75 + 5 * ring.sin()], 1)
    return torch.cat([jaw, brows, nose, eyes, mouth])


class TestMasks:
    def test_parts_hold_their_landmarks_and_little_else(self) -> None:
        points = face()
        masks = {p: part_mask(points, p, height=100, width=100) for p in PARTS}
        assert masks["mouth"][75, 50] == 1
        assert masks["mouth"][40, 30] == 0
        assert masks["eyes"][40, 30] == 1
        assert masks["eyes"][40, 70] == 1
        assert masks["eyes"][40, 50] == 0
        assert masks["background"][2, 2] == 1
        assert masks["background"][50, 50] == 0
        assert torch.equal(masks["background"], 1 - masks["face"])
        assert (masks["face"] >= masks["mouth"]).all()

    def test_margin_is_measured_in_pixels_from_the_hull(self) -> None:
        """A square of landmarks: the mask is the square grown by 0.12 of the eyes' distance."""
        points = torch.zeros(68, 2)
        points[36], points[45] = torch.tensor([0.0, 0.0]), torch.tensor([25.0, 0.0])
        points[48:68] = torch.tensor([20.0, 20.0])
        points[48:52] = torch.tensor([[20.0, 20.0], [30.0, 20.0], [30.0, 30.0], [20.0, 30.0]])
        mask = part_mask(points, "mouth", height=50, width=50)
        # Pixel centers at half-integers within 17 … 33.
        assert bounding_window(mask) == (17, 17, 33, 33)

    @settings(max_examples=20, deadline=None)
    @given(st.integers(-10, 10), st.integers(-10, 10))
    def test_moves_with_the_face(self, dx: int, dy: int) -> None:
        plain = part_mask(face(), "mouth", height=100, width=100)
        moved = part_mask(face() + torch.tensor([dx, dy]), "mouth", height=100, width=100)
        assert torch.equal(moved.roll((-dy, -dx), (0, 1)), plain)

    def test_errors(self) -> None:
        with pytest.raises(LatdirError, match="collapse to a line or a point"):
            part_mask(torch.zeros(68, 2), "mouth", height=9, width=9)
        with pytest.raises(LatdirError, match="the mask is empty"):
            bounding_window(torch.zeros(3, 3))


class TestRobustPCA:
    def test_recovers_low_rank_and_sparse(self) -> None:
        rng = torch.Generator().manual_seed(0)
        factors = torch.randn(60, 3, generator=rng, dtype=torch.float64)
        low = factors @ factors.T
        sparse = torch.zeros(60, 60, dtype=torch.float64)
        where = torch.rand(60, 60, generator=rng) < 0.03
        sparse[where] = 10.0
        sparse = torch.triu(sparse) + torch.triu(sparse, 1).T
        found, rest = robust_pca(low + sparse, tolerance=1e-6)
        assert float((found - low).norm() / low.norm()) < 1e-3
        assert float((rest - sparse).norm() / sparse.norm()) < 1e-3
        assert torch.equal(found + rest, found + (low + sparse - found))

    def test_no_other_split_is_cheaper(self) -> None:
        rng = torch.Generator().manual_seed(1)
        m = torch.randn(12, 12, generator=rng, dtype=torch.float64)
        m = m + m.T
        price = 12**-0.5

        def cost(low: Tensor) -> float:
            return float(torch.linalg.svdvals(low).sum() + price * (m - low).abs().sum())

        low, _ = robust_pca(m, tolerance=1e-6)
        best = cost(low)
        assert best < min(cost(m), cost(0 * m))
        for _ in range(200):
            nudge = torch.randn(12, 12, generator=rng, dtype=torch.float64)
            assert cost(low + 1e-2 * (nudge + nudge.T)) > best * (1 - 1e-6)

    def test_errors(self) -> None:
        with pytest.raises(LatdirError, match="the matrix is zero"):
            robust_pca(torch.zeros(3, 3))
