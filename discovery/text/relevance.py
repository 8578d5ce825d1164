"""Text-independent relevance of each channel: its mean change of the image embedding.

Patashnik, Wu, Shechtman, Cohen-Or, Lischinski: StyleCLIP, ICCV 2021, arXiv:2103.17249, section 6.
For each channel c of the style space, images of 100 codes are made with the channel moved by plus
and minus five of its standard deviations; the differences of their unit embeddings are brought to
unit length and averaged. It is the slow part of the method and serves every text: it is kept in a
file, and an interrupted run resumes.

Differences from the official code: every channel starts from the code as it was drawn, where both
ports leave each channel as the one before has left it; codes and channels of one chunk are one
long batch for the networks; images of any size go from network to network without files or PIL;
a channel that changes nothing has no relevance, where it gives NaN there.

`way="jacobian"` takes the derivative instead, of which the published differences are a coarse
form: one backward pass for each number of the embedding gives all channels at once, which pays
where channels outnumber those several times.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from directions.classifiers.clip.protocol import TextImageModel
from directions.errors import LatdirError
from directions.fingerprints import Precision
from directions.generators.base import Generator
from directions.progress import tqdm
from directions.scoring.rendering import Rendering
from directions.scoring.scorer import Scorer
from discovery.text.axes import Axes
from discovery.text.relevance_file import read_partial, write_partial

__all__ = ["Relevance", "Way", "measure_relevance"]

Way = Literal["differences", "jacobian"]

CHUNK_IMAGES = 4096
SAVE_SECONDS = 10.0
# Unit embeddings that differ by less differ by rounding: such a change has no direction.
LEAST_CHANGE = 1e-4

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Relevance:
    """Mean movement of images in the embedding along each axis.

    Attributes:
        axes: The axes moved.
        means: `[c, e]`, mean over codes of the unit difference; short where codes disagree, zero
            where nothing happens.
        settings: Its settings, as JSON values.
    """

    axes: Axes
    means: Float[Tensor, "c e"]
    settings: dict[str, Any]

    def along(
        self, texts: Float[Tensor, "k e"], *, renormalize: bool = True
    ) -> Float[Tensor, "k c"]:
        """Relevance of each axis to each text direction, in [-1, 1].

        Args:
            texts: Unit text directions Δt.
            renormalize: Bring the means to unit length first, as the official code does; the
                paper's formula leaves them short where the codes disagree.
        """
        rows = normalize(self.means, dim=1) if renormalize else self.means
        relevance: Tensor = texts.to(rows) @ rows.T
        return relevance

    @property
    def agreement(self) -> Float[Tensor, "c"]:
        """Length of each mean: 1 where all codes move in one direction, about 1/√n at random."""
        lengths: Tensor = self.means.norm(dim=1)
        return lengths


def measure_relevance(
    generator: Generator,
    clip: TextImageModel,
    axes: Axes,
    *,
    count: int = 100,
    strength: float = 5.0,
    way: Way = "differences",
    precision: Precision = "float32",
    seed: int = 0,
    batch: int = 64,
    path: str | Path | None = None,
) -> Relevance:
    """Measure the mean movement of images in the embedding along each axis.

    Args:
        generator: Makes the images.
        clip: Embeds them.
        axes: The axes to move, one at a time.
        count: Number of codes.
        strength: Amount by which each axis is moved both ways, in sigma; not used by `jacobian`.
        way: `differences` between images as published, or the `jacobian` at the codes.
        precision: Arithmetic of both networks; `jacobian` is float32 always.
        seed: Seed of the codes.
        batch: Images at a time.
        path: File for the result. If it holds a part of the same run, the run resumes from it;
            if all of it, nothing is computed.

    Returns:
        The mean unit difference of each axis.

    Raises:
        LatdirError: Settings out of range, a file of another run, or embeddings that are not
            finite.

    Example:
        >>> from directions.planted.world import planted
        >>> from directions.planted.clip import PlantedClip
        >>> world = planted(factors=2, dim=8)
        >>> clip = PlantedClip(world)
        >>> found = measure_relevance(world, clip, Axes.coordinates(world, "z"), count=4)
        >>> found.means.shape
        torch.Size([8, 32])
    """
    if count < 1 or batch < 1 or not (strength > 0 and math.isfinite(strength)):
        raise LatdirError(
            f"count {count} and batch {batch} must be at least 1 and strength {strength} positive: "
            "the paper takes 100 codes and 5 sigma"
        )
    if way not in ("differences", "jacobian"):
        raise LatdirError(f"way {way!r} is neither 'differences' nor 'jacobian'")
    settings = {
        "generator": generator.fingerprint,
        "clip": clip.fingerprint,
        "axes": axes.digest,
        "count": count,
        "strength": strength if way == "differences" else None,
        "way": way,
        "precision": precision if way == "differences" else "float32",
        "seed": seed,
    }
    codes = generator.sample(count, seed=seed, space=axes.space)
    if way == "differences":
        found = _differences(generator, clip, axes, codes, settings, batch, path)
    else:
        found = _jacobian(generator, clip, axes, codes, settings, batch, path)
    if not torch.isfinite(found).all():
        worst = int((~torch.isfinite(found)).any(1).nonzero()[0])
        raise LatdirError(
            f"{clip.name} gave embeddings that are not finite around axis {axes.names[worst]}: "
            "use precision='float32', or a smaller strength"
        )
    return Relevance(axes, found, settings)


def _differences(
    generator: Generator,
    clip: TextImageModel,
    axes: Axes,
    codes: Tensor,
    settings: dict[str, Any],
    batch: int,
    path: str | Path | None,
) -> Float[Tensor, "c e"]:
    embed = _embedder(generator, clip, axes.space, settings["precision"], batch)
    with torch.inference_mode():
        width = embed(codes[:1]).shape[1]
    means, first = read_partial(path, settings, (len(axes), width))
    chunk = max(1, CHUNK_IMAGES // (2 * len(codes)))
    keeper = _Keeper(path, settings, len(axes))
    starts = range(first, len(axes), chunk)
    for start in tqdm(starts, desc="relevance", unit=f"{chunk} axes", delay=1):
        stop = min(start + chunk, len(axes))
        steps = settings["strength"] * axes.steps(start, stop).to(codes)
        means[start:stop] = _unit_differences(embed, codes, steps).mean(1).cpu()
        keeper.keep(means, done=stop)
    return means


def _unit_differences(
    embed: Callable[[Tensor], Tensor], codes: Float[Tensor, "n *shape"], steps: Float[Tensor, "m d"]
) -> Float[Tensor, "m n e"]:
    """Of every code moved along every step: each pair starts from the code as it was drawn."""
    offsets = steps.reshape(len(steps), 1, *codes.shape[1:])
    ahead, behind = (embed((codes + sign * offsets).flatten(0, 1)) for sign in (1, -1))
    change = (ahead - behind).reshape(len(steps), len(codes), -1)
    lengths = change.norm(dim=2, keepdim=True)
    return torch.where(lengths > LEAST_CHANGE, change / lengths, 0.0)


def _embedder(
    generator: Generator, clip: TextImageModel, space: str, precision: Precision, batch: int
) -> Callable[[Tensor], Tensor]:
    """Codes to unit embeddings, in batches and without gradients."""

    def read(images: Tensor) -> Tensor:
        # Convolutions of few channels are half as fast again with the channels last.
        return clip.encode_images(images.contiguous(memory_format=torch.channels_last))

    rendering = Rendering(precision=precision, batch_size=batch)
    scorer = Scorer(generator, space=space, embed=read, rendering=rendering)

    def embed(codes: Tensor) -> Tensor:
        with torch.autocast(codes.device.type, torch.bfloat16, precision == "bfloat16"):
            return normalize(scorer.embed(codes), dim=1)

    return embed


def _jacobian(
    generator: Generator,
    clip: TextImageModel,
    axes: Axes,
    codes: Tensor,
    settings: dict[str, Any],
    batch: int,
    path: str | Path | None,
) -> Float[Tensor, "c e"]:
    """The same of infinitely small steps: the columns of J · (sigma v), brought to unit length."""
    with torch.no_grad():
        width = clip.encode_images(generator.synthesize(codes[:1], axes.space)).shape[1]
    sums, first = read_partial(path, settings, (len(axes), width))
    steps = axes.steps(0, len(axes)).to(codes) if axes.vectors is not None else None
    keeper = _Keeper(path, settings, len(codes))
    for start in tqdm(range(first, len(codes), batch), desc="relevance", unit="batch", delay=1):
        part = codes[start : start + batch]
        rows = _embedding_jacobian(generator, clip, part, axes.space)
        columns = rows * axes.sigmas.to(rows) if steps is None else rows @ steps.T
        sums += normalize(columns, dim=1).sum(0).T.cpu() / len(codes)
        keeper.keep(sums, done=min(start + batch, len(codes)))
    return sums


class _Keeper:
    """Writes a run's table at its end and every few seconds before, where a file is kept."""

    def __init__(self, path: str | Path | None, settings: dict[str, Any], total: int) -> None:
        self.path, self.settings, self.total = path, settings, total
        self.saved = time.monotonic()

    def keep(self, means: Float[Tensor, "c e"], *, done: int) -> None:
        due = done == self.total or time.monotonic() - self.saved > SAVE_SECONDS
        if self.path is not None and due:
            write_partial(self.path, self.settings, means, done=done)
            self.saved = time.monotonic()


def _embedding_jacobian(
    generator: Generator, clip: TextImageModel, codes: Float[Tensor, "n *shape"], space: str
) -> Float[Tensor, "n e d"]:
    """Of the unit embedding with respect to the flattened code, one backward pass a number."""
    with torch.enable_grad():
        leaf = codes.detach().clone().requires_grad_(True)
        embedding = normalize(clip.encode_images(generator.synthesize(leaf, space)).float(), dim=1)
        if not embedding.requires_grad:
            raise LatdirError(
                f"no gradient flows from {clip.name} to the codes of {generator.name}: "
                "use way='differences', which needs none"
            )
        totals = embedding.sum(0)
        last = len(totals) - 1
        rows = [
            torch.autograd.grad(total, leaf, retain_graph=i < last)[0].flatten(1)
            for i, total in enumerate(totals)
        ]
    return torch.stack(rows, 1)
