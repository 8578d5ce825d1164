"""The commands of `latdir train`: networks for one's own generator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from directions.errors import LatdirError
from directions.storage.atomic import made_folder
from latdir.flags import with_flags
from latdir.options import ClassifierName, DeviceName, GeneratorName, Seed
from latdir.output import Json, say, table

if TYPE_CHECKING:
    from torch import Tensor

    from directions.fingerprints import Precision
    from directions.generators.base import Generator
    from directions.inversion.details import Kind
    from directions.inversion.encoders import Encoder

__all__ = ["conditional", "details", "encoder", "hypernetwork"]


# What is shown of each part of the steps.
FIGURES: Mapping[str, tuple[list[str], str]] = {
    "encoder": (
        ["PSNR", "consistency"],
        "of held-out images, in dB; mean distance from their codes",
    ),
    "hypernetwork": (
        ["PSNR", "encoder"],
        "of held-out images with their changes, and of the encoder's codes, in dB",
    ),
    "details": (
        ["PSNR", "encoder", "edited", "edited, encoder"],
        "of held-out images and of edits of them, with details and by codes alone, in dB",
    ),
    "conditional": (
        ["error", "identity"],
        "of held-out images, distance from the targets and cosine of identity",
    ),
}
RealImages = Annotated[Path | None, typer.Option(help="Folder of real images, half of each batch.")]


@dataclass(frozen=True)
class Steps:
    """How long and in what steps is trained, and where the run is kept.

    Attributes:
        steps, batch_size, rate, width, precision: As `TrainingSchedule`.
        seed: Of weights and codes.
        checkpoint: File that keeps the run.
    """

    steps: Annotated[int, typer.Option(help="Steps of Adam.")] = 4000
    batch_size: Annotated[int, typer.Option(help="Images a step.")] = 32
    rate: Annotated[float, typer.Option(help="Highest learning rate.")] = 1e-3
    width: Annotated[int, typer.Option(help="Channels of the first maps.")] = 32
    precision: Annotated[
        str, typer.Option(help="float32, or bfloat16 for products of networks, where it is fast.")
    ] = "float32"
    seed: Seed = 0
    checkpoint: Annotated[
        Path | None, typer.Option(help="File that keeps the run: the same command goes on from it.")
    ] = None

    def settings(self, out: Path, **changes: Any) -> dict[str, Any]:
        """What all trainers of the library take; changes are of the schedule.

        Raises:
            LatdirError: A folder of the file that cannot be made, before hours of training.
        """
        from directions import TrainingSchedule

        made_folder(out.parent)
        schedule = TrainingSchedule(
            steps=self.steps,
            batch_size=self.batch_size,
            rate=self.rate,
            width=self.width,
            precision=cast("Precision", self.precision),
        )
        return {
            "schedule": replace(schedule, **changes),
            "checkpoint": self.checkpoint,
            "name": out.stem,
            "seed": self.seed,
        }


@dataclass(frozen=True)
class Over:
    """The encoder that is trained over.

    Attributes:
        generator: By name.
        encoder: Its encoder's file.
        device: Where it is trained.
    """

    generator: GeneratorName = "styleface64"
    encoder: Annotated[
        Path | None, typer.Option(help="File of its encoder; by default the built-in one.")
    ] = None
    device: DeviceName = "auto"

    @property
    def loaded(self) -> Encoder:
        """The encoder with its generator."""
        from directions import load_encoder, load_generator

        made = load_generator(self.generator, device=self.device)
        return load_encoder(self.encoder or self.generator, generator=made)


@with_flags
def encoder(
    *,
    out: Annotated[Path, typer.Option(help="safetensors file of the encoder.")],
    generator: GeneratorName = "digiface64",
    recipe: Annotated[
        str, typer.Option(help="compact, psp, e4e, restyle, wei, idinvert, ghfeat or icgan.")
    ] = "compact",
    space: Annotated[
        str | None, typer.Option(help="Space of the codes; by default w where there is one.")
    ] = None,
    images: RealImages = None,
    steps: Steps,
    rendered: Annotated[
        float, typer.Option(help="Share of a batch whose codes are rendered again.")
    ] = 0.5,
    device: DeviceName = "auto",
    as_json: Json = False,
) -> None:
    """Train an encoder, images to codes in one pass, on a generator's own samples."""
    from directions import load_generator, save_encoder, train_encoder

    made = load_generator(generator, device=device)
    trained = train_encoder(
        made,
        recipe=recipe,
        space=space,
        images=_opened(images, made),
        **steps.settings(out, rendered=rendered),
    )
    save_encoder(trained.encoder, out)
    _report("encoder", out, trained.encoder, trained.progress, as_json=as_json)


