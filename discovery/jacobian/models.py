"""Images to first order at each of many codes, and banks of the eigenvectors of their metrics.

Code shared by the methods of this folder; the linear algebra is in `directions.numerics.jacobian`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor

from directions.bank import DirectionBank
from directions.direction import Direction
from directions.generators.base import Generator
from directions.numerics.eigen import Spectrum
from directions.numerics.jacobian import metric
from directions.numerics.linearized import Linearized, linearize
from directions.progress import tqdm

__all__ = ["Features", "eigen_bank", "image_models", "map_model", "metrics"]

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


def metrics(
    generator: Generator,
    codes: Float[Tensor, "n ..."],
    *,
    space: str | None = None,
    features: Features | None = None,
    weights: Float[Tensor, "n m ..."] | None = None,
    chunk: int | None = None,
) -> Iterator[Float[Tensor, "... d d"]]:
    """`metric` at each of many codes, one after the other, so that memory stays that of one.

    Args:
        generator: Any generator.
        codes: `[n, *shape]`.
        space: Name of the codes' space; by default the generator's first.
        features: As in `image_models`.
        weights: `[n, m, ...]`, m masks for each code.
        chunk: As in `columns`.
    """
    models = image_models(generator, codes, space=space, features=features)
    bar = tqdm(models, total=len(codes), desc="Jacobians", delay=1, leave=False)
    for i, model in enumerate(bar):
        yield metric(model, weights=None if weights is None else weights[i], chunk=chunk)


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
