"""Channel selection from relevances, by a threshold or by leakage.

The last steps of StyleCLIP's global directions (Patashnik et al. 2021, arXiv:2103.17249).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from directions.bank import DirectionBank
from directions.classifiers.base import Classifier
from directions.direction import Direction
from directions.disentangling.measured import step_effects
from directions.errors import LatdirError
from directions.generators.base import Generator
from directions.scoring.rendering import Rendering
from directions.seeds import LEAK_SEED
from discovery.text.axes import Axes

__all__ = ["Channels", "LeastLeaking"]

SHOWN = 10
LEAK_CODES = 64


@dataclass(frozen=True, eq=False)
class Channels:
    """The axes of a generator, to be weighted by their relevance to a text.

    Attributes:
        generator: Whose they are.
        axes: Themselves.
    """

    generator: Generator
    axes: Axes

    def direction(
        self,
        name: str,
        row: Float[Tensor, "c"],
        *,
        beta: float,
        measured: Sequence[tuple[int, float]] = (),
    ) -> Direction:
        """The sum of the channels of |relevance| ≥ β, each by its relevance and its sigma.

        Args:
            name: Name of the direction.
            row: Relevance of each axis.
            beta: β.
            measured: Numbers of channels tried, each with its leakage, for the evidence.

        Raises:
            LatdirError: No channel is left.
        """
        largest = float(row.abs().max())
        kept = (row.abs() >= beta) & (row != 0)
        order = row.abs().argsort(descending=True)[:SHOWN].tolist()
        if not kept.any():
            raise LatdirError(
                f"no channel of {self.generator.name} moves toward {name!r} with a relevance of "
                f"beta = {beta:.3g}: the largest |relevance| met is {largest:.3g}"
                + (
                    f" ({self.axes.names[order[0]]}); use a beta below that, or leave it out to "
                    "keep the best of them"
                    if largest > 0
                    else ", so nothing here changes the model's embedding: raise strength"
                )
            )
        change = self.axes.combine(torch.where(kept, row, 0.0) / largest)
        length = float(change.norm())
        sigma = self.generator.prior(self.axes.space).sigma(change) / length
        evidence: dict[str, Any] = {
            "beta": beta,
            "channels": int(kept.sum()),
            "largest": largest,
            "alpha_sigma": length / sigma,
            "top": [[self.axes.names[i], float(row[i])] for i in order if kept[i]],
        }
        if measured:
            evidence["measured"] = [[count, leak] for count, leak in measured]
        return Direction.from_vector(
            name,
            change.reshape(self.generator.space(self.axes.space).shape),
            space=self.axes.space,
            sigma=sigma,
            evidence=evidence,
        )


@dataclass(frozen=True, eq=False)
class LeastLeaking:
    """Sets β by measurement: as many channels as leave the other attributes alone.

    Attributes:
        channels: Where directions come from.
        judge: Has an attribute for each text; the target of an edit is measured by it.
        classifier: Scores the other attributes; by default `judge`, by its other texts.
        limit: Largest mean |effect| on the others, as a fraction of the effect on the target.
        batch: Images at a time.
    """

    channels: Channels
    judge: Classifier
    classifier: Classifier | None
    limit: float
    batch: int

    def direction(self, name: str, row: Float[Tensor, "c"]) -> Direction:
        """The direction of the most channels, of 1, 2, 4, … all, whose leakage is within bounds.

        Args:
            name: Text of `judge` it is meant for.
            row: Relevance of each axis.

        Raises:
            LatdirError: No channel has any relevance, none keeps within bounds, or there is no
                other attribute.
        """
        values = row.abs().sort(descending=True).values
        able = int((values > 0).sum())
        counts = [2**i for i in range(able.bit_length()) if 2**i < able] + [able] * bool(able)
        betas = [float(values[n - 1]) for n in counts] or [0.0]
        tried = [self.channels.direction(name, row, beta=b) for b in betas]
        leaks = self._leaks(name, tried)
        measured = list(zip(counts, leaks, strict=True))
        within = [beta for beta, leak in zip(betas, leaks, strict=True) if leak <= self.limit]
        if not within:
            count, least = min(measured, key=lambda pair: pair[1])
            raise LatdirError(
                f"no number of channels moves {name!r} with a leakage of at most {self.limit:g}: "
                f"the least met is {least:.3g}, with {count} of them; the largest |relevance| met "
                f"is {float(values[0]):.3g}"
            )
        return self.channels.direction(name, row, beta=min(within), measured=measured)

    def _leaks(self, name: str, tried: Sequence[Direction]) -> list[float]:
        """Mean |effect| on the other attributes over the effect on its own."""
        other = self.classifier or self.judge
        columns = other.columns([n for n in other.names if n != name])
        if not columns:
            raise LatdirError(
                f"leakage is the effect on other attributes, and {name!r} is the only text: "
                "give more texts, or a classifier"
            )
        generator = self.channels.generator
        named = tuple(d.evolve(name=str(i)) for i, d in enumerate(tried))
        bank = DirectionBank.of(generator, named)
        codes = generator.sample(LEAK_CODES, seed=LEAK_SEED, space=tried[0].space)
        rendering = Rendering(batch_size=self.batch)
        effects = [
            step_effects(generator, scorer, bank, codes=codes, rendering=rendering)
            for scorer in dict.fromkeys((self.judge, other))
        ]
        target = effects[0][:, self.judge.columns([name])[0]]
        leaks = effects[-1][:, columns].abs().mean(1) / target
        # A direction that does not raise its own target has no bound on its leakage.
        return torch.where(target > 0, leaks, torch.inf).tolist()
