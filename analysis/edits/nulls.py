"""Null distributions: effects of random directions, the baseline for every effect.

In a latent space of d dimensions a random unit direction moves each attribute too, by about
1/√d of the best direction's effect, and a method fitted to shuffled labels finds a normal too.
An effect counts when it is outside their distribution. Random directions are drawn like differences
of codes: `R g` with `R Rᵀ` the prior's covariance and g standard normal. In z that is the unit
sphere. In a space such as w, where codes vary along few axes, directions uniform on the sphere
point where the generator never varies and move little, so that any difference of codes exceeds
them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from scipy import stats
from torch import Tensor

from analysis.edits.curves import Curves
from analysis.edits.effects import Effects, effects_of
from analysis.edits.held_out import HeldOut, moves_of
from directions.arguments import checked, checked_fields, checked_values, returned
from directions.baselines import random_directions
from directions.classifiers.base import Classifier
from directions.errors import LatdirError, SpaceError, UnknownNameError
from directions.generators.base import Generator
from directions.progress import tqdm
from directions.scoring.moved import Moves

__all__ = [
    "NullKind",
    "PermutationTest",
    "RandomMoves",
    "RandomNull",
    "curves_beside_random",
    "evident",
    "only_space",
    "permuted_labels",
    "random_null",
]

NullKind = Literal["prior", "sphere"]
Layers = tuple[int, ...] | None
Estimator = Callable[[Tensor, Tensor], Tensor]


@checked_fields
@dataclass(frozen=True, eq=False)
class RandomNull:
    """Effects of random directions.

    Attributes:
        effects: Their effect matrix.
        level: Fraction of random directions whose effect is inside the interval.
        kind: What they were drawn from: `prior`, like differences of codes, or the unit `sphere`.
    """

    effects: Effects
    level: float
    kind: NullKind

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the attributes."""
        return self.effects.names

    @property
    def interval(self) -> tuple[Float[Tensor, "a"], Float[Tensor, "a"]]:
        """Ends of the prediction interval for one more random direction, per sigma.

        Student's interval, `mean ± t √(1 + 1/R) s`: the effect of a random direction is a
        projection of one vector on another and close to normal in many dimensions, while
        quantiles of a few dozen directions would be coarse.
        """
        means = self.effects.mean.double()
        count = len(means)
        quantile = float(stats.t.ppf((1 + self.level) / 2, count - 1))
        half = quantile * math.sqrt(1 + 1 / count) * means.std(0)
        return (means.mean(0) - half).float(), (means.mean(0) + half).float()

    def outside(self, effects: Effects) -> Bool[Tensor, "k a"]:
        """Effects outside the interval of random directions.

        Raises:
            LatdirError: The effects were measured with another step, scale or attributes.
        """
        low, high = self.matching(effects)
        return (effects.mean < low) | (effects.mean > high)

    def matching(self, effects: Effects) -> tuple[Float[Tensor, "a"], Float[Tensor, "a"]]:
        """The interval, in the order of the attributes of `effects`.

        Raises:
            LatdirError: The effects were measured with another step, scale or attributes.
        """
        mine, theirs = self.effects, effects
        for what, a, b in (
            ("step", mine.step, theirs.step),
            ("symmetric", mine.symmetric, theirs.symmetric),
            ("scale", mine.curves.scale, theirs.curves.scale),
            ("generator", mine.source.fingerprint[:12], theirs.source.fingerprint[:12]),
        ):
            if a != b:
                raise LatdirError(
                    f"the null was measured with {what} {a} and the effects with {b}: "
                    "measure both in the same way"
                )
        missing = [n for n in theirs.names if n not in self.names]
        if missing:
            raise UnknownNameError(
                f"the null has no attribute {missing[0]!r}: it has {', '.join(self.names)}"
            )
        order = [self.names.index(n) for n in theirs.names]
        low, high = self.interval
        return low[order], high[order]

    @property
    def logit(self) -> RandomNull:
        """The same on the scale of log-odds."""
        return RandomNull(self.effects.logit, self.level, self.kind)


def evident(effects: Effects, null: RandomNull | None = None) -> Bool[Tensor, "k a"]:
    """Significant effects: their interval excludes 0 and they exceed those of random directions.

    Args:
        effects: The effect matrix.
        null: Effects of random directions, measured likewise; without it only intervals count.

    Raises:
        LatdirError: The null was measured otherwise than the effects.
    """
    counts = (effects.low > 0) | (effects.high < 0)
    return counts if null is None else counts & null.outside(effects)


