"""Encoders from the files of pSp, e4e, ReStyle and HyperStyle's W encoder.

A file holds encoder, generator ("decoder"), the mean code and the options it was trained with.
The networks of pSp and e4e have the same tensors, so the options, or `kind`, tell them apart;
everything else follows from the tensors' names and shapes. Nothing in a file is run.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from directions.arguments import checked
from directions.devices import Device, resolve_device
from directions.errors import CheckpointError, LatdirError, described, known_name
from directions.generators.base import Generator
from directions.generators.checkpoints.state_dict import State, Weights, floats
from directions.generators.checkpoints.stylegan2 import stylegan2_generator
from directions.generators.progressive import load_weights
from directions.generators.stylegan.stylegan2_generator import StyleGAN2Generator
from directions.inversion.encoders.base import Encoder
from directions.inversion.encoders.files import BUILT_IN, is_own, read_encoder
from directions.inversion.encoders.networks import EncoderConfig, StyleEncoder
from directions.weight_files.contents import read_value
from directions.weight_files.pickle_objects import Record

__all__ = ["KINDS", "load_encoder"]

log = logging.getLogger(__name__)

Kind = Literal["psp", "e4e", "w"]
# The authors' names of the networks, and what each predicts.
KINDS: Mapping[str, Kind] = {
    "GradualStyleEncoder": "psp",
    "BackboneEncoder": "psp",
    "ResNetBackboneEncoder": "psp",
    "Encoder4Editing": "e4e",
    "ProgressiveBackboneEncoder": "e4e",
    "ResNetProgressiveBackboneEncoder": "e4e",
    "SingleStyleCodeEncoder": "w",
    "BackboneEncoderUsingLastLayerIntoW": "w",
    "WEncoder": "w",
}
# Other files of the same projects, by a prefix of their tensors.
OTHERS = {
    "hypernet.": "HyperStyle, whose hypernetwork changes weights of the generator, which is not "
    "read here: load the W encoder that it starts from, a file of its own",
    "pretrained_encoder.": "SAM, whose encoder reads an age beside the image, which is not "
    "supported: load the pSp encoder that it starts from, and edit age by a direction",
    "mapper.": "a mapper of StyleCLIP, which edits codes and does not make them",
}
# Side of the images that all of them read, and the rows of it that those of cars do.
SIDE, CAR_ROWS = 256, (32, 224)
PASSES = 5
MOST_STYLES, MOST_UNITS = 64, 256


@checked
def load_encoder(
    path: str | os.PathLike[str],
    *,
    generator: Generator | None = None,
    kind: Kind | None = None,
    noise: str | int = "const",
    device: Device = "cpu",
) -> Encoder:
    """The encoder in a file, with the generator it belongs to; or a built-in one.

    Args:
        path: `digiface64` or `styleface64`; a safetensors file that `save_encoder` or `latdir train
            encoder` wrote; or the authors' file of pSp, e4e or ReStyle, such as
            `e4e_ffhq_encode.pt`. Nothing in it is run.
        generator: Of an encoder of one's own, where the generator is not a built-in one.
        kind: `psp`, `e4e` or `w` (one code for all layers), for a file without its options.
        noise: Of the generator: `const`, `none` or a seed.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.

    Returns:
        The encoder; its generator is `encoder.generator`. Codes are of w+, or w. A ReStyle
        encoder looks five times, or as often as its options say.

    Raises:
        LatdirError: No such file, a damaged or refused one, or none of these encoders; an
            encoder of sketches, segmentations or other inputs than images; styles that do not
            fit the generator; no such device.

    Example:
        >>> load_encoder("e4e_ffhq_encode.pt")
        Traceback (most recent call last):
        ...
        directions.errors.CheckpointError: e4e_ffhq_encode.pt cannot be loaded: there is no such
            file
    """
    if not isinstance(path, str | os.PathLike):
        raise LatdirError(f"path is a file's path, not {described(path)}")
    if not isinstance(noise, str | int) or isinstance(noise, bool):
        raise LatdirError(f"noise is 'const', 'none' or a seed, not {described(noise)}")
    where, file = resolve_device(device), Path(path)
    if str(path) not in BUILT_IN and not file.suffix and not file.exists():
        known_name(str(path), BUILT_IN, "built-in encoder", others="a file's path")
    if is_own(path):
        return read_encoder(path, generator).to(where)
    if generator is not None:
        raise CheckpointError(f"{file} brings its own generator: leave generator= out")
    try:
        return _encoder(read_value(file), file.stem, kind, noise).to(where)
    except MemoryError as error:
        raise CheckpointError(
            f"{file} cannot be loaded: it needs more memory than there is"
        ) from error
    except LatdirError as error:
        raise CheckpointError(f"{file} cannot be loaded: {error}") from error


def _encoder(value: Any, name: str, kind: Kind | None, noise: str | int) -> Encoder:
    state, decoder = _parts(value)
    options = _options(value)
    written = options.get("encoder_type")
    found = kind or KINDS.get(str(written))
    if found is None and written is not None:
        raise CheckpointError(
            f"its encoder is a {str(written)[:60]}, which is not known: there are "
            f"{', '.join(KINDS)}; kind='psp' or 'e4e' says which one it is like"
        )
    if found is None:
        raise CheckpointError(
            "it does not say whether it is of pSp or of e4e, whose tensors are the same: "
            "give kind='psp', 'e4e' or 'w'"
        )
    mean = value.get("latent_avg")
    config = encoder_config(state, deltas=found == "e4e")
    several = not config.pyramid and config.in_channels == 6
    if config.in_channels != 3 and not several:
        raise CheckpointError(
            f"its encoder reads {config.in_channels} channels "
            f"({options.get('dataset_type', 'its options do not say what')}), not images of three"
        )
    if isinstance(mean, Tensor):
        decoder["latent_avg"] = mean
    generator = stylegan2_generator(decoder, name=name, noise=noise)
    center = _mean(mean, generator, len(config.halvings), options)
    with torch.device("meta"):
        network = StyleEncoder(config)
    counters = {k: torch.zeros((), dtype=torch.long) for k in network.state_dict() if _spare(k)}
    own = network.state_dict()
    left = Weights(state, family="encoder")
    left.need(*(key for key in own if not _spare(key)))
    load_weights(network, {k: left.take(k) for k in own if not _spare(k)} | counters)
    left.check_all_taken(spare=_spare)
    return Encoder(
        network,
        generator,
        space="w+" if config.halvings else "w",
        mean=center,
        size=SIDE,
        name=name,
        passes=_passes(options) if several else 1,
        rows=CAR_ROWS if "cars" in str(options.get("dataset_type")) else None,
    )


def encoder_config(state: State, *, deltas: bool) -> EncoderConfig:
    """The configuration of the encoder with these tensors.

    Raises:
        CheckpointError: Tensors of no encoder known here.
    """
    left = Weights(state, family="encoder")
    ir_se = "input_layer.0.weight" in left
    if not ir_se and "conv1.weight" not in left:
        first = ", ".join(repr(k[:60]) for k in list(state)[:3])
        raise CheckpointError(f"its encoder ({first}, …) is of no kind known here")
    if any(key.startswith("output_layer_2.") for key in left):
        raise CheckpointError(
            "its encoder reads all styles from one linear layer (pSp's "
            "BackboneEncoderUsingLastLayerIntoWPlus), which is not supported"
        )
    stem = left.look("input_layer.0.weight" if ir_se else "conv1.weight", 4)
    if ir_se:
        left.need("body.0.res_layer.5.fc1.weight")
    last = "res_layer.3" if ir_se else "conv2"
    widths, units = _stages(left, last, "shortcut_layer" if ir_se else "downsample")
    halvings = _halvings(left)
    code = left.look("styles.0.linear.weight" if halvings else "linear.weight", 2).shape[0]
    narrow = left["body.0.res_layer.5.fc1.weight"].shape[0] if ir_se else 1
    return EncoderConfig(
        "ir_se" if ir_se else "resnet",
        stem.shape[1],
        widths,
        units,
        code,
        halvings,
        pyramid="latlayer1.weight" in left,
        deltas=deltas and bool(halvings),
        reduction=max(1, widths[0] // max(1, narrow)),
    )


def _stages(left: Weights, last: str, wider: str) -> tuple[Any, Any]:
    """Channels and units of the four stages: one begins at each unit that grows wider."""
    widths: list[int] = []
    units: list[int] = []
    for i in range(MOST_UNITS):
        if f"body.{i}.{last}.weight" not in left:
            break
        if i == 0 or f"body.{i}.{wider}.0.weight" in left:
            widths.append(left.look(f"body.{i}.{last}.weight", 4).shape[0])
            units.append(0)
        units[-1] += 1
    if len(widths) != 4:
        raise CheckpointError(f"its encoder has {len(widths)} stages of units, not 4")
    return tuple(widths), tuple(units)


def _halvings(left: Weights) -> tuple[int, ...]:
    """Convolutions before each style's linear layer."""
    found: list[int] = []
    while f"styles.{len(found)}.linear.weight" in left and len(found) < MOST_STYLES:
        pattern = re.compile(rf"styles\.{len(found)}\.convs\.\d{{1,2}}\.weight")
        found.append(sum(bool(pattern.fullmatch(key)) for key in left))
    return tuple(found)


