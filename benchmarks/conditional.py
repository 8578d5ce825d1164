"""Conditional encoders of styleface64: SAM's ages and Nitzan's identities, trained and measured.

    python benchmarks/conditional.py sam --out sam.safetensors [--steps 500]
    python benchmarks/conditional.py nitzan --out nitzan.safetensors --picture grid.png

The same command goes on where a killed one ended; a file that is there is only measured, on faces
that training did not see. Ages: targets of 20 to 60 years, asked of each face; slope and error of
the ages that the classifier of the training and another one see, and identity, centered cosine,
beside that of the encoder's own code. `direction` has the same by a boundary of age from the same
codes, moved until the classifier's age, on average linear in the amount, is the target. Identities:
whose face the image shows, by the embedding trained with, also of mirrored images (there is no
second network of identity here), and whose pose and expression, by the classifier of the training
and another one. Beside it `identity code`, the encoder's code of that image; `directions`, that
code moved along boundaries of yaw, pitch, smiling and mouth_open to the other image's values;
`one look`, without the correction by a second one; `linear`, the mixture of codes that training
starts from, without it too; and `optimized`, codes found by steps of Adam on the recipe's cost from
there, what the generator can show at all. Results go to `results/conditional-styleface64.json`.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

import directions as d
import discovery
from directions.classifiers.faces import faces
from directions.inversion.conditional import (
    ConditionalEncoder,
    find_conditional_recipe,
    load_conditional_encoder,
    save_conditional_encoder,
    train_conditional_encoder,
)
from directions.inversion.typicality import Typicality

HERE = Path(__file__).parent
KEPT = ("yaw", "pitch", "smiling", "mouth_open")
AGES = (20.0, 30.0, 40.0, 50.0, 60.0)
SEED, BATCH = 4247, 16
# Pairs whose codes are optimized.
FEW = 16
QUIET = d.Rendering(progress=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", choices=("sam", "nitzan"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--optimized", type=int, default=60, help="Steps of each pair by itself.")
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    encoder = d.load_encoder("styleface64")
    if not options.out.is_file():
        trained = train_conditional_encoder(
            encoder,
            recipe=options.recipe,
            schedule=d.TrainingSchedule(
                steps=options.steps, batch_size=8, rate=options.rate, precision=options.precision
            ),
            checkpoint=options.out.with_suffix(".run"),
            name=f"styleface64/{options.recipe}",
        )
        save_conditional_encoder(trained.encoder, options.out)
    made = load_conditional_encoder(options.out, encoder=encoder)
    generator, space = made.generator, made.space
    images = shown(made, generator.sample(options.images, seed=SEED, space=space)).clamp(-1, 1)
    if options.recipe == "sam":
        rows = aged(made, images)
    else:
        rows = swapped(made, images, options.optimized)
    path = HERE / "results" / "conditional-styleface64.json"
    known = json.loads(path.read_text()) if path.is_file() else {}
    known |= {options.recipe: {"images": len(images), "bytes": options.out.stat().st_size, **rows}}
    path.write_text(json.dumps(known, indent=1) + "\n")
    print(json.dumps(rows, indent=1))
    if options.picture:
        picture(made, images, options.picture)


def shown(made: ConditionalEncoder, codes: Tensor) -> Tensor:
    """Images of codes."""
    render = made.generator.inference(space=made.space)
    return torch.cat([render(part).clone() for part in torch.split(codes, BATCH)]).float()


def seen(judge: Any, images: Tensor) -> Tensor:
    """What a judge says of images."""
    with torch.no_grad():
        return torch.cat([judge(part) for part in torch.split(images, BATCH)])


def line(asked: Tensor, found: Tensor) -> dict[str, float]:
    """Slope and mean absolute error of what was asked, `[n, t]`."""
    off = asked - asked.mean()
    slope = (off * (found - found.mean(1, keepdim=True))).sum() / (off.square().sum() * len(found))
    return {"slope": float(slope), "error": float((found - asked).abs().mean())}


def aged(made: ConditionalEncoder, images: Tensor) -> dict[str, Any]:
    """Ages asked for and seen, and identity."""
    judges = {"faces": faces(), "mobile-faces": d.load_classifier("mobile-faces")}
    asked, embed = torch.tensor(AGES), faces().embed
    begun = time.process_time()
    codes = torch.stack([made.encode(images, age) for age in AGES], 1)
    taken = 1000 * (time.process_time() - begun) / len(images) / len(AGES)
    plain = made.encoder.encode(images)
    age = faces().names.index("age")
    samples = discovery.sample(
        made.generator, faces(), 2000, seed=0, attributes=["age"], space=made.space, rendering=QUIET
    )
    [boundary] = discovery.Boundary().discover(samples).directions
    # Age by amount, over other codes.
    others = made.generator.sample(64, seed=SEED, start=1 << 20, space=made.space)
    amounts = torch.linspace(-3, 3, 7)
    curve = torch.stack([
        seen(faces(), shown(made, boundary.shift(others, float(a))))[:, age].mean() for a in amounts
    ])  # fmt: skip
    rate = float(((amounts * (curve - curve.mean())).sum() / amounts.square().sum()).abs())
    sign = 1 if float(curve[-1]) > float(curve[0]) else -1
    now = seen(faces(), shown(made, plain))[:, age]
    moved = torch.stack([
        torch.cat([
            boundary.shift(c[None], sign * float(a - n) / rate)
            for c, n in zip(plain, now, strict=True)
        ])
        for a in asked
    ], 1)  # fmt: skip
    found: dict[str, Any] = {"ms": taken}
    center = seen(embed, images).mean(0)
    own = seen(embed, images) - center
    kept = functional.cosine_similarity(seen(embed, shown(made, plain)) - center, own).mean()
    found["encoder"] = {"identity": float(kept)}
    for way, every in (("sam", codes), ("direction", moved)):
        made_of = shown(made, every.flatten(0, 1))
        row: dict[str, Any] = {}
        for name, judge in judges.items():
            column = judge.names.index("age")
            row[name] = line(asked, seen(judge, made_of)[:, column].reshape(-1, len(AGES)))
        cosines = functional.cosine_similarity(
            seen(embed, made_of) - center, own.repeat_interleave(len(AGES), 0)
        )
        row["identity"] = float(cosines.mean())
        by_age = cosines.reshape(-1, len(AGES)).mean(0).tolist()
        row["identity_by_age"] = dict(zip(map(str, AGES), by_age, strict=True))
        found[way] = row
    return found


def swapped(made: ConditionalEncoder, images: Tensor, steps: int) -> dict[str, Any]:
    """Identity, pose and expression of images made of two, beside both, by each way."""
    whose = images.roll(1, 0)
    begun = time.process_time()
    codes = made.encode(images, whose)
    taken = 1000 * (time.process_time() - begun) / len(images)
    once = copy.deepcopy(made)
    once.network.answer.zero_()
    linear = copy.deepcopy(once)
    for part in linear.network.mix[-1].parameters():
        part.data.zero_()
    mixture = linear.encode(images, whose)
    ways = {
        "nitzan": codes,
        "one look": once.encode(images, whose),
        "identity code": made.encoder.encode(whose),
        "attribute code": made.encoder.encode(images),
        "directions": transferred(made, images, whose),
        "linear": mixture,
    }
    found = {way: compared(shown(made, c), images, whose) for way, c in ways.items()}
    if steps:
        seeing, other = images[:FEW], whose[:FEW]
        best = optimized(made, seeing, other, mixture[:FEW], steps)
        found["optimized"] = compared(shown(made, best), seeing, other)
    again = shown(made, made.encode(images, images))
    error = (again - images).square().mean((1, 2, 3))
    psnr = float((10 * torch.log10(4 / error)).mean())
    return {
        "ms": taken,
        "optimized_pairs": FEW,
        "optimized_steps": steps,
        "same_psnr": psnr,
        **found,
    }


def compared(result: Tensor, images: Tensor, whose: Tensor) -> dict[str, float]:
    """Of images, with attributes of some and identities of others."""
    embed, found = faces().embed, {}
    for view, turned in (("", lambda x: x), ("mirrored_", lambda x: x.flip(3))):
        made, own, wanted = (seen(embed, turned(x)) for x in (result, images, whose))
        center = own.mean(0)
        for name, other in (("identity", wanted), ("attribute", own)):
            cosines = functional.cosine_similarity(made - center, other - center)
            found[f"{view}identity_to_{name}_image"] = float(cosines.mean())
    for judge in (faces(), d.load_classifier("mobile-faces")):
        scores = [seen(judge.logits, x) for x in (result, images)]
        for name in KEPT:
            pair = [s[:, judge.names.index(name)] for s in scores]
            found[f"{name}_{judge.name}"] = float(torch.corrcoef(torch.stack(pair))[0, 1])
        off = seen(judge.landmarks, result) - seen(judge.landmarks, images)
        found[f"landmarks_{judge.name}"] = float(off.square().sum(2).mean().sqrt())
    light = [functional.adaptive_avg_pool2d(x, 8) for x in (result, images)]
    found["light"] = float((light[0] - light[1]).square().mean().sqrt())
    return found


def transferred(made: ConditionalEncoder, images: Tensor, whose: Tensor) -> Tensor:
    """Codes of some images, moved along boundaries to the others' pose and expression."""
    samples = discovery.sample(
        made.generator, faces(), 2000, seed=0, attributes=list(KEPT), space=made.space,
        rendering=QUIET,
    )  # fmt: skip
    directions = discovery.Boundary().discover(samples, attributes=list(KEPT)).directions

    def scores(images: Tensor) -> Tensor:
        return seen(lambda part: faces().logits_of(part, KEPT), images)

    others = made.generator.sample(64, seed=SEED, start=1 << 20, space=made.space)
    rates = torch.stack([
        (scores(shown(made, x.shift(others, 0.5))) - scores(shown(made, x.shift(others, -0.5))))
        .mean(0)
        for x in directions
    ])  # fmt: skip
    codes = made.encoder.encode(whose)
    amounts = torch.linalg.solve(rates.T, (scores(images) - scores(shown(made, codes))).T).T
    rows = []
    for code, own in zip(codes, amounts.tolist(), strict=True):
        row = code[None]
        for direction, amount in zip(directions, own, strict=True):
            row = direction.shift(row, amount)
        rows.append(row)
    return torch.cat(rows)


