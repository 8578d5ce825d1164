"""Files of details: network and settings, for one encoder of one generator.

Weights are kept in half precision. Neither the encoder nor the generator is in the file: their
names and fingerprints are, and another generator is refused.
"""

from __future__ import annotations

from os import PathLike
from typing import Any

from directions import zoo
from directions.arguments import checked
from directions.errors import CheckpointError
from directions.generators.progressive import load_weights
from directions.inversion.details.base import Details
from directions.inversion.details.networks import DetailConfig, network_of
from directions.inversion.encoders.base import Encoder
from directions.inversion.encoders.files import given_or_built_in
from directions.storage.container import FileFormat, read_weights, write_tensors

__all__ = ["load_details", "save_details"]

BUILT_IN = ("styleface64",)
FORMAT = FileFormat("latdir.details", "details", CheckpointError)
# Sizes of files that are not believed.
MOST = 1 << 14


@checked
def save_details(details: Details, path: str | PathLike[str]) -> None:
    """Write details, atomically; `load_details` reads them.

    Args:
        details: They.
        path: The file, `.safetensors`.

    Raises:
        LatdirError: A folder that cannot be written, or a full disk.
    """
    network, encoder = details.network, details.encoder
    tensors = {k: t if t.ndim < 2 else t.half() for k, t in network.state_dict().items()}
    manifest = {
        "name": details.name,
        "layer": details.layer,
        "generator": encoder.generator.name,
        "fingerprint": encoder.generator.fingerprint,
        "encoder": encoder.name,
        "config": network.config.as_dict(),
    }
    write_tensors(path, tensors, manifest, format=FORMAT)


@checked
def load_details(path: str | PathLike[str], *, encoder: Encoder | None = None) -> Details:
    """Built-in details, or what `save_details` wrote; nothing in it is run.

    Args:
        path: The file, or `styleface64`.
        encoder: Whose codes are edited; another encoder of the same generator serves too, less
            well. By default the generator's built-in one.

    Raises:
        LatdirError: No such file, a truncated one or one of another kind; another generator, or
            one without a built-in encoder.

    Example:
        >>> load_details("styleface64").layer
        'leaky_relu.6'
    """
    where = zoo.file(f"{path}/details") if str(path) in BUILT_IN else path
    manifest, tensors = read_weights(where, FORMAT)
    try:
        name, layer, base, owner = (
            str(manifest[k]) for k in ("name", "layer", "generator", "fingerprint")
        )
        config = _config(manifest["config"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} has a broken manifest: it has no sound {error}") from error
    encoder = given_or_built_in(
        encoder, base, f"{path} has details of {base}, which has no built-in encoder"
    )
    generator = encoder.generator
    if generator.fingerprint != owner:
        raise CheckpointError(
            f"{path} has details of {base} ({owner[:12]}…), not of {generator.name} "
            f"({generator.fingerprint[:12]}…): give an encoder of {base}, or train them with "
            "train_details(encoder, layer)"
        )
    network = network_of(config)
    load_weights(network, {k: t.float() for k, t in tensors.items()})
    return Details(network.to(generator.device), encoder, layer=layer, name=name)


def _config(values: dict[str, Any]) -> DetailConfig:
    kind, features = values["kind"], tuple(values["features"])
    sizes = [values["side"], values["width"], *features]
    if any(type(n) is not int or not 0 < n <= MOST for n in sizes) or len(features) != 2:
        raise ValueError("'config'")
    if kind not in ("consultation", "feature_editor"):
        raise ValueError("'config'")
    return DetailConfig(kind, values["side"], features, values["width"])
