"""Local bases of the largest changes at one code, and the curved path that follows one.

Jaewoong Choi, Junho Lee, Changyeon Yoon, Jung Ho Park, Geonho Hwang, Myungjoo Kang: Do Not
Escape From the Manifold: Discovering the Local Coordinates on the Latent Space of GANs, ICLR 2022,
arXiv:2106.06959.

The paper takes the singular value decomposition of ∂w/∂z and moves w along its left singular
vectors, which span the tangent space of the codes that occur (`through="mapping"`). Generators
without a mapping have no w; for them, and by default, the same is done one map further on: the
right singular vectors of ∂image/∂code. The path is the paper's iterative traversal: a short step
along the basis vector that continues the last one, then a fresh basis.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from directions.bank import DirectionBank
from directions.errors import LatdirError, SpaceError, UnknownNameError
from directions.generators.base import Generator
from directions.numerics.eigen import Spectrum, eigh
from directions.numerics.jacobian import columns, principal
from directions.numerics.linearized import Linearized
from directions.progress import tqdm
from discovery.base import GeneratorMethod
from discovery.jacobian.models import Features, eigen_bank, image_models, map_model

__all__ = ["LocalBasis", "LocalPath"]

Through = Literal["image", "mapping"]


@dataclass(frozen=True)
class LocalBasis(GeneratorMethod):
    """Singular vectors of the Jacobian at one code.

    Attributes:
        n_directions: Maximum number of directions; fewer where the codes have fewer dimensions.
        space: Latent space; by default `w` where there is one, otherwise the generator's own.
        through: `image` ranks directions by their change of the image; `mapping`, the
            paper's, by the range of codes of the first space along them.
        number: Which code of the seed's sequence.
        step: Length of a path's steps, in sigma.
        chunk: Tangents at a time; by default as many as memory allows.

    Example:
        >>> from directions.generators import load_generator
        >>> LocalBasis(n_directions=2).discover(load_generator("planted"))
        DirectionBank(planted: local_basis_00, local_basis_01)
    """

    n_directions: int = 20
    space: str | None = None
    through: Through = "image"
    number: int = 0
    step: float = 0.25
    chunk: int | None = None

    method: ClassVar[str] = "local_basis"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_least(0, "number")
        self._check_positive("step")

    def discover(
        self,
        generator: Generator,
        *,
        seed: int = 0,
        code: Float[Tensor, "..."] | None = None,
        features: Features | None = None,
    ) -> DirectionBank:
        """The local basis at one code.

        Args:
            generator: Any generator.
            seed: Of the code, and of the random start.
            code: `[*shape]`, to use instead of a sampled one: of `space` for `image`, of the
                generator's first space for `mapping`.
            features: Of images, whose change counts; by default the pixels.

        Returns:
            Directions by descending singular value, which is in their evidence; they mean
            something near that code only.

        Raises:
            LatdirError: An unknown space, a code that does not fit it, or no mapping to it.
        """
        space = self.space or generator.default_space("w")
        source = self._source(generator)
        if code is None:
            code = generator.sample(1, seed=seed, start=self.number, space=source)[0]
        model = self._model(generator, code, features)
        count = min(self.n_directions, generator.space(space).size)
        if self.through == "mapping":
            across = columns(model, chunk=self.chunk).flatten(1).double()
            spectrum = eigh(across.T @ across, count=count)
        else:
            spectrum = principal(model, count=count, seed=seed, chunk=self.chunk)
        values = spectrum.values.clamp_min(0).sqrt().tolist()
        return eigen_bank(
            generator,
            spectrum,
            space=space,
            method=self.method,
            config=self.config,
            provenance={"seed": seed, "number": self.number},
            evidence=[{"singular_value": value} for value in values],
        )

    def path(
        self,
        generator: Generator,
        *,
        component: int = 0,
        toward: Float[Tensor, "..."] | None = None,
        features: Features | None = None,
        seed: int = 0,
    ) -> LocalPath:
        """A curve through any code that follows the local basis.

        Args:
            generator: Any generator.
            component: Which basis vector the curve starts along.
            toward: `[*shape]`, a direction; the curve then starts along the basis vector closest
                to it, with its sign, so that the curves of many codes correspond.
            features: As in `discover`.
            seed: Of the random start of large eigenproblems.

        Raises:
            LatdirError: No such component, or a direction of another shape.
        """
        source = generator.space(self._source(generator))
        count = min(self.n_directions, source.size)
        if not 0 <= component < count:
            raise LatdirError(f"component {component} must be in 0 … {count - 1}")
        if toward is not None and tuple(toward.shape) != source.shape:
            raise LatdirError(
                f"toward has shape {list(toward.shape)}, codes of {source.name!r} have "
                f"{list(source.shape)}: give a direction's vector"
            )
        sigma = float(generator.prior(source.name).deviations.square().mean().sqrt())
        return LocalPath(generator, self, source.name, component, toward, features, sigma, seed)

    def _source(self, generator: Generator) -> str:
        """The space that the Jacobian's codes live in."""
        first = generator.default_space()
        space = self.space or generator.default_space("w")
        generator.space(space)
        if self.through == "image":
            return space
        if space == first:
            raise SpaceError(
                f"{generator.name} has no mapping from {first!r} to {space!r}: use "
                "through='image', or a space that codes are mapped to"
            )
        return first

    def _model(
        self, generator: Generator, code: Tensor, features: Features | None = None
    ) -> Linearized:
        source = self._source(generator)
        generator.check(code[None], source)
        if self.through == "image":
            return next(image_models(generator, code[None], space=source, features=features))
        target = self.space or generator.default_space("w")
        return map_model(generator, code, source=source, target=target)

    def _steer(
        self, generator: Generator, code: Tensor, features: Features | None, seed: int
    ) -> Spectrum:
        """Directions to follow at a code: right singular vectors, in the space of the path."""
        model = self._model(generator, code, features)
        count = min(self.n_directions, code.numel())
        return principal(model, count=count, seed=seed, chunk=self.chunk)


