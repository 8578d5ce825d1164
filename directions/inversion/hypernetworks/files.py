"""Files of hypernetworks: network and settings, for one encoder of one generator.

Weights are kept in half precision. Neither the encoder nor the generator is in the file: their
names and fingerprints are, and others are refused.
"""

from __future__ import annotations

from os import PathLike
from typing import Any, get_args

from directions import zoo
from directions.arguments import checked
from directions.errors import CheckpointError
from directions.generators.progressive import load_weights
from directions.inversion.encoders import Encoder
from directions.inversion.encoders.files import given_or_built_in
from directions.inversion.hypernetworks.base import Hypernetwork
from directions.inversion.hypernetworks.gradient import GradientNetwork
from directions.inversion.hypernetworks.network import Form, WeightNetwork, WeightNetworkConfig
from directions.storage.container import FileFormat, read_weights, write_tensors

__all__ = ["load_hypernetwork", "save_hypernetwork"]

FORMAT = FileFormat("latdir.hypernetwork", "hypernetwork", CheckpointError)
# Generators with a built-in hypernetwork.
BUILT_IN = ("styleface64",)
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
    network, encoder = hypernetwork.network, hypernetwork.encoder
    tensors = {k: t if t.ndim < 2 else t.half() for k, t in network.state_dict().items()}
    manifest = {
        "name": hypernetwork.name,
        "passes": hypernetwork.passes,
        "generator": encoder.generator.name,
        "generator_fingerprint": encoder.generator.fingerprint,
        "encoder": encoder.name,
        "config": network.config.as_dict(),
    }
    write_tensors(path, tensors, manifest, format=FORMAT)


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
    where = zoo.file(f"{path}/hypernetwork") if str(path) in BUILT_IN else path
    manifest, tensors = read_weights(where, FORMAT)
    try:
        name, base, owner = (
            str(manifest[k]) for k in ("name", "generator", "generator_fingerprint")
        )
        passes, config = manifest["passes"], _config(manifest["config"])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} has a broken manifest: it has no sound {error}") from error
    if type(passes) is not int or not 1 <= passes <= MOST:
        raise CheckpointError(f"{path} has a broken manifest: its passes are {passes!r}")
    encoder = given_or_built_in(
        encoder, base, f"{path} is a hypernetwork of {base}, which has no built-in encoder"
    )
    generator = encoder.generator
    if generator.fingerprint != owner:
        raise CheckpointError(
            f"{path} is a hypernetwork of {base} ({owner[:12]}…), not of {generator.name} "
            f"({generator.fingerprint[:12]}…): give an encoder of {base}, or train one with "
            f"`latdir train hypernetwork --generator {generator.name}`"
        )
    network = GradientNetwork(config) if config.form == "gradient" else WeightNetwork(config)
    load_weights(network, {k: t.float() for k, t in tensors.items()})
    return Hypernetwork(network.to(generator.device), encoder, name=name, passes=passes)


def _config(values: dict[str, Any]) -> WeightNetworkConfig:
    layers = tuple((str(key), tuple(shape)) for key, shape in values["layers"])
    widths, form = tuple(values["widths"]), values["form"]
    sizes = [values["side"], values["rank"], *widths, *(n for _, shape in layers for n in shape)]
    if any(type(n) is not int or not 0 < n <= MOST for n in sizes):
        raise ValueError("'config'")
    if form not in get_args(Form) or any(len(shape) < 2 for _, shape in layers):
        raise ValueError("'config'")
    return WeightNetworkConfig(values["side"], widths, layers, form, values["rank"])
