"""Ranks against SciPy's, wherever pieces of the sorted values end."""

import pytest
import torch
from scipy.stats import rankdata

from discovery.estimators import held_out


@pytest.mark.parametrize("piece", [1, 3, 7, 1000])
@pytest.mark.parametrize("kinds", [1, 2, 5, 10**6])
def test_ties_share_their_mean_rank(piece: int, kinds: int, monkeypatch) -> None:
    monkeypatch.setattr(held_out, "PIECE", piece)
    values = torch.randint(kinds, (50,), generator=torch.Generator().manual_seed(kinds)).float()
    found = held_out.ranks(values)
    assert found.dtype == torch.float64
    assert found.tolist() == rankdata(values).tolist()
    assert held_out.ranks(values[:0]).tolist() == []
