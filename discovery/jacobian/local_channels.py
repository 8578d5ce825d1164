"""Single channels that change one region of the image and preserve the rest.

Zongze Wu, Dani Lischinski, Eli Shechtman: StyleSpace Analysis: Disentangled Controls for StyleGAN
Image Generation, CVPR 2021, arXiv:2011.12799, section 4.1: a channel is local if its gradient map
overlaps with a semantic region in most images.

Differences from the paper: a gradient map of every channel takes one pass a channel, 9,088 of
them at 1024 pixels. Only the map's energy inside and outside the region is needed, and
random signs ε on the pixels give both without bias from two products with the transposed Jacobian
each: E[(Jᵀ(√m ⊙ ε))²] is the sum over pixels of m times the squared derivative. The overlap is the
region's share of the energy, over all images; channels that hardly change the region have a
share too but nothing to show for it, and are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from directions.bank import DirectionBank
from directions.errors import LatdirError
from directions.generators.base import Generator
from directions.progress import tqdm
from discovery.base import GeneratorMethod
from discovery.channels import channel_direction, usable_channels
from discovery.jacobian.region import region_masks

__all__ = ["LocalChannels", "region_energy"]

BATCH = 8


@dataclass(frozen=True)
class LocalChannels(GeneratorMethod):
    """Channels of one region of the image.

    Attributes:
        region: A part of the face (eyes, mouth, nose, face, background), or a box in pixels,
            `top,left,bottom,right`.
        n_directions: Maximum number of directions.
        n_codes: Number of images whose gradients are taken.
        probes: Draws of random signs an image.
        active: Share of the channels that are ranked, those that change the region most for
            each sigma.
        rgb: Whether channels of the color layers count.
        space: Latent space whose coordinates are the channels; by default `s` where there is one,
            otherwise the generator's own.

    Example:
        >>> from directions.generators import load_generator
        >>> top = LocalChannels(region="0,0,8,16", n_directions=2, n_codes=4)
        >>> len(top.discover(load_generator("planted")))
        2
    """

    region: str = "mouth"
    n_directions: int = 20
    n_codes: int = 50
    probes: int = 4
    active: float = 0.25
    rgb: bool = False
    space: str | None = None

    method: ClassVar[str] = "local_channels"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.active <= 1:
            raise LatdirError(f"active {self.active} is a fraction above 0 and up to 1")

    def discover(
        self,
        generator: Generator,
        *,
        seed: int = 0,
        codes: Float[Tensor, "n ..."] | None = None,
        mask: Float[Tensor, "..."] | None = None,
        landmarks: Callable[[Tensor], Tensor] | None = None,
    ) -> DirectionBank:
        """Find the channels.

        Args:
            generator: One with styles; of any other, the coordinates of its default space.
            seed: Of the codes and of the signs.
            codes: `[n, *shape]` of the space, to use instead of sampled ones.
            mask: `[h, w]`, or one for each code `[n, h, w]`, in 0 … 1, from any segmenter, to
                use instead of `region`.
            landmarks: Takes images, returns iBUG's 68 points `[n, 68, 2]` in pixels; by default
                the built-in net's.

        Returns:
            Directions of one channel each, the most local first, named `region:layer:channel`;
            `mask` denotes a custom region. Evidence has `layer`, `channel`, `index`,
            `inside` (the region's share of the squared change) and `change` (root of the mean
            squared change of the region's pixels per sigma).

        Raises:
            LatdirError: A region or mask that does not fit, or an empty one.
        """
        space = generator.space(self.space or generator.default_space("s"))
        if codes is None:
            codes = generator.sample(self.n_codes, seed=seed, space=space.name)
        generator.check(codes, space.name)
        masks = region_masks(
            generator, codes, space=space.name, region=self.region, mask=mask, landmarks=landmarks
        )
        inside, outside = region_energy(
            generator, codes, masks, space=space.name, probes=self.probes, seed=seed
        )
        total = inside + outside
        share = inside / torch.where(total > 0, total, torch.ones_like(total))
        sigmas = generator.prior(space.name).deviations.flatten().to(inside)
        pixels = generator.image_shape[0] * float(masks.sum())
        change = (inside * sigmas.square() * len(codes) / pixels).sqrt()
        usable = usable_channels(generator, space.name, rgb=self.rgb).to(inside.device)
        usable &= change > 0
        if not usable.any():
            raise LatdirError(f"no channel of {generator.name} changes the region")
        ranked = max(self.n_directions, round(self.active * int(usable.sum())))
        strong = (change * usable).topk(min(ranked, int(usable.sum()))).indices
        best = strong[share[strong].argsort(descending=True, stable=True)][: self.n_directions]
        label = self.region if mask is None else "mask"
        directions = tuple(
            channel_direction(
                generator,
                space.name,
                index,
                sign=1.0,
                name=label,
                method=self,
                evidence={"inside": float(share[index]), "change": float(change[index])},
            )
            for index in best.tolist()
        )
        provenance = {"seed": seed, "samples": len(codes)}
        return DirectionBank.of(generator, directions, provenance)


def region_energy(
    generator: Generator,
    codes: Float[Tensor, "n ..."],
    masks: Float[Tensor, "n h w"],
    *,
    space: str,
    probes: int,
    seed: int,
) -> tuple[Float[Tensor, "d"], Float[Tensor, "d"]]:
    """Summed squared derivative of the pixels inside and outside a region, mean over images.

    Args:
        generator: Makes the images, differentiably.
        codes: Where.
        masks: Of each image, in 0 … 1.
        space: Space of the codes.
        probes: Draws of random signs; the estimate's error falls with the root of their number
            times that of the images.
        seed: Of the signs.
    """
    rng = torch.Generator().manual_seed(seed % 2**63)
    d = codes[0].numel()
    energy = torch.zeros(2, d, dtype=torch.float64, device=codes.device)
    starts = range(0, len(codes), BATCH)
    for i in tqdm(starts, desc="gradients", leave=False, delay=1):
        leaf = codes[i : i + BATCH].detach().clone().requires_grad_(True)
        # A caller's no_grad would leave nothing to differentiate.
        with torch.enable_grad():
            images = generator.synthesize(leaf, space)
        mask = masks[i : i + BATCH, None]
        for k in range(probes):
            signs = torch.randint(0, 2, images.shape, generator=rng).to(images) * 2 - 1
            for side, weight in enumerate((mask, 1 - mask)):
                keep = (k, side) != (probes - 1, 1)
                [pulled] = torch.autograd.grad(
                    images, leaf, signs * weight.sqrt().to(images), retain_graph=keep
                )
                energy[side] += pulled.flatten(1).double().square().sum(0)
    inside, outside = energy / (probes * len(codes))
    return inside, outside
