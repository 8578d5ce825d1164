"""Features of a layer as unknowns beside a code.

Kang, Kim, Cho 2021, "GAN Inversion for Out-of-Range Images with Geometric Transformations"
(BDInvert), arXiv:2108.08998: a base code, the features of a layer, and a detail code, the styles:
F/W+. Features know where they are, so that shifted, rotated and other faces out of range fit.
Bau et al. 2019, "Seeing What a GAN Cannot Generate", arXiv:1910.11626, adds residuals to the
features that a code makes. Both are one thing here, an offset from what a code makes: held, the
features stay when the code moves, as in BDInvert, whose edits act on later styles only; otherwise
they follow the edit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked
from directions.generators.base import Generator
from directions.inversion.unknowns.base import Joint
from directions.scoring.activations import changed_at_layer, layer_activations

__all__ = ["FeatureOffsets"]

# Codes whose features say how much the layer's vary.
SAMPLES = 64


class FeatureOffsets(Joint):
    """A generator with an offset from the features of a layer as part of the code.

    Parts are `code`, of the inner space, and `features`, of the layer's output.

    Args:
        generator: One whose layers go by names, such as `relu.1` of a DCGAN, `leaky_relu.3` of a
            StyleGAN2, or a module's.
        layer: Whose output is offset.
        space: Of the code; by default w+ where the generator has it, else its first.

    Raises:
        LatdirError: No such layer or space.

    Example:
        >>> from directions import load_generator
        >>> world = FeatureOffsets(load_generator("digiface64"), layer="relu.1")
        >>> codes = world.inner.sample(1, seed=0)
        >>> plain = world.synthesize(world.around(codes))
        >>> torch.allclose(plain, world.inner.synthesize(codes), atol=1e-5)
        True
    """

    @checked
    def __init__(self, generator: Generator, *, layer: str, space: str | None = None) -> None:
        self.layer = layer
        self.code_space = generator.space(space or generator.default_space("w+")).name
        few = generator.sample(SAMPLES, seed=0, space=self.code_space)
        seen = layer_activations(generator, layer=layer, space=self.code_space)
        features = torch.cat([seen(part) for part in torch.split(few, 16)])
        self._spread = features.std((0, 2, 3)) if features.ndim == 4 else features.std(0)
        shapes = {"code": generator.space(self.code_space).shape, "features": features.shape[1:]}
        config = {"layer": layer, "space": self.code_space}
        super().__init__(generator, shapes, title=f"offsets of {layer}", config=config)

    def around(self, codes: Float[Tensor, "n ..."]) -> Float[Tensor, "n d"]:
        """The inner generator's codes with offsets of nothing, such as to start from."""
        return self.joined({"code": codes, "features": self._none(codes)})

    def edited(
        self,
        codes: Float[Tensor, "n d"],
        moved: Float[Tensor, "n ..."],
        *,
        features: Literal["follow", "hold"] = "follow",
    ) -> Float[Tensor, "n d"]:
        """Joint codes after an edit of their inner ones.

        Args:
            codes: Joint codes, before.
            moved: `[n, *space.shape]`, the inner codes after it.
            features: `follow`: the offset stays, so that features change with the code; `hold`:
                the features stay, as BDInvert's, and styles after the layer change alone.
        """
        parts = self.parts(codes)
        offsets = parts["features"]
        if features == "hold":
            seen = layer_activations(self.inner, layer=self.layer, space=self.code_space)
            offsets = offsets + seen(parts["code"]) - seen(moved)
        return self.joined({"code": moved, "features": offsets})

    def drawn(self, count: int, *, seed: int) -> dict[str, Tensor]:
        """Codes of the prior without offsets: the generator's own images."""
        codes = self.inner.sample(count, seed=seed, space=self.code_space)
        return {"code": codes, "features": self._none(codes)}

    def moments(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Those of the code, and offsets of nothing that vary as the layer's features do."""
        prior, shape = self.inner.prior(self.code_space), self.shapes["features"]
        spread = self._spread.reshape(-1, *[1] * (len(shape) - 1)).expand(shape)
        none = torch.zeros(shape)
        return {"code": (prior.mean, prior.deviations), "features": (none, spread.clamp_min(1e-3))}

    def made(self, parts: Mapping[str, Tensor]) -> Float[Tensor, "n 3 h w"]:
        """Images of codes with their offsets."""
        offsets = parts["features"]
        return changed_at_layer(
            self.inner,
            parts["code"],
            layer=self.layer,
            space=self.code_space,
            change=lambda features: features + offsets,
        )

    def _none(self, codes: Tensor) -> Tensor:
        return codes.new_zeros(len(codes), *self.shapes["features"])
