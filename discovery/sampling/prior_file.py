"""The prior of the codes, beside the shards of their folder."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from directions.errors import SamplesError
from directions.space import LowRankPrior, Prior
from directions.storage.container import FileFormat, read_tensors, write_tensors
from discovery.sampling.places import Place

__all__ = ["PRIOR", "read_prior", "write_prior"]

# The underscore hides it from readers of Parquet folders.
PRIOR = "_prior.safetensors"
FORMAT = FileFormat("latdir.prior", "prior", SamplesError, hint="delete it and sample again")


def write_prior(place: Place, prior: Prior) -> None:
    """Write a prior, unless the folder has one; a covariance known as a factor stays one.

    Raises:
        LatdirError: It cannot be written.
    """
    if PRIOR in place.names():
        return
    if isinstance(prior, LowRankPrior):
        tensors = {"mean": prior.mean, "factor": prior.factor}
    else:
        tensors = {"mean": prior.mean, "covariance": prior.covariance}
    if place.local is not None:
        write_tensors(place.local / PRIOR, tensors, {}, format=FORMAT)
        return
    with TemporaryDirectory() as folder:
        write_tensors(Path(folder) / PRIOR, tensors, {}, format=FORMAT)
        place.write(PRIOR, (Path(folder) / PRIOR).read_bytes())


def read_prior(place: Place, *, size: int) -> Prior | None:
    """The prior of a folder's codes of `size` coordinates; None where none was written.

    Raises:
        SamplesError: The file is broken, or of codes of another size.
    """
    if place.local is not None:
        return _read(place.local / PRIOR, size) if (place.local / PRIOR).exists() else None
    try:
        data = place.read(PRIOR)
    except FileNotFoundError:
        return None
    with TemporaryDirectory() as folder:
        (Path(folder) / PRIOR).write_bytes(data)
        return _read(Path(folder) / PRIOR, size)


def _read(path: Path, size: int) -> Prior:
    _, tensors = read_tensors(path, FORMAT)
    mean = tensors.get("mean")
    if mean is None or mean.shape != (size,) or len(tensors) != 2:
        raise SamplesError(f"{path} is not the prior of codes of size {size}: {FORMAT.hint}")
    if "factor" in tensors:
        return LowRankPrior(mean, tensors["factor"])
    if "covariance" in tensors:
        return Prior(mean, tensors["covariance"])
    raise SamplesError(f"{path} has no covariance: {FORMAT.hint}")
