"""Files of one's own encoders: network, mean and settings, for one generator.

Weights are kept in half precision. The generator is not in the file: its name and fingerprint
are, and another one is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from os import PathLike
from pathlib import Path
from typing import Any

from directions import zoo
from directions.arguments import checked
from directions.errors import CheckpointError, LatdirError
from directions.generators import load_generator
from directions.generators.base import Generator
from directions.generators.progressive import load_weights
from directions.inversion.encoders.base import Encoder
from directions.inversion.encoders.compact import CompactConfig, CompactEncoder, Stages
from directions.storage.container import FileFormat, read_weights, write_tensors

__all__ = ["BUILT_IN", "built_in_encoder", "is_own", "read_encoder", "save_encoder"]

FORMAT = FileFormat("latdir.encoder", "encoder", CheckpointError)
# Generators with a built-in encoder, and the space of its codes.
BUILT_IN: Mapping[str, str] = {"digiface64": "z", "styleface64": "w"}
# Sides, widths and stages of files that are not believed.
MOST = 4096


@checked
def save_encoder(encoder: Encoder, path: str | PathLike[str]) -> None:
    """Write an encoder that `train_encoder` made, atomically; `load_encoder` reads it.

    Args:
        encoder: It.
        path: The file.

    Raises:
        LatdirError: An encoder of the published architectures, whose own file holds it; a folder
            that cannot be written, or a full disk.
    """
    network = encoder.network
    if not isinstance(network, CompactEncoder | Stages):
        raise LatdirError(
            f"{encoder.name} was read from a file of its authors' format: keep that file, which "
            "load_encoder reads"
        )
    one = network.at(0) if isinstance(network, Stages) else network
    config = one.config
    # Axes and JᵀJ are products of small numbers: they stay as they are.
    tensors = {
        f"network.{k}": t if t.ndim < 2 or k.endswith("axes") else t.half()
        for k, t in network.state_dict().items()
    }
    tensors["mean"] = encoder.mean
    if encoder.metric is not None:
        tensors["metric"] = encoder.metric
    generator = encoder.generator
    manifest = {
        "name": encoder.name,
        "generator": generator.name,
        "fingerprint": generator.fingerprint,
        "space": encoder.space,
        "passes": encoder.passes,
        "config": {
            "side": config.side,
            "code": list(config.code),
            "widths": list(config.widths),
            "blocks": config.blocks,
            "pairs": config.pairs,
            "deltas": config.deltas,
            "stages": config.stages,
            "parts": list(config.parts),
        },
    }
    write_tensors(path, tensors, manifest, format=FORMAT)


def given_or_built_in(encoder: Encoder | None, base: str, refusal: str) -> Encoder:
    """The encoder given, else the built-in one of a generator by its name.

    Raises:
        CheckpointError: The refusal, where none is built in.
    """
    if encoder is not None:
        return encoder
    if base not in BUILT_IN:
        raise CheckpointError(f"{refusal}: give encoder=")
    return read_encoder(base, None)


def is_own(path: str | PathLike[str]) -> bool:
    """Whether a built-in encoder is named, or a file that begins as safetensors do."""
    file = Path(path)
    if str(path) in BUILT_IN or file.suffix == ".safetensors":
        return True
    if not file.is_file():
        return False
    with file.open("rb") as stream:
        # A length of eight bytes, then JSON.
        return stream.read(9)[8:] == b"{"


def read_encoder(path: str | PathLike[str], generator: Generator | None) -> Encoder:
    """What `save_encoder` wrote, or a built-in encoder.

    Args:
        path: The file, or the name of a generator with a built-in encoder.
        generator: The one it is an encoder of; a built-in one is found by its name.

    Raises:
        LatdirError: No such file, a truncated one or one of another kind; another generator.
    """
    where = zoo.file(f"{path}/encoder") if str(path) in BUILT_IN else path
    manifest, tensors = read_weights(where, FORMAT)
    try:
        name, base, owner, space = (
            str(manifest[k]) for k in ("name", "generator", "fingerprint", "space")
        )
        passes, config = manifest["passes"], _config(manifest["config"])
        mean = tensors["mean"]
        weights = {
            k.removeprefix("network."): t.float()
            for k, t in tensors.items()
            if k.startswith("network.")
        }
        stages = config.stages > 1
        axes = weights["networks.0.axes" if stages else "axes"]
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} has a broken manifest: it has no sound {error}") from error
    if type(passes) is not int or not 1 <= passes <= MOST:
        raise CheckpointError(f"{path} has a broken manifest: its passes are {passes!r}")
    if generator is None:
        if base not in BUILT_IN:
            raise CheckpointError(
                f"{path} is an encoder of {base}, which is not built in: give generator=, as "
                "load_generator loads it"
            )
        generator = load_generator(base)
    if generator.fingerprint != owner:
        raise CheckpointError(
            f"{path} is an encoder of {base} ({owner[:12]}…), not of {generator.name} "
            f"({generator.fingerprint[:12]}…): load {base}, or train one with "
            f"`latdir train encoder --generator {generator.name}`"
        )
    networks = [CompactEncoder(config, axes) for _ in range(config.stages)]
    network = Stages(networks) if stages else networks[0]
    load_weights(network, weights)
    return Encoder(
        network.to(generator.device),
        generator,
        space=space,
        mean=mean,
        size=config.side,
        name=name,
        passes=passes,
        metric=tensors["metric"].to(generator.device) if "metric" in tensors else None,
    )


def _config(values: Mapping[str, Any]) -> CompactConfig:
    numbers = (values["side"], values["blocks"], values["stages"])
    parts = tuple(values.get("parts", ()))
    sizes = [*numbers, *values["code"], *values["widths"], *parts]
    if any(type(n) is not int or not 0 < n <= MOST for n in sizes):
        raise ValueError("'config'")
    code, widths = tuple(values["code"]), tuple(values["widths"])
    flags = bool(values["pairs"]), bool(values["deltas"])
    return CompactConfig(numbers[0], code, widths, numbers[1], *flags, numbers[2], parts)


@cache
def _shipped(name: str) -> Encoder:
    return read_encoder(name, None)


def built_in_encoder(generator: Generator) -> Encoder | None:
    """The encoder that ships for a generator, on its device; None where there is none.

    Args:
        generator: By its fingerprint; a tuned copy has that of its base.
    """
    base = generator.name.partition("+")[0]
    if base not in BUILT_IN or not _shipped(base).fits(generator):
        return None
    return _shipped(base).to(generator.device)
