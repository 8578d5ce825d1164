import pytest
import torch

from analysis import cosine_matrix
from directions import LatdirError, Prior
from tests.analysis.measured import true_bank
from tests.worlds import world


def test_plain_cosines_are_the_planted_ones():
    expected = torch.full((4, 4), 0.5).fill_diagonal_(1)
    torch.testing.assert_close(
        cosine_matrix(true_bank(world("entangled"))), expected, atol=1e-5, rtol=1e-5
    )


def test_in_the_prior_s_metric_they_are_the_correlations_of_the_projections():
    generator = world("everything")
    bank = true_bank(generator)
    codes = generator.sample(60_000, seed=0)
    sampled = torch.corrcoef((codes @ bank.matrix().T).T)
    found = cosine_matrix(bank, prior=generator.prior())
    torch.testing.assert_close(found, sampled, atol=0.02, rtol=0)
    assert (found - cosine_matrix(bank)).abs().max() > 0.1


def test_a_standard_prior_changes_nothing():
    bank = true_bank(world("entangled"))
    torch.testing.assert_close(
        cosine_matrix(bank, prior=Prior.standard(32)), cosine_matrix(bank), atol=1e-6, rtol=1e-6
    )


def test_refusals():
    bank = true_bank(world())
    with pytest.raises(LatdirError, match="the prior has 8 dimensions and the directions 32"):
        cosine_matrix(bank, prior=Prior.standard(8))
    both = bank.replaced([*bank.directions, bank["factor_0"].evolve(name="w", space="w")])
    with pytest.raises(LatdirError, match="directions of the spaces w, z make no one matrix"):
        cosine_matrix(both)
