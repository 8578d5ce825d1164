"""Regression of features on codes: planted truth, rotations, invariances, errors."""

import pytest
import torch

from directions.errors import LatdirError
from directions.generators.base import Generator
from directions.space import Space
from discovery import FeatureRegression
from discovery.decomposition import varimax


class Patches(Generator):
    """Each factor of the code brightens a square of its own; the others change nothing."""

    name, fingerprint, image_shape = "patches", "1" * 64, (3, 8, 8)

    def __init__(self, gains=(1.0, 0.5, 0.25)):
        self.spaces = {name: Space(name, (6,)) for name in ("z", "w")}
        rng = torch.Generator().manual_seed(0)
        self.mixing = torch.randn(6, 6, generator=rng)
        self.truth = torch.linalg.qr(torch.randn(6, 6, generator=rng)).Q[:3]
        self.gains = torch.tensor(gains)

    def synthesize(self, codes, space="z"):
        images = torch.zeros(len(codes), 3, 8, 8)
        levels = 0.3 * self.gains * (codes @ self.truth.T)
        for k, level in enumerate(levels.T):
            images[:, :, 2 * k : 2 * k + 2, 2:6] = level[:, None, None, None]
        return images

    def _map(self, codes, source, target):
        return codes @ self.mixing.T


SMALL = {"n_codes": 600, "precision": "float32", "space": "z"}


def test_planted_directions_are_found_whatever_their_strength():
    generator = Patches()
    bank = FeatureRegression(n_directions=3, **SMALL).discover(generator)
    cosines = (bank.matrix() @ generator.truth.T).abs()
    assert cosines.amax(0).min() > 0.99
    shares = [d.evidence["share"] for d in bank.directions]
    assert shares == sorted(shares, reverse=True)
    assert bank.provenance["told"] == pytest.approx(1, abs=0.01)
    # Without the rotation they span the same, and are mixed.
    plain = FeatureRegression(n_directions=3, rotate=False, **SMALL).discover(generator)
    assert (plain.matrix() @ generator.truth.T).norm(dim=1).min() > 0.99


def test_features_stand_beside_the_pixels():
    """What an embedding sees counts as much, however small its numbers."""
    generator = Patches(gains=(1.0, 0.5, 1e-3))
    few = FeatureRegression(n_directions=3, components=2, **SMALL)
    unseen = few.discover(generator).matrix() @ generator.truth[2]

    def embed(images):
        return 1e-2 * images[:, 0, 4, 2:3]

    seen = FeatureRegression(n_directions=3, components=2, embed=embed, **SMALL)
    found = seen.discover(generator).matrix() @ generator.truth[2]
    assert unseen.abs().max() < 0.5 < 0.95 < found.abs().max()


def test_steps_follow_codes_that_are_not_isotropic():
    """Codes of w have covariance Σ: a step moves what goes with a factor t, Σ t."""
    generator = Patches()
    bank = FeatureRegression(n_directions=3, **SMALL | {"space": "w"}).discover(generator)
    covariance = generator.mixing @ generator.mixing.T
    span = torch.linalg.qr(covariance @ generator.truth.T).Q
    assert (bank.matrix() @ span).norm(dim=1).min() > 0.99
    assert (bank.matrix() @ generator.truth.T).norm(dim=1).min() < 0.9  # not t itself


def test_varimax_is_a_rotation_that_undoes_rotations():
    rng = torch.Generator().manual_seed(1)
    simple = torch.block_diag(*torch.rand(4, 3, 1, generator=rng).double().add(0.5))
    turn = torch.linalg.qr(torch.randn(4, 4, generator=rng).double()).Q
    R = varimax(simple @ turn)
    torch.testing.assert_close(R.T @ R, torch.eye(4).double())
    back = simple @ turn @ R
    assert float((back.abs() > 1e-4).sum()) == 12


def test_bad_input_is_named():
    with pytest.raises(LatdirError, match="give at least 2 codes, and 1 component"):
        FeatureRegression(components=0)
    with pytest.raises(LatdirError, match=r"has 6 dimensions: n_codes \(6\) must be larger"):
        FeatureRegression(n_codes=6, n_directions=2, space="z").discover(Patches())
    with pytest.raises(LatdirError, match=r"n_directions \(7\) no larger"):
        FeatureRegression(n_directions=7, **SMALL).discover(Patches())
    with pytest.raises(LatdirError, match=r"embed returned shape \[64\], not a tensor \[n, f\]"):
        FeatureRegression(embed=lambda x: x.mean((1, 2, 3)), n_directions=2, **SMALL).discover(
            Patches()
        )
    with pytest.raises(LatdirError, match="images of all codes look the same"):
        FeatureRegression(n_directions=2, **SMALL).discover(Patches(gains=(0.0, 0.0, 0.0)))
