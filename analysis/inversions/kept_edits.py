"""The same edit on the codes an inversion found and on the codes the images were made from.

An inversion may reproduce an image and still leave the region of codes in which directions hold
(Zhu, Abdal, Qin, Femiani, Wonka 2020, arXiv:2012.09036; the trade-off between distortion and
editability of Tov et al. 2021, arXiv:2102.02766). For the generator's own images the edit of the
native code is known, and is what that of the inverted code is compared with.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from analysis.edits.targets import match_targets
from analysis.intervals.mean import mean_interval
from directions.arguments import checked, checked_fields
from directions.bank import DirectionBank
from directions.classifiers.base import Classifier, logit
from directions.errors import LatdirError, SpaceError, real_number
from directions.generators.base import Generator
from directions.inversion import Inversion
from directions.scoring.rendering import Rendering
from directions.scoring.scorer import Scorer

__all__ = ["KeptEdits", "kept_edits"]

# Embeddings whose mean cosine is so near to 1 say nothing of identity.
SAME = 1e-6


@checked_fields
@dataclass(frozen=True, eq=False)
class KeptEdits:
    """Edits of inverted codes beside the same edits of native ones, for each direction.

    Changes are in standard deviations of the attributes over the native images, probabilities as
    log-odds.

    Attributes:
        directions: Names of the directions that have a target.
        targets: Their targets.
        amount: Length of the edit, in sigma.
        effect: `[k]`, mean change of the target by the edit of the native codes.
        kept: `[k]`, mean change on inverted codes over that on native ones: 1 where the effect is
            kept.
        low: `[k]`, lower ends of its intervals.
        high: `[k]`, upper ends.
        error: `[k]`, mean absolute difference of the two changes of the target, image by image.
        native_leakage: `[k]`, mean absolute change of the other attributes over the mean change of
            the target; NaN with one attribute.
        leakage: `[k]`, the same on inverted codes.
        identity: `[k]`, identity that the edited image of the inverted code shares with that of
            the native one: 1 for the same, 0 for a different face; NaN without embeddings.
        unedited_identity: The same without an edit.
    """

    directions: tuple[str, ...]
    targets: tuple[str, ...]
    amount: float
    effect: Float[Tensor, "k"]
    kept: Float[Tensor, "k"]
    low: Float[Tensor, "k"]
    high: Float[Tensor, "k"]
    error: Float[Tensor, "k"]
    native_leakage: Float[Tensor, "k"]
    leakage: Float[Tensor, "k"]
    identity: Float[Tensor, "k"]
    unedited_identity: float

    def table(self) -> list[dict[str, Any]]:
        """One row a direction."""
        columns = {
            "direction": self.directions,
            "target": self.targets,
            **{
                name: getattr(self, name).tolist()
                for name in ("effect", "kept", "low", "high", "error", "native_leakage",
                             "leakage", "identity")
            },
        }  # fmt: skip
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


@checked
def kept_edits(
    inversion: Inversion,
    bank: DirectionBank,
    classifier: Classifier,
    *,
    native: Float[Tensor, "n *shape"],
    amount: float = 2.0,
    targets: Mapping[str, str] | None = None,
    embed: Callable[[Tensor], Tensor] | None = None,
    rendering: Rendering = Rendering(),
) -> KeptEdits:
    """Compare edits of the codes found with edits of those the images were made from.

    Args:
        inversion: Of images made from `native`; where generators are `tuned`, each edit is made by
            its image's.
        bank: Directions of the native codes' space. Codes found in another space are edited layer
            by layer where it is the layered form of that space, and mapped to it otherwise.
        classifier: Scores the images; at least the targets.
        native: `[n, *shape]`, one code for each image.
        amount: Length of the edit, in sigma.
        targets: Direction name to attribute name, where the names differ.
        embed: Images to embeddings, for identity.
        rendering: How images are made.

    Raises:
        LatdirError: No direction has a target, another number of codes, fewer than 2 images,
            images that could not be inverted, another generator's bank, a target that is the same
            in all native images or that its edit does not change, or one embedding for all images.

    Example:
        >>> from directions import Direction, invert
        >>> from directions.planted.world import planted
        >>> world = planted(factors=2, dim=8)
        >>> native = world.sample(4, seed=1)
        >>> found = invert(world, world.synthesize(native), start="mean")
        >>> bank = DirectionBank(
        ...     (Direction("factor_0", world.truth[0], "z"),), world.name, world.fingerprint
        ... )
        >>> edits = kept_edits(found, bank, world.classifier(), native=native)
        >>> bool((edits.kept - 1).abs() < 1e-3)
        True
    """
    generator = inversion.generator
    if len(native) != len(inversion):
        raise LatdirError(
            f"{len(native)} native codes for {len(inversion)} inverted: give one each"
        )
    if "failed" in inversion.statuses:
        raise LatdirError("images whose inversion failed cannot be edited: leave them out")
    if real_number(amount, "amount") == 0:
        raise LatdirError("an amount of 0 edits nothing: give a length in sigma, such as 2")
    found = match_targets(bank.check(generator), classifier.names, targets)
    if not found:
        raise LatdirError(
            "no direction of the bank has a target among the attributes: name them, such as "
            "targets={'pc_0': 'smiling'}"
        )
    chosen = bank.select(found)
    native_scene, found_scene = (
        _scene(makers, classifier, codes, space, chosen, amount, embed, rendering)
        for makers, codes, space in (
            ((generator,), native, _space(chosen, generator)),
            (inversion.tuned or (generator,), *_editable(inversion, chosen)),
        )
    )
    spread = native_scene.before.std(0)
    spread = torch.where(spread > 0, spread, torch.nan)
    columns = [classifier.names.index(target) for target in found.values()]
    own, theirs = ((scene.after - scene.before) / spread for scene in (native_scene, found_scene))
    identity, unedited = _identity(native_scene, found_scene, len(columns))
    rows = torch.arange(len(columns))
    targeted, reached = own[rows, :, columns], theirs[rows, :, columns]
    effect = targeted.mean(1)
    for name, target, seen in zip(found, found.values(), effect.tolist(), strict=True):
        if not math.isfinite(seen) or seen == 0:
            raise LatdirError(
                f"of {target!r}, the effect of {name!r} on the native images is not to be measured "
                "(it is the same in all of them, or with and without the edit): leave the "
                "direction out, or give other codes or another amount"
            )
    ratio = reached.mean(1) / effect
    # To first order, what an image changes of the ratio of two means over the images.
    influence = ratio + ((reached - ratio[:, None] * targeted) / effect[:, None]).T
    kept = mean_interval(influence)
    return KeptEdits(
        tuple(found), tuple(found.values()), amount, effect.float(), kept.mean.float(),
        kept.low.float(), kept.high.float(), (reached - targeted).abs().mean(1).float(),
        _leakage(own, columns, effect), _leakage(theirs, columns, reached.mean(1)),
        identity, unedited,
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Scene:
    """Scores `[n, a]` and embeddings of codes, and `[k, n, …]` of the same after each edit."""

    before: Tensor
    after: Tensor
    seen: Tensor | None
    seen_after: Tensor | None


def _scene(
    makers: tuple[Generator, ...],
    classifier: Classifier,
    codes: Tensor,
    space: str,
    bank: DirectionBank,
    amount: float,
    embed: Callable[[Tensor], Tensor] | None,
    rendering: Rendering,
) -> _Scene:
    """Of one generator for all codes, or one for each."""
    moved = torch.stack([codes, *(d.shift(codes, amount) for d in bank.directions)])
    parts = moved.chunk(len(makers), 1)
    scored, seen = [], []
    for maker, part in zip(makers, parts, strict=True):
        scorer = Scorer(maker, classifier, space=space, embed=embed, rendering=rendering)
        every = part.flatten(0, 1)
        if embed is None:
            scores = scorer.score(every)
        else:
            scores, rows = scorer.score_and_embed(every)
            unit = functional.normalize(rows.cpu(), dim=1)
            seen.append(unit.reshape(len(moved), -1, rows.shape[1]))
        scored.append(
            logit(scores, classifier.attributes).double().reshape(len(moved), -1, scores.shape[1])
        )
    read, faces = torch.cat(scored, 1), torch.cat(seen, 1) if seen else None
    return _Scene(
        read[0], read[1:], None if faces is None else faces[0], None if faces is None else faces[1:]
    )


def _leakage(
    changes: Float[Tensor, "k n a"], columns: list[int], effect: Float[Tensor, "k"]
) -> Float[Tensor, "k"]:
    others = torch.ones(len(columns), changes.shape[2], dtype=torch.bool)
    others[torch.arange(len(columns)), columns] = False
    sizes = changes.abs().mean(1)
    return (torch.where(others, sizes, torch.nan).nanmean(1) / effect.abs()).float()


def _identity(native: _Scene, inverted: _Scene, k: int) -> tuple[Float[Tensor, "k"], float]:
    if native.seen is None or inverted.seen is None:
        return torch.full((k,), torch.nan), float("nan")
    assert native.seen_after is not None
    assert inverted.seen_after is not None

    def shared(own: Tensor, other: Tensor) -> Tensor:
        # An edit makes different images alike, too: what it is compared with is edited as well.
        n = own.shape[-2]
        cosines = own @ own.mT
        different = (cosines.sum((-2, -1)) - cosines.diagonal(dim1=-2, dim2=-1).sum(-1)) / (
            n * (n - 1)
        )
        if not bool((different < 1 - SAME).all()):
            raise LatdirError(
                "all native images, or all edited ones, have one embedding: give a smaller amount "
                "or another embed="
            )
        return ((own * other).sum(-1).mean(-1) - different) / (1 - different)

    after = shared(native.seen_after, inverted.seen_after)
    return after.float(), float(shared(native.seen, inverted.seen))


def _space(bank: DirectionBank, generator: Generator) -> str:
    """The one space whose codes the directions move."""
    spaces = sorted({d.acts_in(generator.spaces) for d in bank.directions})
    if len(spaces) > 1:
        raise SpaceError(f"the directions are of {', '.join(spaces)}: select those of one space")
    return spaces[0]


def _editable(inversion: Inversion, bank: DirectionBank) -> tuple[Tensor, str]:
    """The codes found in a space that the directions move, and that space."""
    name = _space(bank, inversion.generator)
    if inversion.space in (name, f"{name}+"):
        return inversion.codes, inversion.space
    return inversion.generator.map(inversion.codes, inversion.space, name), name
