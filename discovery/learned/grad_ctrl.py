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
from typing import ClassVar

import torch
from torch import Tensor, nn

from directions.errors import LatdirError
from directions.paths.code_gradient import CodeGradientPath, Readout
from discovery.estimators.linear import ridge
from discovery.learned.mean_steps import Trained
from discovery.learned.path_methods import LabelPathMethod, held_out_figures, split
from discovery.sampling.samples import Samples
from discovery.supervised.labels import labeled

__all__ = ["GradCtrl"]

JUDGED = 512


@dataclass(frozen=True)
class GradCtrl(LabelPathMethod[CodeGradientPath]):
    """Paths along gradients of attributes told from the code, the others held.

    `train` gives the paths themselves, one for each attribute; `discover` their mean steps as
    straight directions. Name all attributes that are to hold. Evidence: `agreement` (mean cosine of
    the codes' own steps with the mean step), `bend` (1 - mean cosine of a code's steps from -1 to 0
    and from 0 to 1 sigma), and `rank_correlation` of scores with the network on held-out codes.

    Its other settings are those of `LabelPathMethod`.

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

    def _trained(
        self,
        samples: Samples,
        names: Sequence[str],
        seed: int,
        checkpoint: str | PathLike[str] | None,
    ) -> Trained[CodeGradientPath]:
        data = labeled(samples, names, scale=self.scale)
        d = data.codes.shape[1]
        if self.hold and len(names) > d - 1:
            raise LatdirError(
                f"codes of {d} numbers leave no step that holds {len(names) - 1} of {len(names)} "
                f"attributes: name at most {max(d - 1, 1)}, or hold=False"
            )
        out, kept = split(len(samples), self.validation, seed=seed, like=data.codes)
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

        def loss(rows: Tensor) -> Tensor:
            values = readout().values(x[rows]).float()
            return (values - values.mean(0) - targets[rows]).square().mean()

        self._fit(learned, loss, kept, self._kept(samples, names, seed, checkpoint), seed=seed)
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
        answers = next(iter(paths.values())).told(data.codes[out])
        figures = held_out_figures(answers, data.scores[:, out], len(samples))
        return Trained(paths, held, figures, {})
