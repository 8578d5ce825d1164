"""Delta method: figures per code that carry the error of what was estimated from the same codes.

A figure at equal effect is a mean over codes of values that depend on estimates of their own: the
amount of equal effect, the attributes' standard deviations, the similarity of different faces.
Held fixed, they make intervals too narrow, by any factor where the values themselves hardly vary.
To first order, code i changes the figure by its own value and by its influence on each estimate
times the figure's derivative; adding the latter to the values leaves their mean as it is and gives
it its error. Intervals and paired differences of such values are those of plain means, and agree
with a bootstrap that finds every estimate anew. Through a maximum, only the largest member counts:
the maximum itself is biased upward, but not the interval narrowed.

Source: B. Efron, The Jackknife, the Bootstrap and Other Resampling Plans, 1982, chapter 6.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["delta_method", "pair_influence", "std_influence"]


def delta_method(
    figures: Callable[[Tensor], Tensor],
    estimates: Float[Tensor, "p"],
    influence: Float[Tensor, "n p"],
) -> Float[Tensor, "n f"]:
    """Values per code whose means are the figures and whose spread includes the estimates'.

    Args:
        figures: Estimates `[p]` to figures of every code `[n, f]`, differentiable.
        estimates: What is estimated from the same codes.
        influence: Of every code on each estimate, mean 0.

    Example:
        >>> values = torch.tensor([[1.0], [3.0]], dtype=torch.float64)
        >>> scale = values.mean(0)
        >>> delta_method(lambda s: values / s, scale, values - scale)  # always 1: no error
        tensor([[1.],
                [1.]], dtype=torch.float64)
    """
    with torch.enable_grad():
        free = estimates.detach().clone().requires_grad_()
        values = figures(free)
        slopes = torch.stack(
            [torch.autograd.grad(mean, free, retain_graph=True)[0] for mean in values.mean(0)]
        )
    return (values + influence @ slopes.T).detach()


def std_influence(values: Float[Tensor, "n a"]) -> Float[Tensor, "n a"]:
    """Influence of each code on the standard deviations, from leaving it out (jackknife).

    Example:
        >>> std_influence(torch.tensor([[-1.0], [0.0], [1.0], [0.0]])).sum().abs() < 1e-6
        tensor(True)
    """
    n = len(values)
    squares = (values - values.mean(0)).square()
    total = squares.sum(0)
    # Without code i the sum of squares is less by its own times n / (n - 1).
    without = (total - squares * n / (n - 1)).clamp_min(0) / max(n - 2, 1)
    influence = (n - 1) * ((total / (n - 1)).sqrt() - without.sqrt())
    return influence - influence.mean(0)


def pair_influence(means: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
    """Influence of each code on the mean over all pairs, given its mean over its own pairs.

    Example:
        >>> pair_influence(torch.tensor([0.0, 0.5, 1.0]))
        tensor([-2.,  0.,  2.])
    """
    n = len(means)
    return 2 * (n - 1) / max(n - 2, 1) * (means - means.mean())
