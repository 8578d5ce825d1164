"""What is fitted once to a generator's own samples, so that inversions start well.

From a few thousand codes of the prior and their images, degraded as the targets are: ridge
regression of codes on images, the samples themselves to look up, and JᵀJ averaged over the prior.
Regression is linear in pixels or in Gaussian kernels of the samples; which, by the images of the
codes, and the penalty, by the codes, are chosen on samples that were left out.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from os import PathLike
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked
from directions.errors import LatdirError, whole_number
from directions.generators.base import Generator
from directions.images import resize
from directions.inversion.objective import Degradation
from directions.numerics.linearized_batch import LinearizedBatch
from directions.progress import tqdm
from directions.seeds import INVERSION_SEED
from directions.storage.atomic import made_folder
from directions.storage.container import FileFormat, read_tensors, write_tensors

__all__ = ["Fitted", "fitted", "mean_metric"]

# Samples that choose the penalty, and the penalties, relative to the mean eigenvalue.
HELD_OUT = 512
PENALTIES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
# The same of kernels, whose diagonal is 1; they fall off with WIDTH · (squared distance) / (median
# squared distance). And how many at most.
KERNEL_PENALTIES, WIDTH, KERNELS = (0.003, 0.01, 0.03, 0.1, 0.3), 0.2, 4096
# Samples left out that choose between the two by their images.
COMPARED = 128
# Sides of images, and numbers, that are regressed on, and sides that kernels compare.
SIDE, NUMBERS, COARSE = 32, 4096, 16
# Coordinates up to which JᵀJ is averaged, codes at most, and samples for each product with J.
METRIC_SIZE, METRIC_CODES, METRIC_SHARE = 512, 64, 1.7
BATCH = 32
KEPT = 8
FORMAT = FileFormat("latdir.inversion-start", "inversion start", LatdirError)

_memory: OrderedDict[str, Fitted] = OrderedDict()


@dataclass(frozen=True, eq=False)
class Fitted:
    """A start fitted to one generator, space and degradation.

    Attributes:
        codes: `[N, *space.shape]`, of the prior.
        features: `[N, f]`, of their images as observed.
        weight: `[f, d]`, of the linear regression of codes on features.
        coarse: `[M, g]`, features that kernels compare, and `dual` `[M, d]`, the weights of the
            kernels; both empty where linear regression comes nearer.
        metric: `[d, d]`, JᵀJ averaged over the prior, or empty.
        penalty: That the held-out samples chose, as added to the diagonal.
        explained: Fraction of the variance of held-out codes that the regression explains.
        median: Squared distance of coarse features that is the unit of kernels.
    """

    codes: Float[Tensor, "N ..."]
    features: Float[Tensor, "N f"]
    weight: Float[Tensor, "f d"]
    coarse: Tensor
    dual: Tensor
    metric: Tensor
    penalty: float
    explained: float
    median: float = 1.0

    def predicted(self, observed: Float[Tensor, "n ..."]) -> Float[Tensor, "n ..."]:
        """Codes by the regression."""
        if self.dual.numel():
            rows = image_features(observed, COARSE)
            kernels = _kernels(rows, self.coarse.to(observed), self.median)
            offsets = kernels @ self.dual.to(observed)
        else:
            rows = image_features(observed) - self.features.mean(0).to(observed)
            offsets = rows @ self.weight.to(observed)
        center = self.codes.flatten(1).mean(0).to(observed)
        return (center + offsets).reshape(-1, *self.codes.shape[1:])

    def near(self, observed: Float[Tensor, "n ..."], *, rank: int = 0) -> Float[Tensor, "n ..."]:
        """Codes of the nearest samples, or the next nearest, moved by the regression.

        The regression is applied to the difference of the images, so that what it gets wrong on a
        sample is not repeated.
        """
        features = image_features(observed)
        distances = torch.cdist(features, self.features.to(observed))
        order = distances.topk(rank + 1, largest=False).indices[:, rank]
        offsets = (features - self.features.to(observed)[order]) @ self.weight.to(observed)
        return self.codes.to(observed)[order] + offsets.reshape(-1, *self.codes.shape[1:])


def image_features(observed: Float[Tensor, "n ..."], side: int = SIDE) -> Float[Tensor, "n f"]:
    """Observed images as the numbers that are regressed on and compared."""
    if observed.ndim == 4 and max(observed.shape[2:]) > side:
        height, width = (min(side, length) for length in observed.shape[2:])
        observed = resize(observed, (height, width))
    rows = observed.flatten(1)
    # Of observations that are not images, evenly spaced numbers.
    return rows[:, :: -(-rows.shape[1] // NUMBERS)]


@checked
def fitted(
    generator: Generator,
    *,
    space: str,
    degradation: Degradation | None = None,
    count: int = 4096,
    metric: bool = False,
    folder: str | PathLike[str] | None = None,
) -> Fitted:
    """The start of a generator, space and degradation, fitted at the first call.

    Args:
        generator: Makes the samples.
        space: Space of the codes.
        degradation: What the targets have gone through.
        count: Samples.
        metric: Whether JᵀJ is averaged over the prior too, for codes of up to 512 coordinates.
        folder: Where it is kept between runs; by default in memory only.

    Raises:
        LatdirError: Fewer than 64 samples, a degradation that differs by image, or a folder that
            cannot be written.
    """
    whole_number(count, "count", least=64)
    config = None if degradation is None else dict(degradation.config)
    identity = ["linear or kernels", generator.fingerprint, space, config, count]
    key = sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    wanted = metric and generator.space(space).size <= METRIC_SIZE
    if key not in _memory or (wanted and not _memory[key].metric.numel()):
        path = None if folder is None else Path(folder) / f"start-{key[:16]}.safetensors"
        if path is not None and path.is_file():
            _memory[key] = _read(path)
        made = _memory.get(key) or _fit(generator, space, degradation, count)
        if wanted and not made.metric.numel():
            affordable = int(count / METRIC_SHARE) // made.codes[0].numel()
            codes = made.codes[: min(METRIC_CODES, max(1, affordable))]
            made = replace(made, metric=mean_metric(generator, space, degradation, codes))
        if path is not None and made is not _memory.get(key):
            made_folder(path.parent)
            _write(path, made)
        _memory[key] = made
        while len(_memory) > KEPT:
            _memory.popitem(last=False)
    _memory.move_to_end(key)
    return _memory[key]


def _fit(generator: Generator, space: str, degradation: Degradation | None, count: int) -> Fitted:
    codes = generator.sample(count + HELD_OUT, seed=INVERSION_SEED, space=space)
    render = generator.inference(space=space)
    features: list[Tensor] = []
    coarse: list[Tensor] = []
    last = codes[:0]
    for part in tqdm(torch.split(codes, BATCH), desc="fit of the start", unit="batch", delay=1):
        with torch.no_grad():
            images = render(part).clone()
            observed = images if degradation is None else degradation(images)
            last = torch.cat([last, observed])[-COMPARED:] if len(features) else observed
            features.append(image_features(observed))
            coarse.append(image_features(observed, COARSE))
    rows, truth = torch.cat(features), codes.flatten(1).to(features[0])
    weight, penalty, explained = _regress(rows, truth)
    # In the layout it is read back in, so that a kept fit gives the same bits.
    linear = Fitted(
        codes[:count], rows[:count], weight.contiguous(), rows[:0], rows[:0], codes.new_empty(0, 0),
        penalty, explained,
    )  # fmt: skip
    few = torch.cat(coarse)
    dual, penalty, explained, median = _regress_kernels(few, truth)
    kernels = replace(
        linear, coarse=few[: len(dual)], dual=dual.contiguous(), penalty=penalty,
        explained=explained, median=median,
    )  # fmt: skip

    def error(made: Fitted) -> float:
        found = torch.cat(
            [render(part).clone() for part in torch.split(made.predicted(last), BATCH)]
        )
        seen = found if degradation is None else degradation(found)
        return float((image_features(seen) - rows[-len(last) :]).square().mean())

    with torch.no_grad():
        return min(linear, kernels, key=error)


def _regress(features: Tensor, codes: Tensor) -> tuple[Tensor, float, float]:
    """Weights, penalty and explained fraction; the last samples choose the penalty."""
    x, y = features[:-HELD_OUT], codes[:-HELD_OUT]
    mean, center = x.mean(0), y.mean(0)
    x, y = x - mean, y - center
    gram, right = x.T @ x, x.T @ y
    rest, truth = features[-HELD_OUT:] - mean, codes[-HELD_OUT:] - center
    return _chosen(gram, right, rest, truth, [p * float(gram.diagonal().mean()) for p in PENALTIES])


def _regress_kernels(features: Tensor, codes: Tensor) -> tuple[Tensor, float, float, float]:
    """Weights of the kernels, penalty, explained fraction and unit, as `_regress`."""
    x, center = features[:-HELD_OUT][:KERNELS], codes[:-HELD_OUT].mean(0)
    median = float(torch.cdist(x[:HELD_OUT], x[:HELD_OUT]).square().median()) or 1.0
    kernels, rest = _kernels(x, x, median), _kernels(features[-HELD_OUT:], x, median)
    truth = codes[-HELD_OUT:] - center
    return *_chosen(kernels, codes[: len(x)] - center, rest, truth, KERNEL_PENALTIES), median


def _kernels(rows: Tensor, samples: Tensor, median: float) -> Float[Tensor, "n N"]:
    return torch.exp(torch.cdist(rows, samples).square() * (-WIDTH / median))


def _chosen(
    matrix: Tensor, right: Tensor, rest: Tensor, truth: Tensor, penalties: Sequence[float]
) -> tuple[Tensor, float, float]:
    """The solution with the penalty that explains the truth best, that penalty, and how much."""
    best: tuple[Tensor, float, float] | None = None
    for penalty in penalties:
        damped = matrix.clone()
        damped.diagonal().add_(penalty + 1e-12)
        weight = torch.cholesky_solve(right, torch.linalg.cholesky(damped))
        explained = float(1 - (rest @ weight - truth).square().sum() / truth.square().sum())
        if best is None or explained > best[2]:
            best = weight, penalty, explained
    assert best is not None
    return best


def mean_metric(
    generator: Generator, space: str, degradation: Degradation | None, codes: Tensor
) -> Tensor:
    """JᵀJ of what is observed, per number observed, averaged over codes."""
    d = codes[0].numel()
    total = torch.zeros(d, d, device=codes.device)
    basis = torch.eye(d).to(codes).reshape(d, 1, *codes.shape[1:])
    for code in codes:
        model: LinearizedBatch = generator.linearize_batch(code[None], space=space)
        model = model if degradation is None else model.then(degradation)
        columns = torch.cat([model.push(part) for part in torch.split(basis, BATCH)]).flatten(1)
        total += columns @ columns.T / columns.shape[1]
    return total / len(codes)


def _write(path: Path, made: Fitted) -> None:
    tensors = {
        "codes": made.codes,
        "features": made.features,
        "weight": made.weight,
        "coarse": made.coarse,
        "dual": made.dual,
        "metric": made.metric,
    }
    manifest = {
        "penalty": made.penalty, "explained": made.explained, "median": made.median,
    }  # fmt: skip
    write_tensors(path, tensors, manifest, format=FORMAT)


def _read(path: Path) -> Fitted:
    manifest, tensors = read_tensors(path, FORMAT)
    return Fitted(
        tensors["codes"],
        tensors["features"],
        tensors["weight"],
        tensors["coarse"],
        tensors["dual"],
        tensors["metric"],
        float(manifest["penalty"]),
        float(manifest["explained"]),
        float(manifest["median"]),
    )
