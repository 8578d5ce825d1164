"""Principal components of a latent space, or of a layer's activations regressed to it.

Erik Härkönen, Aaron Hertzmann, Jaakko Lehtinen, Sylvain Paris: GANSpace: Discovering
Interpretable GAN Controls, NeurIPS 2020, arXiv:2004.02546.

Differences from the official code: the covariance is exact and streamed, where IncrementalPCA
keeps a low-rank approximation that loses the weaker components; a layer's directions come from
the same pass that finds its components, as the regression of codes on component scores; the
independent components' directions are the columns that mix them, which move one source and no
other, where the official code takes the filters that read them; components that are too close in
variance to be distinguished are reported.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from directions.bank import DirectionBank
from directions.direction import Direction
from directions.errors import LatdirError, SamplesError, SpaceError
from directions.executors import Executor, Local
from directions.fingerprints import Precision
from directions.generators.base import Generator
from directions.numerics.eigen import Spectrum, eigh, signed
from directions.progress import tqdm
from directions.scoring.activations import layer_activations
from discovery.base import GeneratorMethod, tool
from discovery.decomposition.covariance import StreamingCovariance
from discovery.decomposition.ica_and_sparse_pca import independent_components, sparse_components
from discovery.decomposition.randomized_range import find_range
from discovery.sampling.draw import Draw

__all__ = ["PCA"]

EXACT_LIMIT = 4096
OVERSAMPLING = 16
ICA_SAMPLES = 50_000
CHUNK_NUMBERS = 1 << 25
SAVE_EVERY = 64
ISOTROPIC = 1.05

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PCA(GeneratorMethod):
    """Principal, independent or sparse components.

    Attributes:
        n_directions: Maximum number of directions; fewer where the codes have fewer dimensions.
        n_codes: Number of codes to draw.
        space: Latent space; by default `w` where there is one, otherwise the generator's own.
        layer: Layer whose activations are decomposed; by default the codes themselves.
        estimator: `pca`, `ica` (independent) or `sparse` components.
        sparsity: Penalty of sparse components; 0 gives the principal ones.
        batch_size: Codes in memory at a time.
        precision: Of the products; bfloat16 is faster and a little less exact.
        passes: Passes that find the range of a layer with more than 4096 numbers.
        executor: Where codes are drawn and their covariance summed, with the same bits: several
            processes or a cluster (`directions.executors`). For codes only, not for a layer.

    Example:
        >>> from directions.generators import load_generator
        >>> bank = PCA(n_directions=2, n_codes=2000, layer="relu.0").discover(
        ...     load_generator("digiface64"))
        >>> bank
        DirectionBank(digiface64: pca_00, pca_01)
    """

    n_directions: int = 80
    n_codes: int = 300_000
    space: str | None = None
    layer: str | None = None
    estimator: Literal["pca", "ica", "sparse"] = "pca"
    sparsity: float = 0.1
    batch_size: int = 4096
    precision: Precision = "float32"
    passes: int = 3
    executor: Executor | None = tool()

    method: ClassVar[str] = "pca"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_codes < 2 or self.sparsity < 0:
            raise LatdirError(
                f"n_codes is {self.n_codes} and sparsity {self.sparsity}: give at least 2, and 0 "
                "or more"
            )

    def discover(
        self, generator: Generator, *, seed: int = 0, state: str | Path | None = None
    ) -> DirectionBank:
        """Find the components.

        Args:
            generator: Any generator.
            seed: Of the codes, and of the random starts.
            state: A file for the running covariance; if it exists, the run resumes from it.

        Returns:
            Directions by descending variance. `sigma` is the codes' standard deviation along
            each; evidence has `eigenvalue`, `share` of the variance, `tied_with`, and for layers
            `linear_fit`, the share of the component's variance that is linear in the code.

        Raises:
            LatdirError: An unknown space or layer, a state of other codes, codes that do not
                vary, or an estimator that does not converge.
        """
        if self.layer is not None and self.executor is not None and self.executor.remote:
            raise LatdirError(
                "activations are read in this process: leave the executor out, or decompose codes"
            )
        space = self.space or generator.default_space("w")
        shape, size = generator.space(space).shape, generator.space(space).size
        draw = Draw(generator, space, seed, self.n_codes, self.batch_size)
        rows = _codes(draw) if self.layer is None else self._layer_rows(draw, self.layer)
        stream = self._stream(rows, state)
        joint = stream.covariance()
        observed, cross = joint[: rows.observed, : rows.observed], joint[: rows.observed, -size:]
        spectrum = self._principal(observed, stream.count, rows.variance)
        loadings, evidence = self._loadings(spectrum, observed, stream.mean, rows)
        if self.layer is None and self.estimator == "sparse":
            # Regression on a sparse component's scores would fill in its zeros.
            vectors = loadings
        else:
            vectors = _regress(loadings, observed, cross)
        vectors = signed(vectors / vectors.norm(dim=1, keepdim=True))
        sigmas = _deviations(vectors, joint[-size:, -size:])
        if self.layer is not None:
            fits = _linear_fits(loadings, observed, cross, joint[-size:, -size:])
            evidence = [{**e, "linear_fit": fit} for e, fit in zip(evidence, fits, strict=True)]
        directions = tuple(
            Direction.from_vector(
                f"{self.estimator}_{i:02d}",
                vector.reshape(shape).float(),
                space=space,
                method=self.method,
                config=self.config,
                sigma=sigma,
                evidence=statistics,
            )
            for i, (vector, sigma, statistics) in enumerate(
                zip(vectors, sigmas.tolist(), evidence, strict=True)
            )
        )
        provenance = {"seed": seed, "samples": stream.count}
        return DirectionBank.of(generator, directions, provenance)

    def _layer_rows(self, draw: Draw, layer: str) -> _Rows:
        """The layer's activations, or their coordinates in their range, followed by the codes."""
        run = layer_activations(draw.generator, layer=layer, space=draw.space)

        def flat(codes: Tensor) -> Tensor:
            return run(codes).flatten(1).float()

        size = flat(next(draw.first(1).chunks())).shape[1]
        draw = draw.by(CHUNK_NUMBERS // size)
        if size <= EXACT_LIMIT:
            return _Rows(draw, lambda codes: torch.cat([flat(codes), codes.flatten(1)], 1), size)
        if self.estimator == "sparse":
            raise SpaceError(
                f"layer {layer!r} has {size} numbers: sparse components are offered up to "
                f"{EXACT_LIMIT}; use estimator='pca' or 'ica'"
            )
        found = find_range(
            lambda: (flat(codes) for codes in draw.chunks(note=f"range of {layer}")),
            rank=min(self.n_directions + OVERSAMPLING, size),
            passes=self.passes,
            seed=draw.seed % 2**63,
        )

        def inside(codes: Tensor) -> Tensor:
            return torch.cat([(flat(codes) - found.mean) @ found.basis, codes.flatten(1)], 1)

        return _Rows(draw, inside, found.basis.shape[1], found.variance)

    def _stream(self, rows: _Rows, state: str | Path | None) -> StreamingCovariance:
        draw = rows.draw
        size = rows.of(next(draw.first(1).chunks())).shape[1]
        stream = StreamingCovariance(size, precision=self.precision, device=draw.generator.device)
        label = {
            "generator": draw.generator.fingerprint,
            "seed": str(draw.seed),
            "space": draw.space,
            "layer": str(self.layer),
            "size": str(size),
        }
        if state is not None and Path(state).exists():
            stream.load(state, label=label)
        if stream.count > self.n_codes:
            raise SamplesError(
                f"{state} holds {stream.count} samples already, more than the {self.n_codes} "
                "requested: give another file"
            )
        executor = Local() if self.executor is None else self.executor
        starts = range(stream.count, self.n_codes, draw.chunk)
        summed = executor.map(Summed(rows, self.precision, size), starts)
        bar = tqdm(summed, total=len(starts), desc="covariance", leave=False, delay=1)
        for i, chunk in enumerate(bar, 1):
            stream.merge(chunk)
            if state is not None and (i % SAVE_EVERY == 0 or stream.count == self.n_codes):
                stream.save(state, label=label)
        return stream

    def _principal(
        self, observed: Float[Tensor, "m m"], count: int, variance: float | None
    ) -> Spectrum:
        # An eigenvalue of n samples has a relative standard error of √(2/n).
        tolerance = math.sqrt(2 / count)
        wanted = min(self.n_directions, len(observed))
        spectrum = eigh(observed, count=wanted, tolerance=tolerance)
        floor = len(observed) * torch.finfo(torch.float32).eps * float(spectrum.values[0])
        rank = int((spectrum.values > floor).sum())
        if not rank:
            raise LatdirError("the codes do not vary, so they have no components")
        if rank < wanted:
            log.warning("%d components requested, but there are only %d", wanted, rank)
            spectrum = eigh(observed, count=rank, tolerance=tolerance)
        # The largest eigenvalue of n samples of isotropic codes (Marchenko and Pastur 1967).
        edge = spectrum.total / len(observed) * (1 + math.sqrt(len(observed) / count)) ** 2
        if len(observed) > 1 and float(spectrum.values[0]) < ISOTROPIC * edge:
            log.warning(
                "the codes vary equally in all directions, so any other directions would do as "
                "well: decompose another space or a layer instead"
            )
        return spectrum if variance is None else replace(spectrum, total=variance)

    def _loadings(
        self,
        spectrum: Spectrum,
        observed: Float[Tensor, "m m"],
        mean: Float[Tensor, "j"],
        rows: _Rows,
    ) -> tuple[Float[Tensor, "k m"], list[dict[str, Any]]]:
        """Loadings of each component on the rows and its supporting statistics, strongest first."""
        seed = rows.draw.seed % 2**32
        if self.estimator == "pca":
            return spectrum.vectors, [evidence for _, evidence in spectrum]
        if self.estimator == "sparse":
            loadings = sparse_components(
                observed, count=len(spectrum), sparsity=self.sparsity, seed=seed
            )
            weights = _deviations(loadings, observed).square()
        else:
            whitening = spectrum.vectors / spectrum.values.sqrt()[:, None]
            m = rows.observed
            white = torch.cat(
                [
                    (rows.of(codes)[:, :m].double() - mean[:m]) @ whitening.T
                    for codes in rows.draw.first(ICA_SAMPLES).chunks(note="ICA")
                ]
            )
            loadings = independent_components(white, seed=seed) @ whitening
            # Sources have unit variance: a source's weight is the variance it gives the rows.
            weights = (loadings @ observed).square().sum(1)
        order = weights.argsort(descending=True, stable=True)
        loadings, weights = loadings[order], weights[order]
        return loadings, [
            {"variance": w, "share": w / spectrum.total, "coordinates": int((row != 0).sum())}
            for w, row in zip(weights.tolist(), loadings, strict=True)
        ]


@dataclass(frozen=True, eq=False)
class Summed:
    """The covariance of a chunk of rows by the number of its first: a task of an executor.

    Attributes:
        rows: The rows.
        precision: Of the products.
        size: Numbers of a row.
    """

    rows: _Rows
    precision: Precision
    size: int

    def __call__(self, start: int) -> StreamingCovariance:
        """The chunk's own sums, on the CPU."""
        draw = self.rows.draw
        codes = draw.at(start)
        stream = StreamingCovariance(self.size, precision=self.precision, device=codes.device)
        stream.add(self.rows.of(codes))
        return stream


@dataclass(frozen=True, eq=False)
class _Rows:
    """Input of the decomposition: rows of codes.

    Attributes:
        draw: The codes.
        of: Codes to rows; the code itself comes last, or is all there is.
        observed: Number of leading columns that are decomposed.
        variance: Total variance of the original variables, where the columns omit some.
    """

    draw: Draw
    of: Callable[[Tensor], Tensor]
    observed: int
    variance: float | None = None


def _codes(draw: Draw) -> _Rows:
    return _Rows(draw, _flat, draw.generator.space(draw.space).size)


def _flat(codes: Tensor) -> Tensor:
    return codes.flatten(1)


def _deviations(
    vectors: Float[Tensor, "k d"], covariance: Float[Tensor, "d d"]
) -> Float[Tensor, "k"]:
    return torch.einsum("kd,de,ke->k", vectors, covariance, vectors).clamp_min(0).sqrt()


def _linear_fits(
    loadings: Float[Tensor, "k m"],
    observed: Float[Tensor, "m m"],
    cross: Float[Tensor, "m d"],
    codes: Float[Tensor, "d d"],
) -> list[float]:
    """Fraction of each component's variance that is linear in the code."""
    shared = loadings @ cross
    explained = (torch.linalg.lstsq(codes, shared.T).solution.T * shared).sum(1)
    shares: list[float] = (explained / _deviations(loadings, observed).square()).tolist()
    return shares


def _regress(
    loadings: Float[Tensor, "k m"],
    observed: Float[Tensor, "m m"],
    cross: Float[Tensor, "m d"],
) -> Float[Tensor, "k d"]:
    """Least-squares coefficients of the codes on the component scores: code ≈ Σ score · row."""
    scores = loadings @ observed @ loadings.T
    coefficients: Tensor = torch.linalg.solve(scores, loadings @ cross)
    return coefficients