def _parts(value: Any) -> tuple[State, State]:
    """Tensors of encoder and generator."""
    if isinstance(value, Tensor):
        raise CheckpointError(
            f"it holds one tensor of shape {list(value.shape)}, as files of directions do: "
            "directions.import_bank reads those"
        )
    state = value.get("state_dict") if isinstance(value, dict) else None
    if not isinstance(state, dict):
        raise CheckpointError(
            "it has no 'state_dict' with an encoder and its generator: a generator alone is read "
            "by load_generator, directions by import_bank"
        )
    tensors = {
        str(key).removeprefix("module."): item
        for key, item in state.items()
        if isinstance(item, Tensor)
    }
    for prefix, title in OTHERS.items():
        if any(key.startswith(prefix) for key in tensors):
            raise CheckpointError(f"it is {title}")
    if any(key.startswith("residue.") for key in tensors):
        log.warning(
            "the file is HFGI's: its encoder and generator are read, its features of details "
            "(residue, grid_align) are left out"
        )
    both = []
    for part in ("encoder.", "decoder."):
        made = {k.removeprefix(part): v for k, v in tensors.items() if k.startswith(part)}
        if not made:
            raise CheckpointError(
                f"it has no tensors of {'an encoder' if part == 'encoder.' else 'a generator'} "
                f"(their names begin with {part!r}): a generator alone is read by load_generator"
            )
        both.append(made)
    for key, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise CheckpointError(f"its tensor {key[:80]!r} has NaN or infinite numbers")
    counted = {k: v for k, v in both[0].items() if not _spare(k)}
    return floats(counted), floats(both[1])


def _options(value: Mapping[Any, Any]) -> dict[str, Any]:
    options = value.get("opts")
    if type(options) is Record:
        options = options.state
    return options if isinstance(options, dict) else {}


def _passes(options: Mapping[str, Any]) -> int:
    count = options.get("n_iters_per_batch", PASSES)
    return count if type(count) is int and 1 <= count <= 100 else PASSES


def _mean(
    mean: Any, generator: StyleGAN2Generator, styles: int, options: Mapping[str, Any]
) -> Tensor:
    """What is added to the network's codes: the file's mean code, or the generator's."""
    if options.get("start_from_latent_avg") is False:
        return torch.zeros(generator.network.w_dim)
    if not isinstance(mean, Tensor):
        return generator.network.w_avg
    if styles and mean.ndim == 2 and len(mean) not in (1, styles):
        raise CheckpointError(f"its latent_avg is of {len(mean)} styles, its encoder of {styles}")
    return mean if styles or mean.ndim == 1 else mean[0]


def _spare(key: str) -> bool:
    """Counters of batch normalization, which nothing here reads."""
    return key.endswith("num_batches_tracked")
