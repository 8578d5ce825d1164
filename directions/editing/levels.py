"""Codes set to one level: of a direction, or of the attribute it moves, measured on the images."""

from __future__ import annotations

import logging

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked
from directions.bank import DirectionBank
from directions.classifiers.base import Classifier
from directions.direction import Direction
from directions.editing.moves import move
from directions.editing.solution import Level
from directions.editing.solver import solve
from directions.errors import LatdirError
from directions.generators.base import Generator
from directions.scoring.rendering import Rendering
from directions.space import as_codes

__all__ = ["set_level"]

# In sigma: beyond it a prior has one code in ten thousand.
FAR = 4.0
LISTED = 5  # codes that a warning tells of

log = logging.getLogger(__name__)


@checked
def set_level(
    codes: Float[Tensor, "n *shape"] | np.ndarray,
    direction: Direction,
    level: float | Tensor,
    *,
    unit: str = "sigma",
    generator: Generator | None = None,
    classifier: Classifier | None = None,
    rendering: Rendering = Rendering(),
) -> Float[Tensor, "n *shape"]:
    """Set codes to one level along a direction, or to one value of its attribute.

    In `sigma` or `latent` units, `z + (α - (n · z + b)) n`: the signed distance of each code to
    the hyperplane becomes α, as InterFaceGAN's interpolation does for a boundary without intercept.
    Codes with a layer axis are set layer by layer for a direction `[d]`; only the layers that the
    direction acts on move. A level beyond 4 sigma, where hardly any code of the prior lies, is
    logged as a warning.

    In the attribute's unit, with a generator and a classifier, each code is moved until its image
    scores the level, within the noise of the classifier (at most 0.1 standard deviations) and
    within 3 sigma. Codes that cannot are moved as near as possible, and a warning says how far
    each came and what stopped it. To hold other attributes, or for the figures of each code, use
    `solve` with `Level`.

    Args:
        codes: `[n, *shape]` of the direction's space; `[n, layers, d]` for a direction `[d]`.
        direction: Direction n with offset b, taken as 0 where there is none.
        level: α, or the attribute's value: one number or one for each code.
        unit: `sigma`, `latent`, `attribute`, or the unit of the attribute (`years`, `degrees`,
            `probability`). The attribute is the one that the direction is calibrated for, else
            that of its name.
        generator: Makes the images.
        classifier: Scores them.
        rendering: How images are made.

    Returns:
        New codes.

    Raises:
        LatdirError: Another unit, codes of another shape, or a value without the models.

    Example:
        >>> up = Direction("up", torch.tensor([0.0, 1.0]), "z", offset=1.0)
        >>> set_level(torch.tensor([[5.0, 3.0], [6.0, -7.0]]), up, 2.0)
        tensor([[5., 1.],
                [6., 1.]])

        To a value of the attribute:

        >>> from directions.planted.world import planted
        >>> world = planted(factors=2, dim=8, bend=0.5)
        >>> own = Direction("factor_0", world.truth[0], "z")
        >>> made = set_level(world.sample(2, seed=1), own, 1.2, unit="attribute",
        ...                  generator=world, classifier=world.classifier())
        >>> bool(((world.factors(made)[:, 0] - 1.2).abs() < 0.15).all())
        True
    """
    codes = as_codes(codes)
    if unit not in ("sigma", "latent"):
        if generator is None or classifier is None:
            raise LatdirError(
                f"a level is given in 'sigma' or 'latent' units, not {unit!r}: an attribute's own "
                "value is reached on images; give generator= and classifier="
            )
        return _to_value(codes, direction, level, unit, generator, classifier, rendering)
    if generator is not None or classifier is not None:
        raise LatdirError(
            f"a level in {unit} needs no images: give unit='attribute' to reach a score, or leave "
            "generator= and classifier= out"
        )
    wanted = torch.as_tensor(direction.latent_amount(level, unit)).to(codes)
    if wanted.ndim > 1 or (wanted.ndim == 1 and len(wanted) not in (1, len(codes))):
        raise LatdirError(
            f"level has shape {list(wanted.shape)}: give one number, "
            f"or one for each of the {len(codes)} codes"
        )
    if (wanted.abs() > FAR * direction.sigma).any():
        log.warning(
            "a level of %.3g sigma along %s is beyond the codes of the prior, which lie within "
            "about %g: its image will be unlike any; the attribute's own value is set with unit="
            "'attribute', generator= and classifier=",
            float(wanted.abs().max()) / direction.sigma,
            direction.name,
            FAR,
        )
    # Moves of the zero code show where the direction points, and on which layers it acts.
    zero = torch.zeros_like(codes[:1])
    full = direction.evolve(layers=None).shift(zero, 1.0, unit="latent")
    acting = direction.shift(zero, 1.0, unit="latent")
    axes = tuple(range(codes.ndim - direction.vector.ndim, codes.ndim))
    present = (codes * full).sum(axes, keepdim=True) + (direction.offset or 0.0)
    gained = (acting * full).sum(axes, keepdim=True)
    short = wanted.reshape(-1, *[1] * (codes.ndim - 1)) - present
    return codes + short / torch.where(gained > 0, gained, torch.ones_like(gained)) * acting


def _to_value(
    codes: Tensor,
    direction: Direction,
    level: float | Tensor,
    unit: str,
    generator: Generator,
    classifier: Classifier,
    rendering: Rendering,
) -> Tensor:
    scale = direction.calibration
    name = direction.name if scale is None else scale.attribute
    attribute = classifier.attributes[classifier.columns([name])[0]]
    own = "" if unit in ("attribute", scale and scale.unit, attribute.unit) else unit
    alone = DirectionBank.of(generator, [direction.check(generator)])
    found = solve(
        alone,
        targets={name: Level(level, own)},
        codes=codes,
        generator=generator,
        classifier=classifier,
        rendering=rendering,
    )
    if failed := [row for row, reason in enumerate(found.stopped) if reason]:
        told = [f"code {row}: {float(found.scores[name][row]):.3g}; {found.stopped[row]}"
                for row in failed[:LISTED]]  # fmt: skip
        log.warning(
            "%d of %d codes do not reach the level of %s: %s%s",
            len(failed),
            len(codes),
            name,
            "; ".join(told),
            f"; and {len(failed) - LISTED} more" if len(failed) > LISTED else "",
        )
    return move(codes, alone, found)