@checked
def random_null(
    generator: Generator,
    classifier: Classifier,
    effects: Effects,
    *,
    space: str | None = None,
    count: int = 32,
    seed: int = 0,
    layers: Layers = None,
    level: float = 0.95,
    null: NullKind = "prior",
) -> RandomNull:
    """Effects of random directions of the same space on the same codes with the same step.

    Args:
        generator: The one that `effects` were measured on.
        classifier: The one that scored them.
        effects: The effects to compare with; their codes, step, attributes, rendering and
            scores of unmoved images are used.
        space: Space of the directions; by default that of the effects' directions.
        count: Number of random directions, at least 3; each costs as many images as one of the
            bank's.
        seed: Seed of the random directions.
        layers: Layers they act on; None means all.
        level: Share of random directions inside the interval.
        null: `prior` draws them like differences of codes, `sphere` uniformly.

    Returns:
        Their effects, and the interval that one more would fall in.

    Raises:
        LatdirError: Fewer than three directions, a generator other than that of `effects`, or
            no `space` where these come from several.
    """
    source = effects.source
    if generator.fingerprint != source.fingerprint:
        raise LatdirError(
            f"the effects were measured on {source.generator} ({source.fingerprint[:12]}…), "
            f"not on {generator.name} ({generator.fingerprint[:12]}…): give the same generator"
        )
    space = space or only_space(effects.curves.spaces)
    drawn = RandomMoves(effects.step, effects.symmetric, count, seed, level, null)
    random = drawn.of(generator, space, layers)
    curves = effects.curves
    alike = (curves.scale, source.classifier_fingerprint) == ("score", classifier.fingerprint)
    held_out = HeldOut(
        generator,
        classifier,
        effects.names,
        source.count,
        source.seed,
        source.rendering,
        baseline=curves.baseline if alike else None,
    )
    return drawn.null(*held_out.curves(random))


@checked_fields
@dataclass(frozen=True)
class RandomMoves:
    """Steps along random directions, to be measured for a null.

    Attributes:
        step: Length of the step, in sigma.
        symmetric: Whether it is taken both ways.
        count: Number of directions, at least 3.
        seed: Their seed.
        level: Share of random directions inside the interval.
        kind: `prior` draws them like differences of codes, `sphere` uniformly.

    Raises:
        LatdirError: Fewer than three directions.
    """

    step: float = 2.0
    symmetric: bool = False
    count: int = 32
    seed: int = 0
    level: float = 0.95
    kind: NullKind = "prior"

    def __post_init__(self) -> None:
        if self.count < 3:
            raise LatdirError(
                f"a null of {self.count} random directions is too few: take 32 or more"
            )

    def of(self, generator: Generator, space: str, layers: Layers) -> Moves:
        """The directions in a space, on some layers or all."""
        random = random_directions(
            generator,
            space=space,
            n_directions=self.count,
            seed=self.seed,
            layers=layers,
            spread="uniform" if self.kind == "sphere" else "prior",
        )
        return moves_of(random, (-self.step, self.step) if self.symmetric else (self.step,))

    def null(self, curves: Curves) -> RandomNull:
        """The null, of the scores of those moves."""
        effects = effects_of(curves, step=self.step, symmetric=self.symmetric)
        return RandomNull(effects, self.level, self.kind)


def curves_beside_random(
    held_out: HeldOut, moves: Moves, random: RandomMoves, kinds: Sequence[tuple[str, Layers]]
) -> tuple[Curves, list[RandomNull]]:
    """Curves of a bank and effects of random directions, measured in one pass.

    Args:
        held_out: Codes to move.
        moves: Of the bank.
        random: Of the random directions of each kind.
        kinds: Their spaces and layers.

    Returns:
        The curves, and the null of each kind.
    """
    drawn = [random.of(held_out.generator, space, layers) for space, layers in kinds]
    curves, *others = held_out.curves(moves, *drawn)
    return curves, [random.null(other) for other in others]


def only_space(spaces: Iterable[str]) -> str:
    """The space of all directions.

    Raises:
        SpaceError: There are several.
    """
    [space, *others] = sorted(set(spaces))
    if others:
        raise SpaceError(
            f"the effects are of directions in the spaces {', '.join([space, *others])}: "
            "choose one for the random ones with space=…"
        )
    return space


