"""Flows whose first coordinates are attributes, trained on labels of which some may be missing.

M. Wołczyk et al.: PluGeN, AAAI 2022, arXiv:2109.09011. An invertible map F takes codes to z, with

    z_i ~ N(a_i, σ_i²) for the attributes that a code's labels give,    all other z_j ~ N(0, 1),

and an edit is F⁻¹(F(w) + a eᵢ). Unlike in `conditional_flow`, where attributes are what is read
from the code linearly, F learns which curved coordinate is the attribute, and a code need not have
all labels.

Differences from the official code: F is of couplings that scale, each after a turn, and starts at
the linear readout of the attributes; σ_i is learned, what the codes leave open of an attribute,
where the official one is 0.4 and falls; a label that is missing leaves z_i its marginal
N(0, 1 + σ_i²); codes are whitened, w+ is flat, and all labels are used in batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from directions.errors import SamplesError
from directions.paths.flows.coordinate import CoordinatePath
from directions.paths.flows.couplings import Couplings
from directions.progress import progress_bars
from discovery.learned.mean_steps import Trained
from discovery.learned.networks.flows import LearnedCouplings
from discovery.learned.path_methods import (
    LabelPathMethod,
    held_out_figures,
    split,
    wanted,
)
from discovery.sampling.samples import Samples
from discovery.supervised.labels import labeled
from discovery.supervised.readouts import white_readouts

__all__ = ["PluGeN", "plugen_nats"]

LEAST_SIGMA = 0.1
JUDGED = 2048


def plugen_nats(
    z: Float[Tensor, "n r"],
    volume: Float[Tensor, "n"],
    targets: Float[Tensor, "n k"],
    sigmas: Float[Tensor, "k"],
) -> Float[Tensor, "n"]:
    """-log p of codes, up to the constant of normal densities; a missing target is NaN.

    Args:
        z: F of the codes.
        volume: Log of F's change of volume at each.
        targets: Attributes of mean 0 and variance 1.
        sigmas: σ of each.

    Example:
        >>> z, none = torch.tensor([[1.0, 2.0]]), torch.zeros(1)
        >>> plugen_nats(z, none, torch.tensor([[1.0]]), torch.ones(1)).tolist()
        [2.0]
        >>> plugen_nats(z, none, torch.tensor([[torch.nan]]), torch.ones(1)).tolist()
        [2.596...]
    """
    k = targets.shape[1]
    known = ~targets.isnan()
    variance = torch.where(known, sigmas**2, 1 + sigmas**2)
    off = z[:, :k] - targets.nan_to_num()
    own = off.square() / variance + variance.log()
    return (own.sum(1) + z[:, k:].square().sum(1)) / 2 - volume


@dataclass(frozen=True)
class PluGeN(LabelPathMethod[CoordinatePath]):
    """Curved paths along attributes that an invertible map has among its coordinates.

    `train` gives the paths themselves, and takes labels of which some are missing; `discover` their
    mean steps as straight directions. Evidence: `agreement` (mean cosine of the codes' own steps
    with the mean step), `bend` (1 - mean cosine of a code's steps from -1 to 0 and from 0 to 1
    sigma), `rank_correlation` of scores with the coordinate on held-out codes, `train_nats` and
    `validation_nats` a dimension (less is better).

    Its other settings are those of `LabelPathMethod`.

    Attributes:
        depth: Coupling layers.

    Example:
        >>> from directions.classifiers.base import Attribute
        >>> rng = torch.Generator().manual_seed(0)
        >>> codes = torch.randn(2000, 4, generator=rng)
        >>> score = codes[:, 0] + 0.5 * codes[:, 1] ** 2  # a curved attribute
        >>> samples = Samples(codes, score[:, None], (Attribute("a"),), "w", "toy", "0" * 64,
        ...                   "exact", "0" * 64, seed=0)
        >>> path = PluGeN(steps=200, hidden=16).train(samples)["a"]
        >>> moved = path.shift(codes[:200], 1.0)
        >>> change = moved[:, 0] + 0.5 * moved[:, 1] ** 2 - score[:200]
        >>> bool(change.mean() > 0.5)
        True
    """

    depth: int = 4

    method: ClassVar[str] = "plugen"

    def train(
        self,
        samples: Samples,
        *,
        attributes: Sequence[str] | None = None,
        known: Bool[Tensor, "n k"] | None = None,
        seed: int = 0,
        checkpoint: str | PathLike[str] | None = None,
    ) -> dict[str, CoordinatePath]:
        """One path for each attribute; all share one map.

        Args:
            samples: Codes of any shape with their scores.
            attributes: Names of those that become coordinates; by default all.
            known: Which scores are labels, by row and attribute; the others are not looked at. By
                default all are.
            seed: Of the split, the first weights and the batches.
            checkpoint: A file that keeps the training, to go on where it was killed.

        Returns:
            Paths by attribute, each of which can be saved by itself.

        Raises:
            LatdirError: Unknown, constant or collinear attributes, attributes that codes do not
                tell, too few samples, or a checkpoint of another run.
        """
        with progress_bars(self.progress):
            names = wanted(samples, attributes)
            return self._trained(samples, names, seed, checkpoint, known).paths

    def _trained(
        self,
        samples: Samples,
        names: Sequence[str],
        seed: int,
        checkpoint: str | PathLike[str] | None,
        known: Tensor | None = None,
    ) -> Trained[CoordinatePath]:
        codes = labeled(samples, names[:1], scale=self.scale).codes
        targets = self._targets(samples, names, known).to(codes)
        out, kept = split(len(samples), self.validation, seed=seed, like=codes)
        mean, chart, back, sigmas = _started(codes[kept], targets[kept], names)
        x = (codes - mean) @ chart
        rank = x.shape[1]
        learned = LearnedCouplings(
            Couplings.started(
                rank, 0, hidden=self.hidden, layers=self.depth, seed=seed, identity=True
            ).like(x)
        )
        learned.register_parameter("log_sigmas", nn.Parameter(sigmas.log()))

        def nats(rows: Tensor) -> Tensor:
            z, volume = learned.flow.forward(x[rows], x[rows][:, :0])
            own = learned.get_parameter("log_sigmas").exp()
            return plugen_nats(z, volume, targets[rows], own).mean() / rank

        run = self._kept(samples, names, seed, checkpoint)
        self._fit(learned, nats, kept, run, seed=seed)
        flow = learned.frozen
        with torch.no_grad():
            train, validation = float(nats(kept[: max(len(out), JUDGED)])), float(nats(out))
            z = flow.forward(x, x[:, :0])[0]
        paths, held = {}, codes[out][:JUDGED]
        for i, name in enumerate(names):
            there = ~targets[:, i].isnan()
            scores = samples.column(name).to(codes)[there]
            at = z[there, i]
            slope = float(((scores - scores.mean()) * (at - at.mean())).mean() / at.var())
            sigma = float(z[:, i].std())
            unit = samples.attributes[samples.names.index(name)].unit
            path = CoordinatePath(
                name,
                samples.space,
                i,
                sigma,
                1.0,
                mean,
                chart,
                back,
                flow,
                samples.generator,
                samples.fingerprint,
                dict.fromkeys(("attribute", unit or name), slope * sigma),
            )
            steps = (path.shift(held, 0.1) - held).norm(dim=1)
            paths[name] = replace(path, length=float(steps.mean()) / 0.1)
        figures = held_out_figures(
            z[out, : len(names)],
            targets[out].T,
            len(samples),
            train_nats=train,
            validation_nats=validation,
        )
        return Trained(paths, held, figures, {})

    def _targets(
        self, samples: Samples, names: Sequence[str], known: Tensor | None
    ) -> Float[Tensor, "n k"]:
        """Attributes of mean 0 and variance 1, NaN where there is no label."""
        shape = (len(samples), len(names))
        if known is not None and known.shape != shape:
            raise SamplesError(
                f"known has shape {list(known.shape)}: give [{shape[0]}, {shape[1]}], a column "
                f"for each of {', '.join(names)}"
            )
        targets = torch.full(shape, torch.nan)
        for i, name in enumerate(names):
            there = torch.ones(len(samples), dtype=torch.bool) if known is None else known[:, i]
            rows = there.cpu().nonzero()[:, 0]
            own = labeled(samples.rows(rows), [name], scale=self.scale).targets[0]
            targets[rows, i] = ((own - own.mean()) / own.std()).float().cpu()
        return targets


def _started(codes: Tensor, targets: Tensor, names: Sequence[str]) -> tuple[Tensor, ...]:
    """A white chart of codes, its first k coordinates near the readouts, and σ of each.

    Returns:
        Mean, chart, its inverse, and σ.
    """
    white = white_readouts(codes, targets.T, names)
    left, _, right = torch.linalg.svd(white.R, full_matrices=True)
    both = torch.cat([left @ right[: len(names)], right[len(names) :]])
    chart, back = white.basis @ (both / white.scale).T, (both * white.scale) @ white.basis.T
    sigmas = (white.told.clamp(max=1).pow(-2) - 1).sqrt().clamp_min(LEAST_SIGMA)
    return tuple(t.to(codes).contiguous() for t in (white.mean, chart, back, sigmas))
