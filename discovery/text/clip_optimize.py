"""Latent optimization toward a text.

Patashnik et al.: StyleCLIP, ICCV 2021, arXiv:2103.17249, section 4. For every code w₀

    argmin_w  (1 - cos(E(G(w)), E(text))) + λ_L2 ‖w - w₀‖² + λ_ID (1 - cos(R(G(w)), R(G(w₀))))

with E the text-image model and R a face embedding, by Adam in 300 steps of 0.1, a rate that rises
over the first twentieth and falls over the last half, λ_L2 0.008 and λ_ID 0.005.

Differences from the official code: a whole batch is moved at once, every code as if it were alone;
any space will do; each code keeps the best it has met; a code that has stopped improving stops,
though the paper's schedule is not over. The common change of the codes is a direction.

Ours, and not the paper's, is `region`: where an edit may change the image. It adds

    λ_out · mean over pixels of (1 - m) (G(w) - G(w₀))²

to the loss, with m one inside the region, found in the image of w₀.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import cosine_similarity

from directions.arguments import returned
from directions.bank import DirectionBank
from directions.classifiers.clip.protocol import TextImageModel
from directions.direction import Direction
from directions.errors import LatdirError
from directions.generators.base import Generator
from directions.progress import tqdm
from directions.space import Space
from discovery.base import TextMethod, tool
from discovery.jacobian.region import region_masks
from discovery.wording import Wording

__all__ = [
    "ClipOptimize",
    "Embed",
    "Optimized",
    "Parts",
    "change_outside",
    "edited_space",
    "with_gradient",
]

RAMP_UP, RAMP_DOWN = 0.05, 0.5

Embed = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Parts:
    """Terms of the loss at every step, `[steps, n]` each; NaN once a code has stopped.

    Attributes:
        clip: 1 - cosine to the text.
        distance: Squared distance from where the code began.
        identity: 1 - cosine to the face it began with; 0 where identity is not measured.
        outside: Mean squared change of the image outside of the region; 0 without one.
        total: The weighted sum.
    """

    clip: Float[Tensor, "steps n"]
    distance: Float[Tensor, "steps n"]
    identity: Float[Tensor, "steps n"]
    outside: Float[Tensor, "steps n"]
    total: Float[Tensor, "steps n"]


PARTS = tuple(part.name for part in fields(Parts))


@dataclass(frozen=True, eq=False)
class Optimized:
    """Codes moved toward a text.

    Attributes:
        text: The text.
        space: Name of their space.
        start: Where they began.
        codes: The best that was met of each.
        curves: The loss and its parts.
    """

    text: str
    space: str
    start: Float[Tensor, "n *shape"]
    codes: Float[Tensor, "n *shape"]
    curves: Parts

    @property
    def change(self) -> Float[Tensor, "n *shape"]:
        """The change of each code."""
        return self.codes - self.start

    @property
    def agreement(self) -> float:
        """Length of the mean of the unit changes: 1 where all codes moved in one direction."""
        flat = self.change.flatten(1)
        unit = flat / flat.norm(dim=1, keepdim=True).clamp_min(1e-12)
        return float(unit.mean(0).norm())


@dataclass(frozen=True)
class ClipOptimize(TextMethod):
    """Codes optimized toward a text, and their common change as a direction.

    Evidence: `agreement` of the codes' changes, mean `length` of a change in sigma, `clip_before`
    and `clip_after`, mean cosines to the text, and `steps` taken. The paper's loss uses the text
    alone: `neutral` names the directions and serves `without`.

    Attributes:
        steps: Steps of Adam, at most.
        rate: Its largest rate.
        distance: λ_L2, price of the squared distance from the start.
        identity: λ_ID, price of another face, where a face embedding is given.
        patience: Stop a code after this many steps without improvement; 0 never does.
        tolerance: Least improvement of the loss that counts as one.
        n_codes: Number of codes that `discover` moves.
        space: Latent space; by default `w+` where there is one, otherwise the first.
        batch_size: Codes at a time; bounds the memory.
        region: Where images may change: a part of the face (eyes, mouth, nose, face, background),
            or a box in pixels, `top,left,bottom,right`; by default everywhere.
        outside: λ_out, price of the mean squared change outside of the region.
        embed: Images to face embeddings, differentiably; without it identity is not held.
        mask: `[h, w]`, or one for each code `[n, h, w]`, in 0 … 1, to use instead of `region`.

    Example:
        >>> from directions.planted.world import planted
        >>> from directions.planted.clip import PlantedClip
        >>> world = planted(factors=2, dim=8, names=("smile", "age"))
        >>> method = ClipOptimize(steps=40)
        >>> done = method.optimize(world, PlantedClip(world), world.sample(4, seed=0), text="smile")
        >>> bool((done.curves.clip[-1] < done.curves.clip[0]).all())
        True
    """

    steps: int = 300
    rate: float = 0.1
    distance: float = 0.008
    identity: float = 0.005
    patience: int = 50
    tolerance: float = 1e-5
    n_codes: int = 16
    space: str | None = None
    batch_size: int = 16
    region: str | None = None
    outside: float = 30.0
    embed: Embed | None = tool()
    mask: Float[Tensor, "..."] | None = tool()

    method: ClassVar[str] = "clip_optimize"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_embed(self.embed)
        self._check_positive("rate")
        self._check_least(0, "distance", "identity", "outside", "tolerance", "patience")

    def _find(
        self, generator: Generator, words: Wording, clip: TextImageModel, seed: int
    ) -> DirectionBank:
        space = edited_space(generator, self.space).name
        codes = generator.sample(self.n_codes, seed=seed, space=space)
        directions = []
        for p in words.prompts:
            done = self.optimize(generator, clip, codes, text=p.text)
            directions.append(self._direction(generator, p.name, done))
        return DirectionBank.of(generator, tuple(directions))

    def optimize(
        self,
        generator: Generator,
        clip: TextImageModel,
        codes: Float[Tensor, "n *shape"],
        *,
        text: str,
    ) -> Optimized:
        """Move codes until their images are like a text.

        Args:
            generator: Makes the images, differentiably.
            clip: Embeds images and texts, differentiably.
            codes: Codes of the method's space.
            text: Description of the target images.

        Returns:
            The codes, each the best met, and the curves.

        Raises:
            LatdirError: Codes of another space, a loss that is not finite or has no gradient, or
                a region that `region_masks` refuses.
        """
        space = edited_space(generator, self.space).name
        generator.space(space).check(codes)
        if not len(codes):
            raise LatdirError("no codes to move: give at least one")
        target = clip.encode_texts([text]).detach()[0]
        parts = torch.split(codes.detach(), self.batch_size)
        masks: Sequence[Tensor | None] = [None] * len(parts)
        if self.region is not None or self.mask is not None:
            where = self.region or "mask"
            found = region_masks(
                generator, codes.detach(), space=space, region=where, mask=self.mask
            )
            masks = torch.split(found, self.batch_size)
        done = [
            self._descend(generator, clip, part, space, target, inside)
            for part, inside in zip(parts, masks, strict=True)
        ]
        best = torch.cat([codes for codes, _ in done])
        curves = Parts(*(_joined([list(rows)[k] for _, rows in done]) for k in range(len(PARTS))))
        return Optimized(text, space, codes.detach(), best, curves)

    def _descend(
        self,
        generator: Generator,
        clip: TextImageModel,
        start: Tensor,
        space: str,
        target: Tensor,
        inside: Float[Tensor, "n h w"] | None,
    ) -> tuple[Tensor, Float[Tensor, "5 steps n"]]:
        """Adam on every code separately; stopped codes are excluded from the networks."""
        embed, before, faces = self.embed, None, None
        if embed is not None or inside is not None:
            with torch.no_grad():
                before = generator.synthesize(start, space)
                faces = None if embed is None else returned(embed(before), "embed", "n f")
        w = start.clone()
        optimizer = torch.optim.Adam([w], lr=self.rate)
        best, least = start.clone(), torch.full((len(start),), torch.inf).to(start)
        waited = torch.zeros(len(start), dtype=torch.long, device=start.device)
        active = torch.ones(len(start), dtype=torch.bool, device=start.device)
        curves = []
        for t in tqdm(range(self.steps), desc="optimize", unit="step", delay=1, leave=False):
            leaf = w[active].clone().requires_grad_(True)
            with torch.enable_grad():
                images = generator.synthesize(leaf, space)
                unlike = 1 - with_gradient(clip.encode_images(images), clip, generator) @ target
                distance = (leaf - start[active]).square().flatten(1).sum(1)
                other = outside = torch.zeros_like(distance)
                if embed is not None and faces is not None:
                    made = returned(embed(images), "embed", "n f")
                    other = 1 - cosine_similarity(made, faces[active], dim=1)
                if inside is not None and before is not None:
                    outside = change_outside(images, before[active], inside[active])
                total = unlike + self.distance * distance + self.identity * other
                total = total + self.outside * outside
                [gradient] = torch.autograd.grad(total.sum(), leaf)
            if not torch.isfinite(gradient).all():
                raise LatdirError(
                    f"the gradient of {clip.name} through {generator.name} is NaN or infinite at "
                    f"step {t}: lower rate, or leave these codes out"
                )
            row = torch.full((len(PARTS), len(start)), torch.nan).to(start)
            row[:, active] = torch.stack([unlike, distance, other, outside, total]).detach().to(row)
            curves.append(row)
            improved = active & (row[-1] < least - self.tolerance)
            lower = active & (row[-1] < least)
            best[lower], least[lower] = w[lower], row[-1][lower]
            waited = torch.where(improved, 0, waited + 1)
            # Adam works number by number; where a code has stopped, its best is kept already.
            w.grad = torch.zeros_like(w)
            w.grad[active] = gradient
            optimizer.param_groups[0]["lr"] = self._rate(t)
            optimizer.step()
            active = self._going_on(active, waited)
            if not active.any():
                break
        return best, torch.stack(curves, 1)

    def _rate(self, t: int) -> float:
        """The paper's schedule: up over the first twentieth, down a cosine over the last half."""
        share = t / self.steps
        fall = min(1.0, (1 - share) / RAMP_DOWN)
        return self.rate * (0.5 - 0.5 * math.cos(fall * math.pi)) * min(1.0, share / RAMP_UP)

    def _going_on(self, active: Bool[Tensor, "n"], waited: Tensor) -> Bool[Tensor, "n"]:
        return active & (waited < self.patience) if self.patience else active

    def _direction(self, generator: Generator, name: str, done: Optimized) -> Direction:
        change = done.change.flatten(1)
        shared = change.mean(0)
        if not shared.any():
            raise LatdirError(
                f"no code was moved toward {done.text!r}: lower distance, or raise rate or steps"
            )
        sigma = generator.prior(done.space).sigma(shared / shared.norm())
        clip = done.curves.clip
        ends = [float(row[~row.isnan()].amin()) for row in clip.T]
        return Direction.from_vector(
            name,
            shared.reshape(done.codes.shape[1:]),
            space=done.space,
            sigma=sigma,
            evidence={
                "agreement": done.agreement,
                "length": float(change.norm(dim=1).mean()) / sigma,
                "clip_before": 1 - float(clip[0].mean()),
                "clip_after": 1 - sum(ends) / len(ends),
                "steps": len(clip),
            },
        )


