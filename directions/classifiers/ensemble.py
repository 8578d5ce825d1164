"""Several classifiers as one, with less noise than any of them and less of its own view.

The members' log-odds and values, standardized on given images, are averaged with the weights of
Bartlett's factor scores, λ / (1 − λ²), where λ is a member's loading on what all of them read
(`reliability`). Two members have equal weights: that scores repeat does not make them right. (Of
the two built-in sets `mobile-faces` repeats better, and weights from that lost to equal ones at a
third origin's gender, .38 against .40, age, .21 against .22, and smile width, .51 against .52.) The
mean is put on the scale of the first member that has the attribute, so units stay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from directions.classifiers.base import Attribute, Classifier, from_logit, logit
from directions.classifiers.mirror import Mirrored
from directions.classifiers.reliability import ODD, Retests
from directions.errors import LatdirError
from directions.fingerprints import Precision, fingerprint

__all__ = ["Ensemble"]

# Below this correlation two classifiers do not read the same thing.
LEAST_AGREEMENT = 0.1
# A loading of 1 would silence the others.
HIGHEST_LOADING = 0.99


class Ensemble(Classifier):
    """A weighted mean of classifiers that share names of attributes; make one with `fit`.

    Args:
        members: The classifiers.
        weights: For each attribute an offset, and a weight for each member's log-odds or value;
            a member without the attribute has weight 0.
        name: Name of the whole.

    Raises:
        LatdirError: Weights for an attribute of which some member that has weight has no scores.

    Example:
        >>> from directions import load_classifier, load_generator
        >>> from directions.classifiers import Ensemble
        >>> faces = load_generator("digiface64")
        >>> images = faces.synthesize(faces.sample(32, seed=0))
        >>> both = Ensemble.fit(
        ...     [load_classifier("faces"), load_classifier("mobile-faces")],
        ...     images,
        ...     attributes=["yaw", "mouth_open"],
        ... )
        >>> both.names, both(images).shape
        (('yaw', 'mouth_open'), torch.Size([32, 2]))
    """

    def __init__(
        self,
        members: Sequence[Classifier],
        weights: Mapping[str, tuple[float, ...]],
        *,
        name: str = "ensemble",
    ) -> None:
        self.members = tuple(members)
        self.weights = dict(weights)
        self.name = name
        self.differentiable = all(m.differentiable for m in members)
        self.compiles = any(m.compiles for m in members)
        self.concurrent = all(m.concurrent for m in members)
        self.attributes = tuple(self._first(attribute) for attribute in weights)

    @classmethod
    def fit(
        cls,
        classifiers: Sequence[Classifier],
        images: Float[Tensor, "n 3 h w"],
        *,
        attributes: Sequence[str] | None = None,
        mirror: bool = True,
        odd: Sequence[str] = ODD,
        name: str = "ensemble",
    ) -> Ensemble:
        """An ensemble standardized and weighted on images.

        Args:
            classifiers: Of separate origins, if possible; attributes of one name are averaged.
            images: `[n, 3, h, w]` in [-1, 1], some hundreds, of the generator it is meant for.
            attributes: Which; by default all that any of them has.
            mirror: Whether each is asked about mirror images too, at twice the cost.
            odd: Attributes that change sign in a mirror.
            name: Name of the whole.

        Raises:
            LatdirError: Two classifiers whose scores of an attribute correlate by less than 0.1,
                or what `measure_reliability` refuses.
        """
        retests = Retests(classifiers, images, attributes=attributes, odd=odd)
        weights = {attribute: _weights(retests, attribute, mirror) for attribute in retests.names}
        members: Sequence[Classifier] = classifiers
        if mirror:
            members = [Mirrored(c, odd=[n for n in odd if n in c.names]) for c in classifiers]
        return cls(members, weights, name=name)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over the members' fingerprints and the weights."""
        weights = [[attribute, *numbers] for attribute, numbers in self.weights.items()]
        members = [m.fingerprint for m in self.members]
        return fingerprint({}, {"ensemble": members, "weights": weights})

    def __call__(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Scores, `[n, k]`."""
        return from_logit(self.logits(images), self.attributes)

    def logits(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Weighted means of log-odds and values."""
        return self.logits_of(images, self.names)

    def logits_of(
        self, images: Float[Tensor, "n c h w"], names: Sequence[str]
    ) -> Float[Tensor, "n k"]:
        """The same for some attributes; members not needed for them are skipped."""
        self.columns(names)
        shares = self._shares(names)
        found = [self.members[i].logits_of(images, mine) for i, mine in shares.items()]
        return self._mean(found, names, shares)

    def inference(
        self,
        *,
        precision: Precision = "float32",
        names: Sequence[str] | None = None,
        compile: bool = False,
    ) -> Callable[[Tensor], Tensor]:
        """The members' own fast forms, averaged."""
        wanted = self.names if names is None else tuple(names)
        kept = [self.attributes[c] for c in self.columns(wanted)]
        shares = self._shares(wanted)
        runs = []
        for i, mine in shares.items():
            member = self.members[i]
            own = [member.attributes[c] for c in member.columns(mine)]
            run = member.inference(precision=precision, names=mine, compile=compile)
            runs.append((run, own))

        def score(images: Tensor) -> Tensor:
            with torch.inference_mode():
                found = [logit(run(images), own) for run, own in runs]
                return from_logit(self._mean(found, wanted, shares), kept)

        return score

    def _first(self, attribute: str) -> Attribute:
        """The attribute as its first member has it."""
        owners = [m for m, w in zip(self.members, self.weights[attribute][1:], strict=True) if w]
        columns = [owner.columns([attribute])[0] for owner in owners]  # refuses what is not there
        return owners[0].attributes[columns[0]]

    def _shares(self, names: Sequence[str]) -> dict[int, list[str]]:
        """Attributes to ask each member for; members asked for none are left out."""
        shares = {
            i: [name for name in names if self.weights[name][1 + i]]
            for i in range(len(self.members))
        }
        return {i: mine for i, mine in shares.items() if mine}

    def _mean(
        self, found: Sequence[Tensor], names: Sequence[str], shares: Mapping[int, list[str]]
    ) -> Tensor:
        columns = []
        for name in names:
            total: Tensor | float = self.weights[name][0]
            for (i, mine), logits in zip(shares.items(), found, strict=True):
                if name in mine:
                    total = total + self.weights[name][1 + i] * logits[:, mine.index(name)]
            columns.append(total)
        return torch.stack([c for c in columns if isinstance(c, Tensor)], 1)


def _weights(retests: Retests, name: str, mirror: bool) -> tuple[float, ...]:
    """Offset, and weight of each member's own scores."""
    owners = retests.owners[name]
    for i in owners:
        for j in owners[: owners.index(i)]:
            if (r := retests.agreement(i, j, name)) < LEAST_AGREEMENT:
                one, other = retests.classifiers[j].name, retests.classifiers[i].name
                raise LatdirError(
                    f"{one} and {other} do not agree about {name!r} (correlation {r:.2f}): leave "
                    "it out with attributes=[…], or leave one of them out"
                )
    scores, shares = [], []
    for i in owners:
        plain = retests.plain[i][name]
        scores.append((plain + retests.mirrored[i][name]) / 2 if mirror else plain)
        loading = min(HIGHEST_LOADING, retests.loading(i, name))
        shares.append(loading / (1 - loading**2))
    means, deviations = [s.mean() for s in scores], [s.std() for s in scores]
    standard = [(s - m) / d for s, m, d in zip(scores, means, deviations, strict=True)]
    mean = sum(w * z for w, z in zip(shares, standard, strict=True))
    assert isinstance(mean, Tensor)
    scale = deviations[0] / mean.std()
    own = [float(w * scale / d) for w, d in zip(shares, deviations, strict=True)]
    offset = float(means[0]) - sum(w * float(m) for w, m in zip(own, means, strict=True))
    placed = dict(zip(owners, own, strict=True))
    return (offset, *(placed.get(i, 0.0) for i in range(len(retests.classifiers))))
