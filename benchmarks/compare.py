"""All methods on one generator: which attribute each finds, how cleanly, at what cost.

Supervised methods know the attributes; the directions of unsupervised ones are named by
`analysis.naming` on codes of their own. Every named direction is then measured on the same
held-out codes at equal effect. Random directions go through the same naming: whatever they are
credited with is what the others' names are worth.

    python benchmarks/compare.py --labels 6000
    python benchmarks/compare.py --labels folder-written-by-latdir-sample --methods sefa,gradient
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from analysis.compare import Comparison, Cost, compare_methods
from analysis.comparison_plots import comparison_figure
from analysis.naming import Naming, name_directions
from directions import DirectionBank, LatdirError
from directions.classifiers import Classifier, load_classifier
from directions.generators import Generator, load_generator
from discovery import find_method, sample
from discovery.samples import Samples

ATTRIBUTES = "yaw,pitch,smiling,mouth_open,male,age,brightness,background_brightness,warmth"
# Each method's settings for digiface64; the number of components is set by --components.
SUPERVISED = {
    "ridge": ("boundary", {"bootstrap": 0}),
    "interfacegan": ("boundary", {"estimator": "interfacegan", "bootstrap": 0}),
    "mean_difference": ("boundary", {"estimator": "mean_difference", "bootstrap": 0}),
    "gradient": ("gradient", {"count": 300}),
}
UNSUPERVISED = {
    "pca": ("pca", {"layer": "relu.0", "samples": 20_000}),
    "sefa": ("sefa", {}),
    "jacobian": ("jacobian", {"samples": 20}),
    "region": ("region", {"samples": 10}),
    "random": ("random", {}),
}


def main() -> None:
    options = arguments()
    logging.basicConfig(level=logging.WARNING)
    generator, classifier = load_generator(options.generator), load_classifier(options.classifier)
    attributes = options.attributes.split(",")
    chosen = options.methods.split(",")
    samples, seconds = labels(options.labels, generator, classifier, attributes)
    banks: dict[str, DirectionBank] = {}
    costs: dict[str, Cost] = {}
    names: dict[str, Naming] = {}
    for method in chosen:
        print(f"{method} …", flush=True)
        try:
            bank, cost = found(method, generator, classifier, attributes, samples, seconds, options)
            if method in UNSUPERVISED:
                names[method] = name_directions(
                    generator,
                    classifier,
                    bank,
                    count=options.naming,
                    random=options.random,
                    precision="bfloat16",
                )
                bank = names[method].bank
        except LatdirError as error:
            print(f"  left out: {error}")
            continue
        banks[method], costs[method] = bank, cost
        if method in names:
            credited = ", ".join(
                f"{e.name} (t {e.t:.1f})" for e in names[method].entries if e.attribute
            )
            print(f"  {cost.seconds:.1f} s; found without labels: {credited or 'nothing'}")
    comparison = compare_methods(
        generator,
        classifier,
        banks,
        attributes=attributes,
        costs=costs,
        count=options.count,
        amounts=(0.5, 1.0, 2.0, 3.5),
        embed=load_classifier(options.identity).embed if options.identity else None,
        precision="bfloat16",
    )
    show(comparison)
    options.out.mkdir(parents=True, exist_ok=True)
    comparison_figure(comparison).savefig(options.out / "compare.png", dpi=150)
    table = {
        **comparison.as_dict(),
        "naming": {method: naming.as_dict() for method, naming in names.items()},
    }
    (options.out / "compare.json").write_text(json.dumps(table, indent=1))


def labels(
    source: str, generator: Generator, classifier: Classifier, attributes: list[str]
) -> tuple[Samples, float]:
    """Labelled samples, and the seconds that as many take on this machine now."""
    if source.isdigit():
        start = time.perf_counter()
        made = sample(generator, classifier, int(source), seed=0, attributes=attributes)
        return made, time.perf_counter() - start
    made = Samples.load(source, partial=True)
    start = time.perf_counter()
    sample(generator, classifier, 256, seed=1, attributes=attributes, progress=False)
    return made, (time.perf_counter() - start) * len(made) / 256


def found(
    method: str,
    generator: Generator,
    classifier: Classifier,
    attributes: list[str],
    samples: Samples,
    label_seconds: float,
    options: argparse.Namespace,
) -> tuple[DirectionBank, Cost]:
    registered, settings = (SUPERVISED | UNSUPERVISED)[method]
    kind = find_method(registered)
    if "components" in kind.__dataclass_fields__:
        settings = {**settings, "components": options.components}
    made = kind(**settings)
    discover: Callable[..., DirectionBank] = made.discover  # type: ignore[attr-defined]
    inputs = {
        "samples": {"samples": samples, "attributes": attributes},
        "generator": {"generator": generator},
        "classifier": {"classifier": classifier, "attributes": attributes},
    }
    given = {k: v for need in kind.needs for k, v in inputs[need].items()}
    start = time.perf_counter()
    bank = discover(**given)
    spent = time.perf_counter() - start
    if "samples" in kind.needs:
        return bank, Cost(spent + label_seconds, len(samples), len(samples))
    return bank, Cost(spent)


def show(comparison: Comparison) -> None:
    table = Table(title=f"{comparison.count} held-out codes, {comparison.change:g} sd of effect")
    for column in ("attribute", "method", "sigmas", "effect", "leakage", "identity"):
        table.add_column(column)
    for attribute in comparison.attributes:
        for method in comparison.methods:
            row = comparison.row(method, attribute)
            if row.direction is not None:
                cells = (
                    "–" if v is None else f"{v:.2f}"
                    for v in (row.amount, row.effect, row.leakage, row.identity)
                )
                table.add_row(attribute, method, *cells)
        table.add_section()
    Console(width=100).print(table)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generator", default="digiface64")
    parser.add_argument("--classifier", default="faces+pixels")
    parser.add_argument("--attributes", default=ATTRIBUTES)
    parser.add_argument("--methods", default=",".join(SUPERVISED | UNSUPERVISED))
    parser.add_argument("--labels", default="6000", help="how many to draw, or a folder of them")
    parser.add_argument("--components", type=int, default=20, help="of each unsupervised method")
    parser.add_argument("--random", type=int, default=32, help="random directions for each null")
    parser.add_argument("--naming", type=int, default=64, help="codes to name on")
    parser.add_argument("--count", type=int, default=128, help="held-out codes to compare on")
    parser.add_argument("--identity", help="classifier with embeddings, such as faces; slow")
    parser.add_argument("--out", type=Path, default=Path("out/benchmarks"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
