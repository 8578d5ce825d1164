"""Inversion of many pictures into a folder: one batch after another, resumed where it ended.

Each result is kept under the digest of its image and of all that decides its code (generator,
solver, start, degradation, seed). A batch is written whole, beside its final name, and renamed, so
that a run that is killed loses at most one batch, and one that is begun again makes the batches
that it would have made: its codes are the same to the last bit.
"""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from directions.arguments import checked_kinds
from directions.errors import LatdirError
from directions.executors import Local
from directions.generators.base import Generator, check_generator
from directions.images.photographs import SUFFIXES, open_images
from directions.inversion.base import Inversion, Inverter
from directions.inversion.batches import BATCH
from directions.inversion.encoders.base import Encoder
from directions.inversion.fitted import fitted
from directions.inversion.invert import chosen_start, described_run, invert
from directions.inversion.objective import Degradation
from directions.inversion.solvers import find_solver
from directions.inversion.starts import Given, Ridge, Start
from directions.progress import tqdm
from directions.scoring.rendering import Rendering
from directions.storage.atomic import made_folder
from directions.storage.container import FileFormat, read_tensors, write_tensors

__all__ = ["invert_folder"]

log = logging.getLogger(__name__)

FORMAT = FileFormat(
    "latdir.inversions", "inversions", LatdirError, "delete it: its images are inverted again"
)
# Of a result, the tensors and the lists that have an entry an image.
TENSORS = ("codes", "costs", "psnr", "distances", "typical_psnr", "steps", "seconds")
LISTS = ("statuses", "starts")

Row = dict[str, Any]


@checked_kinds
def invert_folder(
    generator: Generator,
    pictures: str | PathLike[str] | Iterable[tuple[str, Tensor]],
    out: str | PathLike[str],
    *,
    space: str | None = None,
    solver: str | Inverter = "auto",
    start: str | Start | Encoder | None = None,
    degradation: Degradation | None = None,
    restarts: int = 2,
    seed: int = 0,
    rendering: Rendering = Rendering(),
) -> Inversion:
    """Invert pictures one batch after another, keeping what is done in a folder.

    The same call goes on where it was interrupted and gives bit for bit what an uninterrupted one
    gives; pictures that are added later are inverted alone. A picture that cannot be read, or has
    pixels that are not finite, is left out with a warning.

    Args:
        generator: As for `invert`.
        pictures: A folder, whose pictures are read in the order of their names, whole and at the
            generator's size; or names and images `[3, H, W]`, read one after another, such as
            faces that were aligned first.
        out: The folder for the results, made if need be; also keeps the fitted start.
        space: As for `invert`.
        solver: As for `invert`.
        start: As for `invert`, but no codes.
        degradation: As for `invert`.
        restarts: As for `invert`.
        seed: As for `invert`.
        rendering: As for `invert`; a result belongs to its batch size by rounding only, and is
            kept whatever the batch size. Its executor inverts the batches; this process alone
            reads pictures and writes results.

    Returns:
        The inversion of all pictures, in their order, with `names`.

    Raises:
        LatdirError: As `invert`; no picture that can be read; a file of results that is broken.

    Example:
        >>> import tempfile
        >>> from directions.planted.world import planted
        >>> world = planted(dim=8)
        >>> images = world.synthesize(world.sample(3, seed=1))
        >>> named = [(f"{i}.png", image) for i, image in enumerate(images)]
        >>> found = invert_folder(world, named, tempfile.mkdtemp(), start="mean")
        >>> found.names, found.statuses[0]
        (('0.png', '1.png', '2.png'), 'converged')
    """
    check_generator(generator)
    method = find_solver("hybrid" if solver == "auto" else solver)
    if isinstance(start, Tensor | Given):
        raise LatdirError("codes to start from belong to one batch of images: give them to invert")
    own = (start.space,) if isinstance(start, Encoder) else method.spaces
    name = generator.space(space or generator.default_space(*own)).name
    chosen = chosen_start(generator, method, start, name, degradation, 0)
    folder = made_folder(out)
    if isinstance(chosen, Ridge) and chosen.folder is None:
        chosen = replace(chosen, folder=folder)
    record = described_run(generator, name, method, chosen, degradation, restarts, seed)
    identity = json.dumps(record, sort_keys=True)
    prefix = f"inversions-{sha256(identity.encode()).hexdigest()[:12]}"
    known = _read(folder, prefix)
    names: list[str] = []
    keys: list[str] = []
    begun: deque[list[str]] = deque()

    def batches() -> Iterator[Tensor]:
        """Images without a result, in batches; their keys are noted in `begun`."""
        waiting: dict[str, Tensor] = {}
        seen = set(known)
        given = _opened(generator, pictures, degradation)
        shown = tqdm(given, desc="invert", unit="image", disable=not rendering.progress)
        for label, image in shown:
            if not image.isfinite().all():
                log.warning("%s has NaN or infinite pixels: it is left out", label)
                continue
            key = _key(identity, image)
            names.append(label)
            keys.append(key)
            if key not in seen:
                waiting[key] = image
                seen.add(key)
            if len(waiting) == (rendering.batch_size or BATCH):
                begun.append(list(waiting))
                yield torch.stack(list(waiting.values()))
                waiting = {}
        if waiting:
            begun.append(list(waiting))
            yield torch.stack(list(waiting.values()))

    if rendering.executor.remote and isinstance(chosen, Ridge):
        fit = fitted(generator, space=name, degradation=degradation, count=chosen.count,
                     metric=method.preconditioned, folder=chosen.folder)  # fmt: skip
        chosen = replace(chosen, fit=fit)
    quiet = replace(rendering, progress=False, executor=Local())
    inverting = _Inverting(generator, name, method, chosen, degradation, restarts, seed, quiet)
    for found in rendering.executor.map(inverting, batches()):
        known.update(_write(folder, prefix, begun.popleft(), found))
    if not names:
        raise LatdirError("there are no pictures to invert: none could be read")
    rows = [known[key] for key in keys]
    merged: dict[str, Any] = {
        **{field: torch.stack([row[field] for row in rows]) for field in TENSORS},
        **{field: tuple(row[field] for row in rows) for field in LISTS},
    }
    return Inversion(
        **merged,
        space=name,
        record={**record, "features": None},
        generator=generator,
        degradation=degradation,
        names=tuple(names),
    )


