"""Generators: the contract, built-in and wrapped generators, lookup by name.

Read `base` first. Import `load_generator` and `Generator` from here; the networks are in the
modules.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from directions.errors import LatdirError, UnknownNameError
from directions.lazy import lazy_names
from directions.plugins import Entry, build, installed

if TYPE_CHECKING:
    from directions.devices import Device
    from directions.generators.base import Generator

__all__ = ["GENERATORS", "Generator", "available_generators", "load_generator"]

GROUP = "latdir.generators"
SUFFIXES = (".pkl", ".pickle", ".pt", ".pth", ".bin", ".ckpt", ".safetensors")
"""Of checkpoint files; a path with one of them is never taken for a name."""


GENERATORS: dict[str, Entry] = {
    "digiface64": Entry(
        "directions.generators.dcgan:digiface64",
        "DCGAN faces, 64×64, z of 100, trained on DigiFace-1M; ships with the package",
    ),
    "styleface64": Entry(
        "directions.generators.stylegan.stylegan2_generator:styleface64",
        "StyleGAN2 faces, 64×64, all style spaces, distilled from digiface64; built in",
    ),
    "planted": Entry(
        "directions.planted.world:planted",
        "analytic images with known factors, for tests and benchmarks",
    ),
}


def available_generators() -> dict[str, Entry]:
    """Generators by name, with those of other installed packages."""
    return GENERATORS | installed(GROUP, GENERATORS)


def load_generator(
    name: str | os.PathLike[str], *, device: Device = "cpu", **options: int | float | str | None
) -> Generator:
    """A generator by name, or from a checkpoint file.

    Checkpoints of StyleGAN2-ADA, StyleGAN3, StyleGAN2, StyleGAN, PGGAN and BigGAN-deep load from
    NVIDIA's pickles (torch and TensorFlow), from rosinality's, pSp's, e4e's, genforce's and
    InterFaceGAN's torch files, from pytorch-pretrained-biggan's folders, and from safetensors of
    the same tensors. Nothing inside a file is executed.

    Args:
        name: One of `available_generators()`; the path of a checkpoint, to which options may be
            appended, as in `network.pkl?label=3&noise=none`; or `module:function` or
            `path/to/file.py:function` of your own, where the function takes no arguments and
            returns a `Generator`, such as `directions.wrap(…)`.
        device: `auto` (a CUDA card where there is one, otherwise the CPU), `cpu`, `cuda`, `cuda:1`
            or `mps`. Its codes are drawn there.
        **options: For checkpoints, such as `label=3`: the fields of
            `directions.generators.checkpoints.families.Options`. Those left out keep the file's
            value, or the default of the project that wrote it.

    Returns:
        The generator. A checkpoint's is named by its file without folder and suffix, and by its
        options, such as `network-snapshot?label=3`.

    Raises:
        LatdirError: No generator of that name, no such option, or a file that is no checkpoint of
            these, is damaged, or asks for more than its numbers to be read; or no such device.

    Example:
        >>> load_generator("nvidia-magic")
        Traceback (most recent call last):
        ...
        directions.errors.UnknownNameError: no generator 'nvidia-magic': there are digiface64,
            styleface64, planted; your own is named 'module:function' or 'file.py:function', where
            the function returns directions.wrap(…); a checkpoint is named by its path
        >>> load_generator("network-snapshot.pkl", label=3)
        Traceback (most recent call last):
        ...
        directions.errors.CheckpointError: network-snapshot.pkl cannot be loaded: there is no such
            file
    """
    from directions.devices import resolve_device

    where = resolve_device(device)
    if not isinstance(name, str | os.PathLike):
        raise LatdirError(
            f"a generator is loaded by its name or path, not from a {type(name).__name__}: a "
            "module or function of your own is adapted by directions.wrap(…)"
        )
    text = os.fspath(name)
    given = {key: value for key, value in options.items() if value is not None}
    if _is_file(text):
        from directions.generators.checkpoints.families import Options, parse_options
        from directions.generators.checkpoints.load import load_checkpoint

        path, written = parse_options(text)
        wanted = Options.of({**written.given(), **options})
        said = "&".join(f"{key}={value}" for key, value in wanted.given().items())
        stem = path.name if path.is_dir() else path.stem
        named = f"{stem}?{said}" if said else stem
        return load_checkpoint(path, name=named, options=wanted).to(where)
    if given:
        raise LatdirError(
            f"{text} is not a checkpoint file, and only those take {next(iter(given))}="
        )
    try:
        made = build(text, GENERATORS, kind="generator", wrap="directions.wrap", group=GROUP)
    except LatdirError as error:
        if ":" in text:
            raise
        raise UnknownNameError(f"{error}; a checkpoint is named by its path") from error
    from directions.generators.base import Generator

    if not isinstance(made, Generator):
        raise LatdirError(
            f"{text} made a {type(made).__name__}, not a Generator: return directions.wrap(…)"
        )
    return made.to(where)


def _is_file(text: str) -> bool:
    """Whether a generator's name is the path of a checkpoint, there or not."""
    if text in GENERATORS:
        return False
    path = Path(text.partition("?")[0])
    return Path(text).exists() or path.exists() or path.suffix.lower() in SUFFIXES


__getattr__, __dir__ = lazy_names(__name__)
