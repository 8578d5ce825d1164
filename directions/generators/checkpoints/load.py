"""Third-party checkpoint files as generators.

`directions.weight_files.contents` reads a file into plain tensors without running anything in it;
here the family is identified by the tensors' names, and everything else follows from the stored
arguments, then the shapes, then the defaults of the project that wrote the file. Settings that a
file does not contain are fields of `Options`.
"""

from __future__ import annotations

from pathlib import Path

from directions.errors import CheckpointError, LatdirError
from directions.generators.base import Generator
from directions.generators.checkpoints import biggan, progan, stylegan1, stylegan2, stylegan3
from directions.generators.checkpoints.families import Family, Options
from directions.weight_files.contents import Contents, read_contents

__all__ = ["FAMILIES", "load_checkpoint"]

FAMILIES: tuple[Family, ...] = (
    stylegan3.FAMILY,
    stylegan2.FAMILY,
    stylegan1.FAMILY,
    biggan.FAMILY,
    progan.FAMILY,
)


def load_checkpoint(path: Path, *, name: str, options: Options | None = None) -> Generator:
    """The generator in a checkpoint file, or in a folder with `pytorch_model.bin`.

    Args:
        path: The file. Its bytes decide how it is read, not its suffix.
        name: Name of the generator.
        options: Settings that the file does not contain.

    Returns:
        The generator in float32 on the CPU.

    Raises:
        CheckpointError: Not a checkpoint of a known family, a damaged or refused one, tensors
            that are missing or left over, or an option that the family does not have.
    """
    if path.is_dir():
        path = path / "pytorch_model.bin"
    wanted = {} if options is None else options.given()
    try:
        contents = read_contents(path)
        family = _family(contents)
    except CheckpointError as error:
        raise CheckpointError(f"{path} cannot be loaded: {error}") from error
    except MemoryError as error:
        raise CheckpointError(
            f"{path} cannot be loaded: it needs more memory than there is"
        ) from error
    try:
        for key in wanted:
            if key not in family.options:
                raise CheckpointError(f"it has no option {key!r}: leave it out")
        settings = family.settings(contents) | wanted
        return family.build(contents.state, name=name, **settings)
    except LatdirError as error:
        raise CheckpointError(f"{path} ({family.title}) cannot be loaded: {error}") from error


def _family(contents: Contents) -> Family:
    for family in FAMILIES:
        if any(key in contents.state for key in family.keys):
            return family
    titles = ", ".join(family.title for family in FAMILIES)
    first = ", ".join(repr(k[:60]) for k in list(contents.state)[:3])
    raise CheckpointError(
        f"its tensors ({first}, …) are of no family known here: there are {titles}"
    )
