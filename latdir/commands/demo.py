"""The whole pipeline on the built-in face generator."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from directions.seeds import PICTURE_SEED
from directions.storage.atomic import made_folder
from latdir.cache import keeping_scores
from latdir.options import DeviceName, PrecisionName, Seed, rendering_of
from latdir.output import Json, say, table, write_figure

if TYPE_CHECKING:
    from PIL import Image

    from directions import DirectionBank
    from directions.generators import Generator

__all__ = ["ATTRIBUTES", "Result", "demo", "run"]

ATTRIBUTES = ("smiling", "yaw", "mouth_open", "male", "age", "pitch", "brightness")
HELD_OUT = 48
# Measures that make images of their own take longer than the demo should.
LEFT_OUT = {"accuracy": 0, "consistency": 0}


@keeping_scores
def demo(
    out: Annotated[Path, typer.Option(help="Folder for all results.")] = Path("out/demo"),
    count: Annotated[int, typer.Option(help="Samples to label.")] = 6000,
    seed: Seed = 0,
    device: DeviceName = "auto",
    precision: PrecisionName = None,
    as_json: Json = False,
) -> None:
    """Run the whole pipeline on the built-in face generator, from sampling to a report."""
    result = run(out, count=count, seed=seed, device=device, precision=precision)
    rows = [[step, f"{seconds:.1f} s"] for step, seconds in result.seconds.items()]
    say(
        result.as_dict(),
        table("The pipeline", ["step", "took"], rows),
        f"Open {result.report} in a browser.",
        as_json=as_json,
    )


@dataclass(frozen=True)
class Result:
    """Results of the demo.

    Attributes:
        bank: The calibrated, disentangled bank.
        plain: The bank as found, before conditioning.
        report: The HTML page.
        figures: Images by name.
        seconds: Time of each step.
        effects: The effect matrix, as plain data.
    """

    bank: Path
    plain: Path
    report: Path
    figures: dict[str, Path]
    seconds: dict[str, float] = field(default_factory=dict)
    effects: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The same, ready for JSON."""
        return {
            "bank": str(self.bank),
            "plain_bank": str(self.plain),
            "report": str(self.report),
            "figures": {name: str(path) for name, path in self.figures.items()},
            "seconds": self.seconds,
            "effects": self.effects,
        }


def run(
    out: Path, *, count: int, seed: int, device: str = "cpu", precision: str | None = None
) -> Result:
    """Sample, label, find, disentangle, edit, measure, plot.

    Args:
        out: Folder for everything; made if it is not there.
        count: Faces to label.
        seed: Seed of their codes.
        device: Where the models run.
        precision: Of generator and classifier; by default measured.

    Raises:
        LatdirError: The folder cannot be made, or holds samples of another run.
    """
    from analysis import evaluate, plots
    from directions import condition, edit_grid, load_classifier, load_generator, save_png
    from discovery import Boundary, sample

    made_folder(out)
    seconds: dict[str, float] = {}

    with _timed(seconds, "load models"):
        generator = load_generator("digiface64", device=device)
        classifier = load_classifier("faces+pixels", device=device)
    with _timed(seconds, f"sample and label {count} faces"):
        samples = sample(
            generator,
            classifier,
            count,
            seed=seed,
            out=out / "samples",
            attributes=ATTRIBUTES,
            rendering=rendering_of(precision),
        )
    with _timed(seconds, "find boundaries"):
        found = Boundary().discover(samples)
        plain = found.save(out / "found.safetensors")
    with _timed(seconds, "disentangle"):
        clean = condition(found, on=ATTRIBUTES, prior=generator.prior())
    with _timed(seconds, "measure on held-out faces"):
        evaluation = evaluate(
            clean,
            generator,
            classifier,
            count=HELD_OUT,
            measures=LEFT_OUT,
            rendering=samples.rendering,
        )
        bank = evaluation.bank.save(out / "faces.safetensors")
    with _timed(seconds, "draw"):
        codes = generator.sample(4, seed=PICTURE_SEED)
        figures = {
            name: save_png(edit_grid(generator, codes, direction), out / f"{name}.png")
            for name, direction in evaluation.bank.items()
        }
        figures["overview"] = save_png(_overview(generator, evaluation.bank), out / "overview.png")
        write_figure(out / "effects.png", plots.plot_effects(evaluation.effects))
        figures["effects"] = out / "effects.png"
        report = evaluation.report(out / "report.html", generator)
    effects = evaluation.effects.as_dict()
    return Result(bank, plain, report, figures, seconds, effects)


def _overview(generator: Generator, bank: DirectionBank) -> Image.Image:
    """One face, one row per direction."""
    from directions import edit_grid

    code = generator.sample(1, seed=PICTURE_SEED)
    return edit_grid(generator, code, bank, title=f"{bank.generator}: one face, {len(bank)} ways")


@contextmanager
def _timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[step] = time.perf_counter() - start
