"""Do edits in another order give the same image? Levels set along boundaries and along flows.

    python benchmarks/edit_orders.py --labels FOLDER --generator styleface64

Edit consistency of StyleFlow (arXiv:2008.02401, section 5.3): four attributes are set to one
standard deviation, as each method tells them from the code, in four orders; the images are scored,
and the mean absolute difference between two orders is given in standard deviations. Finished
methods are kept in `benchmarks/results/edit-orders.json` and not made again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from analysis.edits.consistency import Edit, edit_consistency, level_edits
from directions import Rendering, condition, keep_freed_memory, load_classifier, load_generator
from directions.generators.base import Generator
from directions.paths import FlowPath
from discovery import Boundary, ConditionalFlow, ConditionalMean, Samples

RESULTS = Path(__file__).parent / "results" / "edit-orders.json"
SET = ("smiling", "yaw", "male", "age")
HELD = (*SET, "pitch", "mouth_open", "brightness", "warmth")
LEVEL = 1.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--labels", required=True, help="folder of labeled codes")
    parser.add_argument("--generator", default="styleface64")
    parser.add_argument("--count", type=int, default=96)
    options = parser.parse_args()
    generator, samples = load_generator(options.generator), Samples.load(options.labels)
    place = f"{options.generator}-{samples.space}"
    for name, edits in METHODS.items():
        kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
        row = kept.get(place, {}).get(name)
        if row is None:
            row = measured(generator, samples.space, edits(generator, samples), options.count)
            kept.setdefault(place, {})[name] = row
            RESULTS.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
        print(place, name, row, flush=True)


def measured(
    generator: Generator, space: str, edits: dict[str, Edit], count: int
) -> dict[str, float]:
    """Mean over the four attributes, and how far codes of two orders are apart."""
    found = edit_consistency(
        generator,
        load_classifier("faces+pixels"),
        edits,
        space=space,
        orders=4,
        count=count,
        rendering=Rendering(precision="bfloat16", progress=False, batch_size=64),
    )
    columns = [found.names.index(name) for name in SET]
    own = torch.stack([found.single[e, c] for e, c in enumerate(columns)])
    return {
        "disagreement": round(float(found.disagreement[columns].mean()), 4),
        "low": round(float(found.low[columns].mean()), 4),
        "high": round(float(found.high[columns].mean()), 4),
        "apart": round(found.apart, 6),
        "single": round(float(own.mean()), 3),
        "codes": count,
    }


def boundaries(generator: Generator, samples: Samples) -> dict[str, Edit]:
    bank = Boundary(bootstrap=0).discover(samples, attributes=HELD)
    return level_edits(bank, dict.fromkeys(SET, LEVEL))


def conditioned(generator: Generator, samples: Samples) -> dict[str, Edit]:
    plain = Boundary(bootstrap=0).discover(samples, attributes=HELD)
    bank = condition(plain, on=list(HELD), prior=generator.prior(samples.space))
    return level_edits(bank, dict.fromkeys(SET, LEVEL))


def conditional_means(generator: Generator, samples: Samples) -> dict[str, Edit]:
    bank = ConditionalMean().discover(samples, attributes=HELD)
    return level_edits(bank, dict.fromkeys(SET, LEVEL))


def flows(generator: Generator, samples: Samples) -> dict[str, Edit]:
    paths = ConditionalFlow(progress=False).train(samples, attributes=HELD)
    return {name: to_level(paths[name]) for name in SET}


def to_level(path: FlowPath) -> Edit:
    """Moves codes to where the flow tells the attribute at the level."""
    column = path.attributes.index(path.name)

    def edit(codes: Tensor) -> Tensor:
        return path.shift(codes, LEVEL - path.readout(codes)[:, column])

    return edit


METHODS: dict[str, Callable[[Generator, Samples], dict[str, Edit]]] = {
    "boundary": boundaries,
    "conditioned": conditioned,
    "conditional_mean": conditional_means,
    "conditional_flow": flows,
}

if __name__ == "__main__":
    torch.set_num_threads(1)
    keep_freed_memory()
    main()
