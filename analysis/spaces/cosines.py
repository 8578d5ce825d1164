"""Angles between directions.

Small cosines are not evidence of disentangled effects: near-orthogonal boundaries still leak into
each other's attributes, since the generator between codes and images is not linear. Publish the
effect matrix too.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked
from directions.bank import DirectionBank
from directions.errors import SpaceError
from directions.space import Prior

__all__ = ["cosine_matrix"]


@checked
def cosine_matrix(bank: DirectionBank, *, prior: Prior | None = None) -> Float[Tensor, "k k"]:
    """Cosines between all directions of a bank, `N Nᵀ`.

    Args:
        bank: Directions of one space.
        prior: When given, the metric is its covariance: the cosine is then the correlation of
            two directions' projections of the prior's codes, as a sample would show.

    Returns:
        `[k, k]`, ones on the diagonal.

    Raises:
        LatdirError: Directions of several spaces, or a prior of another size.

    Example:
        >>> import torch
        >>> from directions import Direction
        >>> pair = [Direction.from_vector(n, torch.tensor(v), space="z")
        ...         for n, v in (("a", [1.0, 0.0]), ("b", [1.0, 1.0]))]
        >>> bank = DirectionBank(tuple(pair), generator="toy", fingerprint="0" * 64)
        >>> cosine_matrix(bank)
        tensor([[1.0000, 0.7071],
                [0.7071, 1.0000]])
    """
    normals = bank.matrix().double()
    if prior is None:
        gram = normals @ normals.T
    else:
        if prior.covariance.shape != (normals.shape[1],) * 2:
            raise SpaceError(
                f"the prior has {prior.covariance.shape[0]} dimensions and the directions "
                f"{normals.shape[1]}: use generator.prior(space) of their space"
            )
        gram = normals @ prior.covariance.double().cpu() @ normals.T
    norms = gram.diagonal().sqrt()
    if not (norms > 0).all():
        name = list(bank)[int((~(norms > 0)).nonzero()[0])]
        raise SpaceError(
            f"the prior does not vary along {name!r}, so it has no correlation: use "
            "generator.prior(space), or leave that direction out"
        )
    return (gram / norms / norms[:, None]).float()
