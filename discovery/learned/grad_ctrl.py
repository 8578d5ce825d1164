"""Curved paths along the gradient of an attribute that a network tells from the code.

Z. Chen, R. Jiang, B. Duke, H. Zhao, P. Aarabi: Exploring gradient-based multi-directional controls
in GANs (GradCtrl), ECCV 2022, arXiv:2209.00698. A network is trained on labeled codes; a path
follows the normalized gradient of one attribute, kept away from the others. After labeling no image
is made.

Differences from the official code: the network is a linear readout, which it starts as, plus one
hidden layer of tanh, and regresses scores; steps are orthogonal to the gradients of the other
attributes at each place, where the official code puts a number of channels, typed in for each
attribute, to zero; steps are of the midpoint rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from directions.bank import DirectionBank
from directions.errors import LatdirError
from directions.paths.code_gradient import CodeGradientPath, Readout
from directions.progress import progress_bars
from directions.training import Checkpoint, falling, fit, step_rng
from discovery.estimators.held_out import spearman
from discovery.estimators.linear import ridge
from discovery.learned.label_training import LabelTraining
from discovery.learned.mean_steps import samples_bank
from discovery.sampling.samples import Samples
from discovery.supervised.labels import labeled

__all__ = ["GradCtrl"]

JUDGED = 512


class _Trained(NamedTuple):
    """Paths by attribute, and what they were trained on."""

    paths: dict[str, CodeGradientPath]
    codes: Tensor
    scores: Tensor
    out: Tensor


@dataclass(frozen=True)
class GradCtrl(LabelTraining):
    """Paths along gradients of attributes told from the code, the others held.

    `train` gives the paths themselves, one for each attribute; `discover` their mean steps as
    straight directions. Name all attributes that are to hold. Evidence: `agreement` (mean cosine of
    the codes' own steps with the mean step), `bend` (1 - mean cosine of a code's steps from -1 to 0
    and from 0 to 1 sigma), and `rank_correlation` of scores with the network on held-out codes.

    Its other settings are those of `LabelTraining`.

    Attributes:
        steps: Steps of Adam.
        rate: Its highest rate; it falls to zero.
        decay: Weight decay.
        hidden: Units of the hidden layer.
        hold: Whether steps are orthogonal to the gradients of the other attributes.

    Example:
        >>> from directions.classifiers.base import Attribute
        >>> rng = torch.Generator().manual_seed(0)
        >>> codes = torch.randn(2000, 4, generator=rng)
        >>> scores = torch.stack([codes[:, 0] + codes[:, 1] ** 2, codes[:, 1]], 1)
        >>> samples = Samples(codes, scores, (Attribute("a"), Attribute("b")), "z", "toy", "0" * 64,
        ...                   "exact", "0" * 64, seed=0)
        >>> path = GradCtrl().train(samples)["a"]
        >>> change = path.shift(codes, 1.0) - codes
        >>> bool(change[:, 0].mean() > 0.9 and change[:, 1].abs().mean() < 0.1)
        True
    """

    steps: int = 400
    rate: float = 5e-3
    decay: float = 0.01
    hidden: int = 32
    hold: bool = True

    method: ClassVar[str] = "grad_ctrl"

    def train(
        self,
        samples: Samples,
        *,
        attributes: Sequence[str] | None = None,
        seed: int = 0,
        checkpoint: str | PathLike[str] | None = None,
    ) -> dict[str, CodeGradientPath]:
        """One path for each attribute; all share one network.

        Args:
            samples: Codes of any shape with their scores.
            attributes: Names of those that change, and hold while another changes; by default all.
            seed: Of the split, the first weights and the batches.
            checkpoint: A file that keeps the training, to go on where it was killed.

        Returns:
            Paths by attribute, each of which can be saved by itself.

        Raises:
            LatdirError: Unknown or constant attributes, too few samples, no more dimensions than
                attributes that are held, or a checkpoint of another run.
        """
        with progress_bars(self.progress):
            return self._trained(samples, attributes, seed, checkpoint).paths

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
        found = self._trained(samples, attributes, seed, None)
        held = found.codes[found.out]
        told = next(iter(found.paths.values())).told(held)
        figures = [
            {
                "rank_correlation": spearman(told[:, k], found.scores[k, found.out]),
                "held_out": len(held),
                "rows": len(samples),
            }
            for k in range(len(found.paths))
        ]
        return samples_bank(
            samples,
            [*found.paths.values()],
            held[:JUDGED],
            method=self.method,
            config={**self.config, "seed": seed},
            evidence=figures,
        )

    def _trained(
        self,
        samples: Samples,
        attributes: Sequence[str] | None,
        seed: int,
        checkpoint: str | PathLike[str] | None,
    ) -> _Trained:
        names = list(samples.names if attributes is None else attributes)
        if not names:
            raise LatdirError(f"name at least one attribute of {', '.join(samples.names)}")
        data, n = labeled(samples, names, scale=self.scale), len(samples)
        d = data.codes.shape[1]
        if self.hold and len(names) > d - 1:
            raise LatdirError(
                f"codes of {d} numbers leave no step that holds {len(names) - 1} of {len(names)} "
                f"attributes: name at most {max(d - 1, 1)}, or hold=False"
            )
        order = torch.randperm(n, generator=torch.Generator().manual_seed(seed % 2**63))
        out, kept = order.to(data.codes.device).tensor_split([max(1, round(self.validation * n))])
        mean, scale = (
            data.codes[kept].mean(0),
            float(data.codes[kept].std(0).square().mean().sqrt()),
        )
        x = (data.codes - mean) / scale
        targets = data.targets - data.targets[:, kept].mean(1, keepdim=True)
        targets = (targets / targets[:, kept].std(1, keepdim=True)).T
        rng = torch.Generator().manual_seed(seed % 2**63)
        inner = torch.randn(self.hidden, d, generator=rng) / d**0.5
        learned = nn.ParameterDict(
            {
                "direct": ridge(x[kept], targets[kept].T).weights.to(x),
                "inner": inner.to(x),
                "offset": torch.zeros(self.hidden).to(x),
                "outer": torch.zeros(len(names), self.hidden).to(x),
            }
        )

        def readout() -> Readout:
            return Readout(*(learned[n] for n in ("direct", "inner", "offset", "outer")))

        def loss(step: int) -> Tensor:
            draw = torch.randint(len(kept), (self.batch_size,), generator=step_rng(seed, step))
            rows = kept[draw.to(kept)]
            values = readout().values(x[rows])
            return (values - values.mean(0) - targets[rows]).square().mean()

        run = {"method": self.method, **self.config, "seed": seed, "of": samples.fingerprint}
        run |= {"attributes": names, "rows": n}
        fit(
            learned,
            loss,
            torch.optim.AdamW(learned.parameters(), lr=self.rate, weight_decay=self.decay),
            steps=self.steps,
            checkpoint=Checkpoint(checkpoint, run),
            schedule=falling,
            title=self.method,
        )
        told = Readout(*(t.detach().contiguous() for t in vars(readout()).values()))
        population, held = samples.population, data.codes[out][:JUDGED]
        paths = {}
        for i, name in enumerate(names):
            unit = samples.attributes[samples.names.index(name)].unit
            path = CodeGradientPath(
                name,
                samples.space,
                tuple(names),
                self.hold,
                scale,
                1.0,
                1.0,
                unit or name,
                mean,
                told,
                samples.generator,
                samples.fingerprint,
            )
            steps = (path.shift(held, 0.1) - held).mean(0)
            path = replace(path, sigma=population.sigma(steps / steps.norm()))
            # The network's change in deviations of the target, as a change of scores.
            change = path.told(path.shift(held, 0.5)) - path.told(path.shift(held, -0.5))
            scores, values = data.scores[i, kept], told.values(x[kept])[:, i]
            slope = ((scores - scores.mean()) * (values - values.mean())).mean() / values.var()
            paths[name] = replace(path, response=float(change[:, i].mean() * slope))
        return _Trained(paths, data.codes, data.scores, out)
