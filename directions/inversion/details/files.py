"""Files of details: network and settings, for one encoder of one generator."""

from __future__ import annotations

from os import PathLike
from typing import Any

from directions.arguments import checked
from directions.errors import CheckpointError
from directions.generators.progressive import load_weights
from directions.inversion.details.base import Details
from directions.inversion.details.networks import DetailConfig, network_of
from directions.inversion.encoders.attached_files import AttachedFile, check_sizes
from directions.inversion.encoders.base import Encoder
from directions.storage.container import FileFormat

__all__ = ["load_details", "save_details"]

FILE = AttachedFile(
    FileFormat("latdir.details", "details", CheckpointError),
    built_in={name: name for name in ("styleface64/consultation", "styleface64/feature_editor")},
    owner="generator",
    key="fingerprint",
    says="has details of",
    remedy="train them with `latdir train details --generator {}`",
)
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
    FILE.write(path, details, layer=details.layer, config=details.network.config.as_dict())


@checked
def load_details(path: str | PathLike[str], *, encoder: Encoder | None = None) -> Details:
    """Built-in details, or what `save_details` wrote; nothing in it is run.

    Args:
        path: The file, `styleface64/consultation` or `styleface64/feature_editor`.
        encoder: Whose codes are edited; another encoder of the same generator serves too, less
            well. By default the generator's built-in one.

    Raises:
        LatdirError: No such file, a truncated one or one of another kind; another generator, or
            one without a built-in encoder.

    Example:
        >>> load_details("styleface64/consultation").layer
        'leaky_relu.6'
    """
    manifest, weights = FILE.read(path)
    with FILE.sound(path):
        name, layer, config = str(manifest["name"]), str(manifest["layer"]), _config(manifest)
    encoder = FILE.encoder(path, manifest, encoder)
    network = network_of(config)
    load_weights(network, weights)
    return Details(network, encoder, layer=layer, name=name)


def _config(manifest: dict[str, Any]) -> DetailConfig:
    values = manifest["config"]
    kind, features = values["kind"], tuple(values["features"])
    check_sizes([values["side"], values["width"], *features], MOST)
    if kind not in ("consultation", "feature_editor") or len(features) != 2:
        raise ValueError("'config'")
    return DetailConfig(kind, values["side"], features, values["width"])
