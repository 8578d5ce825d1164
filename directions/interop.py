"""Import and export of third-party direction files: InterFaceGAN .npy, GANSpace .npz, e4e .pt.

None of them identifies its generator, so the caller does: the vectors are checked
against that generator's space, and sigma is measured on its prior. Content of each file:

* InterFaceGAN (Shen et al. 2020, arXiv:2005.09635): one boundary `(1, d)`, unit normal; the
  intercept is not stored, so imported directions have no offset. Stacks `(k, d)`, as SeFa's
  ports write them, are read as k directions.
* GANSpace (Härkönen et al. 2020, arXiv:2004.02546): `lat_comp (k, 1, d)`, `lat_mean (1, d)`,
  `lat_stdev (k)` and statistics of the activations. One unit of its sliders is
  `lat_stdev · lat_comp`, which is one sigma here, and the offset puts level 0 at `lat_mean`.
* e4e (Tov et al. 2021, arXiv:2102.02766): a tensor `(1, d)` or `(layers, d)`, a dict of them by
  name, or a GANSpace decomposition as a dict of `comp`, `mean` and `std`.

Nothing in a file is executed: NumPy reads without pickle, and `.pt` files go through the
restricted unpickler of `directions.weight_files`.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib import format as npy
from numpy.typing import NDArray
from torch import Tensor

from directions.arguments import checked
from directions.bank import DirectionBank
from directions.direction import Direction
from directions.errors import BankError, CheckpointError, LatdirError, SpaceError
from directions.generators.base import Generator
from directions.space import Prior, Space
from directions.storage.atomic import atomic
from directions.weight_files.contents import read_value

__all__ = ["export_bank", "import_bank"]

SUFFIXES = (".npy", ".npz", ".pt")
MAX_BYTES = 2**31
GANSPACE = ("lat_comp", "lat_mean", "lat_stdev", "var_ratio")


@checked
def import_bank(
    path: str | Path, *, generator: Generator, space: str, name: str | None = None
) -> DirectionBank:
    """Read another tool's direction file as a bank.

    Args:
        path: `.npy` (InterFaceGAN), `.npz` (GANSpace) or `.pt` (e4e).
        generator: The generator the directions were found on.
        space: Its space they live in; `w` for a vector that moves every layer equally.
        name: Name of the direction, or of several with a number behind; by default the file's
            stem, `pc` for principal components, and a dict's own names.

    Returns:
        A bank of the generator, sigma measured on its prior (GANSpace brings its own).

    Raises:
        LatdirError: Another suffix, a broken file, one that needs code to run, or vectors that
            do not fit the space.

    Example:
        >>> import tempfile
        >>> from directions import load_generator
        >>> planted = load_generator("planted")
        >>> size = planted.space("z").size
        >>> file = Path(tempfile.mkdtemp()) / "smile.npy"
        >>> np.save(file, np.eye(1, size, dtype=np.float32))
        >>> import_bank(file, generator=planted, space="z")
        DirectionBank(planted: smile)
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise BankError(
            f"{path} is not a direction file of a known kind: they end in "
            f"{', '.join(SUFFIXES)}; this toolkit's own banks are read by DirectionBank.load"
        )
    if not path.is_file():
        raise BankError(f"there is no file {path}: check the path")
    place = generator.space(space)
    content = _content(path)
    try:
        if isinstance(content, Mapping) and "comp" in content:
            found = _components(content, place=place, name=name or "pc")
        else:
            prior = generator.prior(space)
            found = [
                Direction.from_vector(
                    key, vector, space=space, method="imported", sigma=_sigma(prior, vector)
                )
                for key, vector in _named(content, name or path.stem, place, generator)
            ]
        return DirectionBank(
            tuple(found), generator.name, generator.fingerprint, {"imported_from": path.name}
        )
    except LatdirError as error:
        raise BankError(f"{path}: {error}") from error


def _content(path: Path) -> Any:
    """Content of the file: a tensor, or a dict of them by name."""
    if path.suffix != ".pt":
        return _numpy(path) if path.suffix == ".npy" else _ganspace(path)
    try:
        return read_value(path)
    except CheckpointError as error:
        raise BankError(f"{path} is not a readable .pt file: {error}") from error


