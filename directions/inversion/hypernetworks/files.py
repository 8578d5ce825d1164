"""Files of hypernetworks: network and settings, for one encoder of one generator."""

from __future__ import annotations

from os import PathLike
from typing import Any, get_args

from directions.arguments import checked
from directions.errors import CheckpointError
from directions.generators.progressive import load_weights
from directions.inversion.encoders import Encoder
from directions.inversion.encoders.attached_files import AttachedFile, check_sizes
from directions.inversion.hypernetworks.base import Hypernetwork
from directions.inversion.hypernetworks.gradient import GradientNetwork
from directions.inversion.hypernetworks.network import Form, WeightNetwork, WeightNetworkConfig
from directions.storage.container import FileFormat

__all__ = ["load_hypernetwork", "save_hypernetwork"]

FILE = AttachedFile(
    FileFormat("latdir.hypernetwork", "hypernetwork", CheckpointError),
    built_in={"styleface64": "styleface64/hypernetwork"},
    owner="generator",
    key="generator_fingerprint",
    says="is a hypernetwork of",
    remedy="train one with `latdir train hypernetwork --generator {}`",
)
# Sizes and passes of files that are not believed.
MOST = 1 << 16


@checked
def save_hypernetwork(hypernetwork: Hypernetwork, path: str | PathLike[str]) -> None:
    """Write a hypernetwork, atomically; `load_hypernetwork` reads it.

    Args:
        hypernetwork: It.
        path: The file, `.safetensors`.

    Raises:
        LatdirError: A folder that cannot be written, or a full disk.
    """
    config = hypernetwork.network.config.as_dict()
    FILE.write(path, hypernetwork, passes=hypernetwork.passes, config=config)


@checked
def load_hypernetwork(path: str | PathLike[str], *, encoder: Encoder | None = None) -> Hypernetwork:
    """A built-in hypernetwork, or what `save_hypernetwork` wrote; nothing in it is run.

    Args:
        path: The file, or `styleface64`.
        encoder: Whose codes the changes are for; another encoder of the same generator and space
            serves too, less well. By default the generator's built-in one.

    Raises:
        LatdirError: No such file, a truncated one or one of another kind; another generator, or
            one without a built-in encoder.

    Example:
        >>> load_hypernetwork("styleface64").passes
        2
    """
    manifest, weights = FILE.read(path)
    with FILE.sound(path):
        name, passes, config = str(manifest["name"]), manifest["passes"], _config(manifest)
    if type(passes) is not int or not 1 <= passes <= MOST:
        raise CheckpointError(f"{path} has a broken manifest: its passes are {passes!r}")
    encoder = FILE.encoder(path, manifest, encoder)
    network = GradientNetwork(config) if config.form == "gradient" else WeightNetwork(config)
    load_weights(network, weights)
    return Hypernetwork(network, encoder, name=name, passes=passes)


def _config(manifest: dict[str, Any]) -> WeightNetworkConfig:
    values = manifest["config"]
    layers = tuple((str(key), tuple(shape)) for key, shape in values["layers"])
    widths, form, sides = tuple(values["widths"]), values["form"], [values["side"], values["rank"]]
    check_sizes([*sides, *widths, *(n for _, shape in layers for n in shape)], MOST)
    if form not in get_args(Form) or any(len(shape) < 2 for _, shape in layers):
        raise ValueError("'config'")
    return WeightNetworkConfig(values["side"], widths, layers, form, values["rank"])
