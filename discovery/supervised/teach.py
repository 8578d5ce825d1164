"""A direction from a person's answers, where no classifier knows the attribute.

A Bayesian linear model of sheets of images that have the attribute or not and of strips of images
moved along a direction (`discovery.teaching.model`). Directions along which features of the images
change most are likely beforehand (`discovery.teaching.leading`): in 100 or 512 coordinates a few
dozen answers say little otherwise. The vector is where codes with more of the attribute lie, as a
difference of means is; for normal codes it is the boundary's normal too.

No paper: the model is standard (Rasmussen & Williams 2006, chapter 2). Showing the images that the
model knows least about, and extreme ones, gained nothing in simulations (`benchmarks/teach.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from directions.bank import DirectionBank
from directions.errors import LatdirError, described
from directions.generators.base import Generator
from discovery.base import AnswerMethod, tool
from discovery.teaching.answers import Answers
from discovery.teaching.leading import (
    Features,
    Source,
    features_of,
    leading_directions,
    looking,
)
from discovery.teaching.model import Model

__all__ = ["Teach"]


@dataclass(frozen=True)
class Teach(AnswerMethod):
    """The direction that a person's answers about images give.

    Attributes:
        features: What makes directions likely beforehand: `faces` (embeddings of the built-in
            recognition network), `clip` (those of the built-in text-image model of faces),
            `pixels`, or `none`; `auto` is faces for the built-in generators of faces, else pixels.
        n_codes: Images whose features are looked at, once for a generator.
        batch_size: Images at a time; by default measured.
        embed: Another function of images `[n, 3, H, W]` to features `[n, f]`, such as
            `clip.encode_images`.

    Example:
        >>> from directions.planted.world import planted
        >>> from discovery.sampling.samples import Samples
        >>> world = planted(factors=2, dim=8)
        >>> has = world.factors(world.sample(200, seed=0))[:, 0] > 0.5
        >>> labels = Samples.from_arrays(None, has, "smile", generator=world, seed=0)
        >>> bank = Teach(n_codes=512).discover(Answers.from_samples(labels), generator=world)
        >>> bool(bank["smile"].vector @ world.truth[0] > 0.95)
        True
    """

    method: ClassVar[str] = "teach"

    features: Features = "auto"
    n_codes: int = 8192
    batch_size: int | None = None
    embed: Callable[[Tensor], Tensor] | None = tool()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.embed is not None and (isinstance(self.embed, type) or not callable(self.embed)):
            raise LatdirError(
                f"embed is a function from images to features, such as clip.encode_images, not "
                f"{described(self.embed)}"
            )

    def discover(self, answers: Answers, *, generator: Generator, seed: int = 0) -> DirectionBank:
        """The direction of one attribute, positive toward more of it.

        Args:
            answers: As `Lesson` collects them and `Answers.from_samples` makes them of labels;
                `Answers.load` reads their file.
            generator: The images' own.
            seed: Of the draws behind the cone.

        Returns:
            A bank of one direction. Evidence: `angle_degrees`, the expected angle to the direction
            that unlimited answers would give, among whitened codes; `cone_degrees`, within which
            that one lies with a probability of 95 %; `clicks`, `images`, `strips`, `features`,
            and `confirmed`, the fraction of the images of checks that have it.

        Raises:
            LatdirError: Answers about another generator, or that point nowhere.
        """
        answers.check(generator)
        model = self.model(generator, answers.space)
        found = model.known(answers, model.posterior(answers))
        direction = model.direction(
            answers,
            found,
            {**self.config, "seed": seed},
            cone_degrees=found.cone(seed=seed),
            features="embed" if self.embed else features_of(self.features, generator),
        )
        provenance = {"labels": "answers", "seed": seed}
        return DirectionBank((direction,), generator.name, generator.fingerprint, provenance)

    def model(self, generator: Generator, space: str) -> Model:
        """What is known before the first answer: computed once for a generator and space."""
        white, factor = leading_directions(self._source(generator, space))
        return Model(white, factor, generator.prior(space))

    def looking(self, generator: Generator, space: str, *, piece: int = 256) -> Iterator[float]:
        """The work that `model` does once, so many images at a time, for those who have to wait.

        Yields:
            The fraction of the images looked at so far.
        """
        return looking(self._source(generator, space), piece=piece)

    def _source(self, generator: Generator, space: str) -> Source:
        features = features_of(self.features, generator)
        return Source(
            generator.fingerprint, space, features, self.embed, self.n_codes, self.batch_size,
            generator,
        )  # fmt: skip
