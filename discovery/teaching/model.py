"""The linear model of answers: the score that a person sees, and what each answer says of it.

The score s = w · x + e of an image, in its own standard deviations, is linear in the whitened code
x up to what no direction explains. An image has the attribute where s is above a level z that a
fraction p of the images reach, so that (y − p) / φ(z), with y = 1 where it has it, has the slope w
(Brillinger 1982) and variance p (1 − p) / φ(z)². A strip is a difference of means, w · (x₂ − x₁).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from directions.direction import Direction
from directions.errors import SamplesError
from directions.space import Prior
from discovery.estimators.bayes_linear import Covariance, Observations, Posterior, posterior
from discovery.teaching.answers import Answers
from discovery.teaching.leading import Whitening

__all__ = ["STRIP_NOISE", "Model", "sheet_noise"]

# Standard deviations of the score that a strip's five answers stand for, and their variance.
STRIP_UNITS = (-1.5, -0.65, 0.0, 0.65, 1.5)
STRIP_NOISE = 0.25
# Of the score's variance of 1, what a direction explains; it is no noise.
EXPLAINED = 0.4
LEAST_NOISE = 0.3
# Fractions of the directions' variance that the leading ones may have.
SHARES = (0.8, 0.95, 0.99)


@dataclass(frozen=True, eq=False)
class Model:
    """What is known of a direction before the first answer.

    Attributes:
        white: Coordinates of the codes.
        factor: F, `[r, k]`, the leading directions times their standard deviations.
        prior: Of the codes.
    """

    white: Whitening
    factor: Float[Tensor, "r k"]
    prior: Prior

    @property
    def rank(self) -> int:
        """Number of directions that strips are moved along."""
        return self.factor.shape[1] or len(self.factor)

    def strip(self, number: int, reach: float) -> Float[Tensor, "r"]:
        """Coordinates of the move from the first row of a strip to the second."""
        if not self.factor.shape[1]:
            return 2 * reach * torch.eye(len(self.factor), dtype=torch.float64)[-1 - number]
        column = self.factor[:, number]
        return column * (2 * reach / float(column.norm()))

    def step(self, number: int, reach: float) -> Float[Tensor, "d"]:
        """Half that move, in the space of the codes."""
        return self.white.root @ self.strip(number, reach) / 2

    def posterior(self, answers: Answers) -> Posterior:
        """What the answers say of w."""
        shares = SHARES if self.factor.shape[1] else (0.0,)
        return posterior(self._observed(answers), [Covariance(self.factor, a) for a in shares])

    def _observed(self, answers: Answers) -> Observations:
        r = len(self.factor)
        seen = Observations(*(torch.zeros(n, dtype=torch.float64) for n in ((0, r), (0,), (0,))))
        if answers.strips:
            rows = self.white.steps(torch.stack([strip.step for strip in answers.strips]))
            units = torch.tensor(STRIP_UNITS, dtype=torch.float64)
            values = units[torch.tensor([strip.level + 2 for strip in answers.strips])]
            seen = seen.joined(Observations(rows, values, torch.full_like(values, STRIP_NOISE)))
        if answers.sheets:
            rows = self.white.coordinates(torch.cat([sheet.codes for sheet in answers.sheets]))
            y = torch.cat([sheet.has for sheet in answers.sheets]).double()
            # Centered, as with an intercept of any size.
            values = (y - y.mean()) / _density(_fraction(answers))
            noise = torch.full_like(values, sheet_noise(answers))
            seen = seen.joined(Observations(rows - rows.mean(0), values, noise))
        return seen

    def known(self, answers: Answers, found: Posterior) -> Posterior:
        """The posterior, if it points anywhere.

        Raises:
            SamplesError: It does not.
        """
        if float(found.mean.norm()) > 1e-9:
            return found
        if not answers.given:
            raise SamplesError(f"there are no answers about {answers.name!r} yet: give some")
        clicks = sum(sheet.clicks for sheet in answers.sheets)
        images = sum(len(sheet.codes) for sheet in answers.sheets)
        said = f"{clicks} of {images} images have it" if images else "every strip is the same"
        raise SamplesError(
            f"the answers about {answers.name!r} point nowhere ({said}): a direction needs images "
            "with it and without it, or a strip that changes it"
        )

    def direction(
        self, answers: Answers, found: Posterior, config: dict[str, Any], **evidence: Any
    ) -> Direction:
        """The mean of the posterior as a direction."""
        one = answers.sheets[0].codes[0] if answers.sheets else answers.strips[0].step
        vector = self.white.root @ found.mean
        figures = {
            "angle_degrees": found.angle,
            "clicks": answers.clicks,
            "images": sum(len(sheet.codes) for sheet in answers.sheets),
            "strips": len(answers.strips),
            **evidence,
        }
        if answers.confirmed[1]:
            figures["confirmed"] = answers.confirmed[0] / answers.confirmed[1]
        return Direction.from_vector(
            answers.name,
            vector.float().reshape(one.shape),
            space=answers.space,
            sigma=self.prior.sigma(vector / vector.norm()),
            method="teach",
            config=config,
            evidence=figures,
        )


def sheet_noise(answers: Answers) -> float:
    """Variance of what an image of a sheet says."""
    p = _fraction(answers)
    return max(LEAST_NOISE, p * (1 - p) / _density(p) ** 2 - EXPLAINED)


def _fraction(answers: Answers) -> float:
    """Fraction of the images that have the attribute, drawn toward one half."""
    images = sum(len(sheet.codes) for sheet in answers.sheets)
    return (sum(sheet.clicks for sheet in answers.sheets) + 1) / (images + 2)


def _density(p: float) -> float:
    """The normal density at the level that a fraction p is above."""
    z = float(torch.special.ndtri(torch.tensor(p, dtype=torch.float64)))
    return math.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
