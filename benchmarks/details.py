"""Details of styleface64: images and their edits by consultation, feature editor, and other ways.

    python benchmarks/details.py [--editor mine.safetensors] [--images 64]
    python benchmarks/details.py --edits edits.png
    python benchmarks/details.py --out-of-range docs/images/out-of-range.jpg

The networks are the built-in ones or what `latdir train details` made. Measured on samples that no
training saw: of w, of two codes mixed by layer, and those of w rotated and shifted, as the
encoder makes them of its codes alone, with details of each kind, with offsets of features (F/W+, 50
steps of L-BFGS) and with a change of weights (two passes of the built-in hypernetwork). Each is
edited: the encoder's code is moved by −3 and +3 sigma of smiling, age and yaw. What the edit is to
give is known: the generator's own edit of the sample, rotated and shifted as it is. Against it:
PSNR, of all pixels and of those that the edit changes, where what is left of the old mouth shows;
identity, centered cosine; and the slope of the change that a classifier sees (log odds, years,
degrees). Faces of digiface64 and the astronaut have no known edit: what is seen is the change,
beside that of the encoder's code alone, and identity with the image. Results go to
`results/details-styleface64.json` kind by kind, and the same command goes on. `--edits` draws edits
by all these ways instead, `--out-of-range` rotated and shifted faces in w+, with features, and with
details.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from hypernetwork import shifted, teacher_faces
from torch import Tensor
from torch.nn import functional

import directions as d
import discovery
from directions.classifiers.faces import faces
from directions.inversion import FeatureOffsets, find_solver, psnr
from directions.inversion.details import load_details

HERE = Path(__file__).parent
QUIET = d.Rendering(progress=False)
ATTRIBUTES = ("smiling", "age", "yaw")
SIGMA, BATCH = 3.0, 16
LAYER = "leaky_relu.4"
# Of the way from black to white: pixels that an edit changes.
CHANGED = 0.1
Made = Callable[[Tensor], Tensor]
"""Codes of the encoder, edited or not, one an image, to images."""
View = Callable[[Tensor], Tensor]
"""Images to how they are seen."""


class Ways:
    """All ways over one encoder; each takes images and their codes."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.encoder = encoder = d.load_encoder("styleface64")
        self.generator = encoder.generator
        files = {"consultation": options.consultation, "feature editor": options.editor}
        self.details = {name: load_details(file, encoder=encoder) for name, file in files.items()}
        self.hyper = d.load_hypernetwork("styleface64", encoder=encoder)
        self.world = FeatureOffsets(self.generator, layer=LAYER, space="w")
        judge = faces()
        self.score, self.embed = judge.inference_logits(names=list(ATTRIBUTES)), judge.embed

    @property
    def names(self) -> tuple[str, ...]:
        """Of all ways."""
        return ("encoder", *self.details, "features", "hypernetwork")

    def __call__(self, way: str, images: Tensor, codes: Tensor) -> Made:
        """What makes images of edited codes, by one way."""
        generator = self.generator
        if way == "encoder":
            return lambda moved: generator.synthesize(moved, "w")
        if way in self.details:
            return lambda moved: self.details[way].render(images, moved)
        if way == "hypernetwork":
            own = self.hyper.predict(images).generators
            return lambda moved: torch.cat(
                [g.synthesize(code[None], "w") for g, code in zip(own, moved, strict=True)]
            )
        solver = find_solver("lbfgs", steps=50, target=40.0)
        joint = d.invert(
            self.world, images, start=self.world.around(codes), solver=solver, restarts=0,
            rendering=QUIET,
        )  # fmt: skip
        parts = self.world.parts(joint.codes)
        # The code that was found with the offsets, moved as the encoder's is.
        return lambda moved: self.world.made(parts | {"code": parts["code"] + moved - codes})


