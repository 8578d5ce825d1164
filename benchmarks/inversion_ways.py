"""All ways to invert on the same images: distortion, identity, edits kept, time.

    python benchmarks/inversion_ways.py --generator digiface64 [--seconds 420] [--only adam,lbfgs]
    python benchmarks/inversion_ways.py --figure a.png benchmarks/results/inversion-ways-X.json

Images are the generator's own, of held-out codes, so that the edit of the native code is known, and
one photograph. Every way goes into one JSON file as soon as it is measured; the same command goes
on where it ended, and after `--seconds` begins no further way. `belief_tables.py` writes the tables
of the documentation.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

import directions as d
import discovery
from analysis.inversions import InversionQuality, latent_consistency, measure_inversion
from analysis.plots.inversions import plot_inversions
from directions.classifiers.faces import faces
from directions.fingerprints import fingerprint
from directions.generators.base import Generator
from directions.inversion import (
    FeatureOffsets,
    Inversion,
    Ridge,
    find_recipe,
    find_solver,
    fitted,
    psnr,
)
from directions.inversion.details import Details, load_details
from directions.scoring.rendering import Rendering
from directions.seeds import HELD_OUT_SEED

HERE = Path(__file__).parent
QUIET = Rendering(progress=False)
ATTRIBUTES = ["smiling", "yaw", "age"]
NATIVE = {"digiface64": "z", "styleface64": "w"}
# The start itself: no cost is above that of −50 dB.
NOTHING = find_solver("adam", steps=1, target=-50.0)
# Steps of recipes that take 1,300 to 5,000 in their papers, and generations of CMA-ES, on two
# cores.
LONG, GENERATIONS = {"digiface64": 500, "styleface64": 300}, 300
# Generators of each image's own, over the encoder's codes; PSNR at which tuning ends.
ADAPTED = (
    "hyperinverter, one pass", "hypernetwork, one pass", "hypernetwork, two passes",
    "details, consultation", "details, feature editor", "features, f and w", "pivotal, w",
)  # fmt: skip
# Where the networks are; `--hyperinverter` names the file of the one that is not built in.
NETWORKS = {
    "hypernetwork, one pass": "styleface64",
    "hypernetwork, two passes": "styleface64",
    "details, consultation": "styleface64/consultation",
    "details, feature editor": "styleface64/feature_editor",
}
GOAL = 40.0


def ways(generator: str) -> dict[str, dict[str, Any]]:
    """Settings of `invert` of each way, the quick ones first."""
    native, layered = NATIVE[generator], generator != "digiface64"
    made: dict[str, dict[str, Any]] = {}
    for start in ("mean", "best", "ridge", "encoder"):
        made[f"{start} alone, {native}"] = {"space": native, "start": start, "solver": NOTHING}
    made[f"default, {native}"] = {"space": native, "restarts": 2}
    for space in ("z", "w", "w+") if layered else ("z",):
        made[f"hybrid, {space}"] = {"space": space, "solver": "hybrid"}
    for solver in ("levenberg_marquardt", "lbfgs", "adam"):
        made[f"{solver}, {native}"] = {"space": native, "solver": solver}
    long = {"steps": LONG[generator]}
    recipes: dict[str, dict[str, Any]] = {"pulse": {}, "igan": {}}
    if layered:
        recipes |= {"stylegan2_ada": {}, "ii2s": long, "image2stylegan": long}
    else:
        recipes |= {"creswell": long, "stochastic_clipping": long}
        made["cma, z"] = {"space": native, "solver": find_solver("cma", steps=GENERATIONS)}
    if layered:
        made |= {name: {"adapted": name} for name in ADAPTED}
    for name, settings in recipes.items():
        made[f"recipe {name}"] = {"solver": find_recipe(name, **settings)}
    return made


def adapted(generator: Generator, images: torch.Tensor, way: str) -> Inversion:
    """The encoder's codes, and for each image a generator of its own that makes it of its code."""
    codes = d.load_encoder(generator.name, generator=generator).encode(images)
    found = d.invert(generator, images, start=codes, solver=NOTHING, restarts=0, rendering=QUIET)
    size = codes[0].numel() * codes.element_size()
    tuned: tuple[Generator, ...]
    if way.startswith("hyper"):
        hyper = d.load_hypernetwork(NETWORKS[way])
        predicted = hyper.predict(images, passes=1 if "one" in way else 2)
        tuned, size = predicted.generators, size + predicted.deltas[0].size
    elif way.startswith("details"):
        details = load_details(NETWORKS[way])
        size += images[0].numel() * images.element_size()  # of which they are made
        tuned = tuple(
            Own(generator, partial(detailed, details, image[None]), image) for image in images
        )
    elif way.startswith("pivotal"):
        method = d.Pivotal(goal=GOAL)
        tunings = [
            d.tune(generator, image[None], code[None], method=method, progress=False)
            for image, code in zip(images, codes, strict=True)
        ]
        tuned, size = tuple(t.generator for t in tunings), size + tunings[0].deltas.size
    else:
        world = FeatureOffsets(generator, layer="leaky_relu.4", space=found.space)
        solver = find_solver("lbfgs", steps=50, target=GOAL)
        joint = d.invert(
            world, images, start=world.around(codes), solver=solver, restarts=0, rendering=QUIET
        )
        parts = world.parts(joint.codes)
        codes, size = parts["code"], joint.codes[0].numel() * joint.codes.element_size()
        tuned = tuple(
            Own(world, partial(featured, world, offset), offset) for offset in parts["features"]
        )
    made = replace(found, codes=codes, tuned=tuned, record={**found.record, "bytes": size})
    quality = psnr(made.reconstruct(), images).to(found.psnr)
    return replace(made, psnr=quality)


