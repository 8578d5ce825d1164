"""Directions in a generator's weights beside directions of its codes: what each names.

    python benchmarks/weights.py                           both built-in generators, an hour
    python benchmarks/weights.py --generator digiface64 --methods weight_svd

Banks of 32 directions are found, and the first 16 of each named in one way: `name_directions` on 32
codes, steps of 2 sigma both ways, 32 random directions of the same space beside them (of weights:
random mixtures of the same 32 changes), expected share of wrong names 0.01. `found_whole` has the
names of directions in weights beside 32 random changes of the whole weight, each of one sigma too:
a change that all of a method's have in common is a name here and none there. `outside` is the share
of a direction's change of the image that no step of the code makes: of J_W δ what is left after
least squares on the columns of J_z, mean over directions and 4 codes. Results are stored in
`results/weights-<generator>.json`
after each method, and banks and scores in `--scores`, so that a killed run goes on.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from analysis import RandomNull, measure_effects, name_directions
from directions import (
    DirectionBank,
    Rendering,
    WeightDirection,
    edit_grid,
    keep_freed_memory,
    keep_scores,
    load_classifier,
)
from directions.generators import Generator, load_generator
from directions.numerics.jacobian import columns
from directions.seeds import NAMING_SEED
from directions.weight_space import WeightBasis
from discovery import find_method
from discovery.base import TrainingMethod
from discovery.weights.changes import one_sigma, unit_basis

COUNT, NULL, DIRECTIONS, NAMED, PROBED = 32, 32, 32, 16, 4
STEP = 2.0
RENDERING = Rendering(precision="bfloat16", batch_size=64, progress=False)
SPACES = {"digiface64": "z", "styleface64": "w"}
METHODS: dict[str, tuple[str, dict[str, Any]]] = {
    "random_directions": ("random_directions", {}),
    "sefa": ("sefa", {}),
    "global_basis": ("global_basis", {"n_codes": 50}),
    "weight_svd": ("weight_svd", {}),
    "weight_hessian": ("weight_hessian", {}),
    "weight_hessian (faces)": ("weight_hessian", {"distance": "faces", "batch_size": 8}),
    "weight_contrast": ("weight_contrast", {"n_directions": 20, "n_changes": 32, "steps": 400}),
}
RESULTS = Path(__file__).parent / "results"


def outside(generator: Generator, bank: DirectionBank) -> float:
    """Share of the directions' change of the image that steps of the code do not make."""
    wide, space = bank.widened(generator), bank.directions[0].space
    vectors = torch.stack([d.vector for d in bank.directions])
    left, whole = 0.0, 0.0
    for code in wide.sample(PROBED, seed=1, space=space):
        changes = wide.linearize(code, space=space).push(vectors).flatten(1).double()
        latent = generator.default_space()
        z = wide.map(code[None], space, latent)[0]
        basis = columns(generator.linearize(z, space=latent)).flatten(1).double()
        q = torch.linalg.qr(basis.T)[0]
        left += float((changes - (changes @ q) @ q.T).square().sum(1).mean())
        whole += float(changes.square().sum(1).mean())
    return left / whole


def beside_whole(generator: Generator, bank: DirectionBank) -> list[str]:
    """Attributes that directions in a weight are named after beside changes of all of it."""
    own = bank.directions[0].basis
    rng = torch.Generator().manual_seed(NAMING_SEED)
    drawn = torch.randn(NULL, *own.shape, generator=rng)
    drawn /= drawn.flatten(1).norm(dim=1).reshape(-1, *[1] * len(own.shape))
    random = one_sigma(generator, unit_basis(generator, own.weight, {"added": drawn}), seed=0)
    # One basis of both, so that all are measured in one space.
    changes = [own.combined(torch.eye(len(own))).half(), random.changes["added"]]
    both = WeightBasis(own.weight, own.shape, own.latent, {"added": torch.cat(changes)})
    amounts = torch.eye(len(both))
    found = torch.stack([functional.pad(d.amounts.float(), (0, NULL)) for d in bank.directions])
    banks = [
        DirectionBank.of(
            generator,
            [WeightDirection.of(both, row, name=f"{i}") for i, row in enumerate(rows)],
        )
        for rows in (found, amounts[len(own) :])
    ]
    settings: dict[str, Any] = {
        "step": STEP, "count": COUNT, "seed": NAMING_SEED, "rendering": RENDERING,
    }  # fmt: skip
    judge = load_classifier("faces+pixels")
    chance = measure_effects(generator, judge, banks[1], symmetric=True, **settings)
    null = RandomNull(chance, 0.95, "prior")
    return sorted(name_directions(generator, judge, banks[0], null=null, **settings).found)