@checked
def export_bank(bank: DirectionBank, path: str | Path, *, prior: Prior | None = None) -> list[Path]:
    """Write directions in another tool's format.

    `.npy` holds one direction; a bank of several makes one file each, `stem_name.npy`. `.npz`
    holds the bank as GANSpace components and needs the prior. `.pt` holds one tensor, or a dict
    of tensors by name.

    Args:
        bank: The directions, of one space.
        path: File to write; its suffix chooses the format.
        prior: Of the directions' space; for `.npz` only.

    Returns:
        The files written.

    Raises:
        LatdirError: Another suffix, directions that the format cannot hold, or no prior.
    """
    path = Path(path)
    vectors = bank.matrix()
    layered = [d.name for d in bank.directions if d.layers is not None]
    if layered:
        raise BankError(
            f"direction {layered[0]!r} acts on chosen layers, which {path.suffix} files cannot "
            "say: export direction.evolve(layers=None) and choose the layers when editing"
        )
    shape = bank.directions[0].vector.shape
    if path.suffix == ".pt":
        tensors = {
            d.name: _row(v.reshape(shape)) for d, v in zip(bank.directions, vectors, strict=True)
        }
        with atomic(path) as temporary:
            torch.save(tensors if len(bank) > 1 else next(iter(tensors.values())), temporary)
        return [path]
    if path.suffix not in SUFFIXES:
        raise LatdirError(f"cannot write {path}: give it a suffix of {', '.join(SUFFIXES)}")
    if len(shape) > 1:
        raise BankError(
            f"{path.suffix} files hold one vector for all layers, but these directions have "
            f"shape {list(shape)}: write a .pt file"
        )
    if path.suffix == ".npz":
        return [_write_ganspace(bank, vectors, path, prior=prior)]
    files = [path] if len(bank) == 1 else [_beside(path, name) for name in bank]
    for file, vector in zip(files, vectors, strict=True):
        with atomic(file) as temporary, temporary.open("wb") as stream:
            np.save(stream, vector[None].numpy())
    return files


def _numpy(path: Path) -> Tensor:
    # Mapping refuses a header that promises more than the file holds, before memory is taken.
    with _readable(path):
        held = np.load(path, allow_pickle=False, mmap_mode="r")
    return _floats(held, path)


def _ganspace(path: Path) -> dict[str, Tensor]:
    """The components, their center and scale; the activations are left unread."""
    with _readable(path), zipfile.ZipFile(path) as archive:
        members = {Path(m.filename).stem: m for m in archive.infolist()}
        missing = [field for field in GANSPACE[:3] if field not in members]
        if missing:
            raise BankError(
                f"{path} has no {missing[0]}: a GANSpace file holds {', '.join(GANSPACE)}; "
                f"this one holds {', '.join(sorted(members)[:8]) or 'nothing'}"
            )
        arrays = {}
        for field in GANSPACE:
            if field not in members:
                continue
            if members[field].file_size > MAX_BYTES:
                raise BankError(f"{path}: {field} takes over {MAX_BYTES} bytes")
            with archive.open(members[field]) as stream:
                arrays[field] = _bounded(stream, members[field].file_size)
    fields = {field: _floats(array, path) for field, array in arrays.items()}
    # The same names as e4e's copy of the decomposition, so that one reader serves both.
    renamed = {"comp": fields["lat_comp"], "mean": fields["lat_mean"], "std": fields["lat_stdev"]}
    return renamed | ({"var_ratio": fields["var_ratio"]} if "var_ratio" in fields else {})


def _bounded(stream: Any, size: int) -> NDArray[np.generic]:
    """An array from a zip member whose header may promise no more than the member's size."""
    version = npy.read_magic(stream)
    read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"array format {version}")
    shape, fortran, dtype = read(stream)
    if dtype.hasobject or math.prod(shape) * dtype.itemsize > size:
        raise ValueError(f"its header promises {shape} of {dtype}")
    flat = np.frombuffer(stream.read(math.prod(shape) * dtype.itemsize), dtype=dtype)
    return flat.reshape(shape, order="F" if fortran else "C")


def _floats(array: object, path: Path) -> Tensor:
    kind = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise _unreadable(path, f"it holds {kind}, not numbers")
    return torch.from_numpy(np.array(array, dtype=np.float32))


