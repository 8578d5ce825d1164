"""StyleGAN2 as a generator: its spaces, its fast images, its linear form, and the built-in one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from directions import zoo
from directions.devices import Device
from directions.fingerprints import Precision
from directions.generators.layers import Activations, check_key
from directions.generators.stylegan.generator import StyleGenerator
from directions.generators.stylegan.stylegan2 import StyleGAN2, StyleGAN2Config, Watched
from directions.generators.stylegan.stylegan2_inference import prepare
from directions.generators.stylegan.stylegan2_jacobian import footprint, linearize_synthesis
from directions.numerics.linearized import Linearized, Window
from directions.numerics.linearized_batch import LinearizedBatch, linearize_batch

__all__ = ["STYLEFACE64", "StyleGAN2Generator", "styleface64"]

STYLEFACE64 = StyleGAN2Config(
    z_dim=100,
    w_dim=256,
    resolution=64,
    channels=(256, 256, 128, 64, 32),
    mapping=(256, 256, 256, 256),
    noise=False,
)


class StyleGAN2Generator(StyleGenerator):
    """A StyleGAN2 with its latent spaces, a fast synthesis and a linear form."""

    network: StyleGAN2

    def prepared(self, precision: Precision) -> Callable[[Sequence[Tensor]], Tensor]:
        """The synthesis without gradients, several times faster."""
        return prepare(self._networks(torch.float32), precision=precision, noise=self.noise)

    def linearize(
        self, code: Float[Tensor, "..."], *, space: str | None = None, window: Window | None = None
    ) -> Linearized:
        """The image of one code to first order, as `Generator.linearize`."""
        batch = self.linearize_batch(code[None], space=space)
        image = batch.single(footprint(self.network, batch.value))
        if window is None:
            return image
        top, left, bottom, right = window
        return image.then(lambda images: images[:, :, top:bottom, left:right])

    def linearize_batch(
        self, codes: Float[Tensor, "n ..."], *, space: str | None = None
    ) -> LinearizedBatch:
        """The images to first order, as `Generator.linearize_batch`."""
        name = space or self.default_space()
        self.check_shape(codes, name)
        # The linear form has no guard against the overflow of float16.
        codes = codes.float() if codes.dtype == torch.float16 else codes
        styles = linearize_batch(lambda points: self.map(points, name, "s"), codes)
        return linearize_synthesis(self._networks(codes.dtype), styles, noise=self.noise)

    def activations(self, codes: Float[Tensor, "n ..."], key: str, space: str = "z") -> Activations:
        """As `Generator.activations`; inputs are modulated, outputs after the activation."""
        paths = {f"{self.network.module_path(n)}.weight": n for n in self.network.style_names}
        check_key(self.name, paths, key)
        self.check(codes, space)
        styles = codes if space == "s" else self._map(codes, space, "s")
        parts = torch.split(styles, list(self.network.style_sizes), 1)
        network = self._networks(codes.dtype)
        named = dict(zip(network.style_names, parts, strict=True))
        return Watched(network, named, noise=self.noise).at(paths[key])


def styleface64(*, device: Device = "cpu") -> StyleGAN2Generator:
    """The built-in StyleGAN2 of 64×64 faces; `directions/zoo/styleface64` has its card.

    Args:
        device: Where it runs.

    Example:
        >>> generator = styleface64()
        >>> generator.synthesize(generator.sample(2, seed=0, space="w"), "w").shape
        torch.Size([2, 3, 64, 64])
    """
    network = StyleGAN2(STYLEFACE64)
    network.load_state_dict(network.state_dict() | zoo.load("styleface64"))
    return StyleGAN2Generator(network, name="styleface64").to(device)
