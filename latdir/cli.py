"""The command: a thin shell over the library, one function a subcommand."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Annotated

import typer

from directions import DirectionBank, LatdirError
from directions.classifiers import CLASSIFIERS, load_classifier
from directions.generators import GENERATORS, Generator, load_generator
from directions.memory import keep_freed_memory
from discovery.registry import METHODS
from latdir.commands.discover import MethodGroup, split_names
from latdir.commands.measure import compare, effects, evaluate, report
from latdir.commands.text import MODEL, MODEL_HELP, bank_of_texts, load_model
from latdir.options import (
    BankFile,
    ClassifierName,
    GeneratorName,
    OwnGenerator,
    Seed,
    bank_and_generator,
)
from latdir.output import Json, say, table

__all__ = ["app", "main"]

app = typer.Typer(
    help="Find, measure and apply directions in the latent space of a generator.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
bank_app = typer.Typer(help="Look at bank files, merge them, import other tools' files.")
list_app = typer.Typer(help="What there is to choose from.")
discover_app = typer.Typer(help="Find directions by one of the methods.", cls=MethodGroup)
app.add_typer(discover_app, name="discover")
app.add_typer(bank_app, name="bank", no_args_is_help=True)
app.add_typer(list_app, name="list", no_args_is_help=True)


def main() -> None:
    """Run the command; a user's mistake is one line on stderr and exit code 2."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    keep_freed_memory()
    try:
        app()
    except LatdirError as error:
        typer.echo(f"latdir: {' '.join(str(error).split())}", err=True)
        sys.exit(2)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for all results.")] = Path("out/demo"),
    count: Annotated[int, typer.Option(help="Samples to label.")] = 6000,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Do the main job on the built-in face generator: from sampling to a report."""
    from latdir.commands.demo import run

    result = run(out, count=count, seed=seed)
    rows = [[step, f"{seconds:.1f} s"] for step, seconds in result.seconds.items()]
    say(
        result.as_dict(),
        table("The main job", ["step", "took"], rows),
        f"Open {result.report} in a browser.",
        as_json=as_json,
    )


@app.command()
def sample(
    out: Annotated[Path, typer.Option(help="Folder for the shards; run again to resume.")],
    generator: GeneratorName = "digiface64",
    classifier: ClassifierName = "faces+pixels",
    count: Annotated[str, typer.Option(help="How many, or `auto`.")] = "auto",
    seed: Seed = 0,
    attributes: Annotated[str | None, typer.Option(help="Names with commas between.")] = None,
    space: Annotated[str | None, typer.Option(help="Latent space of the codes.")] = None,
    truncation: Annotated[float, typer.Option(help="ψ of the truncation trick.")] = 1.0,
    as_json: Json = False,
) -> None:
    """Draw codes, generate images, label them; stream all of it to disk."""
    from directions.scoring.rendering import Rendering
    from discovery.sampling.sampler import Auto
    from discovery.sampling.sampler import sample as sample_

    wanted = split_names(attributes)
    made = sample_(
        load_generator(generator),
        load_classifier(classifier),
        Auto() if count == "auto" else _integer(count, "--count"),
        seed=seed,
        out=out,
        attributes=wanted,
        space=space,
        rendering=Rendering(truncation=truncation),
    )
    rows = []
    for name in made.names:
        scores = made.column(name)
        rows.append(
            [
                name,
                float(scores.mean()),
                float(scores.std()),
                float(scores.min()),
                float(scores.max()),
            ]
        )
    data = {
        "samples": str(out),
        "count": len(made),
        "attributes": {r[0]: {"mean": r[1], "std": r[2], "min": r[3], "max": r[4]} for r in rows},
    }
    title = f"{out}: {len(made)} samples of {made.generator}"
    say(data, table(title, ["attribute", "mean", "std", "min", "max"], rows), as_json=as_json)


@app.command()
def edit(
    out: Annotated[Path, typer.Option(help="PNG to write.")],
    bank: Annotated[Path | None, typer.Argument(help="Bank file; none with --text.")] = None,
    change: Annotated[
        list[str] | None, typer.Option("--set", help="name=amount; several move together.")
    ] = None,
    sweep: Annotated[str | None, typer.Option(help="One direction, over --amounts.")] = None,
    text: Annotated[
        list[str] | None, typer.Option(help="What to move towards, in words, over --amounts.")
    ] = None,
    neutral: Annotated[str, typer.Option(help="What to move from, in words.")] = "a face",
    clip: Annotated[str, typer.Option(help=MODEL_HELP)] = MODEL,
    amounts: Annotated[str, typer.Option(help="Amounts with commas between.")] = "-3,-2,-1,0,1,2,3",
    unit: Annotated[str, typer.Option(help="sigma, latent, attribute, or degrees, …")] = "sigma",
    count: Annotated[int, typer.Option(help="Rows of the grid.", min=1)] = 4,
    seed: Seed = 1,
    generator: OwnGenerator = None,
) -> None:
    """Move samples along directions and draw the grid: rows are samples."""
    import torch

    from directions import edit_grid, grid, move, save_png
    from directions.scoring.scorer import Scorer

    ways = [bool(change), bool(sweep), bool(text)]
    if sum(ways) != 1:
        raise LatdirError(
            "say what to draw: --sweep smiling, --set smiling=2 --set yaw=-1, "
            'or --text "a smiling face"'
        )
    if bool(text) == (bank is not None):
        raise LatdirError(
            "--text finds its own directions: leave the bank out"
            if text
            else "name the bank that the direction is in, or use --text"
        )
    if text:
        made = load_generator(generator or "digiface64")
        found = bank_of_texts(made, load_model(clip), text, neutral=neutral)
        codes = made.sample(count, seed=seed)
        steps = [_number(a, "--amounts") for a in amounts.split(",")]
        save_png(edit_grid(made, codes, found, amounts=steps, unit=unit), out)
        typer.echo(f"{out}")
        return
    assert bank is not None
    loaded, made = bank_and_generator(bank, generator)
    changes = dict(_assignment(c) for c in change or [f"{sweep}=0"])
    chosen = loaded.select(changes)
    space = _common_space(chosen, made)
    codes = made.sample(count, seed=seed, space=space)
    if sweep:
        steps = [_number(a, "--amounts") for a in amounts.split(",")]
        picture = edit_grid(made, codes, chosen[sweep], amounts=steps, unit=unit)
    else:
        edited = move(codes, chosen, changes, unit=unit)
        label = ", ".join(f"{k} {v:+g}" for k, v in changes.items())
        both = Scorer(made, space=space).images(torch.cat([codes, edited]))
        images = torch.cat([part.float().cpu() for part in both])
        images = torch.stack(images.chunk(2), 1)
        picture = grid(images, columns=["original", label], marked=0)
    save_png(picture, out)
    typer.echo(f"{out}")


for command in (effects, evaluate, compare, report):
    app.command()(command)


def _common_space(bank: DirectionBank, generator: Generator) -> str:
    """The space whose codes all directions move; codes with layers take those of all layers too."""
    spaces = {d.acts_in(generator.spaces) for d in bank.directions}
    [space, *others] = sorted(s for s in spaces if f"{s}+" not in spaces)
    if others:
        raise LatdirError(
            f"directions of {space} and {', '.join(others)} cannot move one code: choose "
            "directions of one space"
        )
    return space


@bank_app.command("show")
def bank_show(bank: BankFile, as_json: Json = False) -> None:
    """List the directions of a bank, without loading its generator."""
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


@bank_app.command("merge")
def bank_merge(
    banks: Annotated[list[Path], typer.Argument(help="Bank files of one generator.")],
    out: Annotated[Path, typer.Option(help="Bank file to write.")],
    prefix: Annotated[bool, typer.Option(help="Put each file's name before its names.")] = False,
) -> None:
    """Put the directions of several banks of one generator into one."""
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


@bank_app.command("condition")
def bank_condition(
    bank: BankFile,
    out: Annotated[Path, typer.Option(help="Bank file to write.")],
    direction: Annotated[
        list[str] | None, typer.Option(help="Direction to change; all by default.")
    ] = None,
    on: Annotated[
        str | None, typer.Option(help="Names to take out, with commas; all others by default.")
    ] = None,
    generator: OwnGenerator = None,
    as_json: Json = False,
) -> None:
    """Disentangle: take out of directions what they share with others."""
    from directions import condition

    loaded, owner = bank_and_generator(bank, generator)
    listed = split_names(on) or list(loaded)
    plan = {d: [o for o in listed if o != d] for d in direction or loaded}
    on_others = {d: others for d, others in plan.items() if others}
    made = condition(loaded, on=on_others, prior=owner.prior(loaded.directions[0].space))
    made.save(out)
    kept = {name: made[name].evidence["conditioned"]["kept"] for name in on_others}
    rows = [[name, share] for name, share in kept.items()]
    data = {"bank": str(out), "kept": kept}
    say(data, table(f"{out}", ["direction", "length kept"], rows), as_json=as_json)


@bank_app.command("convert")
def bank_convert(
    source: Annotated[Path, typer.Argument(help="A bank, or .npy, .npz, .pt of another tool.")],
    out: Annotated[Path, typer.Option(help="A bank, or .npy, .npz, .pt to write.")],
    generator: OwnGenerator = None,
    space: Annotated[str, typer.Option(help="Space of an imported file's vectors.")] = "w",
) -> None:
    """Import InterFaceGAN .npy, GANSpace .npz and e4e .pt files, or export to them."""
    from directions import export_bank, import_bank

    foreign = (".npy", ".npz", ".pt")
    if source.suffix in foreign:
        if generator is None:
            raise LatdirError(
                f"{source} does not say which generator it belongs to: add --generator NAME"
            )
        loaded = import_bank(source, generator=load_generator(generator), space=space)
    else:
        loaded = DirectionBank.load(source)
    if out.suffix in foreign:
        prior = None
        if out.suffix == ".npz":
            owner = load_generator(generator or loaded.generator)
            prior = owner.prior(loaded.check(owner).directions[0].space)
        written = export_bank(loaded, out, prior=prior)
    else:
        written = [loaded.save(out)]
    typer.echo("\n".join(map(str, written)))


@list_app.command("generators")
def list_generators(as_json: Json = False) -> None:
    """Generators that load by name."""
    _list("generators", {k: v.summary for k, v in GENERATORS.items()}, as_json=as_json)


@list_app.command("classifiers")
def list_classifiers(as_json: Json = False) -> None:
    """Classifiers that load by name."""
    _list("classifiers", {k: v.summary for k, v in CLASSIFIERS.items()}, as_json=as_json)


@list_app.command("methods")
def list_methods(as_json: Json = False) -> None:
    """Methods of discovery."""
    summaries = {k: f"{v.summary} ({v.paper})" for k, v in METHODS.items()}
    _list("methods", summaries, as_json=as_json)


def _list(kind: str, entries: dict[str, str], *, as_json: bool) -> None:
    say({kind: entries}, table(kind, ["name", "what it is"], entries.items()), as_json=as_json)


def _assignment(text: str) -> tuple[str, float]:
    name, sign, value = text.rpartition("=")
    if not sign:
        raise LatdirError(f"--set takes name=amount, such as smiling=2, not {text!r}")
    return name, _number(value, f"--set {name}")


def _number(text: str, what: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise LatdirError(f"{what} takes numbers, not {text!r}") from None


def _integer(text: str, what: str) -> int:
    if not text.isdigit():
        raise LatdirError(f"{what} takes a whole number or 'auto', not {text!r}")
    return int(text)
