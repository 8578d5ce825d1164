"""CLIP weights from files, executing nothing: safetensors, state dicts, TorchScript archives."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from directions.errors import CheckpointError
from directions.weight_files.contents import read_contents

__all__ = ["read_weights"]


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Named tensors of a file.

    A state dict may be nested under a key `state_dict` or `model`. Of a TorchScript archive, the
    format in which OpenAI published CLIP, the weights are taken and the code is not read.

    Raises:
        CheckpointError: No such file, none of these kinds, or a damaged one.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"there is no file {path}")
    try:
        return read_contents(path, scripted=True).state
    except CheckpointError as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
