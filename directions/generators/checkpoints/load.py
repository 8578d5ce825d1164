"""Other people's checkpoint files as generators.

`directions.weight_files.contents` reads a file into plain tensors without running anything in it;
here the family is told by the tensors' names, and everything else follows from the pickled
arguments, then the shapes, then the defaults of the project that wrote the file. What a file
cannot tell is a field of `Options`.
"""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from directions.errors import CheckpointError, LatdirError, UnknownNameError
from directions.generators.base import Generator
from directions.generators.checkpoints.tensorflow import stylegan2_state
from directions.generators.stylegan.generator import StyleGenerator
from directions.weight_files.contents import Contents, read_contents

__all__ = ["Options", "load_checkpoint", "parse_options"]


@dataclass(frozen=True)
class Options:
    """What a checkpoint does not tell, or what is wanted otherwise; None keeps what it tells.

    Attributes:
        label: For conditional generators, the class all images belong to.
        noise: For StyleGANs: `const` (the stored noise), `none`, or a seed for fresh noise.
        truncation: For BigGAN, the truncation of its batch statistics, in (0, 1].
        conv_clamp: For StyleGAN2 and 3, the bound on activations; `inf` for none.
        lr_multiplier: For StyleGAN and StyleGAN2, the mapping's learning-rate multiplier.
        fused_scale: For genforce's StyleGAN and PGGAN, whether upsampling is fused.
        final_tanh: For genforce's StyleGAN and PGGAN, whether images go through tanh.
        c_dim: For PGGAN, the number of classes.
    """

    label: int | None = None
    noise: str | int | None = None
    truncation: float | None = None
    conv_clamp: float | None = None
    lr_multiplier: float | None = None
    fused_scale: bool | None = None
    final_tanh: bool | None = None
    c_dim: int | None = None

    def given(self) -> dict[str, Any]:
        """The fields that are set."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


def parse_options(text: str) -> tuple[Path, Options]:
    """A path and the options appended to it.

    Args:
        text: `path` or `path?key=value&key=value`, the keys being fields of `Options`.

    Raises:
        LatdirError: An option that does not exist, or a value that it cannot have.

    Example:
        >>> path, options = parse_options("network.pkl?label=3&noise=none")
        >>> path.name, options.given()
        ('network.pkl', {'label': 3, 'noise': 'none'})
    """
    before, mark, after = text.partition("?")
    if not mark or Path(text).exists():
        return Path(text), Options()
    parsers: dict[str, Callable[[str], Any]] = {
        **dict.fromkeys(("label", "c_dim"), int),
        **dict.fromkeys(("truncation", "conv_clamp", "lr_multiplier"), float),
        **dict.fromkeys(("fused_scale", "final_tanh"), {"true": True, "false": False}.__getitem__),
        "noise": lambda word: word if word in ("const", "none") else int(word),
    }
    values: dict[str, Any] = {}
    for item in after.split("&"):
        key, _, word = item.partition("=")
        if key not in parsers:
            raise UnknownNameError(
                f"no option {key!r} of a checkpoint: there are {', '.join(parsers)}"
            )
        try:
            values[key] = parsers[key](word)
        except (ValueError, KeyError) as error:
            raise CheckpointError(f"{key} of {before} cannot be {word!r}") from error
    return Path(before), Options(**values)


@dataclass(frozen=True)
class Family:
    """A kind of generator.

    Attributes:
        title: What it is called in messages.
        location: `module:function` that builds it from a state dict.
        keys: Names of tensors, one of which is in every such state dict and in no other's.
    """

    title: str
    location: str
    keys: tuple[str, ...]


FAMILIES = (
    Family(
        "StyleGAN3",
        "directions.generators.checkpoints.stylegan3:stylegan3_from_state",
        ("synthesis.input.freqs",),
    ),
    Family(
        "StyleGAN2",
        "directions.generators.checkpoints.stylegan2:stylegan2_generator",
        (
            *("synthesis.b4.const", "input.input", "synthesis.early_layer.const"),
            "synthesis/4x4/Conv/mod_weight",
        ),
    ),
    Family(
        "StyleGAN",
        "directions.generators.stylegan.stylegan1:stylegan1_from_state",
        (
            *("synthesis.layer0.const", "synthesis.layer0.first_layer"),
            *("synthesis/4x4/Const/const", "4x4/Const/const"),
        ),
    ),
    Family(
        "BigGAN",
        "directions.generators.checkpoints.biggan:biggan_from_state",
        ("generator.gen_z.weight_orig", "generator.gen_z.weight"),
    ),
    Family(
        "PGGAN",
        "directions.generators.progan:progan_from_state",
        ("layer0.weight", "layer0.conv.weight", "4x4/Dense/weight"),
    ),
)


def load_checkpoint(path: Path, *, name: str, options: Options | None = None) -> Generator:
    """The generator in a checkpoint file, or in a folder with `pytorch_model.bin`.

    Args:
        path: The file. Its bytes decide how it is read, not its suffix.
        name: Name of the generator.
        options: What the file does not tell.

    Returns:
        The generator in float32 on the CPU.

    Raises:
        LatdirError: Not a checkpoint of a known family, a damaged or refused one, tensors that
            are missing or left over, or an option that the family does not have.
    """
    if path.is_dir():
        path = path / "pytorch_model.bin"
    wanted = Options() if options is None else options
    try:
        contents = read_contents(path)
        family = _family(contents)
    except LatdirError as error:
        raise CheckpointError(f"{path} cannot be loaded: {error}") from error
    except MemoryError as error:
        raise CheckpointError(
            f"{path} cannot be loaded: it needs more memory than there is"
        ) from error
    except _DAMAGE as error:
        raise CheckpointError(f"{path} cannot be loaded: it is damaged") from error
    try:
        return _built(family, contents, name=name, options=wanted)
    except LatdirError as error:
        raise CheckpointError(f"{path}, taken for a {family.title}: {error}") from error
    except _DAMAGE as error:
        # Shapes that contradict each other surface wherever they first meet.
        raise CheckpointError(
            f"{path}, taken for a {family.title}, is damaged: "
            f"{type(error).__name__}: {str(error)[:200]}"
        ) from error


_DAMAGE = (
    *(RuntimeError, ValueError, TypeError, LookupError, ArithmeticError, AttributeError),
    MemoryError,
)


def _family(contents: Contents) -> Family:
    for family in FAMILIES:
        if any(key in contents.state for key in family.keys):
            return family
    titles = ", ".join(family.title for family in FAMILIES)
    first = ", ".join(repr(k[:60]) for k in list(contents.state)[:3])
    raise CheckpointError(
        f"its tensors ({first}, …) are of no family known here: there are {titles}"
    )


def _built(family: Family, contents: Contents, *, name: str, options: Options) -> Generator:
    module, _, function = family.location.partition(":")
    build = getattr(importlib.import_module(module), function)
    accepted = inspect.signature(build).parameters
    state, settings = _settings(family, contents)
    given = options.given()
    label, noise = given.pop("label", None), given.pop("noise", None)
    if "conv_clamp" in given:
        given["conv_clamp"] = _bound(given["conv_clamp"])
    if "lr_multiplier" in given:
        _positive(given["lr_multiplier"], "lr_multiplier")
    if family.title == "StyleGAN3":
        rate = {k: given.pop(k) for k in ("lr_multiplier",) if k in given}
        clamp = {k: given.pop(k) for k in ("conv_clamp",) if k in given}
        kwargs = settings["init_kwargs"]
        kwargs |= {**clamp, "mapping_kwargs": {**(kwargs.get("mapping_kwargs") or {}), **rate}}
    if label is not None and "label" in accepted:
        settings["label"], label = label, None
    for key, value in given.items():
        if key not in accepted:
            raise CheckpointError(f"it has no option {key!r}: leave it out")
        settings[key] = value
    made: Generator = build(state, name=name, **settings)
    return _chosen(made, label=label, noise=noise)


def _bound(clamp: Any) -> float | None:
    """A bound on activations; an infinite one is none."""
    if clamp is None or clamp == math.inf:
        return None
    return _positive(clamp, "conv_clamp")


def _positive(value: Any, name: str) -> float:
    if type(value) not in (int, float) or not 0 < value < math.inf:
        raise CheckpointError(f"its {name} is {str(value)[:80]}, not a positive number")
    return float(value)


def _chosen(made: Generator, *, label: int | None, noise: str | int | None) -> Generator:
    """The same generator, of one class and with one sort of noise."""
    if noise is not None:
        if type(made) is not StyleGenerator:
            raise CheckpointError("it has no option 'noise': leave it out")
        cutoff = made.truncation_cutoff
        made = StyleGenerator(made.network, name=made.name, noise=noise, truncation_cutoff=cutoff)
    if label is None:
        return made
    choose = getattr(made, "with_label", None)
    if choose is None:
        raise CheckpointError("it is not conditional: leave the label out")
    labeled: Generator = choose(label)
    return labeled


def _settings(family: Family, contents: Contents) -> tuple[Mapping[str, Any], dict[str, Any]]:
    """The state dict and the arguments that the family's function takes."""
    arguments = contents.arguments
    if family.title == "StyleGAN3":
        return contents.state, {"init_kwargs": dict(arguments)}
    if family.title == "BigGAN":
        layers = arguments.get("layers") is not None
        return contents.state, {"config": arguments if layers else None}
    if contents.writer == "TensorFlow":
        return _of_tensorflow(family, contents)
    if family.title == "StyleGAN2" and contents.writer in ("NVIDIA", "safetensors"):
        return contents.state, _of_nvidia(contents)
    return contents.state, {}


