"""The commands `latdir bank …`: show, merge, condition, orthonormalize, convert."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from directions.errors import LatdirError
from latdir.flags import with_flags
from latdir.models import BankModel
from latdir.options import (
    BankFile,
    DeviceName,
    OwnGenerator,
    PrecisionName,
    rendering_of,
    split_names,
)
from latdir.output import Json, say, table

__all__ = ["condition", "convert", "merge", "orthonormalize", "show"]


def show(bank: BankFile, as_json: Json = False) -> None:
    """List the directions of a bank, without loading its generator."""
    from directions import DirectionBank

    loaded = DirectionBank.load(bank)
    rows = [
        [
            d.name,
            d.space,
            "×".join(map(str, d.vector.shape)),
            d.method,
            d.sigma,
            d.calibration and f"{d.calibration.per_sigma:+.3g} {d.calibration.unit}/σ",
        ]
        for d in loaded.directions
    ]
    columns = ["direction", "space", "shape", "method", "sigma", "calibrated"]
    data = {
        "generator": loaded.generator,
        "fingerprint": loaded.fingerprint,
        "provenance": dict(loaded.provenance),
        "directions": [dict(zip(columns, row, strict=True)) for row in rows],
    }
    title = f"{loaded.generator} ({loaded.fingerprint[:12]}…)"
    say(data, table(title, columns, rows), as_json=as_json)


def merge(
    banks: Annotated[list[Path], typer.Argument(help="Bank files of one generator.")],
    out: Annotated[Path, typer.Option(help="Bank file to write.")],
    prefix: Annotated[bool, typer.Option(help="Put each file's name before its names.")] = False,
) -> None:
    """Put the directions of several banks of one generator into one."""
    from directions import DirectionBank

    loaded = [DirectionBank.load(path) for path in banks]
    if prefix:
        loaded = [
            b.replaced(d.evolve(name=f"{path.stem}/{d.name}") for d in b.directions)
            for path, b in zip(banks, loaded, strict=True)
        ]
    merged = loaded[0]
    for other in loaded[1:]:
        merged = merged.merge(other)
    merged.save(out)
    typer.echo(f"{out}: {len(merged)} directions")


@with_flags
def condition(
    *,
    bank: BankFile,
    out: Annotated[Path, typer.Option(help="Bank file to write.")],
    direction: Annotated[
        list[str] | None, typer.Option(help="Direction to change; all by default.")
    ] = None,
    on: Annotated[
        str | None, typer.Option(help="Names to take out, with commas; all others by default.")
    ] = None,
    labelers: Annotated[
        str | None,
        typer.Option(
            help="Classifiers with commas, such as faces,mobile-faces: take out the mean of the "
            "effects that they measure, in place of components."
        ),
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option(
            help="The classifier that is to judge the result: without --labelers, the effects are "
            "measured by the built-in ones that it is independent of."
        ),
    ] = None,
    precision: PrecisionName = None,
    model: BankModel,
    as_json: Json = False,
) -> None:
    """Disentangle: remove from directions their components along others, or their effects."""
    from directions import condition as conditioned
    from directions import load_classifier

    loaded, owner = model.open(bank)
    listed = split_names(on) or list(loaded)
    plan = {d: [o for o in listed if o != d] for d in direction or loaded}
    on_others = {d: others for d, others in plan.items() if others}
    given = [load_classifier(name, device=model.device) for name in split_names(labelers) or []]
    measured = bool(given or judge)
    made = conditioned(
        loaded,
        on=on_others,
        prior=owner.prior(loaded.directions[0].space),
        generator=owner if measured else None,
        labelers=given,
        judge=load_classifier(judge, device=model.device) if judge else None,
        rendering=rendering_of(precision),
    )
    made.save(out)
    key, figure, title = (
        ("disentangled", "effect_kept", "effect kept")
        if measured
        else ("conditioned", "kept", "length kept")
    )
    kept = {name: made[name].evidence[key][figure] for name in on_others}
    labeled = [made[name].evidence["disentangled"]["labelers"] for name in on_others if measured]
    rows = [[name, share] for name, share in kept.items()]
    data = {"bank": str(out), "kept": kept, "labelers": labeled[0] if labeled else []}
    say(data, table(f"{out}", ["direction", title], rows), as_json=as_json)


@with_flags
def orthonormalize(
    *,
    bank: BankFile,
    out: Annotated[Path, typer.Option(help="Bank file to write.")],
    order: Annotated[
        str,
        typer.Option(
            help="qr keeps the first direction and takes from each those before it; lowdin changes "
            "all alike."
        ),
    ] = "qr",
    model: BankModel,
    as_json: Json = False,
) -> None:
    """Make all directions of a bank orthogonal to one another."""
    from directions import orthonormalize as orthonormalized

    loaded, owner = model.open(bank)
    prior = owner.prior(loaded.directions[0].space)
    made = orthonormalized(loaded, order=order, prior=prior)
    made.save(out)
    cosines = {name: d.evidence["orthonormalized"]["cosine"] for name, d in made.items()}
    shown = table(
        f"{out}", ["direction", "cosine to the original"], list(map(list, cosines.items()))
    )
    say({"bank": str(out), "order": order, "cosines": cosines}, shown, as_json=as_json)


def convert(
    source: Annotated[Path, typer.Argument(help="A bank, or .npy, .npz, .pt of another tool.")],
    out: Annotated[Path, typer.Option(help="A bank, or .npy, .npz, .pt to write.")],
    generator: OwnGenerator = None,
    device: DeviceName = "auto",
    space: Annotated[str, typer.Option(help="Space of an imported file's vectors.")] = "w",
) -> None:
    """Import InterFaceGAN .npy, GANSpace .npz and e4e .pt files, or export to them."""
    from directions import DirectionBank, export_bank, import_bank, load_generator

    foreign = (".npy", ".npz", ".pt")
    if source.suffix in foreign:
        if generator is None:
            raise LatdirError(
                f"{source} does not say which generator it belongs to: add --generator NAME"
            )
        loaded = import_bank(
            source, generator=load_generator(generator, device=device), space=space
        )
    else:
        loaded = DirectionBank.load(source)
    if out.suffix in foreign:
        prior = None
        if out.suffix == ".npz":
            owner = load_generator(generator or loaded.generator, device=device)
            prior = owner.prior(loaded.check(owner).directions[0].space)
        written = export_bank(loaded, out, prior=prior)
    else:
        written = [loaded.save(out)]
    typer.echo("\n".join(map(str, written)))
