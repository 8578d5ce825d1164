"""Labeled samples per second: the naive loop against the prepared forms, net by net.

    python benchmarks/classifiers.py [--count 128] [--repeats 3]

Naive: float32, a bicubic resize for each classifier, the plain networks, batches of 128. Fast:
`inference()` of the generator and of the classifier. Every row's forms run one after the other in
each repeat, and the medians are compared, so that a busy machine burdens all of them. Seconds
are of the clock on the wall, processor seconds are of all threads together.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

from directions.classifiers.faces import nets as face_nets
from directions.classifiers.faces.classifier import OF_NET, FaceClassifier, faces
from directions.generators.dcgan import DCGAN, digiface64

BATCH = 128
NETS: dict[str, Callable[[], torch.nn.Module]] = {
    "expression": face_nets.expression_net,
    "landmarks": face_nets.landmark_net,
    "age_gender": face_nets.age_gender_net,
}


def naive(net: torch.nn.Module) -> Callable[[Tensor], Tensor]:
    """One classifier on its own: its own resize, the plain network."""

    def run(images: Tensor) -> Tensor:
        resized = F.interpolate(images, size=112, mode="bicubic", align_corners=False)
        answer = net(face_nets.normalize(resized.clamp(-1, 1)))
        return answer if isinstance(answer, Tensor) else answer.gender

    return run


def forms(net: str, classifier: FaceClassifier) -> dict[str, Callable[[Tensor], Tensor]]:
    """The ways to run one network."""
    names = [attribute.name for attribute in OF_NET[net]]
    return {
        "naive": naive(NETS[net]()),
        "float32": classifier.inference(names=names),
        "bfloat16": classifier.inference(names=names, precision="bfloat16"),
    }


def end_to_end(
    generator: DCGAN, classifier: FaceClassifier
) -> dict[str, Callable[[Tensor], object]]:
    """Codes to scores of all three networks."""
    nets = [naive(make()) for make in NETS.values()]
    rows: dict[str, Callable[[Tensor], object]] = {
        "naive": lambda codes: [
            net(images) for images in [generator.synthesize(codes)] for net in nets
        ]
    }
    for precision in ("float32", "bfloat16"):
        make = generator.inference(precision=precision)
        score = classifier.inference(precision=precision)
        rows[precision] = lambda codes, make=make, score=score: score(make(codes))
    return rows


def timed(
    rows: dict[str, Callable[[Tensor], object]], inputs: Tensor, *, repeats: int
) -> dict[str, tuple[float, float]]:
    """Median (wall, processor) seconds of each form on the inputs, in batches."""
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in rows}
    with torch.inference_mode():
        for run in rows.values():
            run(inputs[:16])
        for _ in range(repeats):
            for name, run in rows.items():
                wall, cpu = time.perf_counter(), time.process_time()
                for batch in inputs.split(BATCH):
                    run(batch)
                spent[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {
        name: (statistics.median(w for w, _ in s), statistics.median(c for _, c in s))
        for name, s in spent.items()
    }


def show(title: str, count: int, times: dict[str, tuple[float, float]]) -> None:
    base = times["naive"]
    for name, (wall, cpu) in times.items():
        print(
            f"{title:12}{name:10}{count / wall:8.1f}/s{base[0] / wall:7.1f}×"
            f"{1000 * cpu / count:9.2f} ms{base[1] / cpu:7.1f}×"
        )


def agreement(classifier: FaceClassifier, images: Tensor) -> None:
    """How the fast forms' scores compare with the plain ones'."""
    with torch.inference_mode():
        plain = torch.cat([classifier(batch) for batch in images.split(BATCH)])
    for precision in ("float32", "bfloat16"):
        fast = classifier.inference(precision=precision)(images)
        same = ((fast > 0.5) == (plain > 0.5)).float().mean(0)
        expression = (fast[:, :7].argmax(1) == plain[:, :7].argmax(1)).float().mean()
        print(f"\n{precision}: same expression {expression:.3f}")
        for j, attribute in enumerate(classifier.attributes):
            error = (fast[:, j] - plain[:, j]).abs()
            label = f"same label {same[j]:.3f}" if attribute.kind == "probability" else ""
            print(
                f"  {attribute.name:12} mean |Δ| {error.mean():.5f}, "
                f"{error.mean() / plain[:, j].std():.4f} of the spread  {label}"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=128, help="images")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    generator, classifier = digiface64(), faces()
    codes = generator.sample(options.count, seed=3)
    images = generator.inference()(codes)
    print(f"{'':22}{'images':>10}{'':8}{'processor':>12}")
    for net in NETS:
        times = timed(forms(net, classifier), images, repeats=options.repeats)
        show(net, options.count, times)
    show(
        "end to end",
        options.count,
        timed(end_to_end(generator, classifier), codes, repeats=options.repeats),
    )
    agreement(classifier, images)


if __name__ == "__main__":
    main()
