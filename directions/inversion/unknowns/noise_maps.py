"""Noise maps as unknowns beside a style code.

The projector of StyleGAN2 (Karras et al. 2020, arXiv:1912.04958) and Image2StyleGAN++ (Abdal, Qin,
Wonka 2020, arXiv:1911.11544) fit both. The maps of the image returned are part of the code, where
the official projector loses them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from directions.arguments import checked
from directions.errors import LatdirError
from directions.generators.base import Generator
from directions.generators.stylegan.generator import StyleGenerator
from directions.inversion.unknowns.base import Joint

__all__ = ["NoiseMaps", "noise_autocorrelation"]

# Maps above this side are pooled and looked at again.
SMALLEST = 8


class NoiseMaps(Joint):
    """A style generator whose noise maps are part of the code.

    Parts are `code` and one for each layer's map, by the layer's place in the network.

    Args:
        generator: A StyleGAN or StyleGAN2 with noise.
        space: Of the style code.

    Raises:
        LatdirError: A generator without noise maps.
    """

    @checked
    def __init__(self, generator: Generator, *, space: str = "w+") -> None:
        network = generator.network if isinstance(generator, StyleGenerator) else None
        if network is None or not getattr(getattr(network, "config", None), "noise", False):
            raise LatdirError(
                f"{generator.name} has no noise maps: invert with {type(generator).__name__} itself"
            )
        self.code_space = generator.space(space).name
        buffers = {n: b for n, b in network.named_buffers() if n.endswith("noise_const")}
        self.maps = tuple(buffers)
        shapes = {name: tuple(buffer.shape) for name, buffer in buffers.items()}
        super().__init__(
            generator,
            {"code": generator.space(space).shape, **shapes},
            title="noise maps",
            config={"space": space},
        )

    def drawn(self, count: int, *, seed: int) -> dict[str, Tensor]:
        """Codes of the prior, and standard normal maps."""
        codes = self.inner.sample(count, seed=seed, space=self.code_space)
        rng = torch.Generator().manual_seed(seed)
        maps = {n: torch.randn(count, *self.shapes[n], generator=rng) for n in self.maps}
        return {"code": codes, **{name: noise.to(codes) for name, noise in maps.items()}}

    def moments(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Those of the style space, and of a standard normal."""
        prior = self.inner.prior(self.code_space)
        maps = {n: (torch.zeros(self.shapes[n]), torch.ones(self.shapes[n])) for n in self.maps}
        return {"code": (prior.mean, prior.deviations), **maps}

    def made(self, parts: Mapping[str, Tensor]) -> Float[Tensor, "n 3 h w"]:
        """Images of codes with their maps."""
        inner = cast(StyleGenerator, self.inner)
        code = parts["code"]
        styles = code if self.code_space == "s" else inner.map(code, self.code_space, "s")
        split = torch.split(styles, list(inner.network.style_sizes), 1)
        maps = {
            f"network.{name}": noise[:, None] if noise.ndim == 3 else noise
            for name, noise in parts.items()
            if name != "code"
        }
        images: Tensor = torch.func.functional_call(_Synthesis(inner.network), maps, (split,))
        return images


class _Synthesis(nn.Module):
    """The synthesis with its stored noise, which a call replaces."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, styles: tuple[Tensor, ...]) -> Tensor:
        images: Tensor = self.network.synthesis(styles, noise="const")
        return images


@checked
def noise_autocorrelation(noise: Float[Tensor, "n h w"]) -> Float[Tensor, "n"]:
    """How far neighbors in noise maps are correlated, 0 for white noise.

    The sum, over the map and its 2×2 averages down to 8 pixels, of the squared mean product with
    the neighbor in each direction (Karras et al. 2020, arXiv:1912.04958, appendix D).

    Example:
        >>> noise_autocorrelation(torch.ones(1, 16, 16))  # two scales, two directions
        tensor([4.])
    """
    x, total = noise[:, None], noise.new_zeros(len(noise))
    while True:
        for axis in (2, 3):
            total = total + (x * x.roll(1, axis)).mean((1, 2, 3)).square()
        if x.shape[-1] <= SMALLEST:
            return total
        x = functional.avg_pool2d(x, 2)