@dataclass(frozen=True, eq=False)
class _Inverting:
    """The results of a batch of images, by the names of their columns."""

    generator: Generator
    space: str
    solver: Inverter
    start: Start
    degradation: Degradation | None
    restarts: int
    seed: int
    rendering: Rendering

    def __call__(self, images: Tensor) -> dict[str, Any]:
        found = invert(
            self.generator,
            images.to(self.generator.device),
            space=self.space,
            solver=self.solver,
            start=self.start,
            degradation=self.degradation,
            restarts=self.restarts,
            seed=self.seed,
            rendering=self.rendering,
        )
        tensors = {field: getattr(found, field).cpu() for field in TENSORS}
        return tensors | {field: list(getattr(found, field)) for field in LISTS}


def _opened(
    generator: Generator,
    pictures: str | PathLike[str] | Iterable[tuple[str, Tensor]],
    degradation: Degradation | None,
) -> Iterator[tuple[str, Tensor]]:
    """Names and images, read one after another."""
    if not isinstance(pictures, str | PathLike):
        yield from pictures
        return
    folder = Path(pictures)
    if not folder.is_dir():
        raise LatdirError(f"there is no folder {folder}: give one with pictures")
    height, width = generator.image_shape[1:]
    if degradation is not None:
        with torch.no_grad():
            made = degradation(torch.zeros(1, 3, height, width))
        # Observations that are not images are made from whole ones.
        height, width = made.shape[2:] if made.ndim == 4 else (height, width)
    for file in sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES):
        try:
            [image] = open_images(file, size=(height, width))
        except LatdirError as error:
            log.warning("%s: it is left out", error)
            continue
        yield file.name, image


def _key(identity: str, image: Tensor) -> str:
    """The digest of an image and of all that decides its code."""
    pixels = image.detach().to("cpu", torch.float32).contiguous()
    digest = sha256(identity.encode())
    digest.update(str(tuple(pixels.shape)).encode())
    digest.update(pixels.numpy().tobytes())
    return digest.hexdigest()


def _write(folder: Path, prefix: str, keys: list[str], found: dict[str, Any]) -> dict[str, Row]:
    """Keep the results of a batch, and return them by key."""
    tensors, lists = ({field: found[field] for field in part} for part in (TENSORS, LISTS))
    file = folder / f"{prefix}-{sha256(''.join(keys).encode()).hexdigest()[:12]}.safetensors"
    write_tensors(file, tensors, {"keys": keys, **lists}, format=FORMAT)
    return _rows(keys, tensors, lists)


def _read(folder: Path, prefix: str) -> dict[str, Row]:
    """The results that a folder keeps for one configuration."""
    known: dict[str, Row] = {}
    for file in sorted(folder.glob(f"{prefix}-*.safetensors")):
        manifest, tensors = read_tensors(file, FORMAT)
        columns: list[Any] = [manifest.get("keys"), *(manifest.get(field) for field in LISTS)]
        whole = set(TENSORS) <= set(tensors) and all(isinstance(c, list) for c in columns)
        sizes = {len(c) for c in [*columns, *tensors.values()]} if whole else set()
        if len(sizes) != 1:
            raise LatdirError(f"{file} has columns of different lengths: {FORMAT.hint}")
        known.update(_rows(manifest["keys"], tensors, manifest))
    return known


def _rows(keys: list[str], tensors: dict[str, Tensor], lists: dict[str, Any]) -> dict[str, Row]:
    return {
        key: {
            **{field: tensors[field][i] for field in TENSORS},
            **{field: lists[field][i] for field in LISTS},
        }
        for i, key in enumerate(keys)
    }