def _unreadable(path: Path, reason: str) -> BankError:
    return BankError(
        f"{path} is not a readable {path.suffix} file ({reason}); if it was copied, copy it again"
    )


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Around what NumPy and zipfile read, and nothing else."""
    try:
        yield
    except LatdirError:
        raise
    except Exception as error:
        # NumPy and zipfile fail on hostile bytes in every way there is.
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise _unreadable(path, reason) from error


def _named(
    content: Any, label: str, place: Space, generator: Generator
) -> Iterator[tuple[str, Tensor]]:
    """Vectors by name, each in the shape of the space."""
    if isinstance(content, Mapping):
        if not content:
            raise BankError("it holds an empty dict: nothing to import")
        for key, value in content.items():
            yield from _named(value, str(key), place, generator)
        return
    if not isinstance(content, Tensor) or not content.is_floating_point() or content.ndim == 0:
        raise BankError(
            f"it holds a {type(content).__name__} for {label!r}: "
            "direction files hold float tensors, or dicts of them by name"
        )
    shape = tuple(content.shape)
    tight = tuple(n for i, n in enumerate(shape) if n != 1 or i == len(shape) - 1)
    others = [s.name for s in generator.spaces.values() if s.shape == tight]
    if place.name not in others and others:
        hint = f"it is one vector of space {others[0]!r}: give space={others[0]!r}"
    elif shape[-len(place.shape) :] == place.shape and content.numel() > 0:
        rows = content.float().reshape(-1, *place.shape)
        for i, row in enumerate(rows):
            yield (label if len(rows) == 1 else f"{label}_{i}"), row
        return
    else:
        fits = [s.name for s in generator.spaces.values() if s.shape == shape[-len(s.shape) :]]
        hint = f"it fits {', '.join(fits)}" if fits else "it belongs to another generator"
    raise SpaceError(
        f"it holds {label!r} of shape {list(shape)}, but codes of space {place.name!r} "
        f"of {generator.name} have shape {list(place.shape)}: {hint}"
    )


def _components(content: Mapping[str, Any], *, place: Space, name: str) -> list[Direction]:
    """Principal components with their own scale, centered on their own mean."""
    comp = _field(content, "comp")
    count = len(comp)
    comp = _field(content, "comp", count * place.size, place).reshape(count, *place.shape)
    mean = _field(content, "mean", place.size, place)
    std = _field(content, "std", count, place)
    ratio = content.get("var_ratio")
    found = []
    for i, row in enumerate(comp):
        evidence = {"var_ratio": float(ratio[i])} if isinstance(ratio, Tensor) else {}
        found.append(
            Direction.from_vector(
                f"{name}{i}",
                row.float(),
                space=place.name,
                method="imported",
                offset=-float(row.flatten() @ mean),
                sigma=float(std[i]) * float(row.norm()),
                evidence=evidence,
            )
        )
    return found


def _field(
    content: Mapping[str, Any], key: str, numel: int | None = None, place: Space | None = None
) -> Tensor:
    """One array of a decomposition, flattened, in double precision."""
    value = content.get(key)
    if not isinstance(value, Tensor) or value.ndim == 0 or len(value) == 0:
        raise BankError(f"its {key!r} is not an array: a decomposition holds comp, mean and std")
    if numel is not None and place is not None and value.numel() != numel:
        raise SpaceError(
            f"its {key!r} of shape {list(value.shape)} does not fit codes of space "
            f"{place.name!r} with shape {list(place.shape)}"
        )
    return value.double() if numel is None else value.double().flatten()


def _sigma(prior: Prior, vector: Tensor) -> float:
    norm = float(vector.double().norm())
    # A vector that cannot be normalized is refused, with its name, by Direction.
    return prior.sigma(vector) / norm if norm > 0 and math.isfinite(norm) else 1.0


def _row(vector: Tensor) -> Tensor:
    """e4e's habit: one vector for all layers has a leading axis of one."""
    return (vector[None] if vector.ndim == 1 else vector).clone()


def _beside(path: Path, name: str) -> Path:
    safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in name)
    return path.with_name(f"{path.stem}_{safe}{path.suffix}")


def _write_ganspace(
    bank: DirectionBank, vectors: Tensor, path: Path, *, prior: Prior | None
) -> Path:
    if prior is None:
        raise BankError(
            "a GANSpace file stores the codes' mean and spread: give prior=generator.prior(space)"
        )
    total = float(prior.deviations.double().square().sum())
    if not 0 < total < math.inf:
        raise BankError(
            "this prior does not vary, and a GANSpace file stores how it does: give "
            "prior=generator.prior(space)"
        )
    components = vectors[:, None].numpy()
    mean = prior.mean.float().cpu()[None].numpy()
    stdev = np.array([d.sigma for d in bank.directions], dtype=np.float32)
    # The spread along a random direction, which GANSpace estimates from draws.
    random = np.full(len(bank), math.sqrt(total / prior.mean.numel()), dtype=np.float32)
    with atomic(path) as temporary, temporary.open("wb") as stream:
        np.savez(
            stream,
            act_comp=components,
            act_mean=mean,
            act_stdev=stdev,
            lat_comp=components,
            lat_mean=mean,
            lat_stdev=stdev,
            var_ratio=(stdev**2 / total).astype(np.float32),
            random_stdevs=random,
        )
    return path
