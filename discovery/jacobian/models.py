"""Images to first order at each of many codes, and banks of the eigenvectors of their metrics.

Code shared by the methods of this folder; the linear algebra is in `directions.numerics.jacobian`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from directions.bank import DirectionBank
from directions.direction import Direction
from directions.executors import Executor, Local
from directions.generators.base import Generator
from directions.numerics.eigen import Spectrum
from directions.numerics.jacobian import leading, metric
from directions.numerics.linearized import Linearized, linearize
from directions.progress import tqdm
from discovery.jacobian.masks import bounding_window

__all__ = ["Features", "MetricAt", "eigen_bank", "image_models", "map_model", "metrics"]

Features = Callable[[Tensor], Tensor]


def image_models(
    generator: Generator,
    codes: Float[Tensor, "n ..."],
    *,
    space: str | None = None,
    features: Features | None = None,
) -> Iterator[Linearized]:
    """The image at each code to first order, or features of it.

    Args:
        generator: Any generator.
        codes: `[n, *shape]`.
        space: Name of the codes' space; by default the generator's first.
        features: Takes images `[n, 3, h, w]`, returns any batch; by default the image itself.
    """
    for code in codes:
        image = generator.linearize(code, space=space)
        yield image if features is None else image.then(features)


def map_model(
    generator: Generator, code: Float[Tensor, "..."], *, source: str, target: str
) -> Linearized:
    """The generator's map between two latent spaces to first order, such as ∂w/∂z."""
    return linearize(lambda codes: generator.map(codes, source, target), code)


@dataclass(frozen=True, eq=False)
class MetricAt:
    """JᵀJ of the image at a code, or of features of it: a function for executors.

    Attributes:
        generator: Any generator.
        space: Name of the codes' space; by default the generator's first.
        features: As in `image_models`.
        cropped: Compute no more of the image than holds the weights.
        rank: Leading eigenpairs that are kept; by default all.
        seed: Of the random starts that find those.
        chunk: As in `columns`.
    """

    generator: Generator
    space: str | None = None
    features: Features | None = None
    cropped: bool = False
    rank: int | None = None
    seed: int = 0
    chunk: int | None = None

    def __call__(self, at: tuple[Tensor, Tensor | None]) -> Float[Tensor, "... d d"]:
        """Of a code `[*shape]` and None, or weights `[m, ...]` of m metrics."""
        code, weights = at
        code = code.to(self.generator.device)
        window = None
        if self.cropped:
            assert weights is not None
            top, left, bottom, right = window = bounding_window(weights[0])
            weights = weights[:, top:bottom, left:right]
        model = self.generator.linearize(code, space=self.space, window=window)
        model = model if self.features is None else model.then(self.features)
        if self.rank is None:
            found = metric(model, weights=weights, chunk=self.chunk)
        else:
            part = leading(model, count=self.rank, seed=self.seed, chunk=self.chunk)
            found = (part.vectors.T * part.values) @ part.vectors
        return found.to(at[0].device)


def metrics(
    at: MetricAt,
    codes: Float[Tensor, "n ..."],
    *,
    weights: Float[Tensor, "n m ..."] | None = None,
    executor: Executor | None = None,
) -> Iterator[Float[Tensor, "... d d"]]:
    """`metric` at each of many codes, in order; in this process one by one.

    Args:
        at: What is computed.
        codes: `[n, *shape]`.
        weights: `[n, m, ...]`, m masks for each code.
        executor: Where; by default here.

    Yields:
        On the codes' device.
    """
    executor = executor or Local()
    rows = [None] * len(codes) if weights is None else weights

    def sent(row: Tensor) -> Tensor:
        # Pickled, a row of a tensor takes the whole along: hence the copy.
        return row.cpu().clone() if executor.remote else row

    tasks = (
        (sent(code), None if row is None else sent(row))
        for code, row in zip(codes, rows, strict=True)
    )
    found = executor.map(at, tasks)
    for made in tqdm(found, total=len(codes), desc="Jacobians", delay=1, leave=False):
        yield made.to(codes.device)


def eigen_bank(
    generator: Generator,
    spectrum: Spectrum,
    *,
    space: str,
    method: str,
    config: Mapping[str, Any],
    provenance: Mapping[str, Any],
    evidence: Sequence[Mapping[str, Any]] | None = None,
) -> DirectionBank:
    """A bank of eigenvectors, in their order, named after the method that made their matrix.

    Args:
        generator: Whose codes the vectors move.
        spectrum: Vectors in the coordinates of the space's codes, flattened.
        space: Name of that space.
        method: Name of the method.
        config: Its hyper-parameters.
        provenance: Which codes were used.
        evidence: More figures for each vector, beside the spectrum's own.
    """
    shape, prior = generator.space(space).shape, generator.prior(space)
    extra = evidence or [{}] * len(spectrum)
    made = [
        Direction.from_vector(
            f"{method}_{i:02d}",
            vector.float().cpu().reshape(shape),
            space=space,
            method=method,
            config=config,
            sigma=prior.sigma(vector),
            evidence={**figures, **extra[i]},
        )
        for i, (vector, figures) in enumerate(spectrum)
    ]
    return DirectionBank.of(generator, tuple(made), provenance)