def detailed(details: Details, image: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    """An image by codes, edited or not, with its details."""
    return details.render(image.expand(len(codes), -1, -1, -1), codes)


def featured(world: FeatureOffsets, offset: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
    """Images of codes with an offset of features that stays: features follow the code."""
    return world.made({"code": codes, "features": offset.expand(len(codes), *offset.shape)})


class Own(Generator):
    """A generator of one image's own, of codes by a function."""

    def __init__(
        self, base: Generator, made: Callable[[torch.Tensor], torch.Tensor], own: torch.Tensor
    ) -> None:
        self.base, self.made, self.own = base, made, own
        inner = base.inner if isinstance(base, FeatureOffsets) else base
        self.name, self.spaces, self.image_shape = base.name, inner.spaces, inner.image_shape

    @property
    def fingerprint(self) -> str:
        """sha256 over the generator and what is the image's own."""
        return fingerprint({"own": self.own}, {"of": self.base.fingerprint})

    @property
    def device(self) -> torch.device:
        """The generator's."""
        return self.base.device

    def synthesize(self, codes: torch.Tensor, space: str = "w") -> torch.Tensor:
        """Images of codes."""
        return self.made(codes)


def bank_of(generator: Generator, space: str, labels: Path | None) -> d.DirectionBank:
    """Boundaries of three attributes."""
    samples = discovery.sample(
        generator, faces(), 2000, seed=0, attributes=ATTRIBUTES, space=space, rendering=QUIET,
        out=labels,
    )  # fmt: skip
    return discovery.Boundary().discover(samples)


def measure(options: argparse.Namespace) -> None:
    generator, native = d.load_generator(options.generator), NATIVE[options.generator]
    path = options.out or HERE / "results" / f"inversion-ways-{options.generator}.json"
    done = json.loads(path.read_text()) if path.is_file() else {}
    codes = generator.sample(options.count, seed=HELD_OUT_SEED, space=native)
    images = generator.synthesize(codes, native)
    photo = d.open_photograph(HERE.parent / "docs" / "images" / "astronaut.jpg", generator)
    judge, bank = faces(), bank_of(generator, native, options.labels)
    torch.set_num_threads(1)
    begun = time.perf_counter()
    for name, settings in ways(options.generator).items():
        missing = name == "hyperinverter, one pass" and name not in NETWORKS
        if (
            missing
            or name in done.get("ways", {})
            or (options.only and not any(word in name for word in options.only.split(",")))
        ):
            continue
        if time.perf_counter() - begun > options.seconds:
            print("time is up: the same command goes on", flush=True)
            return
        method = settings.get("solver", "hybrid")
        begin = settings.get("start", None if isinstance(method, str) else method.start)
        if begin in ("ridge", Ridge()):
            # Once for a generator and space, and no part of the time of an image.
            space = settings.get("space") or generator.default_space(*method.spaces)
            fitted(generator, space=space, metric=True, folder=options.fit)

        def invert(targets: torch.Tensor, settings: dict[str, Any] = settings) -> Inversion:
            if "adapted" in settings:
                return adapted(generator, targets, settings["adapted"])
            return d.invert(generator, targets, rendering=QUIET, **{"restarts": 0, **settings})

        if "adapted" in settings:
            invert(images[:1])  # what is loaded once
        started = time.process_time()
        found = invert(images)
        taken = time.process_time() - started
        # Of one thread, its own time, whatever else the machine does.
        found = replace(found, seconds=torch.full((len(found),), taken / len(found)))
        row = measure_inversion(
            found, images, bank=bank, classifier=judge, native=codes, embed=judge.embed,
            rendering=QUIET,
        ).as_dict()  # fmt: skip
        row["photograph_psnr"] = float(invert(photo.image).psnr[0])
        smiling = bank.select(["smiling"])
        size = found.codes[0].numel() * found.codes.element_size()
        row |= {"consistency": None, "bytes": found.record.get("bytes", size)}
        if not found.tuned and found.space in (native, f"{native}+") and taken < options.again:
            row["consistency"] = float(latent_consistency(found, smiling, invert).trimmed[0])
        known = done.get("ways", {}) | {name: row}
        done = {
            "generator": generator.name, "native": native, "count": options.count,
            "attributes": ATTRIBUTES,
            "ways": {way: known[way] for way in ways(options.generator) if way in known},
        }  # fmt: skip
        path.write_text(json.dumps(done, indent=1) + "\n")
        print(name, {k: round(v, 3) for k, v in row.items() if isinstance(v, float)}, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generator", choices=sorted(NATIVE), default="digiface64")
    parser.add_argument("--count", type=int, default=8, help="images of the generator's own")
    parser.add_argument("--seconds", type=float, default=1e9, help="no further way after these")
    parser.add_argument("--again", type=float, default=60.0, help="longest inversion repeated")
    parser.add_argument("--only", help="parts of the names of ways, commas between")
    parser.add_argument("--labels", type=Path, help="folder that keeps the bank's samples")
    parser.add_argument("--fit", type=Path, help="folder that keeps the fits of the start")
    parser.add_argument("--hyperinverter", help="file that `benchmarks/hypernetwork.py` trained")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("stored", type=Path, nargs="*")
    options = parser.parse_args()
    if options.hyperinverter:
        NETWORKS["hyperinverter, one pass"] = options.hyperinverter
    if options.figure:
        [path] = options.stored
        names = {field.name for field in fields(InversionQuality)}
        found = {
            name: InversionQuality(**{k: v for k, v in row.items() if k in names})
            for name, row in json.loads(path.read_text())["ways"].items()
        }
        plot_inversions(found).savefig(options.figure, dpi=110)
    else:
        measure(options)


if __name__ == "__main__":
    main()
