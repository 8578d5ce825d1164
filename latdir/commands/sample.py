"""The commands `latdir sample`, labeled codes streamed to disk, and `latdir samples import`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from directions.errors import LatdirError
from latdir.executing import Executing
from latdir.flags import with_flags
from latdir.models import Models
from latdir.options import DeviceName, GeneratorName, Seed, split_names
from latdir.output import Json, say, table

if TYPE_CHECKING:
    from discovery import Samples

__all__ = ["import_", "sample"]


@with_flags
def sample(
    *,
    out: Annotated[
        str, typer.Option(help="Folder for the shards, or s3://…; run again to resume.")
    ],
    models: Models,
    where: Executing,
    count: Annotated[str, typer.Option(help="Number of samples, or `auto`.")] = "auto",
    seed: Seed = 0,
    attributes: Annotated[str | None, typer.Option(help="Comma-separated names.")] = None,
    space: Annotated[str | None, typer.Option(help="Latent space of the codes.")] = None,
    truncation: Annotated[float, typer.Option(help="ψ of the truncation trick.")] = 1.0,
    as_json: Json = False,
) -> None:
    """Draw codes, generate images, label them; stream all of it to disk."""
    from discovery.sampling.sampler import Auto
    from discovery.sampling.sampler import sample as sample_

    wanted = split_names(attributes)
    made = sample_(
        models.made(),
        models.scorer(),
        Auto() if count == "auto" else _integer(count, "--count"),
        seed=seed,
        out=out,
        attributes=wanted,
        space=space,
        rendering=models.rendering(truncation=truncation, executor=where.made()),
    )
    _summarize(made, out, as_json=as_json)


def import_(
    labels: Annotated[
        Path, typer.Argument(help="CSV or Parquet: columns seed and index, or code; labels.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the samples, which holds none yet.")],
    generator: GeneratorName = "digiface64",
    attributes: Annotated[
        str | None, typer.Option(help="Columns of labels, with commas between; all by default.")
    ] = None,
    space: Annotated[str | None, typer.Option(help="Latent space of the codes.")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of the codes, where no column says.")
    ] = None,
    truncation: Annotated[float, typer.Option(help="ψ that the codes were drawn with.")] = 1.0,
    device: DeviceName = "auto",
    as_json: Json = False,
) -> None:
    """Import labels of your own: a table of codes, or of their seed and index."""
    from directions import load_generator
    from discovery import Samples

    made = Samples.from_frame(
        labels,
        generator=load_generator(generator, device=device),
        names=split_names(attributes),
        space=space,
        seed=seed,
        truncation=truncation,
    )
    made.save(out)
    _summarize(made, out, as_json=as_json)


def _summarize(made: Samples, out: str | Path, *, as_json: bool) -> None:
    rows = []
    for name, scores in zip(made.names, made.scores.T, strict=True):
        spread = float(scores.std()) if len(made) > 1 else 0.0
        rows.append([name, float(scores.mean()), spread, float(scores.min()), float(scores.max())])
    data = {
        "samples": str(out),
        "count": len(made),
        "attributes": {r[0]: {"mean": r[1], "std": r[2], "min": r[3], "max": r[4]} for r in rows},
    }
    title = f"{out}: {len(made)} samples of {made.generator}"
    say(data, table(title, ["attribute", "mean", "std", "min", "max"], rows), as_json=as_json)


def _integer(text: str, what: str) -> int:
    if not text.isdigit():
        raise LatdirError(f"{what} takes a whole number or 'auto', not {text!r}")
    return int(text)
