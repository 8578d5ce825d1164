"""Files of conditional encoders: network and settings, for one encoder of one generator."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from typing import Any

import torch
from torch import Tensor

from directions.arguments import checked
from directions.errors import CheckpointError
from directions.generators.progressive import load_weights
from directions.inversion.conditional.base import ConditionalEncoder
from directions.inversion.conditional.judges import judges_of
from directions.inversion.conditional.network import ConditionalConfig, ConditionalNetwork
from directions.inversion.conditional.recipes import find_conditional_recipe
from directions.inversion.encoders.attached_files import AttachedFile, check_sizes
from directions.inversion.encoders.base import Encoder
from directions.storage.container import FileFormat

__all__ = ["load_conditional_encoder", "save_conditional_encoder"]

FILE = AttachedFile(
    FileFormat("latdir.conditional", "conditional encoder", CheckpointError),
    built_in={name: name for name in ("styleface64/sam", "styleface64/nitzan")},
    owner="encoder",
    key="encoder_fingerprint",
    says="was trained over the encoder",
    remedy="train anew with `latdir train conditional --generator {}`",
)
# Sizes of files that are not believed.
MOST = 1 << 14


@checked
def save_conditional_encoder(conditional: ConditionalEncoder, path: str | PathLike[str]) -> None:
    """Write a conditional encoder, atomically; `load_conditional_encoder` reads it.

    Args:
        conditional: It.
        path: The file, `.safetensors`.

    Raises:
        LatdirError: A folder that cannot be written, or a full disk.
    """
    config = conditional.network.config.as_dict()
    FILE.write(path, conditional, attribute=conditional.attribute, config=config)


@checked
def load_conditional_encoder(
    path: str | PathLike[str],
    *,
    encoder: Encoder | None = None,
    embed: Callable[[Tensor], Tensor] | None = None,
    held: Callable[[Tensor], Tensor] | None = None,
) -> ConditionalEncoder:
    """A built-in one, or what `save_conditional_encoder` wrote; nothing in it is run.

    Args:
        path: The file, or `styleface64/sam` or `styleface64/nitzan`.
        encoder: The one it was trained over; by default the built-in one of its generator.
        embed: Of an encoder by identity, what it was trained with; by default the built-in
            network's.
        held: Of one by identity with a second look, images to what stays of them, `[n, m]`; by
            default landmarks and log-odds of smiling by `faces()`.

    Raises:
        LatdirError: No such file, a truncated one or one of another kind; another encoder;
            another `held`.

    Example:
        >>> load_conditional_encoder("styleface64/sam").attribute
        'age'
    """
    manifest, weights = FILE.read(path)
    with FILE.sound(path):
        name, attribute = str(manifest["name"]), str(manifest["attribute"])
        config = _config(manifest)
    encoder = FILE.encoder(path, manifest, encoder)
    d = encoder.generator.space(encoder.space).shape[-1]
    plain = torch.ones(config.numbers)
    network = ConditionalNetwork(config, torch.zeros(config.axes, d), plain, plain)
    load_weights(network, weights)
    if config.condition == "value":
        return ConditionalEncoder(network, encoder, name=name, attribute=attribute)
    judges = judges_of(find_conditional_recipe("nitzan"), embed=embed)
    held = (held or judges.held) if config.measured else None
    returned = [("embed", judges.embed, config.numbers)]
    if held is not None:
        returned.append(("held", held, config.measured - config.numbers))
    with torch.no_grad():
        one = torch.zeros(1, *encoder.generator.image_shape, device=encoder.device)
        for setting, function, numbers in returned:
            found = function(one).shape[1]
            if found != numbers:
                raise CheckpointError(
                    f"{path} takes {numbers} numbers of an image from {setting}=, which returns "
                    f"{found}: give what it was trained with"
                )
    return ConditionalEncoder(
        network, encoder, name=name, attribute=attribute, embed=judges.embed, held=held
    )


def _config(manifest: dict[str, Any]) -> ConditionalConfig:
    values = manifest["config"]
    width, numbers, axes, hidden = (values[k] for k in ("width", "numbers", "axes", "hidden"))
    measured = values.get("measured", 0)
    check_sizes([width, numbers, axes, hidden, measured or 1], MOST)
    if values["condition"] not in ("value", "identity"):
        raise ValueError("'config'")
    return ConditionalConfig(values["condition"], width, numbers, axes, hidden, measured)
