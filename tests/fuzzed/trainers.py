"""Valid calls of trainers and files of the folders of `directions.inversion` that networks fill."""

from __future__ import annotations

from types import SimpleNamespace

import torch

from directions import TrainingSchedule
from directions.classifiers.pixels import pixels
from directions.inversion.conditional import (
    ConditionalRecipe,
    load_conditional_encoder,
    save_conditional_encoder,
    train_conditional_encoder,
)
from directions.inversion.details import (
    DetailConfig,
    Details,
    load_details,
    network_of,
    save_details,
    train_details,
)
from directions.inversion.encoders import train_label_encoder
from directions.progress import progress_bars

TRAINED = (
    "Details.render", "train_details", "save_details", "load_details",
    "ConditionalEncoder.encode", "ConditionalRecipe", "train_conditional_encoder",
    "save_conditional_encoder", "load_conditional_encoder", "train_label_encoder",
    "Hypernetwork.predict",
)  # fmt: skip


def colors(images: torch.Tensor) -> torch.Tensor:
    return images.mean(2).flatten(1)


def trainers(w: SimpleNamespace) -> list[tuple[str, object, dict]]:
    """Names, callables and arguments."""
    images = w.tunable.synthesize(w.tunable.sample(2, seed=4)).detach().clamp(-1, 1)
    codes, short = w.encoder.encode(images), TrainingSchedule(1, 2, width=4)
    network = network_of(DetailConfig("consultation", 8, (8, 4), 4))
    details = Details(network, w.encoder, layer="relu.0", name="mine")
    conditional = {
        "encoder": w.encoder,
        "recipe": ConditionalRecipe(targets=(-1, 1), unit=1.0),
        "schedule": short,
        "classifier": pixels(),
        "attribute": "brightness",
        "embed": colors,
        "points": None,
        "checkpoint": None,
        "name": "mine",
        "seed": 1,
    }
    with progress_bars(False):
        asked = train_conditional_encoder(**conditional).encoder
    save_details(details, w.folder / "kept_details.safetensors")
    save_conditional_encoder(asked, w.folder / "kept_conditional.safetensors")
    return [
        ("Details.render", details.render, {"images": images, "moved": 1.5 * codes}),
        ("train_details", train_details, {
            "encoder": w.encoder, "layer": "relu.0", "kind": "feature_editor", "schedule": short,
            "images": images, "features": colors, "checkpoint": None, "name": "mine", "seed": 1,
        }),
        ("save_details", save_details, {
            "details": details, "path": w.folder / "details.safetensors",
        }),
        ("load_details", load_details, {
            "path": w.folder / "kept_details.safetensors", "encoder": w.encoder,
        }),
        ("ConditionalEncoder.encode", asked.encode, {"images": images, "target": 0.5}),
        ("ConditionalRecipe", ConditionalRecipe, {
            "condition": "value", "target": 1.0, "identity": 0.1, "points": 0.1, "pixels": 0.1,
            "norm": 0.1, "cycle": 0.1, "code_critic": 0.1, "light": 0.1, "keep": 0.1,
            "kept": ("smiling",), "look": 0.5, "same": 0.1, "targets": (0.0, 1.0),
            "unit": 2.0,
        }),
        ("train_conditional_encoder", train_conditional_encoder, conditional),
        ("save_conditional_encoder", save_conditional_encoder, {
            "conditional": asked, "path": w.folder / "conditional.safetensors",
        }),
        ("load_conditional_encoder", load_conditional_encoder, {
            "path": w.folder / "kept_conditional.safetensors", "encoder": w.encoder,
            "embed": colors, "held": colors,
        }),
        ("train_label_encoder", train_label_encoder, {
            "images": w.noise(16, 3, 8, 8).clamp(-1, 1), "labels": w.noise(16, 2),
            "names": ["smile", "age"], "schedule": short, "checkpoint": None, "name": "mine",
            "seed": 1,
        }),
        ("Hypernetwork.predict", w.hypernetwork.predict, {"images": images, "passes": 1}),
    ]  # fmt: skip
