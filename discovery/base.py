"""The method contract.

Importing this module, and with it listing the methods and their flags, imports no torch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, fields, replace
from functools import wraps
from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from directions.arguments import Settings, checked_kinds
from directions.errors import LatdirError
from directions.progress import progress_bars

if TYPE_CHECKING:
    from directions.bank import DirectionBank
    from directions.classifiers.base import Classifier
    from directions.classifiers.clip.prompts import Texts
    from directions.classifiers.clip.protocol import TextImageModel
    from directions.generators.base import Generator
    from discovery.sampling.samples import Samples
    from discovery.teaching.answers import Answers
    from discovery.wording import Wording

__all__ = [
    "FAMILIES",
    "AnswerMethod",
    "GeneratorMethod",
    "LabelMethod",
    "Method",
    "Need",
    "ScoreMethod",
    "TextMethod",
    "TrainingMethod",
    "tool",
]

Need = Literal["answers", "samples", "generator", "classifier", "text", "clip"]

# Settings of these names mean the same in every method, and are at least 1.
COUNTS = ("n_codes", "n_directions", "batch_size", "steps", "depth", "probes", "chunk", "rank")
# Images at a time where a method has no setting for it.
BATCH = 64
TOOL = "tool"


def tool() -> Any:
    """A field, None by default, for an object to work with: neither a flag nor in the config."""
    return field(default=None, kw_only=True, repr=False, compare=False, metadata={TOOL: True})


def _checked(discover: Callable[..., DirectionBank]) -> Callable[..., DirectionBank]:
    """`discover` with models and samples of the right kinds, and attributes as a tuple."""
    discover = checked_kinds(discover)

    @wraps(discover)
    def call(self: Method, *args: Any, **given: Any) -> DirectionBank:
        from directions.classifiers.base import names_of

        if args:
            _check_kind(self, self.needs[0], args[0])
        for name in ("samples", "generator", "classifier", "judge"):
            if given.get(name) is not None:
                _check_kind(self, name, given[name])
        if given.get("attributes") is not None:
            given["attributes"] = names_of(given["attributes"])
        with progress_bars(self.progress):
            return discover(self, *args, **given)

    return call


def _check_kind(method: Method, name: str, given: object) -> None:
    """Refuse an argument of another kind."""
    kind: type
    # Each where it is wanted: samples bring the readers of their files.
    if name == "samples":
        from discovery.sampling.samples import Samples

        kind, wanted = Samples, "labeled samples: discovery.sample(…) or Samples.from_arrays(…)"
    elif name == "answers":
        from discovery.teaching.answers import Answers

        kind, wanted = Answers, "answers: what Lesson collects, or Answers.from_samples(…)"
    elif name == "generator":
        from directions.generators.base import Generator

        kind, wanted = Generator, "a generator: load_generator('digiface64') or wrap(module)"
    else:
        from directions.classifiers.base import Classifier

        kind, wanted = Classifier, "a classifier: load_classifier('faces') or wrap_classifier(…)"
    if not isinstance(given, kind):
        met = repr(given) if isinstance(given, str) else f"a {type(given).__name__}"
        raise LatdirError(f"{type(method).__name__}().discover takes {wanted}; not {met}")


@dataclass(frozen=True)
class Method(Settings, ABC):
    """Base of the methods: a frozen dataclass whose fields are its hyper-parameters.

    A method derives from one of the six families below, sets `method`, its registered name, and
    implements `discover` (of a text, `_find`). Each field has a default and a line in the
    docstring's Attributes: the command's flags are made from them. The same words mean the same
    everywhere: `n_codes` (codes drawn), `n_directions` (directions returned), `batch_size`,
    `space`, `layers`, `steps`. A field made by `tool()` is an object to work with, neither a flag
    nor part of the config.

    Attributes:
        progress: Whether `discover` shows bars; neither a flag nor in the config.
    """

    method: ClassVar[str]
    needs: ClassVar[tuple[Need, ...]]

    progress: bool = field(
        default=True, kw_only=True, repr=False, compare=False, metadata={TOOL: True}
    )

    def __post_init__(self) -> None:
        """Check the kinds of all settings, the counts, and words against their choices.

        A method's own checks follow in its `__post_init__`, after `super().__post_init__()`.

        Raises:
            LatdirError: A setting of another kind, or a count below 1.
            UnknownNameError: A word that is not among a field's choices.
        """
        super().__post_init__()
        for name in COUNTS:
            value = getattr(self, name, None)
            if value is not None and value < 1:
                raise LatdirError(f"{name} is {value}: give at least 1")

    def __init_subclass__(cls, **options: Any) -> None:
        """Check what `discover` is given, in every method alike."""
        super().__init_subclass__(**options)
        own = vars(cls).get("discover")
        if own is not None and not getattr(own, "__isabstractmethod__", False):
            type.__setattr__(cls, "discover", _checked(own))

    @property
    def config(self) -> dict[str, Any]:
        """The hyper-parameters, as written into every direction the method makes."""
        settings = [field.name for field in fields(self) if not field.metadata.get(TOOL)]
        return {name: deepcopy(getattr(self, name)) for name in settings}

    def run(self, fingerprint: str, seed: int) -> dict[str, Any]:
        """What a checkpoint of a training must agree with to be continued.

        Args:
            fingerprint: Of the generator or samples that the method starts from.
            seed: Of all random choices.
        """
        return {"method": self.method, **self.config, "seed": seed, "of": fingerprint}

    @abstractmethod
    def discover(self, *args: Any, **kwargs: Any) -> DirectionBank:
        """Find directions; the family declares the arguments."""


class LabelMethod(Method):
    """Methods that start from labeled codes."""

    needs = ("samples",)

    @abstractmethod
    def discover(
        self, samples: Samples, *, attributes: Sequence[str] | None = None, seed: int = 0
    ) -> DirectionBank:
        """One direction for each attribute, positive toward high scores.

        Args:
            samples: Codes of any shape `[n, *shape]` with their scores.
            attributes: Names, in the order wanted; by default all.
            seed: Seed of all random choices; written into each direction's config.
        """


class AnswerMethod(Method):
    """Methods that start from a person's answers about images."""

    needs = ("answers", "generator")

    @abstractmethod
    def discover(self, answers: Answers, *, generator: Generator, seed: int = 0) -> DirectionBank:
        """The direction of one attribute, positive toward more of it.

        Args:
            answers: About images of the generator.
            generator: The images' own.
            seed: Seed of all random choices.
        """


