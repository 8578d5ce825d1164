"""How far scores of an attribute can be trusted: retest correlations and agreement of origins.

Classical test theory (Spearman 1904; Lord and Novick 1968). A score is a true part and noise that
is new at each retest; its reliability ρ is the share of the true part in its variance, estimated
by the correlation of two tests. A retest here is the mirror image, or the image moved by a
thirty-second of its side, neither of which changes the face.

What repeats is not yet what the name says: a classifier may be wrong the same way twice. The
correlation of a score with what classifiers of separate origins read in common is its loading λ in
a model of one factor, rᵢⱼ = λᵢ λⱼ. Of three and more it is known, λᵢ² = rᵢⱼ rᵢₖ / rⱼₖ; of two only
the product is, and it is shared out evenly, λ = √r; of one, √ρ is an upper bound.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

from directions.classifiers.base import Classifier, check_classifier, logit
from directions.errors import LatdirError

__all__ = ["ODD", "Reliability", "measure_reliability"]

# Attributes of faces that change sign in a mirror.
ODD = ("yaw", "roll")
# A shift, as a fraction of the image's shorter side.
SHIFT = 1 / 32
FEWEST = 16
TINY = 1e-6


@dataclass(frozen=True)
class Reliability:
    """Reliability of one attribute's scores by one classifier, on given images.

    Attributes:
        classifier: Its name.
        attribute: The attribute.
        mirror: Correlation of the scores of images and of their mirror images.
        shift: Mean correlation of the scores of images and of images moved right and down.
        agreement: Mean correlation with the other classifiers that score the attribute; None if
            there are none.
        corrected: `agreement` corrected for attenuation, rᵢⱼ / √(ρᵢ ρⱼ): what it would be if none
            had retest noise, at most 1; the rest is views that repeat and are not shared.
        loading: λ, the correlation of the scores with what all of them read.
        count: Number of images.
    """

    classifier: str
    attribute: str
    mirror: float
    shift: float
    agreement: float | None
    corrected: float | None
    loading: float
    count: int

    @property
    def repeat(self) -> float:
        """Reliability ρ, the lower of `mirror` and `shift`, at least 0.

        No function of the code correlates better with the scores than √ρ.
        """
        return max(0.0, min(self.mirror, self.shift))


def measure_reliability(
    classifiers: Classifier | Sequence[Classifier],
    images: Float[Tensor, "n 3 h w"],
    *,
    attributes: Sequence[str] | None = None,
    odd: Sequence[str] = ODD,
    batch_size: int = 64,
) -> list[Reliability]:
    """Reliability of each classifier's scores of each attribute, as log-odds or values.

    Args:
        classifiers: One or several; attributes of the same name are compared.
        images: `[n, 3, h, w]` in [-1, 1], at least 16; the standard error of a correlation r is
            about (1 − r²) / √n.
        attributes: Which; by default all.
        odd: Attributes that change sign in a mirror.
        batch_size: Images scored at once.

    Returns:
        One entry for each classifier and attribute, in this order.

    Raises:
        LatdirError: Fewer than 16 images, scores that are constant, or an attribute that no
            classifier has.

    Example:
        >>> from directions import load_classifier, load_generator
        >>> faces = load_generator("digiface64")
        >>> images = faces.synthesize(faces.sample(32, seed=0))
        >>> found = measure_reliability(load_classifier("pixels"), images, attributes=["contrast"])
        >>> found[0].classifier, found[0].attribute, round(found[0].mirror, 3)
        ('pixels', 'contrast', 1.0)
    """
    several = [classifiers] if isinstance(classifiers, Classifier) else list(classifiers)
    retests = Retests(several, images, attributes=attributes, odd=odd, batch_size=batch_size)
    return list(retests.entries())


class Retests:
    """Scores of images, of their mirror images, and of moved images, by several classifiers.

    Args:
        classifiers: As in `measure_reliability`, like the other arguments.

    Attributes:
        names: Attributes wanted, in the order of first appearance.
        owners: For each attribute, the positions of the classifiers that have it.
    """

    def __init__(
        self,
        classifiers: Sequence[Classifier],
        images: Float[Tensor, "n 3 h w"],
        *,
        attributes: Sequence[str] | None = None,
        odd: Sequence[str] = ODD,
        batch_size: int = 64,
    ) -> None:
        if not classifiers:
            raise LatdirError("give at least one classifier")
        for classifier in classifiers:
            check_classifier(classifier)
        if len(images) < FEWEST:
            raise LatdirError(
                f"reliability needs at least {FEWEST} images, not {len(images)}: make more, "
                "such as generator.synthesize(generator.sample(256, seed=0))"
            )
        there = dict.fromkeys(n for classifier in classifiers for n in classifier.names)
        self.names = tuple(there) if attributes is None else tuple(attributes)
        if missing := [name for name in self.names if name not in there]:
            raise LatdirError(
                f"none of the classifiers has an attribute {missing[0]!r}: they have "
                f"{', '.join(there)}"
            )
        self.classifiers, self.odd, self.count = tuple(classifiers), tuple(odd), len(images)
        self.owners = {
            name: [i for i, c in enumerate(classifiers) if name in c.names] for name in self.names
        }
        self._batches = torch.split(images, batch_size)

    @cached_property
    def plain(self) -> list[dict[str, Tensor]]:
        """Scores of the images by each classifier, by attribute."""
        return [self._scored(c, lambda images: images) for c in self.classifiers]

    @cached_property
    def mirrored(self) -> list[dict[str, Tensor]]:
        """Scores of the mirror images, with the sign that the images' have."""
        flipped = [self._scored(c, lambda images: images.flip(3)) for c in self.classifiers]
        return [
            {name: -scores if name in self.odd else scores for name, scores in found.items()}
            for found in flipped
        ]

    @cached_property
    def _moved(self) -> list[list[dict[str, Tensor]]]:
        return [
            [self._scored(c, move) for move in (_moved_right, _moved_down)]
            for c in self.classifiers
        ]

    def _scored(
        self, classifier: Classifier, change: Callable[[Tensor], Tensor]
    ) -> dict[str, Tensor]:
        names = [name for name in self.names if name in classifier.names]
        if not names:
            return {}
        kept = [classifier.attributes[column] for column in classifier.columns(names)]
        run = classifier.inference(names=names)
        scores = torch.cat([logit(run(change(batch)), kept) for batch in self._batches]).double()
        for name, column in zip(names, scores.T, strict=True):
            if not column.std() > 0:
                raise LatdirError(
                    f"classifier {classifier.name} scores {name!r} the same for all "
                    f"{self.count} images: give images that differ in it, or leave it out"
                )
        return dict(zip(names, scores.T, strict=True))

    def repeat(self, member: int, name: str) -> tuple[float, float]:
        """Correlations with the mirror images' scores, and with those of moved images."""
        plain = self.plain[member][name]
        moved = [_correlation(plain, found[name]) for found in self._moved[member]]
        return _correlation(plain, self.mirrored[member][name]), sum(moved) / len(moved)

    def loading(self, member: int, name: str) -> float:
        """Correlation of a classifier's scores with what all that have the attribute read."""
        others = [j for j in self.owners[name] if j != member]
        if not others:
            return math.sqrt(max(0.0, min(self.repeat(member, name))))
        if len(others) == 1:
            return math.sqrt(max(0.0, self.agreement(member, others[0], name)))
        squares = [
            self.agreement(member, j, name)
            * self.agreement(member, k, name)
            / max(TINY, self.agreement(j, k, name))
            for j, k in combinations(others, 2)
        ]
        return math.sqrt(min(1.0, max(0.0, sum(squares) / len(squares))))

    def corrected(self, member: int, name: str) -> float | None:
        """Mean correlation with the others, corrected for attenuation."""
        own = min(self.repeat(member, name))
        found = [
            self.agreement(member, j, name)
            / math.sqrt(max(TINY, own) * max(TINY, min(self.repeat(j, name))))
            for j in self.owners[name]
            if j != member
        ]
        return min(1.0, sum(found) / len(found)) if found else None

    def agreement(self, first: int, second: int, name: str) -> float:
        """Correlation of two classifiers' scores."""
        return _correlation(self.plain[first][name], self.plain[second][name])

    def entries(self) -> Iterator[Reliability]:
        """All of them, classifier by classifier."""
        for i, classifier in enumerate(self.classifiers):
            for name in self.names:
                if i not in self.owners[name]:
                    continue
                mirror, shift = self.repeat(i, name)
                others = [self.agreement(i, j, name) for j in self.owners[name] if j != i]
                yield Reliability(
                    classifier=classifier.name,
                    attribute=name,
                    mirror=mirror,
                    shift=shift,
                    agreement=sum(others) / len(others) if others else None,
                    corrected=self.corrected(i, name),
                    loading=self.loading(i, name),
                    count=self.count,
                )


def _correlation(first: Tensor, second: Tensor) -> float:
    return float(torch.corrcoef(torch.stack((first, second)))[0, 1])


def _moved_right(images: Tensor) -> Tensor:
    step = _step(images)
    return F.pad(images, (step, 0, 0, 0), mode="replicate")[..., : images.shape[3]]


def _moved_down(images: Tensor) -> Tensor:
    step = _step(images)
    return F.pad(images, (0, 0, step, 0), mode="replicate")[..., : images.shape[2], :]


def _step(images: Tensor) -> int:
    return max(1, round(min(images.shape[2:]) * SHIFT))
