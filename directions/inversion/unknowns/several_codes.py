"""Several codes of one image, summed at a layer with channel weights.

Gu, Shen, Zhou 2020: Image Processing Using Multi-Code GAN Prior, arXiv:1912.07116. As in the
official code the sum is divided by the number of codes, beside weights that begin at 1 over it.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked
from directions.errors import LatdirError, whole_number
from directions.generators.base import Generator
from directions.generators.wrap import WrappedGenerator
from directions.inversion.unknowns.base import Joint
from directions.scoring.activations import changed_at_layer, layer_activations

__all__ = ["SeveralCodes"]


class SeveralCodes(Joint):
    """A generator whose image comes from the weighted sum of several codes' features.

    Parts are `codes`, `[n, count, *space.shape]`, and `weights`, `[n, count, channels]`. An edit
    moves all codes alike.

    Args:
        generator: One whose later layers see nothing but that layer's output, such as a DCGAN,
            a PGGAN or a module of your own.
        layer: Whose output is summed, a name such as `relu.1` or a module's.
        count: Codes of an image.
        space: Of the codes; by default the first.

    Raises:
        LatdirError: No such layer, or later layers that see the codes too, as in a StyleGAN.
    """

    @checked
    def __init__(
        self, generator: Generator, *, layer: str, count: int = 20, space: str | None = None
    ) -> None:
        whole_number(count, "count", least=1)
        self.count, self.layer = count, layer
        self.code_space = generator.space(space or generator.default_space()).name
        one = generator.sample(2, seed=0, space=self.code_space)
        features = layer_activations(generator, layer=layer, space=self.code_space)(one)
        shapes = {
            "codes": (count, *generator.space(self.code_space).shape),
            "weights": (count, features.shape[1]),
        }
        config = {"layer": layer, "space": self.code_space, "count": count}
        super().__init__(generator, shapes, title=f"{count} codes", config=config)
        try:
            made = self._all(self.parts(self.sample(2, seed=0)))
            alone = len(made) == 2 or torch.equal(
                made[:: self.count], made[self.count - 1 :: count]
            )
        except RuntimeError:
            alone = False
        if not alone:
            raise LatdirError(
                f"layers of {generator.name} after {layer!r} see the codes as well: sum several "
                "codes in a generator such as a DCGAN or a PGGAN"
            )

    def drawn(self, count: int, *, seed: int) -> dict[str, Tensor]:
        """Independent codes of the prior, with equal weights."""
        codes = self.inner.sample(count * self.count, seed=seed, space=self.code_space)
        weights = codes.new_full((count, *self.shapes["weights"]), 1 / self.count)
        return {"codes": codes.reshape(count, *self.shapes["codes"]), "weights": weights}

    def moments(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Those of the inner space for each code; weights are of the order of 1 over the count."""
        prior, equal = self.inner.prior(self.code_space), torch.ones(self.shapes["weights"])
        codes = prior.mean.repeat(self.count), prior.deviations.repeat(self.count)
        return {"codes": codes, "weights": (equal / self.count, equal / self.count)}

    def made(self, parts: Mapping[str, Tensor]) -> Float[Tensor, "n 3 h w"]:
        """Images of the summed features."""
        return self._all(parts)[:: self.count if self._repeats else 1]

    @property
    def _repeats(self) -> bool:
        """Whether an image has to come for every code, as from a wrapped module."""
        return isinstance(self.inner, WrappedGenerator)

    def _all(self, parts: Mapping[str, Tensor]) -> Tensor:
        weights = parts["weights"]

        def summed(features: Tensor) -> Tensor:
            rows = features.reshape(-1, self.count, *features.shape[1:])
            shaped = weights.reshape(*weights.shape, *[1] * (rows.ndim - 3))
            total = (rows * shaped).sum(1) / self.count
            return total.repeat_interleave(self.count, 0) if self._repeats else total

        return changed_at_layer(
            self.inner,
            parts["codes"].flatten(0, 1),
            layer=self.layer,
            space=self.code_space,
            change=summed,
        )
