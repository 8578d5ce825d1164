"""Disentangling by measured effects: effect matrix first, then the mix.

Directions orthogonal in the latent space may change the same attributes. Here a bank's steps are
measured on codes of their own, by any classifier, and `directions.disentangle` mixes them until
each moves its own attribute and, as measured, no other.

What one labeler measures is its own opinion: freed from leakage in that opinion, a direction may
leak as before to another. Several labelers, of independent origin, see the same images, and the
mean of their effects is made diagonal: mistakes that they do not share average out. Each one's
effects are in its own standard deviations. Noise of the labels takes no correction here: it is in
the responses, not in the codes, so that it averages out over codes and biases no effect's
direction; it only makes all effects of a labeler smaller by the same factor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from directions.bank import DirectionBank
from directions.classifiers.base import Classifier, check_classifier
from directions.classifiers.rename import under_common_names
from directions.disentangling.mixing import disentangle
from directions.errors import LatdirError
from directions.fingerprints import Precision
from directions.generators.base import Generator
from directions.progress import tqdm
from directions.scoring.moved import Moves, moved_codes
from directions.scoring.rendering import Rendering
from directions.scoring.scorer import Scorer
from directions.seeds import MIXING_SEED

__all__ = ["LogOdds", "independent", "labeler_effects", "step_effects"]


def step_effects(
    generator: Generator,
    classifier: Classifier,
    bank: DirectionBank,
    *,
    codes: Float[Tensor, "n *shape"],
    step: float = 2.0,
    rendering: Rendering = Rendering(),
) -> Float[Tensor, "k a"]:
    """Mean change of each attribute per sigma of each direction, on the scale of log-odds.

    Args:
        generator: Makes the images.
        classifier: Scores them.
        bank: Directions of one space.
        codes: Where to measure, at least two.
        step: Length of the step taken both ways, in sigma.
        rendering: How images are made.

    Returns:
        In standard deviations of each attribute over the codes; 0 for one that is constant.

    Raises:
        LatdirError: Too few codes, or a bank of another generator.

    Example:
        >>> from directions import Direction
        >>> from directions.planted.world import planted
        >>> world = planted(factors=2, dim=8)
        >>> up = Direction("up", world.truth[0], "z")
        >>> bank = DirectionBank((up,), world.name, world.fingerprint)
        >>> found = step_effects(world, world.classifier(), bank, codes=world.sample(64, seed=0))
        >>> bool(found[0, 0] > 0.8) and bool(found[0, 1].abs() < 1e-3)
        True
    """
    look = LogOdds([classifier], classifier.names)
    return _effects(generator, look, bank, codes, step, rendering)


def labeler_effects(
    generator: Generator,
    labelers: Sequence[Classifier],
    bank: DirectionBank,
    *,
    attributes: Sequence[str],
    codes: Float[Tensor, "n *shape"],
    step: float = 2.0,
    rendering: Rendering = Rendering(),
) -> Float[Tensor, "l k a"]:
    """`step_effects` by each of several labelers, on one rendering.

    Args:
        generator: Makes the images.
        labelers: Classifiers; attributes are matched by name, or by their common names.
        bank: Directions of one space.
        attributes: Which effects to measure.
        codes: Where to measure, at least two.
        step: Length of the step taken both ways, in sigma.
        rendering: How images are made.

    Raises:
        LatdirError: No labelers, an attribute that one of them lacks, or as `step_effects`.
    """
    if not labelers:
        raise LatdirError("give at least one labeler, such as load_classifier('faces')")
    known = [under_common_names(check_classifier(labeler)) for labeler in labelers]
    look = LogOdds(known, attributes)
    effects = _effects(generator, look, bank, codes, step, rendering)
    return effects.reshape(-1, len(known), len(look.names)).transpose(0, 1)


class LogOdds:
    """What several labelers say of images, side by side, on the scale of log-odds.

    Args:
        labelers: Each has all the attributes.
        names: Which attributes.

    Raises:
        LatdirError: An attribute that one of them lacks.
    """

    def __init__(self, labelers: Sequence[Classifier], names: Sequence[str]) -> None:
        for labeler in labelers:
            labeler.columns(names)
        self.labelers, self.names = tuple(labelers), tuple(names)
        self.concurrent = all(labeler.concurrent for labeler in labelers)

    def __call__(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n la"]:
        """Log-odds of probabilities, values unchanged."""
        return torch.cat([c.logits_of(images, self.names) for c in self.labelers], 1)

    def inference(self, *, precision: Precision = "float32") -> Callable[[Tensor], Tensor]:
        """The same by the labelers' fast forms, without gradients."""
        reads = [c.inference_logits(precision=precision, names=self.names) for c in self.labelers]
        return lambda images: torch.cat([read(images) for read in reads], 1)


