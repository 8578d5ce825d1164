"""What codes tell of attributes: ridge regressions on whitened codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from directions.errors import SamplesError
from discovery.estimators.linear import ridge, rotate
from discovery.supervised.conditional_mean import refuse_collinear

__all__ = ["WhiteReadouts", "white_readouts"]

ROWS_A_COORDINATE = 4
# Standard deviation of a readout, of 1 for a perfect one, below which codes do not tell.
LEAST_TOLD = 0.1


class WhiteReadouts(NamedTuple):
    """White coordinates of codes, and what they tell of attributes.

    Attributes:
        mean: `[d]`, of the codes.
        basis: `[d, r]`, their principal axes.
        scale: `[r]`, standard deviations along these.
        R: `[k, r]`, unit readouts of the attributes from white coordinates.
        told: `[k]`, correlation of each with its attribute.
    """

    mean: Tensor
    basis: Tensor
    scale: Tensor
    R: Tensor
    told: Tensor


def white_readouts(codes: Tensor, targets: Tensor, names: Sequence[str]) -> WhiteReadouts:
    """Ridge regressions of attributes on whitened codes.

    Args:
        codes: `[n, d]`.
        targets: `[k, n]`, on any scale; NaN where there is no label.
        names: Of the attributes.

    Raises:
        SamplesError: Too few rows, too many attributes for the codes' dimensions, or attributes
            that codes do not tell.
        LatdirError: Attributes whose readouts are collinear.
    """
    (n, _), k = codes.shape, len(names)
    turned = rotate(codes, exact=True)
    rank = len(turned.spectrum)
    if n < ROWS_A_COORDINATE * rank:
        raise SamplesError(
            f"{n} samples to train on are too few for a flow of {rank} coordinates: label "
            f"{ROWS_A_COORDINATE * rank} or more for it, or use conditional_mean"
        )
    if rank < k + 2:
        raise SamplesError(
            f"codes that vary in {rank} dimensions leave nothing to flow beside {k} attributes: "
            f"name at most {max(rank - 2, 0)}"
        )
    scale = (turned.spectrum.double() / n).sqrt()
    white = (turned.codes.double() / scale[:, None]).T
    rows = []
    for target in targets.double():
        there = ~target.isnan()
        own = target[there]
        rows.append(ridge(white[there], ((own - own.mean()) / own.std())[None]).weights[0])
    R = torch.stack(rows).double()
    told = R.norm(dim=1)
    for name, share in zip(names, told.tolist(), strict=True):
        if share < LEAST_TOLD:
            raise SamplesError(
                f"the codes do not tell {name!r} (correlation {share:.2f}): leave it out with "
                "attributes=[…], or label more samples"
            )
    R = R / told[:, None]
    refuse_collinear(R @ R.T, tuple(names))
    return WhiteReadouts(turned.mean, turned.basis.double(), scale, R, told)