class GeneratorMethod(Method):
    """Methods that start from a generator alone: its codes, weights or derivatives."""

    needs = ("generator",)

    @abstractmethod
    def discover(self, generator: Generator, *, seed: int = 0) -> DirectionBank:
        """Directions of a generator, in the method's own order.

        Args:
            generator: Any generator.
            seed: Seed of the codes and of all random choices.
        """


class TrainingMethod(Method):
    """Methods that train networks on a generator's images, without labels."""

    needs = ("generator",)

    @abstractmethod
    def discover(
        self,
        generator: Generator,
        *,
        seed: int = 0,
        checkpoint: str | PathLike[str] | None = None,
    ) -> DirectionBank:
        """Directions of a generator, those told best first.

        Args:
            generator: Any generator whose images follow its codes differentiably.
            seed: Seed of the codes, of the networks and of all random choices.
            checkpoint: A file that keeps the training, so that the same call goes on where it was
                killed, to the same result.
        """


class ScoreMethod(Method):
    """Methods that score images of a generator while they run."""

    needs = ("generator", "classifier")

    @abstractmethod
    def discover(
        self,
        generator: Generator,
        *,
        classifier: Classifier,
        attributes: Sequence[str] | None = None,
        seed: int = 0,
    ) -> DirectionBank:
        """Directions of each attribute, positive toward high scores.

        Args:
            generator: Makes the images.
            classifier: Scores them.
            attributes: Names, in the order wanted; by default all of the classifier's.
            seed: Seed of the codes and of all random choices.
        """


class TextMethod(Method):
    """Methods that start from text."""

    needs = ("generator", "text", "clip")

    def discover(
        self,
        generator: Generator,
        *,
        text: Texts,
        clip: TextImageModel,
        neutral: str = "a face",
        without: Texts = (),
        judge: Classifier | None = None,
        seed: int = 0,
    ) -> DirectionBank:
        """One direction for each text, in their order.

        Evidence, besides the method's own (in its class's docstring): `text`, `neutral` and
        `labeled_by`, `disentangled` where something was held still, and the figures of
        `discovery.second_labeler`: `judged_by`, `judged_attribute`, `judged_effect`,
        `judged_rises`.

        Args:
            generator: Makes the images; differentiably, except for `ClipBoundary` and differences
                of `ClipGlobal`.
            text: Where to: a text, several, or a mapping from names to texts; as `prompts_of`.
            clip: Embeds images and texts; differentiably where the generator is.
            neutral: Where from.
            without: Texts whose effects are taken out of the directions, such as `a man`.
            judge: A classifier of another origin than `clip`, which judges directions whose name
                or words are an attribute of its; by default `mobile-faces+pixels` for the built-in
                generators of faces.
            seed: Seed of the codes and of all random choices.

        Raises:
            LatdirError: Texts that `prompts_of` refuses, or that the model does not separate from
                the neutral one; or what the method refuses.
        """
        from directions.scoring.rendering import Rendering
        from discovery.wording import Wording

        words = Wording.of(text, neutral=neutral, without=without)
        found = self._find(generator, words, clip, seed)
        return words.finished(
            replace(found, provenance={**found.provenance, "seed": seed}),
            method=self.method,
            config=self.config,
            generator=generator,
            clip=clip,
            judge=judge,
            rendering=Rendering(batch_size=getattr(self, "batch_size", BATCH)),
        )

    @abstractmethod
    def _find(
        self, generator: Generator, words: Wording, clip: TextImageModel, seed: int
    ) -> DirectionBank:
        """A direction for each prompt of `words`, those held among them, under its name."""


FAMILIES: tuple[type[Method], ...] = (
    LabelMethod,
    AnswerMethod,
    GeneratorMethod,
    TrainingMethod,
    ScoreMethod,
    TextMethod,
)
