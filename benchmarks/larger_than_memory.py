"""Boundaries of more samples than memory holds, and of those it holds, beside fits of all rows.

    python benchmarks/larger_than_memory.py --compare 200000 512 4 --repeats 3
    python benchmarks/larger_than_memory.py --compare 20000 4608 1 --estimator logistic
    python benchmarks/larger_than_memory.py --grow 100000 1000000 10000000 --folder big

`--compare` fits the same samples twice in one process, by turns where it repeats, and stores the
medians of their CPU seconds (all threads together). *Rows* is the earlier way: every row turned
into the eigenbasis, once for the direction and once without the held-out rows, and for margins a
fit for each of 50 bootstrap replicates.
*Sums* is `Boundary`. `--grow` labels codes of a
generator whose images cost nothing into a folder, a part after the other, finds the boundaries
from it in a process of its own, and tells seconds and the largest memory that process had. Every
part resumes: call it again until all sizes are stored. `--figure larger.png` draws what is stored.
"""

from __future__ import annotations

import argparse
import json
import resource
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from directions import LatdirError, Rendering
from directions.classifiers import Attribute, Classifier
from directions.fingerprints import fingerprint
from directions.generators.base import Generator
from directions.space import Prior, Space
from discovery import Boundary, Samples, sample
from discovery.estimators.cones import angles, cone_angle, posterior_cone
from discovery.estimators.held_out import evidence
from discovery.estimators.linear import Hyperplanes, Rotated, axes_of, lda, ridge
from discovery.estimators.smooth_margin import smooth_margin
from discovery.estimators.svm import box
from discovery.supervised.labels import labeled

SIZE, ATTRIBUTES, SLOTS = 512, 4, 6
BATCH = 1024
STORED = Path(__file__).parent / "results" / "larger-than-memory.json"


class Free(Generator):
    """A generator of 1×2 pixels, whose images are projections of the codes."""

    name = "free"
    image_shape = (3, 1, 2)

    def __init__(self, size: int = SIZE) -> None:
        self.spaces = {"z": Space("z", (size,))}
        rng = torch.Generator().manual_seed(5)
        self.ways = torch.randn(size, SLOTS, generator=rng) / (3 * size**0.5)
        self.fingerprint_ = fingerprint({"ways": self.ways}, {})

    @property
    def fingerprint(self) -> str:
        """sha256 of the projections."""
        return self.fingerprint_

    def synthesize(self, codes: Tensor, space: str = "z") -> Tensor:
        """Projections of the codes as pixels."""
        return torch.tanh(codes @ self.ways.to(codes)).reshape(-1, 3, 1, 2)


