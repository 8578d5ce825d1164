"""The prior of the codes, beside the shards of their folder."""

from __future__ import annotations

from pathlib import Path

from directions.errors import SamplesError
from directions.space import LowRankPrior, Prior
from directions.storage.container import FileFormat, read_tensors, write_tensors

__all__ = ["PRIOR", "read_prior", "write_prior"]

# The underscore hides it from readers of Parquet folders.
PRIOR = "_prior.safetensors"
FORMAT = FileFormat("latdir.prior", "prior", SamplesError, hint="delete it and sample again")


def write_prior(folder: Path, prior: Prior) -> None:
    """Write a prior, unless the folder has one; a covariance known as a factor stays one.

    Raises:
        LatdirError: It cannot be written.
    """
    if (folder / PRIOR).exists():
        return
    if isinstance(prior, LowRankPrior):
        tensors = {"mean": prior.mean, "factor": prior.factor}
    else:
        tensors = {"mean": prior.mean, "covariance": prior.covariance}
    write_tensors(folder / PRIOR, tensors, {}, format=FORMAT)


def read_prior(folder: Path, *, size: int) -> Prior | None:
    """The prior of a folder's codes of `size` coordinates; None where none was written.

    Raises:
        SamplesError: The file is broken, or of codes of another size.
    """
    path = folder / PRIOR
    if not path.exists():
        return None
    _, tensors = read_tensors(path, FORMAT)
    mean = tensors.get("mean")
    if mean is None or mean.shape != (size,) or len(tensors) != 2:
        raise SamplesError(f"{path} is not the prior of codes of size {size}: {FORMAT.hint}")
    if "factor" in tensors:
        return LowRankPrior(mean, tensors["factor"])
    if "covariance" in tensors:
        return Prior(mean, tensors["covariance"])
    raise SamplesError(f"{path} has no covariance: {FORMAT.hint}")