def in_parts(function: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    """Of many images, a few at a time."""
    with torch.no_grad():
        return torch.cat([function(part).float().clone() for part in torch.split(values, BATCH)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--consultation", default="styleface64/consultation", help="a file, too")
    parser.add_argument("--editor", default="styleface64/feature_editor", help="a file, too")
    parser.add_argument("--images", type=int, default=64, help="of each kind")
    parser.add_argument("--labels", type=Path, help="folder that keeps the bank's samples")
    parser.add_argument("--edits", type=Path, help="picture of edits by all ways")
    parser.add_argument("--out-of-range", type=Path, help="picture of rotated and shifted faces")
    parser.add_argument("--out", type=Path, default=HERE / "results" / "details-styleface64.json")
    options = parser.parse_args()
    ways = Ways(options)
    generator, count = ways.generator, options.images
    samples = discovery.sample(
        generator, faces(), 2000, seed=0, attributes=list(ATTRIBUTES), space="w", rendering=QUIET,
        out=options.labels,
    )  # fmt: skip
    bank = discovery.Boundary().discover(samples)
    torch.set_num_threads(1)
    if options.out_of_range:
        out_of_range(ways, bank, options.out_of_range)
        return
    own = generator.map(generator.sample(count, seed=4243, space="w"), "w", "w+")
    one, other = generator.map(generator.sample(2 * count, seed=4244, space="w"), "w", "w+").chunk(
        2
    )
    layers = torch.arange(own.shape[1])[:, None]
    cuts = torch.randint(1, len(layers), (count, 1, 1), generator=torch.Generator().manual_seed(0))
    kinds: dict[str, tuple[Tensor, View | None]] = {
        "samples of w": (own, torch.clone),
        "mixes in w+": (torch.where(layers < cuts, one, other), torch.clone),
        "samples, rotated and shifted": (own, shifted),
        "faces of digiface64": (teacher_faces(count, 4245), None),
        "the astronaut": (photograph(generator), None),
    }
    if options.edits:
        edits(ways, bank, kinds, options.edits)
        return
    stored = json.loads(options.out.read_text()) if options.out.is_file() else {"images": count}
    rows: dict[str, Any] = stored.get("kinds", {}) if stored["images"] == count else {}
    center = in_parts(ways.embed, in_parts(lambda c: generator.synthesize(c, "w+"), own)).mean(0)
    for kind, (given, view) in kinds.items():
        if kind in rows:
            continue
        rows[kind] = measured(ways, bank, center, given, view)
        for way, row in rows[kind].items():
            print(kind, way, {k: round(v, 3) for k, v in row.items()}, flush=True)
        options.out.write_text(json.dumps({"images": count, "kinds": rows}, indent=1) + "\n")


def photograph(generator: d.Generator) -> Tensor:
    """The astronaut's face, framed as the generator's are."""
    return d.open_photograph(HERE.parent / "docs" / "images" / "astronaut.jpg", generator).image


def measured(
    ways: Ways, bank: d.DirectionBank, center: Tensor, given: Tensor, view: View | None
) -> dict[str, dict[str, float]]:
    """Of one kind of images, by way: given as codes of w+ seen by a view, or as they are."""
    generator = ways.generator

    def seen(codes: Tensor) -> Tensor:
        assert view is not None
        return view(in_parts(lambda c: generator.synthesize(c, "w+"), codes).clamp(-1, 1))

    def scores(images: Tensor) -> Tensor:
        return in_parts(ways.score, images)

    def person(images: Tensor) -> Tensor:
        return in_parts(ways.embed, images) - center

    def alike(images: Tensor, others: Tensor) -> float:
        return float(functional.cosine_similarity(person(images), others).mean())

    images = given if view is None else seen(given)
    codes = ways.encoder.encode(images)
    edits = {
        (i, amount): d.move(codes, bank, {name: amount}) - codes
        for i, name in enumerate(ATTRIBUTES)
        for amount in (-SIGMA, SIGMA)
    }
    own, old = person(images), scores(images)
    truths = {} if view is None else {k: seen(given + e[:, None]) for k, e in edits.items()}
    wanted = {k: (scores(after) - old)[:, k[0]] for k, after in truths.items()}
    people = {k: person(after) for k, after in truths.items()}
    found: dict[str, dict[str, float]] = {}
    for way in ways.names:
        begun = time.process_time()
        made = ways(way, images, codes)
        plain = in_whole(made, codes)
        row = {"ms": 1000 * (time.process_time() - begun) / len(images)}
        row |= {"psnr": float(psnr(plain, images).mean()), "identity": alike(plain, own)}
        before, totals, moved = scores(plain), [], {}
        for k, edit in edits.items():
            after = in_whole(made, codes + edit)
            moved[k] = (scores(after) - before)[:, k[0]]
            if view is None:
                totals.append({"edited_identity": alike(after, own)})
                continue
            truth = truths[k]
            where = ((truth - images).abs().amax(1, keepdim=True) > 2 * CHANGED).float()
            off = (where * (after.clamp(-1, 1) - truth).square()).sum() / (3 * where.sum())
            totals.append(
                {
                    "edited_psnr": float(psnr(after, truth).mean()),
                    "changed_psnr": float(10 * torch.log10(4 / off)),
                    "edited_identity": alike(after, people[k]),
                }
            )
        row |= {k: sum(t[k] for t in totals) / len(totals) for k in totals[0]}
        if view is None and way == "encoder":
            wanted = moved
        for i, name in enumerate(ATTRIBUTES):
            pairs = [(moved[k], wanted[k]) for k in edits if k[0] == i]
            top, low = (
                sum(float((a * b).sum()) for a, b in x) for x in (pairs, [(b, b) for _, b in pairs])
            )
            row[f"{name}_kept"] = top / low
        found[way] = row
    return found


def in_whole(made: Made, codes: Tensor) -> Tensor:
    """Images of codes, within range."""
    with torch.no_grad():
        return made(codes).float().clamp(-1, 1)


def edits(
    ways: Ways, bank: d.DirectionBank, kinds: dict[str, tuple[Tensor, View | None]], path: Path
) -> None:
    """Of each kind two images, and by each way the image and its edits."""
    steps = [(name, a) for name in ATTRIBUTES for a in (-SIGMA, SIGMA)]
    tiles, rows = [], []
    for given, view in kinds.values():
        images = given[:2]
        if view is not None:
            images = view(in_parts(lambda c: ways.generator.synthesize(c, "w+"), images))
        images = images.clamp(-1, 1)
        codes = ways.encoder.encode(images)
        for way in ways.names:
            made = ways(way, images, codes)
            moved = [codes, *(d.move(codes, bank, {name: a}) for name, a in steps)]
            tiles.append(torch.stack([images, *(in_whole(made, c) for c in moved)], 1))
            rows += [way] * len(images)
    columns = ["image", "again", *(f"{name} {a:+g} σ" for name, a in steps)]
    d.save_png(d.grid(torch.cat(tiles), rows=rows, columns=columns, tile=96), path)


def out_of_range(ways: Ways, bank: d.DirectionBank, path: Path) -> None:
    """Rotated and shifted faces and edits of smiling: in w+, with features, with details."""
    generator, encoder = ways.generator, ways.encoder
    own = generator.synthesize(generator.sample(3, seed=4243, space="w"), "w").clamp(-1, 1)
    photo = photograph(generator)
    cases = {
        "rotated by 15°": framed(own[1:2], degrees=15),
        "shifted by an eighth": framed(own[2:], right=1 / 8),
        "rotated by 12°": framed(photo, degrees=-12),
        "shifted, an eighth": framed(photo, right=1 / 8),
    }
    images = torch.cat(list(cases.values()))
    codes, solver = encoder.encode(images), find_solver("lbfgs", steps=100, target=40.0)
    tiles, columns = [images], ["image"]

    def add(name: str, made: Made, codes: Tensor) -> None:
        columns.extend([name, f"−{SIGMA:g} σ", f"+{SIGMA:g} σ"])
        moved = [codes, *(d.move(codes, bank, {"smiling": a}) for a in (-SIGMA, SIGMA))]
        tiles.extend(in_whole(made, c) for c in moved)

    settings: dict[str, Any] = {"solver": solver, "restarts": 0, "rendering": QUIET}
    start = generator.map(codes, "w", "w+")
    wide = d.invert(generator, images, start=start, space="w+", **settings)
    add("w+", lambda c: generator.synthesize(c, "w+"), wide.codes)
    for name, layer, mode in (("features, 8", 2, "hold"), ("features, 16", 4, "follow")):
        world = FeatureOffsets(generator, layer=f"leaky_relu.{layer}", space="w")
        joint = d.invert(world, images, start=world.around(codes), **settings)
        add(
            name,
            lambda c, world=world, joint=joint, mode=mode: world.synthesize(
                world.edited(joint.codes, c, features=mode)
            ),
            world.parts(joint.codes)["code"],
        )
    for name in ways.details:
        add(name, ways(name, images, codes), codes)
    table = torch.stack(tiles, 1)
    d.grid(table, rows=list(cases), columns=columns, tile=80).save(path, quality=90)


def framed(images: Tensor, *, degrees: float = 0.0, right: float = 0.0) -> Tensor:
    """Rotated, and shifted by a share of the width; the border is mirrored."""
    angle = math.radians(degrees)
    cosine, sine = math.cos(angle), math.sin(angle)
    matrix = torch.tensor([[[cosine, -sine, -2 * right], [sine, cosine, 0.0]]])
    grid = functional.affine_grid(
        matrix.expand(len(images), -1, -1), list(images.shape), align_corners=False
    )
    return functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


if __name__ == "__main__":
    main()