def optimized(
    made: ConditionalEncoder, images: Tensor, whose: Tensor, start: Tensor, steps: int
) -> Tensor:
    """Codes by steps on the recipe's cost, of each pair by itself."""
    judge, recipe = faces(), find_conditional_recipe("nitzan")
    near = Typicality.of(made.generator, made.space)
    known = shown(made, made.generator.sample(256, seed=SEED, start=1 << 21, space=made.space))
    spread = seen(judge.embed, known).std(0)
    kept = seen(lambda part: judge.logits_of(part, recipe.kept), known).std(0)
    results = []
    for seeing, other, first in zip(*(x.split(8) for x in (images, whose, start)), strict=True):
        with torch.no_grad():
            wanted, points = judge.embed(other), judge.landmarks(seeing)
            own, light = (
                judge.logits_of(seeing, recipe.kept),
                functional.adaptive_avg_pool2d(seeing, 8),
            )
        moved = torch.zeros_like(first, requires_grad=True)
        adam = torch.optim.Adam([moved], lr=0.08)
        scale = torch.linalg.pinv(near.matrix)
        for _ in range(steps):
            codes = first + moved @ scale
            image = made.generator.synthesize(codes, made.space).float()
            off = (judge.landmarks(image) - points) / image.shape[-1]
            lit = functional.adaptive_avg_pool2d(image, 8) - light
            cost = recipe.identity * ((judge.embed(image) - wanted) / spread).abs().mean(1)
            cost = cost + recipe.points * off.square().mean((1, 2))
            cost = cost + recipe.light * lit.square().mean((1, 2, 3))
            held = (judge.logits_of(image, recipe.kept) - own) / kept
            cost = cost + recipe.keep * held.square().mean(1)
            cost = cost + recipe.norm * near.standardized(codes).square().mean(1)
            adam.zero_grad()
            cost.sum().backward()
            adam.step()
        results.append((first + moved @ scale).detach())
    return torch.cat(results)


def picture(made: ConditionalEncoder, images: Tensor, path: Path) -> None:
    """Faces by ages, or attributes by identities."""
    few = images[:5]
    if made.embed is None:
        columns = [shown(made, made.encode(few, age)) for age in AGES]
        names = ["image", *(f"{age:.0f}" for age in AGES)]
        table = torch.stack([few, *columns], 1)
    else:
        names = ["pose of", *(f"identity {i}" for i in range(1, 6))]
        columns = [shown(made, made.encode(few, few[i : i + 1])) for i in range(5)]
        table = torch.stack([few, *columns], 1)
        first = torch.cat([torch.ones_like(few[:1]), few])[None]
        table = torch.cat([first, table])
    rows = [""] * len(table)
    d.save_png(d.grid(table.clamp(-1, 1), columns=names, rows=rows, tile=96), path)


if __name__ == "__main__":
    main()
