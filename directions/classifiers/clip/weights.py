"""CLIP weights from files, executing nothing: safetensors, state dicts, TorchScript archives."""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from directions.errors import CheckpointError, LatdirError
from directions.weight_files.contents import read_contents

__all__ = ["read_weights"]

ZIP = b"PK\x03\x04"
DAMAGED = (pickle.UnpicklingError, zipfile.BadZipFile, LookupError, AttributeError)
STORAGES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "BoolStorage": torch.bool,
}


def read_weights(path: str | Path) -> dict[str, Tensor]:
    """Named tensors of a file.

    A state dict may lie under a key `state_dict` or `model`. Of a TorchScript archive, which is
    how OpenAI published CLIP, the weights are taken and the code is left unread.

    Raises:
        LatdirError: No such file, none of these kinds, or a damaged one.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"there is no file {path}")
    try:
        return _torchscript(path) if _is_torchscript(path) else read_contents(path).state
    except LatdirError as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    except (*DAMAGED, RuntimeError, ValueError, TypeError, EOFError) as error:
        raise CheckpointError(
            f"{path} is a TorchScript archive whose weights cannot be read "
            f"({type(error).__name__}: {str(error)[:200]}): save the module's state_dict()"
        ) from error


def _is_torchscript(path: Path) -> bool:
    with path.open("rb") as file:
        if file.read(4) != ZIP:
            return False
    with suppress(zipfile.BadZipFile), zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())
    return False


def _torchscript(path: Path) -> dict[str, Tensor]:
    with zipfile.ZipFile(path) as archive:
        (pickled,) = (n for n in archive.namelist() if n.count("/") == 1 and n.endswith("data.pkl"))
        with archive.open(pickled) as file:
            root = _Weights(file, archive, pickled.removesuffix(".pkl")).load()
    tensors: dict[str, Tensor] = {}
    _collect(root, "", tensors)
    return tensors


class _Module:
    """Stands for any scripted module: only its attributes are wanted."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


class _Weights(pickle.Unpickler):
    """Reads tensors, containers and attributes; refuses every other class."""

    def __init__(self, file: Any, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(file)
        self._archive, self._folder = archive, folder

    def find_class(self, module: str, name: str) -> Any:
        if module.startswith("__torch__"):
            return _Module
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch.jit._pickle":
            return lambda data, *_: data
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        raise pickle.UnpicklingError(f"it names {module}.{name}")

    def persistent_load(self, pid: Any) -> Tensor:
        _, dtype, key, _, count = pid
        data = bytearray(self._archive.read(f"{self._folder}/{key}"))
        return torch.frombuffer(data, dtype=dtype, count=count)


def _tensor(storage: Tensor, offset: int, shape: Any, stride: Any, *_: Any) -> Tensor:
    return storage.as_strided(shape, stride, offset)


def _collect(value: Any, prefix: str, tensors: dict[str, Tensor]) -> None:
    for name, child in vars(value).items():
        if isinstance(child, Tensor):
            tensors[prefix + name] = child
        elif isinstance(child, _Module):
            _collect(child, f"{prefix}{name}.", tensors)
