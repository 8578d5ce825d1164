"""Conditional flows: curved paths that change one attribute and hold the others exactly.

R. Abdal et al.: StyleFlow, ACM ToG 2021, arXiv:2008.02401, learns an invertible map f(w; c) of
codes given attributes, and edits by f⁻¹(f(w; c); c + a eₖ); M. Wołczyk et al.: PluGeN, AAAI 2022,
arXiv:2109.09011, makes the attributes coordinates of the map, and T. Aoshima & T. Matsubara:
DeCurvEd, CVPR 2023, arXiv:2211.14573, gains from such coordinates that edits commute. Here:

1. Codes are whitened, and a ridge regression tells the attributes from them: u = R w.
2. Coupling layers (`directions.paths.flows.couplings`) learn the other coordinates r given u by
   maximum likelihood, z = f(r; u). In normal codes r would not depend on u, and f be the identity.
3. An edit is u + a eₖ at the same z.

Differences from StyleFlow: the attributes are what the code tells of them, so that an edit needs
no classifier, is reversed by its negative to the last digits, and edits commute; couplings take
the place of a solver of differential equations; all labels are used in batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from directions.paths.flows.couplings import Couplings
from directions.paths.flows.flow import FlowPath
from discovery.learned.mean_steps import Trained
from discovery.learned.networks.flows import LearnedCouplings
from discovery.learned.path_methods import LabelPathMethod, held_out_figures, split
from discovery.sampling.samples import Samples
from discovery.supervised.conditional_mean import refuse_collinear
from discovery.supervised.labels import Labeled, labeled, warn_of_few
from discovery.supervised.readouts import white_readouts

__all__ = ["ConditionalFlow"]

JUDGED = 2048


class _Chart(NamedTuple):
    """Linear coordinates of codes: attributes u, then the rest r; each of variance 1."""

    mean: Tensor
    chart: Tensor
    back: Tensor


@dataclass(frozen=True)
class ConditionalFlow(LabelPathMethod[FlowPath]):
    """Flows of codes given attributes: curved paths along one attribute, the others held.

    `train` gives the paths themselves, one for each attribute; `discover` their mean steps as
    straight directions. Name all attributes that are to hold. Evidence: `agreement` (mean cosine
    of the codes' own steps with the mean step), `bend` (1 - mean cosine of a code's steps from -1
    to 0 and from 0 to 1 sigma), `rank_correlation` of scores with the readout on held-out codes,
    `train_nats` and `validation_nats` a dimension (less is better).

    Its other settings are those of `LabelPathMethod`.

    Attributes:
        rate: Highest rate of Adam; it falls to zero.
        depth: Coupling layers.
        validation: Share of the samples held out, on which the best state is chosen.

    Example:
        >>> from directions.classifiers.base import Attribute
        >>> rng = torch.Generator().manual_seed(0)
        >>> codes = torch.randn(3000, 4, generator=rng)
        >>> codes[:, 3] = codes[:, 3] * 0.1 + codes[:, 0] ** 2  # codes on a curved sheet
        >>> samples = Samples(codes, codes[:, :2], (Attribute("a"), Attribute("b")), "w", "toy",
        ...                   "0" * 64, "exact", "0" * 64, seed=0)
        >>> path = ConditionalFlow(steps=300, hidden=16).train(samples)["a"]
        >>> moved = path.shift(codes[:100], 1.0)
        >>> off = (moved[:, 3] - moved[:, 0] ** 2).abs().mean()
        >>> bool(off < 0.4), bool((moved[:, 1] - codes[:100, 1]).abs().max() < 0.05)
        (True, True)
    """

    method: ClassVar[str] = "conditional_flow"

    rate: float = 4e-3
    depth: int = 4
    validation: float = 0.1

    def _trained(
        self,
        samples: Samples,
        names: Sequence[str],
        seed: int,
        checkpoint: str | PathLike[str] | None,
    ) -> Trained[FlowPath]:
        data = labeled(samples, names, scale=self.scale)
        warn_of_few(data, samples.population)
        out, kept = split(len(samples), self.validation, seed=seed, like=data.codes)
        chart = _charted(data.rows(kept))
        both = (data.codes - chart.mean) @ chart.chart
        u, r = both[:, : len(names)], both[:, len(names) :]
        learned = LearnedCouplings(
            Couplings.started(
                r.shape[1], u.shape[1], hidden=self.hidden, layers=self.depth, seed=seed
            ).like(r)
        )

        def nats(rows: Tensor) -> Tensor:
            """Mean -log p(r | u) a dimension, up to the constant of the normal density."""
            z, volume = learned.flow.forward(r[rows], u[rows])
            return (z.square().sum(1) / 2 - volume).mean() / r.shape[1]

        run = self._kept(samples, names, seed, checkpoint)
        self._fit(learned, nats, kept, run, seed=seed, judged=lambda: float(nats(out)))
        scores = data.scores - data.scores.mean(1, keepdim=True)
        slopes = ((scores * u.T).mean(1) / u.var(0)).tolist()
        held = data.codes[out][:JUDGED]
        known = dict(zip(samples.names, samples.attributes, strict=True))
        paths = {}
        for name, slope in zip(names, slopes, strict=True):
            path = FlowPath(
                name,
                samples.space,
                tuple(names),
                known[name].unit or name,
                slope,
                1.0,
                *chart,
                learned.frozen,
                samples.generator,
                samples.fingerprint,
            )
            length = float((path.shift(held, 0.1) - held).norm(dim=1).mean()) / 0.1
            paths[name] = replace(path, length=length)
        with torch.no_grad():
            train, validation = float(nats(kept[: max(len(out), JUDGED)])), float(nats(out))
        figures = held_out_figures(
            u[out], data.scores[:, out], len(samples), train_nats=train, validation_nats=validation
        )
        return Trained(paths, held, figures, {})


def _charted(data: Labeled) -> _Chart:
    """Coordinates of codes: the readouts of the attributes, and the whitened rest."""
    k = len(data.names)
    refuse_collinear(torch.corrcoef(data.targets.double()).reshape(k, k), data.names)
    white = white_readouts(data.codes, data.targets, data.names)
    rest = torch.linalg.svd(white.R, full_matrices=True).Vh[k:]
    both = torch.cat([white.R, rest])
    chart = white.basis @ (both / white.scale).T
    back = torch.linalg.inv(both.T) * white.scale @ white.basis.T
    return _Chart(*(t.to(data.codes) for t in (white.mean, chart, back)))
