"""The figures of `gpu.py`: rates, seconds of methods, parity with float64 on the CPU."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from random_stylegan2 import random_stylegan2
from torch import Tensor
from torch.nn import functional

from analysis.edits.effects import measure_effects
from directions import Rendering, load_classifier, load_generator
from directions.baselines import random_directions
from directions.classifiers.base import Classifier
from directions.devices import ieee_float32
from directions.fingerprints import Precision
from directions.generators.base import Generator
from directions.numerics.eigen import eigh
from directions.numerics.jacobian import metric
from directions.scoring.scorer import Scorer
from discovery.decomposition.covariance import StreamingCovariance
from discovery.estimators.svm import hinge_svm
from discovery.unsupervised.pca import PCA

SEED = 5
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")


class Sizes:
    """Sizes of a full or a quick run."""

    def __init__(self, quick: bool) -> None:
        self.turns = 1 if quick else 3
        self.seconds = 0.2 if quick else 4.0  # of a turn
        self.run = 0 if quick else 10**6  # images that settings are measured for
        self.codes = 20_000 if quick else 1_000_000
        self.svm = (1_000, 64) if quick else (20_000, 512)
        self.effects = 8 if quick else 256
        self.faces = 8 if quick else 64
        self.base = 1024 if quick else 16_384
        # Sides of random StyleGAN2 images; the larger at a fixed batch, so that time is bounded.
        self.small, self.large = (64, 128) if quick else (256, 1024)
        self.batch = 4 if quick else 16

    def generators(self) -> Iterator[tuple[Generator, int, int | None]]:
        """Generator, batch of the plain loop, and that of the `Scorer` where it is fixed."""
        for name in ("digiface64", "styleface64"):
            yield load_generator(name), self.faces, None
        yield random_stylegan2(self.small, base=self.base), self.faces // 2, None
        yield random_stylegan2(self.large, base=self.base), self.batch, self.batch


def rates(device: torch.device, sizes: Sizes) -> list[dict[str, Any]]:
    """Labeled images a second of the plain loop and of the `Scorer`."""
    classifier, made = load_classifier("faces").to(device), []
    for here, batch, fixed in sizes.generators():
        generator = here.to(device)
        space = generator.default_space("w")
        open_ = Rendering(batch_size=fixed)
        chosen = Scorer(generator, classifier, space=space, rendering=open_, n=sizes.run).rendering
        ways: dict[str, Callable[[Tensor], Tensor]] = {
            "plain": lambda codes, g=generator, s=space: plain(g, classifier, codes, s)
        }
        batches = {"plain": batch}
        for precision in PRECISIONS:
            rendering = replace(chosen, precision=precision)
            scorer = Scorer(generator, classifier, space=space, rendering=rendering)
            ways[precision] = scorer.score
            batches[precision] = scorer.batch_size
        if device.type == "cuda":  # the chosen precision, batches replayed from a CUDA graph
            scorer = Scorer(generator, classifier, space=space, rendering=chosen, n=sizes.run)
            ways["graph"], batches["graph"] = scorer.score, scorer.batch_size
        codes = generator.sample(max(64, *batches.values()), seed=SEED, space=space)
        measured = {
            name: {"batch": batches[name], **figures}
            for name, figures in in_turns(ways, codes, batches, sizes).items()
        }
        row = {
            "generator": generator.name,
            "space": space,
            **measured,
            "bfloat16_error_sd": error_in_sd(*(ways[p](codes[:64]) for p in PRECISIONS)),
            "chosen": chosen.precision,
            "times_plain": round(
                measured["graph" if "graph" in measured else chosen.precision or "float32"][
                    "images_per_second"]
                / measured["plain"]["images_per_second"], 2),
        }  # fmt: skip
        made.append(row)
        print(json.dumps(row, ensure_ascii=False))
    return made


def error_in_sd(scores: Tensor, other: Tensor) -> float:
    """Largest root mean square difference of an attribute, in its standard deviation."""
    rms = (scores - other).square().mean(0).sqrt()
    return round(float((rms / scores.std(0).clamp_min(1e-6)).max()), 4)


def plain(generator: Generator, classifier: Classifier, codes: Tensor, space: str) -> Tensor:
    with torch.no_grad():
        return classifier(generator.synthesize(codes, space)).cpu()


def in_turns(
    ways: dict[str, Callable[[Tensor], Tensor]],
    codes: Tensor,
    batches: dict[str, int],
    sizes: Sizes,
) -> dict[str, dict[str, Any]]:
    """Images a second of each, and the most memory it took."""
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    memory = {}
    for name, way in ways.items():  # warm
        with peak_memory(codes.device) as taken:
            for _ in range(2):  # a graph is recorded at the second batch
                way(codes[: batches[name]])
        memory[name] = taken
    for _ in range(sizes.turns):
        for name, way in ways.items():
            count, begun = 0, time.perf_counter()
            while (taken_seconds := time.perf_counter() - begun) < sizes.seconds or not count:
                way(codes[: batches[name]])  # ends with its scores on the CPU
                count += batches[name]
            speeds[name].append(count / taken_seconds)
    return {
        name: {"images_per_second": round(statistics.median(s), 2), **memory[name]}
        for name, s in speeds.items()
    }


@contextmanager
def peak_memory(device: torch.device) -> Iterator[dict[str, float]]:
    """The most memory of a CUDA card that was taken inside, above what was held before."""
    found: dict[str, float] = {}
    if device.type == "cuda":
        torch.cuda.empty_cache()
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
    yield found
    if device.type == "cuda":
        found["peak_mib"] = round((torch.cuda.max_memory_allocated(device) - before) / 2**20, 1)


def methods(device: torch.device, sizes: Sizes) -> list[dict[str, Any]]:
    """Seconds of the arithmetic of methods on the device and on the CPU."""
    made = []
    for where in dict.fromkeys((device, torch.device("cpu"))):
        jobs = method_jobs(where, sizes)
        for i, (name, job) in enumerate(jobs.items()):
            if where.type != "cpu":
                job()  # warm
            with peak_memory(where) as taken:
                seconds = [timed(job, where) for _ in range(sizes.turns if where == device else 1)]
            figure = round(statistics.median(seconds), 4)
            if where == device:
                made.append({"method": name, "seconds": figure, **taken})
            else:
                made[i] |= {
                    "cpu_seconds": figure,
                    "times_cpu": round(figure / made[i]["seconds"], 1),
                }
    for row in made:
        print(json.dumps(row, ensure_ascii=False))
    return made


def method_jobs(device: torch.device, sizes: Sizes) -> dict[str, Callable[[], Any]]:
    digiface, styleface = (load_generator(n, device=device) for n in ("digiface64", "styleface64"))
    rows, labels = separable(*sizes.svm, 40)
    rows, labels = rows.to(device), labels.to(device)
    style, face = styleface.sample(1, seed=SEED, space="w")[0], digiface.sample(1, seed=SEED)[0]
    bank, classifier = random_directions(styleface, space="w", n_directions=8), faces(device)
    quiet = Rendering(progress=False)
    return {
        f"covariance of {sizes.codes:,} codes of 512, eigenvectors": lambda: principal_axes(
            device, sizes.codes
        ),
        f"pca of styleface64's w, {sizes.codes // 10:,} codes": lambda: PCA(
            n_codes=sizes.codes // 10
        ).discover(styleface),
        f"svm of {len(rows):,} codes of {rows.shape[1]}, 40 targets": lambda: hinge_svm(
            rows, labels, tolerance=1e-3
        ),
        "JᵀJ of digiface64, eigenvectors": lambda: eigh(metric(digiface.linearize(face))),
        "JᵀJ of styleface64 in w, eigenvectors": lambda: eigh(
            metric(styleface.linearize(style, space="w"))
        ),
        f"effects of 8 directions on {sizes.effects} codes": lambda: measure_effects(
            styleface, classifier, bank, count=sizes.effects, rendering=quiet
        ),
    }


def faces(device: torch.device) -> Classifier:
    return load_classifier("faces", device=device)


def timed(job: Callable[[], Any], device: torch.device) -> float:
    begun = time.perf_counter()
    job()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begun


def principal_axes(device: torch.device, count: int) -> Any:
    rng = torch.Generator(device).manual_seed(0)
    stream = StreamingCovariance(512, device=device)
    scales = torch.arange(1, 513, device=device) ** -0.35
    for first in range(0, count, 4096):
        size = min(4096, count - first)
        stream.add(torch.randn(size, 512, generator=rng, device=device) * scales)
    return eigh(stream.covariance(), count=80)


def separable(n: int, d: int, k: int) -> tuple[Tensor, Tensor]:
    """Standard normal codes; labels of k planted directions, 15 % of them flipped."""
    rng = torch.Generator().manual_seed(0)
    codes = torch.randn(n, d, generator=rng)
    labels = torch.sign(torch.randn(k, d, generator=rng) @ codes.T)
    return codes, torch.where(torch.rand(k, n, generator=rng) < 0.15, -labels, labels)


def parity(device: torch.device, sizes: Sizes) -> list[dict[str, Any]]:
    """Largest differences between float32 on the device and float64, plain forms, on the CPU."""
    made: list[dict[str, Any]] = []

    def compared(what: str, difference: Tensor, tolerance: float) -> None:
        worst = float(difference.max())
        row = {"what": what, "difference": worst, "tolerance": tolerance}
        made.append({**row, "within": worst <= tolerance})
        print(json.dumps(made[-1], ensure_ascii=False))

    with ieee_float32():
        exact, fast = load_classifier("faces"), load_classifier("faces").inference()
        for here, batch, _ in sizes.generators():
            count = min(batch, 8 if here.image_shape[1] < 256 else 2)
            there, space, name = here.to(device), here.default_space("w"), here.name
            z, same = here.sample(count, seed=SEED), there.sample(count, seed=SEED).cpu()
            compared(f"{name}: codes z", (z - same).abs(), 0.0)
            codes = here.sample(count, seed=SEED, space=space)
            images = there.inference(space=space)(codes.to(device))
            expected = here.synthesize(codes.double(), space)
            compared(f"{name}: images", (images.cpu() - expected).abs(), 1e-3)
            labels = exact(expected.float())
            error = (fast(images).cpu() - labels).abs() / labels.std(0).clamp_min(1e-3)
            compared(f"{name}: scores, in standard deviations", error, 2e-2)
        rows, labels = separable(*sizes.svm, 4)
        normals = hinge_svm(rows.double(), labels, tolerance=1e-9).weights
        found = hinge_svm(rows.to(device), labels.to(device)).weights.cpu()
        compared("svm: 1 - cosine of normals", turned(found, normals), 1e-4)
        style = load_generator("styleface64")
        codes = style.sample(20_000, seed=SEED, space="w")
        stream = StreamingCovariance(codes.shape[1])
        stream.add(codes.double())
        axes = eigh(stream.covariance(), count=10).vectors
        bank = PCA(n_directions=10, n_codes=len(codes)).discover(style.to(device), seed=SEED)
        compared("pca: 1 - cosine of directions", turned(bank.matrix(), axes), 1e-4)
        face = load_generator("digiface64")
        code = face.sample(1, seed=SEED)[0]
        values = eigh(metric(face.linearize(code.double())), count=10).values
        found = eigh(metric(face.to(device).linearize(code.to(device))), count=10).values.cpu()
        compared("JᵀJ: relative error of eigenvalues", (found / values - 1).abs(), 1e-4)
    return made


def turned(found: Tensor, expected: Tensor) -> Tensor:
    """One minus the cosine of each row with its counterpart."""
    return 1 - functional.cosine_similarity(found.double(), expected.double(), dim=1)