def _of_nvidia(contents: Contents) -> dict[str, Any]:
    """What NVIDIA's two torch repositories store outside of the state dict.

    They differ in how they take their arguments and in their defaults: StyleGAN2-ADA nests
    `synthesis_kwargs` and clamps nothing, StyleGAN3's takes them flat and clamps at 256.
    """
    arguments, kept = contents.arguments, contents.attributes
    mapping = arguments.get("mapping_kwargs")
    mapping = mapping if isinstance(mapping, dict) else {}
    nested = arguments.get("synthesis_kwargs")
    flat = bool({"channel_base", "channel_max", "num_fp16_res", "conv_clamp"} & set(arguments))
    synthesis = nested if isinstance(nested, dict) else arguments
    default = 256.0 if flat else None
    for where, names in (
        (kept, ("activation", "mapping_activation")),
        (synthesis, ("activation",)),
        (mapping, ("activation",)),
    ):
        for key in names:
            _only_leaky(where.get(key, "lrelu"))
    return {
        "conv_clamp": _bound(kept.get("conv_clamp", synthesis.get("conv_clamp", default))),
        "lr_multiplier": _positive(
            kept.get("lr_multiplier", mapping.get("lr_multiplier", 0.01)), "lr_multiplier"
        ),
    }


def _of_tensorflow(family: Family, contents: Contents) -> tuple[Mapping[str, Any], dict[str, Any]]:
    arguments = contents.arguments
    for key in ("nonlinearity", "mapping_nonlinearity"):
        _only_leaky(arguments.get(key, "lrelu"))
    for key in ("normalize_latents", "use_leakyrelu"):
        if arguments.get(key) is False:
            raise CheckpointError(f"it was built with {key}=False, which is not supported")
    rate = _positive(arguments.get("mapping_lrmul", 0.01), "mapping_lrmul")
    if family.title == "StyleGAN2":
        settings = {"conv_clamp": _bound(arguments.get("conv_clamp")), "lr_multiplier": rate}
        return stylegan2_state(contents.state, arguments), settings
    settings = {"use_wscale": arguments.get("use_wscale", True)}
    if family.title == "PGGAN":
        return contents.state, {**settings, "c_dim": arguments.get("label_size", 0)}
    instance = arguments.get("use_instance_norm", True)
    pixel = arguments.get("use_pixel_norm", False)
    if instance and pixel:
        raise CheckpointError("it normalizes both by pixel and by instance, which is not supported")
    return contents.state, {
        **settings,
        "lr_multiplier": rate,
        "fused_scale": arguments.get("fused_scale", "auto"),
        "normalization": "instance" if instance else "pixel" if pixel else "none",
    }


def _only_leaky(activation: Any) -> None:
    if activation != "lrelu":
        raise CheckpointError(f"its activation is {str(activation)[:80]}; only lrelu is supported")