@with_flags
def hypernetwork(
    *,
    out: Annotated[Path, typer.Option(help="safetensors file of the hypernetwork.")],
    over: Over,
    recipe: Annotated[
        str, typer.Option(help="hyperstyle, hyperinverter or gradient.")
    ] = "hyperstyle",
    passes: Annotated[
        int | None, typer.Option(help="How often it looks; by default as the recipe says.")
    ] = None,
    images: RealImages = None,
    steps: Steps,
    as_json: Json = False,
) -> None:
    """Train a hypernetwork, images to changes of a generator's weights in one pass."""
    from directions import save_hypernetwork, train_hypernetwork
    from directions.inversion.hypernetworks import find_hypernetwork_recipe

    parts = find_hypernetwork_recipe(recipe)
    parts, encoder = parts if passes is None else replace(parts, passes=passes), over.loaded
    trained = train_hypernetwork(
        encoder, recipe=parts, images=_opened(images, encoder.generator), **steps.settings(out)
    )
    save_hypernetwork(trained.hypernetwork, out)
    _report("hypernetwork", out, trained.hypernetwork, trained.progress, as_json=as_json)


@with_flags
def details(
    *,
    out: Annotated[Path, typer.Option(help="safetensors file of the details.")],
    layer: Annotated[str, typer.Option(help="Of the generator, such as leaky_relu.6 or relu.2.")],
    over: Over,
    kind: Annotated[
        str, typer.Option(help="consultation (HFGI) or feature_editor (StyleFeatureEditor).")
    ] = "consultation",
    images: RealImages = None,
    steps: Steps,
    as_json: Json = False,
) -> None:
    """Train what puts into a layer's features what codes lose of images, also after edits."""
    from directions.inversion.details import save_details, train_details

    encoder = over.loaded
    trained = train_details(
        encoder,
        layer,
        kind=cast("Kind", kind),
        images=_opened(images, encoder.generator),
        **steps.settings(out),
    )
    save_details(trained.details, out)
    _report("details", out, trained.details, trained.progress, as_json=as_json)


@dataclass(frozen=True)
class Targets:
    """What is asked of images.

    Attributes:
        classifier: By name.
        attribute: One of its own.
        targets: Its lowest and highest value asked for.
    """

    classifier: ClassifierName = "faces"
    attribute: Annotated[str, typer.Option(help="Of the classifier, what targets are of.")] = "age"
    targets: Annotated[
        str | None, typer.Option(help="Lowest and highest target: 10,70; by default the recipe's.")
    ] = None

    @property
    def between(self) -> tuple[float, float] | None:
        """The two numbers, where given.

        Raises:
            LatdirError: Others than two numbers.
        """
        if self.targets is None:
            return None
        try:
            low, high = (float(part) for part in self.targets.split(","))
        except ValueError:
            raise LatdirError(
                f"--targets takes two numbers, such as 10,70, not {self.targets!r}"
            ) from None
        return low, high


@with_flags
def conditional(
    *,
    out: Annotated[Path, typer.Option(help="safetensors file of the conditional encoder.")],
    over: Over,
    recipe: Annotated[
        str, typer.Option(help="sam: at a target value; nitzan: with another's identity.")
    ] = "sam",
    targets: Targets,
    steps: Steps,
    as_json: Json = False,
) -> None:
    """Train an encoder of images at a target age or value, or with the identity of others."""
    from directions import load_classifier
    from directions.inversion.conditional import (
        find_conditional_recipe,
        save_conditional_encoder,
        train_conditional_encoder,
    )

    parts = find_conditional_recipe(recipe)
    trained = train_conditional_encoder(
        over.loaded,
        recipe=parts if targets.between is None else replace(parts, targets=targets.between),
        classifier=load_classifier(targets.classifier, device=over.device),
        attribute=targets.attribute,
        **steps.settings(out),
    )
    save_conditional_encoder(trained.encoder, out)
    _report("conditional", out, trained.encoder, trained.progress, as_json=as_json)


def _opened(folder: Path | None, generator: Generator) -> Tensor | None:
    """Real images of the generator's size, where a folder is given."""
    from directions import open_images

    return None if folder is None else open_images(folder, size=generator.image_shape[1:])


def _report(what: str, out: Path, made: object, progress: Sequence[Any], *, as_json: bool) -> None:
    """Where the training stood after each part of its steps, a row each."""
    columns, note = FIGURES[what]
    rows = [[str(step), *figures] for step, *figures in progress]
    shown = table(f"{out}: {made!r}", ["step", *columns], rows, note=note)
    steps = [p._asdict() for p in progress]
    say({what: str(out), "progress": steps}, shown, as_json=as_json)
