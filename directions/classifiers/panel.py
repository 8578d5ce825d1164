"""Two labelers side by side: one that directions may have been found with, and a judge.

A direction that was fitted to a labeler may have found what pleases that labeler rather than what
people would call the attribute; so may the conditions it was freed from. A second labeler, of
other training data and architecture, that no direction was found with, sees the same images.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor

from directions.classifiers.base import Attribute, Classifier, Combined, check_classifier
from directions.classifiers.ensemble import Ensemble
from directions.classifiers.mirror import Mirrored
from directions.classifiers.rename import Renamed, under_common_names
from directions.errors import LatdirError, UnknownNameError

__all__ = ["JUDGED", "Panel", "check_apart", "labelers_beside", "parts_of"]

BUILT_IN = ("faces", "mobile-faces")  # of origins apart; `clip` is a student of `faces`
JUDGED = "\x1fjudge\x1f"  # before the judge's attributes, which have the labeler's names

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Panel:
    """A labeler and a judge, as one classifier that renders nothing twice.

    Attributes:
        classifier: Both, the judge's attributes under names of their own.
        labeler: The first.
        judge: The second.
        own: Attributes of the labeler that are scored.
        judged: Attributes of the judge that are scored, under the names that both have.
    """

    classifier: Classifier
    labeler: Classifier
    judge: Classifier
    own: tuple[str, ...]
    judged: tuple[str, ...]

    @classmethod
    def of(
        cls, labeler: Classifier, judge: Classifier, names: Sequence[str], *, every: bool = False
    ) -> Panel:
        """Put a judge beside a labeler.

        Attributes are matched by name, the judge's by their common names where it has some
        (`clip_smiling` is `smiling`); where names differ, rename the judge's with
        `directions.classifiers.Renamed`.

        Args:
            labeler: Scores the images.
            judge: Scores the same images; no part of the labeler.
            names: Attributes of the labeler that are scored.
            every: Score all attributes of the judge, not only those named.

        Raises:
            LatdirError: A judge that is the labeler or a part of it, or that has none of the
                attributes. A judge that was trained on scores of the labeler is logged as a
                warning.

        Example:
            >>> from directions import load_classifier
            >>> faces, pixels = load_classifier("faces"), load_classifier("pixels")
            >>> Panel.of(faces, Renamed(pixels, {"brightness": "age"}), ["age", "yaw"]).judged
            ('age',)
        """
        check_classifier(judge)
        check_apart(judge, labeler)
        if taught := {c.name for c in parts_of(labeler)} & {
            name for c in parts_of(judge) for name in c.teachers
        }:
            log.warning(
                "the judge %s was trained on scores of %s: its opinion is not independent",
                judge.name,
                ", ".join(sorted(taught)),
            )
        known = under_common_names(judge)
        shared = tuple(name for name in names if name in known.names)
        if not shared:
            raise UnknownNameError(
                f"the judge {judge.name} has none of {', '.join(names)}: it has "
                f"{', '.join(known.names)}; rename them with directions.classifiers.Renamed"
            )
        aside = Renamed(known, {name: JUDGED + name for name in known.names})
        judged = known.names if every else shared
        return cls(Combined(labeler, aside), labeler, judge, tuple(names), judged)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns scored: the labeler's, then the judge's."""
        return (*self.own, *(JUDGED + name for name in self.judged))

    def apart(
        self, attributes: Sequence[Attribute], scores: Float[Tensor, "k t n a"]
    ) -> Iterator[tuple[Classifier, tuple[Attribute, ...], Float[Tensor, "k t n b"]]]:
        """The labeler and the judge, each with its attributes and scores, of columns `names`."""
        count = len(self.own)
        yield self.labeler, tuple(attributes[:count]), scores[..., :count]
        plain = (replace(a, name=a.name.removeprefix(JUDGED)) for a in attributes[count:])
        yield self.judge, tuple(plain), scores[..., count:]


def check_apart(judge: Classifier, labeler: Classifier) -> None:
    """Refuse a judge that is the labeler or a part of it.

    Raises:
        LatdirError: It is.
    """
    parts = {c.fingerprint for c in parts_of(labeler)}
    if same := [c.name for c in parts_of(judge) if c.fingerprint in parts]:
        raise LatdirError(
            f"the judge {judge.name} holds {same[0]}, which is the labeler or a part of it: a "
            "second opinion needs another classifier, see directions.classifiers."
            "available_classifiers()"
        )


def labelers_beside(judge: Classifier, names: Sequence[str]) -> tuple[Classifier, ...]:
    """The built-in labelers of faces that leave a judge independent.

    Args:
        judge: Is to judge what they label.
        names: Attributes that they are to score; those of `pixels` are read beside them.

    Raises:
        LatdirError: None of them scores all of the attributes and is neither a part of the judge
            nor its teacher.

    Example:
        >>> from directions import load_classifier
        >>> [c.name for c in labelers_beside(load_classifier("mobile-faces"), ["smiling", "age"])]
        ['faces']
    """
    from directions.classifiers import load_classifier

    pixels = load_classifier("pixels")
    extra = "+pixels" if set(names) & set(pixels.names) else ""
    known = {part.name for part in parts_of(judge)}
    known |= {teacher for part in parts_of(judge) for teacher in part.teachers}
    found = [load_classifier(name + extra) for name in BUILT_IN if name not in known]
    found = [labeler for labeler in found if set(names) <= set(labeler.names)]
    if not found:
        raise LatdirError(
            f"no built-in labeler that is independent of the judge {judge.name} scores all of "
            f"{', '.join(names)}: give labelers=[…] of your own, made by "
            "directions.wrap_classifier"
        )
    return tuple(found)


def parts_of(classifier: Classifier) -> list[Classifier]:
    """The classifiers that one is made of, without new names, mirror images or averages.

    Args:
        classifier: Any.
    """
    if isinstance(classifier, Renamed | Mirrored):
        return parts_of(classifier.classifier)
    inner: tuple[Classifier, ...] = ()
    if isinstance(classifier, Combined):
        inner = classifier.parts
    elif isinstance(classifier, Ensemble):
        inner = classifier.members
    return [p for part in inner for p in parts_of(part)] or [classifier]
