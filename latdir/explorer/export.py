"""What can be taken along: pictures that carry their state, sweeps, sheets, banks, code."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from directions.bank import DirectionBank
from directions.editing import edit_grid
from directions.errors import LatdirError, UnknownNameError
from directions.images.animations import save_animation
from directions.images.tensors import to_pil
from latdir.explorer.jobs import Answer
from latdir.explorer.pictures import Studio, png_bytes
from latdir.explorer.sliders import REACH, Slider
from latdir.explorer.state import State

__all__ = ["Made", "bank_file", "code_of", "made", "opened", "picture_of", "state_of", "sweep_of"]

CHUNK = "latdir"
FRAMES, SECONDS, SMALLEST_FRAME = 25, 1.5, 256
ROWS = 12


@dataclass(frozen=True)
class Made:
    """Something to take along.

    Attributes:
        name: Of the file; empty for text to copy.
        kind: Media type of the file.
        data: Its bytes.
        text: Text to copy.
    """

    name: str = ""
    kind: str = ""
    data: bytes = b""
    text: str = ""

    @property
    def answer(self) -> Answer:
        """What the page is told of it."""
        return {"verb": "file", "name": self.name, "kind": self.kind, "text": self.text}, self.data


def made(
    studio: Studio, state: State, what: str, sliders: Sequence[Slider], name: str | None
) -> Made:
    """A file or text of a state.

    Args:
        studio: Makes the pictures.
        state: The state.
        what: `png`, `sweep`, `sheet`, `bank`, `code` or `cell`.
        sliders: All sliders.
        name: The slider of a sweep; None for the whole edit.

    Raises:
        LatdirError: There is nothing of that kind in this state.
    """
    stem = f"{studio.generator.name.split('/')[-1].split('?')[0]}-{state.seed}"
    if what == "png":
        return Made(f"{stem}.png", "image/png", picture_of(studio, state))
    if what == "sweep":
        chosen = next((s for s in sliders if s.name == name), None)
        if name is not None and chosen is None:
            raise UnknownNameError(f"no slider {name!r} to sweep")
        return Made(f"{stem}-sweep.webp", "image/webp", sweep_of(studio, state, chosen))
    if what == "sheet":
        return Made(f"{stem}-sheet.png", "image/png", sheet_of(studio, state))
    if what == "bank":
        return bank_file(moved_bank(studio, state), "bank")
    return Made(text=code_of(studio, state) if what == "code" else cell_of(studio, state))


def picture_of(studio: Studio, state: State) -> bytes:
    """The picture as PNG; a text chunk holds its state and the generator it is of."""
    note = {
        "generator": studio.generator.name,
        "fingerprint": studio.generator.fingerprint,
        "state": state.model_dump(mode="json", exclude_defaults=True),
    }
    chunks = PngImagePlugin.PngInfo()
    chunks.add_itxt(CHUNK, json.dumps(note, ensure_ascii=False))
    held = io.BytesIO()
    studio.picture(state).save(held, "PNG", pnginfo=chunks)
    return held.getvalue()


def state_of(picture: Image.Image, studio: Studio) -> State | None:
    """The state that a picture carries; None where it carries none.

    Raises:
        LatdirError: It is of another generator, or damaged.
    """
    text = getattr(picture, "text", {}).get(CHUNK)
    if text is None:
        return None
    try:
        note: dict[str, Any] = json.loads(text)
        name, fingerprint, values = note["generator"], note["fingerprint"], note["state"]
    except (ValueError, KeyError, TypeError) as error:
        raise LatdirError("the state in this picture is damaged: take another copy") from error
    if fingerprint != studio.generator.fingerprint:
        raise LatdirError(
            f"this picture was made by {name}, not by {studio.generator.name} as it is here: open "
            "the explorer with that generator"
        )
    return studio.check(State.read(values))


def opened(data: bytes) -> Image.Image:
    """A file as a picture.

    Raises:
        LatdirError: It is none.
    """
    try:
        picture = Image.open(io.BytesIO(data))
        picture.load()
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise LatdirError(
            "this file is not a picture that can be read: drop a PNG, JPEG or WebP file"
        ) from error
    return picture


def sweep_of(studio: Studio, state: State, slider: Slider | None) -> bytes:
    """An animated WebP: a slider from end to end and back, or the whole edit from nothing.

    Args:
        studio: Makes the images.
        state: The picture to start from.
        slider: The slider that moves; None for the edit as a whole.

    Raises:
        LatdirError: Nothing is edited.
    """
    if slider is None:
        if not state.moved:
            raise LatdirError("nothing is edited yet: move a slider, or sweep a single one")
        steps = [
            {name: amount * t for name, amount in state.moved.items()}
            for t in np.linspace(0, 1, FRAMES).tolist()
        ]
    else:
        reach = np.linspace(slider.low, slider.high, FRAMES).tolist()
        steps = [{**state.moved, slider.name: amount} for amount in reach]
    codes = torch.cat([studio.edited(state, amounts) for amounts in steps])
    images = [to_pil(image) for image in studio.images(codes, state)]
    scale = max(1, -(-SMALLEST_FRAME // max(images[0].size)))
    size = (images[0].width * scale, images[0].height * scale)
    frames = [image.resize(size, Image.Resampling.BICUBIC) for image in images]
    with tempfile.TemporaryDirectory() as folder:
        return save_animation(frames, Path(folder) / "sweep.webp", seconds=SECONDS).read_bytes()


def sheet_of(studio: Studio, state: State) -> bytes:
    """A contact sheet as PNG: the unedited picture along each direction that is moved."""
    names = [name for name in state.moved if name in studio.bank] or list(studio.bank)
    amounts = np.linspace(-REACH, REACH, 7).tolist()
    chosen = studio.moving(state, names[:ROWS])
    return png_bytes(edit_grid(studio.generator, studio.start(state), chosen, amounts=amounts))


def moved_bank(studio: Studio, state: State) -> DirectionBank:
    """The directions that are moved.

    Raises:
        LatdirError: None is.
    """
    names = [name for name in state.moved if name in studio.bank]
    if not names:
        raise LatdirError("no direction is moved: move those that the bank should hold")
    return studio.bank.select(names)


def bank_file(bank: DirectionBank, name: str) -> Made:
    """The file of a bank."""
    with tempfile.TemporaryDirectory() as folder:
        data = bank.save(Path(folder) / "bank.safetensors").read_bytes()
    return Made(f"{name}.safetensors", "application/octet-stream", data)


def code_of(studio: Studio, state: State) -> str:
    """Two lines of Python that make the picture, bit for bit.

    They take `directions`, `generator` and `bank`, and `paths` for curved ones.
    """
    space = studio.moving_space(state)
    straight = {name: amount for name, amount in state.moved.items() if name in studio.bank}
    codes = _start_code(studio, state, space)
    if straight:
        layers, bank = "", "bank"
        if state.layers is not None:
            layers = f", layers=range({state.layers[0]}, {state.layers[1] + 1})"
        if state.channels is not None:
            bank = f"bank.select({list(straight)!r})"
            bank = (
                f"directions.strongest_channels({bank}, generator, count={state.channels}{layers})"
            )
            layers = ""
        codes = f"directions.move({codes}, {bank}, {straight!r}{layers})"
    for name in studio.paths:
        if amount := state.moved.get(name):
            codes = f"paths[{name!r}].shift({codes}, {amount!r})"
    return f"codes = {codes}\nimage = generator.inference(space={space!r})(codes)\n"


def cell_of(studio: Studio, state: State, bank_path: str = "bank.safetensors") -> str:
    """A notebook cell that loads the models, makes the picture and shows it."""
    files = [f"{name}.safetensors" for name in studio.paths]
    paths = f"paths = {{p.name: p for p in map(load_path, {files!r})}}\n" if files else ""
    imported = "from directions.paths import load_path\n" if files else ""
    return (
        f"import directions\n{imported}\n"
        f"generator = directions.load_generator({studio.generator.name!r})\n"
        f"bank = directions.DirectionBank.load({bank_path!r}, generator)\n"
        f"{paths}{code_of(studio, state)}directions.grid(image)\n"
    )


def _start_code(studio: Studio, state: State, space: str) -> str:
    if state.photo is not None:
        shape = studio.generator.space(studio.space).shape
        code = (
            f"__import__('torch').frombuffer(bytearray(__import__('base64').b64decode("
            f"{state.photo!r})), dtype=__import__('torch').float32).reshape(1, "
            f"{', '.join(map(str, shape))}).to(generator.device)"
        )
        if space != studio.space:
            code = f"generator.map({code}, {studio.space!r}, {space!r})"
        return code
    first = _sample(state.seed, space, state.truncation)
    if state.mix is None:
        return first
    between = "slerp" if space == studio.generator.default_space() else "lerp"
    second = _sample(state.mix.seed, space, state.truncation)
    return f"directions.{between}({first}, {second}, [{state.mix.fraction!r}])[0]"


def _sample(seed: int, space: str, truncation: float) -> str:
    psi = "" if truncation == 1.0 else f", truncation={truncation!r}"
    return f"generator.sample(1, seed={seed}, space={space!r}{psi})"