def discovered(
    generator: Generator, name: str, settings: dict[str, Any], file: Path
) -> DirectionBank:
    """A method's bank with its cost in seconds of one core, kept in a file."""
    if file.exists():
        return DirectionBank.load(file, generator=generator)
    method, kept = find_method(name)(**settings), file.with_suffix(".train")
    resumed, start = kept.exists(), time.process_time()
    if isinstance(method, TrainingMethod):
        bank = method.discover(generator, seed=0, checkpoint=kept)
    else:
        bank = method.discover(generator, seed=0)
    # Of a run that went on, the time of its last part is no cost.
    seconds = None if resumed else round(time.process_time() - start, 1)
    bank = replace(bank, provenance={**bank.provenance, "seconds": seconds})
    bank.save(file)
    return bank


def measured(
    generator: Generator, title: str, pictures: Path | None, scores: Path
) -> dict[str, Any]:
    """One method's bank, its names and its cost."""
    name, settings = METHODS[title]
    of_codes = not name.startswith("weight_")
    settings = {"n_directions": DIRECTIONS, **settings, "progress": False}
    if of_codes and name != "sefa":
        settings["space"] = SPACES[generator.name]
    bank = discovered(generator, name, settings, scores / f"{generator.name}-{title}.safetensors")
    seconds = bank.provenance["seconds"]
    bank = bank.select(list(bank)[:NAMED])
    named = name_directions(
        generator,
        load_classifier("faces+pixels"),
        bank,
        null=NULL,
        step=STEP,
        count=COUNT,
        rendering=RENDERING,
    )
    if pictures is not None and not of_codes:
        codes = generator.sample(2, seed=5)
        best = named.bank.select(list(named.bank)[:8])
        edit_grid(generator, codes, best, space="z").save(
            pictures / f"{generator.name}-{title}.png"
        )
    return {
        "settings": {k: v for k, v in settings.items() if k != "progress"},
        "directions": len(bank),
        "seconds": seconds,
        "found": sorted(named.found),
        "found_whole": None if of_codes else beside_whole(generator, bank),
        "outside": None if of_codes else round(outside(generator, bank), 3),
        "names": [
            {"name": e.name, "found_as": e.found_as, "t": round(e.t, 2), "ratio": round(e.ratio, 2)}
            for e in named.entries
            if e.attribute is not None
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generator", choices=SPACES, nargs="+", default=list(SPACES))
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--pictures", type=Path, help="folder for pictures of the best directions")
    parser.add_argument("--scores", type=Path, default=Path("out/benchmarks/weights"))
    options = parser.parse_args()
    keep_freed_memory()
    options.scores.mkdir(parents=True, exist_ok=True)
    for name in options.generator:
        file = RESULTS / f"weights-{name}.json"
        kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        generator = load_generator(name)
        for title in options.methods:
            if title not in kept:
                with keep_scores(options.scores):
                    kept[title] = measured(generator, title, options.pictures, options.scores)
                file.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
            one = kept[title]
            found = ", ".join(one["found"]) or "nothing"
            print(
                f"{name} {title}: {one['seconds']} s, outside codes {one['outside']}: "
                f"{len(one['found'])} attributes, {found}",
                flush=True,
            )
        codes = {a for t in kept for a in kept[t]["found"] if not t.startswith("weight_")}
        weights = {a for t in kept for a in kept[t]["found"] if t.startswith("weight_")}
        print(
            f"{name}: only of weights {sorted(weights - codes)}, only of codes "
            f"{sorted(codes - weights)}"
        )


if __name__ == "__main__":
    main()