@checked_fields
@dataclass(frozen=True, eq=False)
class PermutationTest:
    """Whether a supervised direction ranks held-out codes better than shuffled labels allow.

    Attributes:
        observed: Rank correlation of scores and projections on the held-out codes.
        null: `[r]`, the same with shuffled scores.
        vectors: `[r, d]`, unit directions fitted to shuffled scores: what the method finds where
            there is nothing.
    """

    observed: float
    null: Float[Tensor, "r"]
    vectors: Float[Tensor, "r d"]

    @property
    def p_value(self) -> float:
        """Share of shuffles at least as good, counting the observed one among them."""
        return (1 + int((self.null >= self.observed).sum())) / (1 + len(self.null))


@checked_values
def permuted_labels(
    codes: Float[Tensor, "n *shape"],
    scores: Float[Tensor, "n"],
    estimator: Estimator,
    *,
    permutations: int = 100,
    train: float = 0.7,
    seed: int = 0,
    progress: bool = True,
) -> PermutationTest:
    """Fit a direction to shuffled scores, again and again, and rank held-out codes by it.

    Scores are shuffled over all codes before the split, so that under the null, scores
    independent of codes, every shuffle is as likely as the observation and the test is exact.

    Args:
        codes: `[n, *shape]`.
        scores: `[n]`, one attribute.
        estimator: Codes `[m, d]` and scores `[m]` to a non-zero vector `[d]`.
        permutations: Number of shuffles.
        train: Share of the codes that directions are fitted to.
        seed: Seed of split and shuffles.
        progress: Whether to show a bar.

    Returns:
        Observed and shuffled rank correlations (Spearman), and the shuffled fits' vectors.

    Raises:
        LatdirError: Constant scores, too few codes for the split, or no permutations.

    Example:
        >>> codes = torch.randn(200, 5, generator=torch.Generator().manual_seed(0))
        >>> def mean_difference(x, y):
        ...     return x[y > y.median()].mean(0) - x[y <= y.median()].mean(0)
        >>> permuted_labels(codes, codes[:, 0], mean_difference, permutations=19).p_value
        0.05
    """
    fitted = int(len(codes) * train)
    if permutations < 1 or fitted < 2 or len(codes) - fitted < 3:
        raise LatdirError(
            f"{permutations} permutations of {len(codes)} codes, {fitted} of them to fit to, are "
            "too few: at least 1 permutation, 2 codes to fit to and 3 held out"
        )
    if scores.min() == scores.max():
        raise LatdirError(
            f"all {len(scores)} scores are {float(scores[0]):g}: nothing can be learned from a "
            "constant attribute"
        )
    flat = codes.flatten(1).to(torch.promote_types(codes.dtype, torch.float32))
    scores = scores.to(flat)
    rng = torch.Generator().manual_seed(seed)
    split = torch.randperm(len(flat), generator=rng).to(flat.device)
    near, far = flat[split[:fitted]], flat[split[fitted:]]

    def fit(labels: Tensor) -> tuple[float, Tensor]:
        vector = returned(estimator(near, labels[:fitted]), "the estimator", "*d").flatten()
        if len(vector) != flat.shape[1] or not 0 < float(vector.norm()) < math.inf:
            raise LatdirError(
                f"the estimator returned a vector of size {len(vector)} and norm "
                f"{float(vector.norm()):g}: codes of size {flat.shape[1]} need one of that size, "
                "finite and not zero"
            )
        predicted = (far @ vector).cpu()
        if predicted.min() == predicted.max():
            raise LatdirError(
                "the held-out codes do not differ along the fitted direction: check the codes"
            )
        ranked = stats.spearmanr(predicted, labels[fitted:].cpu()).statistic
        return float(ranked), vector / vector.norm()

    labels = scores[split]
    observed, _ = fit(labels)
    shuffles = tqdm(range(permutations), desc="shuffling labels", delay=1, disable=not progress)
    trials = [
        fit(labels[torch.randperm(len(flat), generator=rng).to(labels.device)]) for _ in shuffles
    ]
    null, vectors = zip(*trials, strict=True)
    return PermutationTest(observed, torch.tensor(null), torch.stack(vectors))
