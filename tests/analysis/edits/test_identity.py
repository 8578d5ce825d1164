import math

import pytest
import torch

from analysis import identity_preservation, measure_curves
from directions import LatdirError
from tests.analysis.measured import bank_of, curves, true_bank
from tests.worlds import world

AMOUNTS = (0, 1, 2, 4)


def with_identity(similar):
    """One direction that moves `a` by its standard deviation a sigma, and given cosines."""
    n = 21
    start = torch.linspace(-1, 1, n)
    std = float(start.std())
    scores = torch.stack([start + std * a for a in AMOUNTS])[None, :, :, None]
    cosines = torch.tensor(similar)[None, :, None].expand(1, 4, n).clone()
    return curves(
        scores,
        AMOUNTS,
        attributes=["a"],
        targets={"d0": "a"},
        identity=cosines,
        identity_baseline=torch.full((n,), 0.2),
    )


def test_identity_kept_is_read_off_at_equal_change():
    identity = identity_preservation(
        with_identity([1.0, 0.9, 0.7, 0.1]), changes=(0.5, 1.0, 1.5, 3.0, 5.0)
    )
    # Cosines of 0.95, 0.9, 0.8 and 0.4, where different faces have 0.2.
    expected = (torch.tensor([[0.95, 0.9, 0.8, 0.4]]) - 0.2) / 0.8
    torch.testing.assert_close(identity.kept[:, :4], expected, atol=1e-4, rtol=1e-4)
    # One amount for all, known as well as the standard deviation of 21 codes.
    assert (identity.low[0, :4] < expected[0]).all()
    assert identity.kept[0, 4].isnan()
    assert identity.baseline == pytest.approx(0.2)
    assert identity.targets == ("a",)


def test_an_embedding_blind_to_the_edit_keeps_identity_and_one_that_sees_it_does_not():
    generator = world()
    bank = true_bank(generator, names=["factor_0"])
    blind = torch.linalg.svd(generator._patterns[:1]).Vh[1:9]

    def kept(embed):
        found = measure_curves(generator, generator.classifier(), bank, count=30, embed=embed)
        return identity_preservation(found, changes=(1.0,)).kept[0, 0]

    assert kept(lambda images: images.flatten(1) @ blind.T) == pytest.approx(1, abs=1e-4)
    assert kept(lambda images: images.flatten(1)) < 0.95


def test_faster_directions_are_not_blamed_for_the_same_effect():
    generator = world()
    idle = torch.linalg.svd(torch.cat([generator.truth, generator._nuisances])).Vh[-1]
    bank = bank_of(
        generator,
        quick=generator.truth[0],
        slow=generator.truth[0] + math.sqrt(3) * idle,
    )
    found = measure_curves(
        generator,
        generator.classifier(),
        bank,
        amounts=(0.5, 1.0, 2.0, 3.0, 4.0),
        count=30,
        embed=lambda images: images.flatten(1),
    ).aimed({"quick": "factor_0", "slow": "factor_0"})
    identity = identity_preservation(found, changes=(0.5, 1.0))
    torch.testing.assert_close(identity.amounts[1], 2 * identity.amounts[0], atol=0, rtol=1e-3)
    torch.testing.assert_close(identity.kept[0], identity.kept[1], atol=5e-3, rtol=0)


def test_curves_without_embeddings_are_refused():
    generator = world()
    found = measure_curves(generator, generator.classifier(), true_bank(generator), count=4)
    with pytest.raises(LatdirError, match="measured without embeddings: give measure_curves an"):
        identity_preservation(found)