@dataclass(frozen=True, eq=False)
class LocalPath:
    """A curved direction: at every point it runs along the local basis.

    Made by `LocalBasis.path`. Through a mapping the path moves codes of the first space, along
    the right singular vectors of ∂w/∂z; map the result to see w follow the left ones.

    Attributes:
        generator: Whose codes it moves.
        basis: The method and its settings.
        space: Space of the codes it moves.
        component: Basis vector it starts along.
        toward: Direction it starts closest to, instead.
        features: Whose change ranks the basis.
        sigma: One unit of amount: root mean square standard deviation of the codes' coordinates.
        seed: Of the random start of large eigenproblems.
    """

    generator: Generator
    basis: LocalBasis
    space: str
    component: int
    toward: Tensor | None
    features: Features | None
    sigma: float
    seed: int

    def shift(
        self, codes: Float[Tensor, "n ..."], amount: float | Tensor, *, unit: str = "sigma"
    ) -> Float[Tensor, "n ..."]:
        """Move codes along their own paths.

        Args:
            codes: `[n, *shape]`.
            amount: Length of the path, a number, or one for each code `[n]`; negative backwards.
            unit: `sigma` or `latent`.

        Returns:
            New codes, of the same shape, device and dtype.

        Raises:
            LatdirError: Codes of another shape, amounts that do not fit, or an unknown unit.
        """
        self.generator.check(codes, self.space)
        if unit not in ("sigma", "latent"):
            raise UnknownNameError(f"a path has no unit {unit!r}: use sigma or latent")
        amounts = torch.as_tensor(amount).double().flatten()
        if len(amounts) not in (1, len(codes)):
            raise LatdirError(
                f"amount has shape {list(torch.as_tensor(amount).shape)}: give one number, or "
                f"one for each of the {len(codes)} codes"
            )
        lengths = amounts.expand(len(codes)) * (self.sigma if unit == "sigma" else 1.0)
        pairs = zip(codes, lengths.tolist(), strict=True)
        bar = tqdm(pairs, total=len(codes), desc="paths", delay=1, leave=False)
        moved = [self._walk(code, length) for code, length in bar]
        return torch.stack(moved) if moved else codes.clone()

    def _walk(self, code: Tensor, length: float) -> Tensor:
        """Iterative curve traversal: Euler steps along the continued basis vector."""
        count = math.ceil(abs(length) / (self.basis.step * self.sigma) - 1e-9)
        position, heading = code.double(), self.toward
        for _ in range(count):
            spectrum = self.basis._steer(
                self.generator, position.to(code), self.features, self.seed
            )
            vectors = spectrum.vectors
            if heading is None:
                heading = vectors[self.component]
            cosines = vectors @ heading.flatten().to(vectors)
            best = int(cosines.abs().argmax())
            heading = vectors[best] * cosines[best].sign()
            position = position + length / count * heading.reshape(code.shape)
        return position.to(code)
