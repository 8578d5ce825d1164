"""A generator whose codes have amounts of changes of its weights beside the latent code."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from functools import partial

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import forward_ad

from directions.direction import Direction
from directions.fingerprints import Precision
from directions.generators.base import Generator
from directions.numerics.linearized import Linearized, Window
from directions.numerics.linearized_batch import LinearizedBatch
from directions.space import Prior, as_codes
from directions.weight_space.basis import WeightBasis

__all__ = ["WeightedGenerator", "widened"]

# Generators prepared for given amounts: a measurement goes from one to the next.
PREPARED = 4

Amounts = tuple[float, ...]
Synthesis = Callable[[Tensor], Tensor]


class WeightedGenerator(Generator):
    """A generator with a space of its weights' changes for each of several bases.

    Codes of the other spaces make the images that they make without. In a space of weights codes
    are drawn with all amounts 0, and the covariance of the prior is 1 for amounts and 0 for the
    latent code: random directions of it are random changes of the weights.

    Args:
        base: The generator.
        bases: Changes of its weights; those of one weight each.

    Raises:
        LatdirError: A basis of weights that it does not have.

    Example:
        >>> from directions import load_generator
        >>> generator = load_generator("digiface64")
        >>> weight = generator.tunable["layers.4.weight"]
        >>> basis = WeightBasis("layers.4.weight", weight.shape, 100, {"added": 0.1 * weight[None]})
        >>> wide = WeightedGenerator(generator, [basis])
        >>> wide.sample(2, seed=0, space=basis.space.name).shape
        torch.Size([2, 101])
    """

    def __init__(self, base: Generator, bases: Iterable[WeightBasis]) -> None:
        self.base = base
        self.bases = {basis.space.name: basis for basis in bases}
        for basis in self.bases.values():
            basis.check(base)
        self.name, self.image_shape = base.name, base.image_shape
        self.ancestors = base.ancestors
        self.spaces = {**base.spaces, **{n: b.space for n, b in self.bases.items()}}

    @property
    def fingerprint(self) -> str:
        """The generator's own, of whose images these are some."""
        return self.base.fingerprint

    @property
    def device(self) -> torch.device:
        """As the generator's."""
        return self.base.device

    @property
    def follows_codes(self) -> bool:
        """As the generator's."""
        return self.base.follows_codes

    def changed(self, space: str, amounts: Float[Tensor, "K"]) -> Generator:
        """The generator with the weight of a space changed; gradients flow to the amounts."""
        basis = self.bases[space]
        own = self.base.tunable[basis.weight]
        return self.base.with_weights(
            {basis.weight: own + basis.combined(amounts[None])[0].to(own)}
        )

    def synthesize(self, codes: Float[Tensor, "n ..."], space: str = "z") -> Tensor:
        """Images of codes, differentiable, also in the amounts of changes of the weights."""
        if space not in self.bases:
            return self.base.synthesize(codes, space)
        self.check_shape(codes, space)
        first = self.base.default_space()
        if not _tracked(codes):
            return self._grouped(
                codes, space, lambda made, _: partial(made.synthesize, space=first)
            )
        pairs = zip(*self.bases[space].split(codes), strict=True)
        return torch.cat([self.changed(space, a).synthesize(z[None], first) for z, a in pairs])

    def inference(
        self, *, precision: Precision = "float32", space: str = "z"
    ) -> Callable[[Tensor], Tensor]:
        """The same images without gradients, those of the same weights together."""
        if space not in self.bases:
            return self.base.inference(precision=precision, space=space)
        first, ready = self.base.default_space(), OrderedDict[Amounts, Synthesis]()

        def prepared(made: Generator, amounts: Amounts) -> Synthesis:
            if amounts not in ready:
                ready[amounts] = made.inference(precision=precision, space=first)
                if len(ready) > PREPARED:
                    ready.popitem(last=False)
            return ready[amounts]

        def run(codes: Tensor) -> Tensor:
            with torch.inference_mode():
                self.check_shape(codes, space)
                return self._grouped(codes, space, prepared)

        return run

    def _grouped(
        self, codes: Tensor, space: str, prepared: Callable[[Generator, Amounts], Synthesis]
    ) -> Tensor:
        """Images of codes, those of each set of weights together."""
        latents, amounts = self.bases[space].split(codes)
        if not len(codes):
            return self.base.synthesize(latents, self.base.default_space())
        images = codes.new_empty(0)
        distinct, which = torch.unique(amounts, dim=0, return_inverse=True)
        for i, row in enumerate(distinct):
            rows = which == i
            made = self.changed(space, row) if bool(row.any()) else self.base
            part = prepared(made, tuple(row.tolist()))(latents[rows])
            images = images if len(images) else part.new_empty(len(codes), *part.shape[1:])
            images[rows] = part
        return images

    def linearize(
        self, code: Float[Tensor, "..."], *, space: str | None = None, window: Window | None = None
    ) -> Linearized:
        """As the generator's; of weights by automatic differentiation."""
        if space in self.bases:
            return super().linearize(code, space=space, window=window)
        return self.base.linearize(code, space=space, window=window)

    def linearize_batch(
        self, codes: Float[Tensor, "n ..."], *, space: str | None = None
    ) -> LinearizedBatch:
        """As the generator's; of weights by automatic differentiation."""
        if space in self.bases:
            return super().linearize_batch(codes, space=space)
        return self.base.linearize_batch(codes, space=space)

    def check(self, codes: Tensor | np.ndarray, space: str) -> Tensor:
        """As the generator's; codes of weights by their shape alone."""
        if space not in self.bases:
            return (
                self.base.check(codes, space)
                if space in self.base.spaces
                else (super().check(codes, space))
            )
        codes = as_codes(codes)
        self.check_shape(codes, space)
        return codes

    def sample(
        self,
        count: int,
        *,
        seed: int,
        start: int = 0,
        space: str | None = None,
        truncation: float = 1.0,
    ) -> Float[Tensor, "n ..."]:
        """As the generator's; of weights its codes with all amounts 0."""
        own = self.base.default_space() if space in self.bases else space
        codes = self.base.sample(count, seed=seed, start=start, space=own, truncation=truncation)
        return codes if own == space else self._map(codes, str(own), str(space))

    def prior(self, space: str | None = None) -> Prior:
        """As the generator's; of weights the mean code, and covariance 1 of the amounts."""
        if space not in self.bases:
            return self.base.prior(space)
        latent = self.base.prior().mean
        k = len(self.bases[space])
        spread = torch.cat([torch.zeros(len(latent)), torch.ones(k)])
        return Prior(torch.cat([latent, torch.zeros(k)]), spread.diag())

    def _map(self, codes: Tensor, source: str, target: str) -> Tensor:
        first = self.base.default_space()
        if source in self.bases:
            return self.map(self.bases[source].split(codes)[0], first, target)
        if target in self.bases:
            latents = self.base.map(codes, source, first)
            return torch.cat([latents, latents.new_zeros(len(codes), len(self.bases[target]))], 1)
        return self.base.map(codes, source, target)

    @property
    def tunable(self) -> Mapping[str, Tensor]:
        """As the generator's."""
        return self.base.tunable

    @property
    def weights(self) -> Mapping[str, Tensor]:
        """As the generator's."""
        return self.base.weights

    def block_of(self, key: str) -> int:
        """As the generator's."""
        return self.base.block_of(key)

    def with_weights(self, weights: Mapping[str, Tensor], *, name: str | None = None) -> Generator:
        """As the generator's, without the spaces of weights."""
        return self.base.with_weights(weights, name=name)

    def style_matrices(self, layers: tuple[int, ...] | None = None) -> list[Tensor]:
        """As the generator's."""
        return self.base.style_matrices(layers)

    @property
    def style_slots(self) -> tuple[int, ...]:
        """As the generator's."""
        return self.base.style_slots

    @property
    def style_names(self) -> tuple[str, ...]:
        """As the generator's."""
        return self.base.style_names


def widened(generator: Generator, directions: Iterable[Direction]) -> Generator:
    """The generator with the spaces of those directions that are of its weights.

    Args:
        generator: Itself where it has all of these spaces.
        directions: Of the generator.

    Raises:
        LatdirError: Directions of weights that it does not have.
    """
    found = {d.space: getattr(d, "basis", None) for d in directions}
    missing = [b for space, b in found.items() if b is not None and space not in generator.spaces]
    if not missing:
        return generator
    if isinstance(generator, WeightedGenerator):
        return WeightedGenerator(generator.base, [*generator.bases.values(), *missing])
    return WeightedGenerator(generator, missing)


def _tracked(codes: Tensor) -> bool:
    """Whether derivatives of images are wanted, which differ from row to row."""
    if torch.is_grad_enabled() and codes.requires_grad:
        return True
    _, tangent = forward_ad.unpack_dual(codes)  # type: ignore[no-untyped-call]
    return tangent is not None
