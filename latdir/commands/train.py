"""The commands of `latdir train`: networks for one's own generator."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from latdir.flags import with_flags
from latdir.options import DeviceName, GeneratorName, Seed
from latdir.output import Json, say, table

if TYPE_CHECKING:
    from directions import TrainingSchedule
    from directions.fingerprints import Precision

__all__ = ["encoder"]


@dataclass(frozen=True)
class Steps:
    """How long and in what steps is trained.

    Attributes:
        steps, batch_size, rate, rendered, width, precision: As `TrainingSchedule`.
    """

    steps: Annotated[int, typer.Option(help="Steps of Adam.")] = 4000
    batch_size: Annotated[int, typer.Option(help="Images a step.")] = 32
    rate: Annotated[float, typer.Option(help="Highest learning rate.")] = 1e-3
    rendered: Annotated[
        float, typer.Option(help="Share of a batch whose codes are rendered again.")
    ] = 0.5
    width: Annotated[int, typer.Option(help="Channels of the first maps.")] = 32
    precision: Annotated[
        str, typer.Option(help="float32, or bfloat16 for products of networks, where it is fast.")
    ] = "float32"

    @property
    def schedule(self) -> TrainingSchedule:
        """The library's."""
        from directions import TrainingSchedule

        return TrainingSchedule(
            steps=self.steps,
            batch_size=self.batch_size,
            rate=self.rate,
            rendered=self.rendered,
            width=self.width,
            precision=cast("Precision", self.precision),
        )


@with_flags
def encoder(
    *,
    out: Annotated[Path, typer.Option(help="safetensors file of the encoder.")],
    generator: GeneratorName = "digiface64",
    recipe: Annotated[
        str, typer.Option(help="compact, psp, e4e, restyle, wei, idinvert or icgan.")
    ] = "compact",
    space: Annotated[
        str | None, typer.Option(help="Space of the codes; by default w where there is one.")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Folder of real images, half of each batch.")
    ] = None,
    steps: Steps,
    checkpoint: Annotated[
        Path | None, typer.Option(help="File that keeps the run: the same command goes on from it.")
    ] = None,
    seed: Seed = 0,
    device: DeviceName = "auto",
    as_json: Json = False,
) -> None:
    """Train an encoder, images to codes in one pass, on a generator's own samples."""
    from directions import load_generator, open_images, save_encoder, train_encoder

    made = load_generator(generator, device=device)
    real = None
    if images is not None:
        real = open_images(images, size=made.image_shape[1:]).to(made.device)
    trained = train_encoder(
        made,
        recipe=recipe,
        schedule=steps.schedule,
        space=space,
        images=real,
        checkpoint=checkpoint,
        name=out.stem,
        seed=seed,
    )
    save_encoder(trained.encoder, out)
    rows = [p._asdict() for p in trained.progress]
    shown = table(
        f"{out}: {trained.encoder!r}",
        ["step", "PSNR", "consistency"],
        [[str(p.step), p.psnr, p.consistency] for p in trained.progress],
        note="of held-out images, in dB; mean distance from their codes",
    )
    say({"encoder": str(out), "progress": rows}, shown, as_json=as_json)
