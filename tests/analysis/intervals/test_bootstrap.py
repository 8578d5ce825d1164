import torch

from analysis.intervals.bootstrap import resamples


def test_weights_are_those_of_a_plain_resampling_loop():
    values = torch.randn(7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    picks = torch.randint(7, (50, 7), generator=torch.Generator().manual_seed(3))
    loop = torch.stack([values[row].mean() for row in picks])
    torch.testing.assert_close(resamples(7, draws=50, seed=3) @ values, loop)