class Mixes(Classifier):
    """Scores of such images: each a pixel with a share of the last."""

    name = "mixes"
    attributes = tuple(Attribute(f"a{i}") for i in range(ATTRIBUTES))
    fingerprint = fingerprint({}, {"mixes": ATTRIBUTES})

    def __call__(self, images: Tensor) -> Tensor:
        """Each pixel, with a share of the last."""
        pixels = images.flatten(1)
        return pixels[:, :ATTRIBUTES] + pixels[:, -1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--compare", type=int, nargs=3, metavar=("ROWS", "SIZE", "ATTRIBUTES"))
    parser.add_argument(
        "--estimator", default="ridge", choices=["ridge", "lda", "logistic", "hinge"]
    )
    parser.add_argument("--repeats", type=int, default=1, help="of a comparison: medians")
    parser.add_argument("--grow", type=int, nargs="+", metavar="ROWS")
    parser.add_argument("--size", type=int, default=SIZE, help="numbers of a code that grows")
    parser.add_argument("--seconds", type=float, default=420.0, help="before a part is left")
    parser.add_argument("--folder", type=Path, default=Path("out/larger"))
    parser.add_argument("--figure", type=Path, help="of the sizes stored: PNG")
    parser.add_argument("--find", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.find:
        print(json.dumps(found(options.folder, options.find, options.estimator)))
    elif options.compare:
        compare(*options.compare, options.estimator, options.repeats)
    elif options.grow:
        grow(options)
    if options.figure:
        draw(options.figure)


def compare(n: int, d: int, k: int, estimator: str, repeats: int) -> None:
    rng = torch.Generator().manual_seed(0)
    codes = torch.randn(n, d, generator=rng)
    truth = torch.randn(d, k, generator=rng) / d**0.5
    scores = codes @ truth + torch.randn(n, k, generator=rng)
    attributes = tuple(Attribute(f"a{i}") for i in range(k))
    samples = Samples(codes, scores, attributes, "z", "toy", "0" * 64, "exact", "0" * 64, seed=0,
                      prior=Prior.standard(d))  # fmt: skip
    seconds: dict[str, list[float]] = {"rows": [], "sums": [], "ratio": []}
    for _ in range(repeats):
        started = time.process_time()
        bank = Boundary(estimator=estimator).discover(samples)  # type: ignore[arg-type]
        sums = time.process_time() - started
        print(f"sums {sums:.2f} s", flush=True)
        started = time.process_time()
        weights, cones = of_rows(samples, estimator)
        rows = time.process_time() - started
        print(f"rows {rows:.2f} s", flush=True)
        for name, value in (("rows", rows), ("sums", sums), ("ratio", rows / sums)):
            seconds[name].append(value)
    found = {
        "repeats": repeats,
        "threads": torch.get_num_threads(),
        **{f"{name}_median": round(statistics.median(v), 2) for name, v in seconds.items()},
        "degrees_apart": round(float(angles(bank.matrix()[None], weights).max()), 5),
        "cones": [round(float(cones[0]), 3), round(bank["a0"].evidence["cone_degrees"], 3)],
    }
    print(json.dumps(found))
    keep("compare", f"{n} x {d} x {k} {estimator}", found)


def keep(part: str, key: str, found: dict[str, Any]) -> None:
    """Figures beside those stored before."""
    stored = json.loads(STORED.read_text()) if STORED.exists() else {}
    stored.setdefault(part, {})[key] = found
    STORED.write_text(json.dumps(stored, indent=1) + "\n")


def rotated(codes: Tensor) -> Rotated:
    """`rotate` of more rows than coordinates, by the whole product of the centered codes."""
    mean = codes.mean(0)
    centered = codes - mean
    axes = axes_of(centered.T @ centered, mean, len(codes))
    return Rotated(*axes, axes.basis.T @ centered.T)


def of_rows(samples: Samples, estimator: str) -> tuple[Tensor, Tensor]:
    """Normals and cones the earlier way, held-out figures included."""
    data = labeled(samples, samples.names)
    n = len(samples)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
    out, kept = order.tensor_split([round(0.2 * n)])
    planes = []
    cones = torch.zeros(0)
    for part in (data, data.rows(kept)):
        if estimator == "logistic":
            bounds = box(part.labels, None, C=1.0, balanced=False)
            turned = rotated(part.codes)
            planes.append(
                smooth_margin(part.codes, part.labels, bounds, loss="logistic", turned=turned)
            )
            continue
        turned = rotated(part.codes)
        if estimator == "ridge":
            planes.append(ridge(part.codes, part.targets, turned=turned))
            if part is data:
                cones = posterior_cone(part.codes, part.targets, turned=turned)
        else:
            planes.append(lda(part.codes, part.labels, turned=turned))
            if part is data:
                cones = cone_angle(part.codes, part.labels, resamples=50, turned=turned)
    if estimator == "logistic":
        cones = refitted(data.codes, data.labels, planes[0])
    level = data.codes @ planes[1].weights.T + planes[1].intercepts
    for k in range(len(data.names)):
        evidence(level[out, k], data.scores[k, out], float(data.cuts[k]))
    return planes[0].weights, cones


def refitted(codes: Tensor, labels: Tensor, planes: Hyperplanes) -> Tensor:
    """Cones of 50 fits with random weights of the rows, as many together as fit."""
    generator = torch.Generator().manual_seed(0)
    K, n = labels.shape
    batch = max(1, 2**23 // (K * n))
    turned = []
    for first in range(0, 50, batch):
        count = min(batch, 50 - first)
        weights = torch.empty(count, n).exponential_(generator=generator).repeat_interleave(K, 0)
        many = labels.repeat(count, 1)
        bounds = box(many, weights, C=1.0, balanced=False)
        turned_codes = rotated(codes)
        again = smooth_margin(codes, many, bounds, loss="logistic", turned=turned_codes).weights
        turned.append(angles(again.reshape(count, K, -1), planes.weights))
    return torch.cat(turned).quantile(0.95, dim=0)


def grow(options: argparse.Namespace) -> None:
    """Samples and boundaries of each size, as far as the seconds reach."""
    until = time.perf_counter() + options.seconds
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    measured = json.loads(STORED.read_text()).get("grow", {}) if STORED.exists() else {}
    for n in options.grow:
        key = f"{n} x {options.size} x {ATTRIBUTES} {options.estimator}"
        if key in measured:
            continue
        if held(options.folder / "samples") < n and not filled(options, n, until):
            return
        made = subprocess.run(
            [sys.executable, __file__, "--find", str(n), "--folder", str(options.folder),
             "--estimator", options.estimator],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        print(n, made, flush=True)
        keep("grow", key, json.loads(made))


def draw(path: Path) -> None:
    """CPU seconds and the largest memory against the number of rows, with a line in proportion."""
    from matplotlib.figure import Figure  # not where memory is measured

    from analysis.plots.theme import LIGHT, dress

    stored = json.loads(STORED.read_text())["grow"]
    kind = f"x {SIZE} x {ATTRIBUTES} ridge"
    rows = sorted((int(k.split()[0]), values) for k, values in stored.items() if kind in k)
    counts = [n for n, _ in rows]
    seconds = [values["cpu_seconds"] for _, values in rows]
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    color, marker, _ = LIGHT.line(0)
    left.loglog(counts, seconds, color=color, marker=marker, label="measured")
    line = [seconds[-1] * n / counts[-1] for n in counts]
    left.loglog(counts, line, "--", color=LIGHT.quiet, label="in proportion to the last")
    left.set(xlabel="rows of 512 numbers, 4 attributes", ylabel="CPU seconds")
    left.legend()
    right.semilogx(counts, [values["peak_gb"] for _, values in rows], color=color, marker=marker)
    right.axhline(2, linestyle="--", color=LIGHT.quiet)
    right.set(xlabel="rows", ylabel="largest memory, GiB", ylim=(0, 2.2))
    for axes in (left, right):
        dress(axes, LIGHT)
    figure.savefig(path, dpi=110)


def held(folder: Path) -> int:
    """Rows of a folder."""
    try:
        return len(Samples.open(folder, partial=True))
    except LatdirError:
        return 0


def filled(options: argparse.Namespace, n: int, until: float) -> bool:
    """Label rows, and say whether there is time to go on."""
    started = time.perf_counter()
    # As by a person who presses Ctrl-C: what is there is kept.
    signal.alarm(max(1, int(until - started)))
    try:
        sample(Free(options.size), Mixes(), n, seed=0, out=options.folder / "samples",
               rendering=Rendering(None, "float32", BATCH, False, progress=False))  # fmt: skip
    except KeyboardInterrupt as error:
        print(f"{error}", flush=True)
        return False
    signal.alarm(0)
    taken = time.perf_counter() - started
    print(f"{n} rows sampled in {taken:.0f} s", flush=True)
    if taken > options.seconds / 4:
        print("call it again to find their boundaries")
    return taken <= options.seconds / 4


def found(folder: Path, n: int, estimator: str) -> dict[str, float]:
    """Seconds and memory of the boundaries of the first rows of a folder."""
    samples = Samples.open(folder / "samples", partial=True)
    stored = samples.chunks()
    stored.count = n
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started, processor = time.perf_counter(), time.process_time()
    bank = Boundary(estimator=estimator).discover(samples)  # type: ignore[arg-type]
    return {
        "seconds": round(time.perf_counter() - started, 1),
        "cpu_seconds": round(time.process_time() - processor, 1),
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "before_gb": before / 2**20,
        "cone_degrees": float(bank["a0"].evidence["cone_degrees"]),
        "auc": float(bank["a0"].evidence["auc"]),
    }


if __name__ == "__main__":
    main()
