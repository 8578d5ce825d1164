"""Conditional encoders of styleface64: SAM's ages and Nitzan's identities, trained and measured.

    python benchmarks/conditional.py sam --out sam.safetensors [--steps 500]
    python benchmarks/conditional.py nitzan --out nitzan.safetensors --picture grid.png

The same command goes on where a killed one ended; a file that is there is only measured, on faces
that training did not see. Ages: targets of 20 to 60 years, asked of each face; slope and error of
the ages that the classifier of the training and another one see, and identity, centered cosine,
beside that of the encoder's own code. `direction` has the same by a boundary of age from the same
codes, moved until the classifier's age, on average linear in the amount, is the target. Identities:
whose face the image shows, and whose pose, against the two images. Results go to
`results/conditional-styleface64.json`.
"""

from __future__ import annotations

import argparse
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
    load_conditional_encoder,
    save_conditional_encoder,
    train_conditional_encoder,
)

HERE = Path(__file__).parent
AGES = (20.0, 30.0, 40.0, 50.0, 60.0)
SEED, BATCH = 4247, 16
QUIET = d.Rendering(progress=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", choices=("sam", "nitzan"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--picture", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    encoder = d.load_encoder("styleface64")
    if not options.out.is_file():
        trained = train_conditional_encoder(
            encoder,
            recipe=options.recipe,
            schedule=d.TrainingSchedule(steps=options.steps, batch_size=8),
            checkpoint=options.out.with_suffix(".run"),
            name=f"styleface64/{options.recipe}",
        )
        save_conditional_encoder(trained.encoder, options.out)
    made = load_conditional_encoder(options.out, encoder=encoder)
    generator, space = made.generator, made.space
    images = shown(made, generator.sample(options.images, seed=SEED, space=space)).clamp(-1, 1)
    rows = aged(made, images) if options.recipe == "sam" else swapped(made, images)
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


def swapped(made: ConditionalEncoder, images: Tensor) -> dict[str, Any]:
    """Identity and pose of images made of two, beside both."""
    judge = faces()
    whose = images.roll(1, 0)
    result = shown(made, made.encode(images, whose))
    again = shown(made, made.encode(images, images))
    embed = judge.embed
    center = seen(embed, images).mean(0)
    rows = {
        name: functional.cosine_similarity(seen(embed, result) - center, seen(embed, x) - center)
        for name, x in (("identity_image", whose), ("attribute_image", images))
    }
    found: dict[str, Any] = {f"identity_to_{k}": float(v.mean()) for k, v in rows.items()}
    scores = [seen(judge, x) for x in (result, images, whose)]
    for name in ("yaw", "pitch", "smiling", "mouth_open", "age", "male"):
        column = judge.names.index(name)
        mine, attributes, identity = (s[:, column] for s in scores)
        for key, other in (("attribute_image", attributes), ("identity_image", identity)):
            pair = torch.corrcoef(torch.stack([mine, other]))
            found[f"{name}_to_{key}"] = float(pair[0, 1])
    off = functional.cosine_similarity(seen(embed, again) - center, seen(embed, images) - center)
    error = (again - images).square().mean((1, 2, 3))
    found |= {"same_identity": float(off.mean())}
    found |= {"same_psnr": float((10 * torch.log10(4 / error)).mean())}
    return found


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