def _effects(
    generator: Generator,
    look: LogOdds,
    bank: DirectionBank,
    codes: Tensor,
    step: float,
    rendering: Rendering,
) -> Float[Tensor, "k a"]:
    if len(codes) < 2:
        raise LatdirError(f"effects on {len(codes)} codes have no scale: give at least two")
    space = bank.check(generator).directions[0].space
    n = 2 * len(bank) * len(codes)
    scorer = Scorer(generator, space=space, embed=look, rendering=rendering, n=n)
    moves = Moves(bank.directions, torch.tensor([-step, step], dtype=torch.float64))
    spread = scorer.embed(codes).double().std(0)
    scores = torch.empty(len(bank), 2, len(codes), len(spread)).to(spread)
    hidden = not rendering.progress
    with tqdm(total=n, desc="effects", unit="image", delay=1, disable=hidden) as bar:
        batches = moved_codes(codes, [moves], batch_size=scorer.batch_size)
        for moved, (_, k, t, rows) in batches:
            scores[k, t, rows] = scorer.embed(moved).to(scores)
            bar.update(len(rows))
    effects = (scores[:, 1] - scores[:, 0]).mean(1) / (2 * step)
    return (effects / torch.where(spread > 0, spread, torch.inf)).float()


def independent(
    bank: DirectionBank,
    *,
    generator: Generator,
    labelers: Sequence[Classifier],
    on: Mapping[str, Sequence[str]] | None = None,
    codes: Float[Tensor, "n *shape"] | int = 512,
    ridge: float = 0.0,
    rendering: Rendering = Rendering(),
) -> DirectionBank:
    """Directions mixed with the others of the bank to preserve the others' attributes.

    Args:
        bank: Directions of one space, ingredients of every mix.
        generator: Makes the images.
        labelers: Score them, one or several of independent origin; each has an attribute of each
            direction's name, or of the common name. The mean of their effects is made diagonal.
        on: For each direction to change, the names whose attributes it is to leave alone; by
            default every direction, all others.
        codes: Where effects are measured; or how many codes to draw, of a seed of their own.
        ridge: Leakage tolerated, as in `directions.disentangle`.
        rendering: How images are made.

    Returns:
        The bank with those directions changed, with `evidence["disentangled"]`, in which
        `labelers` are their names.

    Raises:
        LatdirError: A name without an attribute, or a direction of which nothing is left.

    Example:
        >>> from directions.planted.world import planted
        >>> from discovery import Gradient
        >>> world = planted(factors=2, dim=8, cosine=0.6)
        >>> found = Gradient(n_codes=64).discover(world, classifier=world.classifier())
        >>> clean = independent(found, generator=world, labelers=[world.classifier()],
        ...                     on={"factor_0": ["factor_1"]}, codes=64)
        >>> bool((clean["factor_0"].vector @ world.truth[1]).abs() < 0.01)
        True
    """
    if on is None:
        on = {name: [other for other in bank if other != name] for name in bank}
    plan = {bank[name].name: [bank[o].name for o in held] for name, held in on.items()}
    about = [n for n in bank if any(n == name or n in held for name, held in plan.items())]
    space = bank.check(generator).directions[0].space
    if isinstance(codes, int):
        psi = rendering.of_bank(bank.provenance).psi
        codes = generator.sample(codes, seed=MIXING_SEED, space=space, truncation=psi)
    effects = labeler_effects(
        generator, labelers, bank, attributes=about, codes=codes, rendering=rendering
    ).mean(0)
    by = {"labelers": [labeler.name for labeler in labelers]}
    made = {}
    for name, held in plan.items():
        mixed = disentangle(
            bank, effects=effects, attributes=about, targets={name: name}, hold=held,
            ridge=ridge, prior=generator.prior(space),
        )[name]  # fmt: skip
        record = {**mixed.evidence["disentangled"], **by}
        made[name] = mixed.evolve(evidence={**mixed.evidence, "disentangled": record})
    return bank.replaced(made.get(d.name, d) for d in bank.directions)
