"""Files of conditional encoders: network and settings, for one encoder of one generator.

Weights are kept in half precision. Neither the encoder nor the generator is in the file: their
names and fingerprints are, and others are refused.
"""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from typing import Any

import torch
from torch import Tensor

from directions import zoo
from directions.arguments import checked
from directions.classifiers.faces.embedding import FaceEmbedding
from directions.errors import CheckpointError
from directions.generators.progressive import load_weights
from directions.inversion.conditional.base import ConditionalEncoder
from directions.inversion.conditional.network import ConditionalConfig, ConditionalNetwork
from directions.inversion.encoders.base import Encoder
from directions.inversion.encoders.files import given_or_built_in
from directions.storage.container import FileFormat, read_weights, write_tensors

__all__ = ["load_conditional_encoder", "save_conditional_encoder"]

FORMAT = FileFormat("latdir.conditional", "conditional encoder", CheckpointError)
# Those that ship, over the built-in encoders.
BUILT_IN = ("styleface64/sam",)
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
    network, encoder = conditional.network, conditional.encoder
    # Axes are products of small numbers: they stay as they are.
    tensors = {
        k: t if t.ndim < 2 or k == "axes" else t.half() for k, t in network.state_dict().items()
    }
    manifest = {
        "name": conditional.name,
        "attribute": conditional.attribute,
        "encoder": encoder.name,
        "encoder_fingerprint": encoder.fingerprint,
        "config": network.config.as_dict(),
    }
    write_tensors(path, tensors, manifest, format=FORMAT)


@checked
def load_conditional_encoder(
    path: str | PathLike[str],
    *,
    encoder: Encoder | None = None,
    embed: Callable[[Tensor], Tensor] | None = None,
) -> ConditionalEncoder:
    """A built-in one, or what `save_conditional_encoder` wrote; nothing in it is run.

    Args:
        path: The file, or `styleface64/sam`.
        encoder: The one it was trained over; by default the built-in one of its generator.
        embed: Of an encoder by identity, what it was trained with; by default the built-in
            network's.

    Raises:
        LatdirError: No such file, a truncated one or one of another kind; another encoder.

    Example:
        >>> load_conditional_encoder("styleface64/sam").attribute
        'age'
    """
    built_in = str(path) in BUILT_IN
    manifest, tensors = read_weights(zoo.file(str(path)) if built_in else path, FORMAT)
    try:
        name, attribute, base, owner = (
            str(manifest[k]) for k in ("name", "attribute", "encoder", "encoder_fingerprint")
        )
        config = _config(manifest["config"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} has a broken manifest: it has no sound {error}") from error
    refusal = f"{path} was trained over the encoder {base}, which is not built in"
    encoder = given_or_built_in(encoder, base.removesuffix("/encoder"), refusal)
    if encoder.fingerprint != owner:
        raise CheckpointError(
            f"{path} was trained over the encoder {base} ({owner[:12]}…), and {encoder.name} "
            f"({encoder.fingerprint[:12]}…) is another: load that one, or train anew with "
            f"`latdir train conditional --generator {encoder.generator.name}`"
        )
    d = encoder.generator.space(encoder.space).shape[-1]
    plain = torch.ones(config.numbers)
    network = ConditionalNetwork(config, torch.zeros(config.axes, d), plain, plain)
    load_weights(network, {k: t.float() for k, t in tensors.items()})
    identity = config.condition == "identity"
    return ConditionalEncoder(
        network.to(encoder.device),
        encoder,
        name=name,
        attribute=attribute,
        embed=(embed or FaceEmbedding()) if identity else None,
    )


def _config(values: dict[str, Any]) -> ConditionalConfig:
    sizes = [values[k] for k in ("width", "numbers", "axes", "hidden")]
    if any(type(n) is not int or not 0 < n <= MOST for n in sizes):
        raise ValueError("'config'")
    if values["condition"] not in ("value", "identity"):
        raise ValueError("'config'")
    return ConditionalConfig(values["condition"], *sizes)
