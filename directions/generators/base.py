"""The generator contract, and sampling that depends on the seed only."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked, checked_kinds
from directions.devices import Movable, sent
from directions.errors import LatdirError, SpaceError, UnknownNameError, not_a
from directions.fingerprints import Precision
from directions.generators.checks import check_seed
from directions.generators.layers import Activations
from directions.generators.space_profiles import PROFILE_CODES, SpaceProfiles, readable
from directions.numerics.linearized import Linearized, Window, linearize
from directions.numerics.linearized_batch import LinearizedBatch, linearize_batch
from directions.seeds import PRIOR_SEED
from directions.space import Prior, Space, as_codes

if TYPE_CHECKING:
    from directions.generators.deltas import Deltas

__all__ = ["BLOCK", "Generator", "check_generator"]

BLOCK = 256
PRIOR_SAMPLES = 16384


class Generator(Movable, ABC):
    """Latent codes in, images out.

    A subclass sets `name`, `spaces` and `image_shape`, gives `fingerprint`, and implements
    `synthesize`; one with more than one space implements `_map` too.

    Attributes:
        name: Short name, shown and stored.
        spaces: Latent spaces by name; the first is the default, that of the prior.
        image_shape: (channels, height, width) of one image.
        concurrent: Whether its functions may run in several threads at once, as they may where
            they change nothing; then batches are made at the same time.
        ancestors: Of a tuned copy, fingerprints of the generator it was tuned from, of the one
            before that, and so on: their directions fit it too.
    """

    name: str
    spaces: Mapping[str, Space]
    image_shape: tuple[int, int, int]
    concurrent: bool = False
    ancestors: tuple[str, ...] = ()

    def __init_subclass__(cls, **options: Any) -> None:
        """Take arrays for codes, in every generator alike."""
        super().__init_subclass__(**options)
        for name in ("synthesize", "prior"):
            if name in vars(cls):
                setattr(cls, name, checked_kinds(vars(cls)[name]))

    @classmethod
    def from_argument(cls, value: object, name: str, arguments: object) -> Generator:
        """What stands for a generator in a call: nothing else, and the message says what to do."""
        return check_generator(value)

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """sha256 over weights and configuration."""

    @property
    def base_fingerprint(self) -> str | None:
        """Of a tuned copy, the fingerprint of the generator it was tuned from."""
        return self.ancestors[0] if self.ancestors else None

    @property
    def device(self) -> torch.device:
        """Device of codes and images."""
        return torch.device("cpu")

    @property
    def follows_codes(self) -> bool:
        """Whether codes on any device are taken, where the images are then made."""
        return type(self).device is Generator.device

    @abstractmethod
    def synthesize(self, codes: Float[Tensor, "n ..."], space: str = "z") -> Tensor:
        """Images of codes, differentiable.

        Args:
            codes: `[n, *space.shape]`, on the generator's device.
            space: Name of the codes' space.

        Returns:
            `[n, 3, H, W]` in [-1, 1], on that device. It has a graph only if the codes ask for
            gradients, or weights of a wrapped module do.
        """

    def inference(
        self, *, precision: Precision = "float32", space: str = "z"
    ) -> Callable[[Tensor], Tensor]:
        """The same function of codes prepared for speed, without gradients.

        Args:
            precision: `bfloat16` may be taken where the generator has a faster form whose
                images agree; a generator without one ignores it.
            space: Name of the codes' space.
        """

        def run(codes: Tensor) -> Tensor:
            with torch.inference_mode():
                return self.synthesize(codes, space)

        return run

    def linearize(
        self, code: Float[Tensor, "..."], *, space: str | None = None, window: Window | None = None
    ) -> Linearized:
        """The image of one code to first order: its pixels, and products with its Jacobian.

        Override it where the generator has a faster linear form.

        Args:
            code: `[*space.shape]`.
            space: Name of the code's space; by default the first.
            window: The rectangle of pixels wanted, (top, left, bottom, right); by default all.
        """
        name = space or self.default_space()
        self.check(code[None], name)
        top, left, bottom, right = window or (0, 0, *self.image_shape[1:])
        return linearize(
            lambda codes: self.synthesize(codes, name)[:, :, top:bottom, left:right], code
        )

    def linearize_batch(
        self, codes: Float[Tensor, "n ..."], *, space: str | None = None
    ) -> LinearizedBatch:
        """The images of codes to first order, each by itself: values, J t and Jᵀ u.

        Override it where the generator has a faster linear form.

        Args:
            codes: `[n, *space.shape]`.
            space: Name of the codes' space; by default the first.

        Raises:
            LatdirError: Codes of another space, or no gradient flows through the generator.
        """
        name = space or self.default_space()
        self.check_shape(codes, name)
        return linearize_batch(lambda points: self.synthesize(points, name), codes)

    def space(self, name: str) -> Space:
        """One of the generator's spaces.

        Raises:
            LatdirError: It has no space of that name.
        """
        if name not in self.spaces:
            raise UnknownNameError(
                f"{self.name} has no space {name!r}: it has {', '.join(self.spaces)}"
            )
        return self.spaces[name]

    def default_space(self, *preferred: str) -> str:
        """The first of the preferred spaces that it has, otherwise that of its prior.

        Example:
            >>> from directions.planted.world import planted
            >>> planted().default_space("w")
            'z'
        """
        return next((name for name in preferred if name in self.spaces), next(iter(self.spaces)))

    def check(self, codes: Tensor | np.ndarray, space: str) -> Tensor:
        """Return `codes`, as a tensor, if they are a batch of that space's codes.

        Of spaces of one shape, such as z and w of most StyleGANs, the distributions tell the
        codes apart (`space_profiles`): codes far from those of this space, however truncated or
        moved, that are as codes of another space are. `z` and `pn`, both standard normal, cannot
        be told apart; nor can codes whose values cannot be read, as under `vmap`.

        Raises:
            LatdirError: An unknown space, an integer dtype, another shape, another device, or
                codes of another space; then it says which of the generator's spaces they look
                like.
        """
        codes = as_codes(codes)
        wanted = self.check_shape(codes, space)
        others = self._confusable(wanted.name)
        if others and (read := readable(_one_layer(codes))) is not None:
            other = self._profiles.looks_like(read, wanted.name, others)
            if other is not None:
                raise SpaceError(
                    f"codes given as of space {space!r} look like codes of {other!r}: "
                    + self._space_remedy(other, space)
                )
        return codes

    def _space_remedy(self, own: str, wanted: str) -> str:
        carried = f"generator.map(codes, {own!r}, {wanted!r})"
        if wanted == self.default_space():
            return f"pass space={own!r}; there is no map back to {wanted!r}"
        return f"pass space={own!r}, or carry the codes over with {carried}"

    def check_shape(self, codes: Tensor, space: str) -> Space:
        """The space, if the codes have its shape; `check` looks at their values too.

        Raises:
            LatdirError: An unknown space, no tensor, an integer dtype, another shape or device.
        """
        wanted = self.space(space)
        shape = tuple(codes.shape)
        if codes.device not in (self.device, torch.device("meta")) and not self.follows_codes:
            raise SpaceError(
                f"codes are on {codes.device}, {self.name} on {self.device}: write "
                f"codes.to({str(self.device)!r}), or generator.to({str(codes.device)!r})"
            )
        if wanted.shape in (shape, shape[1:]) or not codes.is_floating_point():
            wanted.check(codes)
            return wanted
        alike = [s.name for s in self.spaces.values() if shape[1:] == s.shape]
        bare = [s.name for s in self.spaces.values() if shape == s.shape]
        if alike:
            if len(alike) > 1 and (read := readable(_one_layer(codes))) is not None:
                alike = [s for s in alike if self._profiles.plausible(read, s)][:1] or alike
            hint = f", which looks like {' or '.join(map(repr, alike))}: " + self._space_remedy(
                alike[0], space
            )
        elif bare:
            hint = (
                f", which looks like {' or '.join(map(repr, bare))} without its batch axis: pass "
                f"codes[None] and space={bare[0]!r}"
            )
        elif len(wanted.shape) == 2 and len(shape) == 3 and shape[2] == wanted.shape[1]:
            hint = (
                f": they have {shape[1]} layers, this generator has {wanted.shape[0]}, so they "
                "come from another one"
            )
        else:
            wanted.check(codes)
            return wanted
        expected = ", ".join(["n", *map(str, wanted.shape)])
        raise SpaceError(
            f"codes of space {space!r} have shape [{expected}], not {list(shape)}{hint}"
        )

    @checked
    def sample(
        self,
        count: int,
        *,
        seed: int,
        start: int = 0,
        space: str | None = None,
        truncation: float = 1.0,
    ) -> Float[Tensor, "n ..."]:
        """Draw codes `start` … `start + count - 1` of a seed's endless sequence.

        Codes come in fixed blocks, each from its own counter-based stream, so code i of a seed
        is the same whatever the count, the start, the device or the number of workers.

        Args:
            count: Number of codes, at least 0.
            seed: 0 … 2**64 - 1.
            start: Index of the first code.
            space: Space to map them to; by default the generator's own first space.
            truncation: ψ; codes are drawn toward the space's mean, `mean + ψ (code - mean)`.

        Returns:
            `[count, *space.shape]`, float32, on the generator's device.

        Raises:
            LatdirError: A negative count, start or seed, or an unknown space.
        """
        target = self.space(space or self.default_space())
        check_seed(seed, start, count)
        first, last = start // BLOCK, -(-(start + count) // BLOCK)
        # Whole blocks are mapped, so that a code's bits do not depend on the call.
        blocks = [self._block(seed, b, target.name) for b in range(first, last)]
        codes = torch.cat(blocks) if blocks else torch.empty(0, *target.shape)
        codes = codes[start - first * BLOCK :][:count].to(self.device)
        if truncation != 1.0:
            mean = self.prior(target.name).mean.reshape(target.shape).to(codes)
            codes = mean + truncation * (codes - mean)
        return codes

    def _block(self, seed: int, block: int, space: str) -> Tensor:
        key = np.array([seed, block], dtype=np.uint64)
        rng = np.random.Generator(np.random.Philox(key=key))
        codes = sent(torch.from_numpy(self._draw(rng, BLOCK)), self.device)
        with torch.inference_mode():
            first = self.default_space()
            mapped = codes if space == first else self._map(codes, first, space)
        return mapped.clone()

    def _draw(self, rng: np.random.Generator, count: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        """`count` codes of the first space; a standard normal unless overridden."""
        shape = self.space(self.default_space()).shape
        return rng.standard_normal((count, *shape), dtype=np.float32)

    @checked_kinds
    def map(self, codes: Float[Tensor, "n ..."], source: str, target: str) -> Tensor:
        """Carry codes from one space to another.

        Raises:
            LatdirError: An unknown space, codes of another shape, or no known map.
        """
        self.check(codes, source)
        if source == target:
            return codes
        self.space(target)
        return self._map(codes, source, target)

    def _map(self, codes: Tensor, source: str, target: str) -> Tensor:
        raise SpaceError(f"{self.name} has no map from space {source!r} to {target!r}")

    @checked
    def prior(self, space: str | None = None) -> Prior:
        """Mean and covariance of the codes of a space, estimated once and kept.

        The first space of a generator that does not override `_draw` is standard normal
        exactly; others are estimated from 16,384 codes of a fixed seed. It is on the CPU, in
        float32, whatever the generator's device.
        """
        first = self.default_space()
        name = first if space is None else self.space(space).name
        if name not in self._priors:
            exact = name == first and type(self)._draw is Generator._draw
            self._priors[name] = (
                Prior.standard(self.space(name).size)
                if exact
                else Prior.fit(self.sample(PRIOR_SAMPLES, seed=PRIOR_SEED, space=name).cpu())
            )
        return self._priors[name]

    def truncated_prior(self, space: str, truncation: float) -> Prior:
        """Mean and covariance of codes that `sample` draws with a truncation."""
        prior = self.prior(space)
        return prior if truncation == 1.0 else prior.scaled(truncation)

    @cached_property
    def _priors(self) -> dict[str, Prior]:
        return {}

    @cached_property
    def _profiles(self) -> SpaceProfiles:
        return SpaceProfiles(self._profile_codes)

    def _profile_codes(self, space: str) -> Tensor:
        return _one_layer(self.sample(PROFILE_CODES, seed=PRIOR_SEED, space=space))

    def _confusable(self, space: str) -> list[str]:
        """Other spaces of the same shape, whose codes have another distribution."""
        shape = self.space(space).shape
        return [s.name for s in self.spaces.values() if s.name != space and s.shape == shape]

    @property
    def tunable(self) -> Mapping[str, Tensor]:
        """Weights that may be tuned, by name; a generator that says nothing has none."""
        return {}

    @property
    def weights(self) -> Mapping[str, Tensor]:
        """All that makes images of codes, by name: `tunable`, and what else the generator has."""
        return self.tunable

    def block_of(self, key: str) -> int:
        """The block of the `weights` of that name, counted from the code; by default its place."""
        return list(self.weights).index(key)

    def with_weights(self, weights: Mapping[str, Tensor], *, name: str | None = None) -> Generator:
        """A copy with some of its `weights` replaced, through which gradients flow.

        Args:
            weights: Tensors of the same shapes; those left out stay.
            name: Of the copy; by default the generator's.

        Raises:
            LatdirError: The generator has no weights that may be tuned.
        """
        raise LatdirError(
            f"{self.name} has no weights that can be tuned: DCGANs, StyleGAN2 and StyleGAN do"
        )

    def activations(self, codes: Float[Tensor, "n ..."], key: str, space: str) -> Activations:
        """What enters one of the `tunable` layers and what leaves it, differentiable.

        Raises:
            LatdirError: The generator's layers cannot be looked into, or it has no such one.
        """
        raise LatdirError(
            f"{self.name}'s layers cannot be looked into: those of DCGANs and StyleGAN2 can"
        )

    @checked
    def with_deltas(self, deltas: Deltas) -> Generator:
        """A copy with its weights changed, named after both; directions of this one fit it.

        Raises:
            LatdirError: Deltas of another generator.
        """
        return deltas.applied(self)

    def style_matrices(self, layers: tuple[int, ...] | None = None) -> list[Tensor]:
        """The first affine map each chosen layer applies to a code, for closed-form methods.

        Returns:
            One `[out, d]` matrix a layer.

        Raises:
            LatdirError: The generator has none.
        """
        raise LatdirError(
            f"{self.name} exposes no style matrices: closed-form methods need a generator with "
            "style or first-layer weights; use pca, boundary or a Jacobian method"
        )

    @property
    def style_slots(self) -> tuple[int, ...]:
        """For each style matrix, the layer of w+ codes it reads; empty where codes have none."""
        return ()

    @property
    def style_names(self) -> tuple[str, ...]:
        """For each layer of s codes, its name; empty where there are none."""
        return ()

    def __repr__(self) -> str:
        spaces = ", ".join(f"{s.name}{list(s.shape)}" for s in self.spaces.values())
        size = "×".join(map(str, self.image_shape[1:]))
        return f"{type(self).__name__}({self.name}: {spaces} -> {size})"


def _one_layer(codes: Tensor) -> Tensor:
    """The codes as rows; of codes with layers the first layer."""
    return codes[:, 0] if codes.ndim == 3 else codes.flatten(1)


def check_generator(value: object) -> Generator:
    """Return `value` if it is a generator.

    Raises:
        LatdirError: Something else; the message says how to make a generator of it.

    Example:
        >>> check_generator("digiface64")
        Traceback (most recent call last):
        ...
        directions.errors.LatdirError: generator is 'digiface64', not a generator: write
        directions.load_generator('digiface64')
    """
    if isinstance(value, Generator):
        return value
    wrap = "directions.wrap(…, latent_dim=…)"
    raise not_a("generator", value, load="directions.load_generator", wrap=wrap)
