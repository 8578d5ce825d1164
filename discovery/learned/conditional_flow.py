"""Conditional flows: curved paths that change one attribute and hold the others exactly.

R. Abdal et al.: StyleFlow, ACM ToG 2021, arXiv:2008.02401, learns an invertible map f(w; c) of
codes given attributes, and edits by f⁻¹(f(w; c); c + a eₖ); M. Wołczyk et al.: PluGeN, AAAI 2022,
arXiv:2109.09011, makes the attributes coordinates of the map, and T. Aoshima & T. Matsubara:
DeCurvEd, CVPR 2023, arXiv:2211.14573, gains from such coordinates that edits commute. Here:

1. Codes are whitened, and a ridge regression tells the attributes from them: u = R w.
2. Coupling layers (`directions.paths.couplings`) learn the other coordinates r given u by maximum
   likelihood, z = f(r; u). In normal codes r would not depend on u, and f be the identity.
3. An edit is u + a eₖ at the same z.

Differences from StyleFlow: the attributes are what the code tells of them, so that an edit needs
no classifier, is reversed by its negative to the last digits, and edits commute; couplings take
the place of a solver of differential equations; all labels are used in batches.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from directions.bank import DirectionBank
from directions.errors import LatdirError
from directions.paths.couplings import Couplings
from directions.paths.flow import FlowPath
from directions.progress import progress_bars, tqdm
from discovery.estimators.held_out import spearman
from discovery.learned.label_training import LabelTraining
from discovery.learned.mean_steps import samples_bank
from discovery.sampling.samples import Samples
from discovery.supervised.conditional_mean import refuse_collinear
from discovery.supervised.labels import Labeled, labeled, warn_of_few
from discovery.supervised.readouts import white_readouts

__all__ = ["ConditionalFlow"]

log = logging.getLogger(__name__)

CHECKS = 16
JUDGED = 2048
LONGEST_GRADIENT = 5.0


class _Chart(NamedTuple):
    """Linear coordinates of codes: attributes u, then the rest r; each of variance 1."""

    mean: Tensor
    chart: Tensor
    back: Tensor


class _Trained(NamedTuple):
    """A flow and its misfit, in nats a dimension."""

    couplings: Couplings
    train: float
    validation: float


@dataclass(frozen=True)
class ConditionalFlow(LabelTraining):
    """Flows of codes given attributes: curved paths along one attribute, the others held.

    `train` gives the paths themselves, one for each attribute; `discover` their mean steps as
    straight directions. Name all attributes that are to hold. Evidence: `agreement` (mean cosine
    of the codes' own steps with the mean step), `bend` (1 - mean cosine of a code's steps from -1
    to 0 and from 0 to 1 sigma), `rank_correlation` of scores with the readout on held-out codes,
    `train_nats` and `validation_nats` a dimension (less is better).

    Its other settings are those of `LabelTraining`.

    Attributes:
        rate: Highest rate of Adam, reached after three tenths of the steps.
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

    rate: float = 2e-3
    depth: int = 4
    validation: float = 0.1

    def train(
        self, samples: Samples, *, attributes: Sequence[str] | None = None, seed: int = 0
    ) -> dict[str, FlowPath]:
        """One path for each attribute; all share one flow.

        Args:
            samples: Codes of any shape with their scores.
            attributes: Names of those that change, and hold while another changes; by default all.
            seed: Of the split, the first weights and the batches.

        Returns:
            Paths by attribute, each of which can be saved by itself.

        Raises:
            LatdirError: Unknown, constant or collinear attributes, attributes that codes do not
                tell, or too few samples.
        """
        with progress_bars(self.progress):
            return self._trained(samples, attributes, seed)[0]

    def discover(
        self, samples: Samples, *, attributes: Sequence[str] | None = None, seed: int = 0
    ) -> DirectionBank:
        """The mean steps of the paths from -1 to 1 sigma, one for each attribute.

        Args:
            samples: As for `train`.
            attributes: As for `train`.
            seed: As for `train`; written into each direction's config.

        Raises:
            LatdirError: As `train`.
        """
        paths, data, out, nats = self._trained(samples, attributes, seed)
        told = next(iter(paths.values())).readout(data.codes[out])
        figures = [
            {
                "rank_correlation": spearman(told[:, k], data.scores[k, out]),
                "held_out": len(out),
                "train_nats": nats.train,
                "validation_nats": nats.validation,
                "rows": len(samples),
            }
            for k in range(len(paths))
        ]
        return samples_bank(
            samples,
            [*paths.values()],
            data.codes[out][:JUDGED],
            method=self.method,
            config={**self.config, "seed": seed},
            evidence=figures,
        )

    def _trained(
        self, samples: Samples, attributes: Sequence[str] | None, seed: int
    ) -> tuple[dict[str, FlowPath], Labeled, Tensor, _Trained]:
        """Paths, data, held-out rows, and the misfit."""
        names = list(samples.names if attributes is None else attributes)
        if not names:
            raise LatdirError(f"name at least one attribute of {', '.join(samples.names)}")
        data = labeled(samples, names, scale=self.scale)
        warn_of_few(data, samples.population)
        n = len(samples)
        order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
        out, kept = order.to(data.codes.device).tensor_split([max(1, round(self.validation * n))])
        chart = _charted(data.rows(kept))
        both = (data.codes - chart.mean) @ chart.chart
        u, r = both[:, : len(names)], both[:, len(names) :]
        fit = self._fit(u, r, kept, out, seed)
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
                fit.couplings,
                samples.generator,
                samples.fingerprint,
            )
            length = float((path.shift(held, 0.1) - held).norm(dim=1).mean()) / 0.1
            paths[name] = replace(path, length=length)
        return paths, data, out, fit

    def _fit(self, u: Tensor, r: Tensor, kept: Tensor, out: Tensor, seed: int) -> _Trained:
        """The flow of r given u of the highest likelihood on held-out rows."""
        flow = Couplings.started(
            r.shape[1], u.shape[1], hidden=self.hidden, layers=self.depth, seed=seed
        ).like(r)
        weights = [t.requires_grad_() for t in flow[1:]]
        adam = torch.optim.AdamW(weights, lr=self.rate, weight_decay=self.decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            adam, self.rate, total_steps=self.steps + 1, pct_start=0.3
        )
        rng = torch.Generator().manual_seed(seed)
        judged = kept[: max(len(out), JUDGED)]
        every = max(1, self.steps // CHECKS)
        best = _Trained(
            _frozen(flow), _nats(flow, r[judged], u[judged]), _nats(flow, r[out], u[out])
        )
        for step in tqdm(range(1, self.steps + 1), desc="flow", unit="step", delay=1, leave=False):
            rows = kept[torch.randint(len(kept), (self.batch_size,), generator=rng).to(kept.device)]
            z, volume = flow.forward(r[rows], u[rows])
            loss = (z.square().sum(1) / 2 - volume).mean() / r.shape[1]
            adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(weights, LONGEST_GRADIENT)
            adam.step()
            schedule.step()
            if step % every and step < self.steps and loss.isfinite():
                continue
            now = _nats(flow, r[out], u[out])
            if not (loss.isfinite() and now < float("inf")):
                log.warning(
                    "training diverged at step %d of %d: the best flow before it is kept; "
                    "a lower rate than %g avoids it",
                    step,
                    self.steps,
                    self.rate,
                )
                break
            if now < best.validation:
                best = _Trained(_frozen(flow), _nats(flow, r[judged], u[judged]), now)
        return best


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


@torch.no_grad()
def _nats(flow: Couplings, r: Tensor, u: Tensor) -> float:
    """Mean -log p(r | u) a dimension, up to the constant of the normal density."""
    z, volume = flow.forward(r, u)
    return float((z.square().sum(1) / 2 - volume).double().mean()) / r.shape[1]


def _frozen(flow: Couplings) -> Couplings:
    return Couplings(*(t.detach().clone() for t in flow))