def edited_space(generator: Generator, wanted: str | None) -> Space:
    """The requested space; otherwise `w+`, where the paper edits, or the first without one."""
    return generator.space(wanted or generator.default_space("w+"))


def check_embed(embed: Embed | None) -> None:
    """Refuse a class, which makes an object of images and no embeddings.

    Raises:
        LatdirError: It is one.
    """
    if isinstance(embed, type):
        raise LatdirError(
            f"embed is the class {embed.__name__}, not a function of images: make one of it"
        )


def with_gradient(embeddings: Tensor, clip: TextImageModel, generator: Generator) -> Tensor:
    """The embeddings, if a gradient flows from them.

    Raises:
        LatdirError: None does.
    """
    if not embeddings.requires_grad:
        raise LatdirError(
            f"no gradient flows from {clip.name} to the codes of {generator.name}: one of them is "
            "not differentiable; use `clip_boundary`, which needs scores only"
        )
    return embeddings


def change_outside(
    images: Float[Tensor, "n c h w"],
    before: Float[Tensor, "n c h w"],
    inside: Float[Tensor, "n h w"],
) -> Float[Tensor, "n"]:
    """Mean squared change of each image where its mask is not one.

    Example:
        >>> black, inside = torch.zeros(1, 3, 2, 2), torch.tensor([[[1.0, 1.0], [0.0, 0.0]]])
        >>> change_outside(black + 2, black, inside)
        tensor([2.])
    """
    change: Tensor = (1 - inside[:, None]) * (images - before).square()
    return change.flatten(1).mean(1)


def _joined(parts: list[Tensor]) -> Float[Tensor, "steps n"]:
    """Curves of several batches side by side; those that stopped first end in NaN."""
    longest = max(len(p) for p in parts)
    padded = [torch.cat([p, p.new_full((longest - len(p), p.shape[1]), torch.nan)]) for p in parts]
    return torch.cat(padded, 1)
