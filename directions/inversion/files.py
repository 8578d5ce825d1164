"""Inversions as files: codes with all that was found about them, for any later call."""

from __future__ import annotations

from os import PathLike
from typing import Any

from directions.arguments import checked
from directions.errors import LatdirError
from directions.generators.base import Generator
from directions.inversion.base import Inversion
from directions.storage.container import FileFormat, read_tensors, write_tensors

__all__ = ["load_inversion", "save_inversion"]

FORMAT = FileFormat("latdir.inversion", "inversion", LatdirError)
TENSORS = ("codes", "costs", "psnr", "distances", "typical_psnr", "steps", "seconds")
LISTS = ("statuses", "starts", "names")


@checked
def save_inversion(inversion: Inversion, path: str | PathLike[str]) -> None:
    """Write an inversion to a safetensors file.

    Raises:
        LatdirError: The file cannot be written, or generators are `tuned`, which it does not keep.
    """
    if inversion.tuned:
        raise LatdirError(
            "these images are made by tuned generators, whose weights this file does not keep: "
            "save the deltas of each, or dataclasses.replace(inversion, tuned=())"
        )
    tensors = {name: getattr(inversion, name).cpu().contiguous() for name in TENSORS}
    lists = {name: list(getattr(inversion, name)) for name in LISTS}
    manifest = {**lists, "space": inversion.space, "record": dict(inversion.record)}
    write_tensors(path, tensors, manifest, format=FORMAT)


@checked
def load_inversion(path: str | PathLike[str], generator: Generator) -> Inversion:
    """Read an inversion for the generator that it was found with.

    The record names the degradation that images had gone through; the object itself is not kept.

    Args:
        path: A file of `save_inversion`, or of `latdir invert --codes`.
        generator: Makes the images of the codes.

    Raises:
        LatdirError: No such file, one of another kind or with missing parts, or another generator.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from directions import invert
        >>> from directions.planted.world import planted
        >>> world = planted(dim=8)
        >>> found = invert(world, world.synthesize(world.sample(2, seed=1)), start="mean")
        >>> file = Path(tempfile.mkdtemp()) / "codes.safetensors"
        >>> save_inversion(found, file)
        >>> bool((load_inversion(file, world).codes == found.codes).all())
        True
    """
    manifest, tensors = read_tensors(path, FORMAT)
    lists: dict[str, Any] = {name: manifest.get(name) for name in LISTS}
    whole = set(TENSORS) <= set(tensors) and all(isinstance(v, list) for v in lists.values())
    counts = {len(tensors[name]) for name in TENSORS if tensors[name].ndim} if whole else set()
    counts |= {len(v) for name, v in lists.items() if v and name != "names"} if whole else set()
    record = manifest.get("record")
    if len(counts) != 1 or not isinstance(record, dict) or "fingerprint" not in record:
        raise LatdirError(f"{path} lacks parts of an inversion: write it again with latdir invert")
    space = str(manifest.get("space"))
    fields: dict[str, Any] = {name: tensors[name] for name in TENSORS}
    fields |= {name: tuple(values) for name, values in lists.items()}
    fields["codes"] = fields["codes"].to(generator.device)
    found = Inversion(**fields, space=space, record=record, generator=generator)
    found.check(generator)
    generator.check(found.codes, space)
    return found
