"""What identifies a model: a hash over its weights and settings, and the precision it runs at."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

__all__ = ["CachedFingerprint", "Precision", "fingerprint"]

Precision = Literal["float32", "bfloat16"]
# Values of a tensor that a look for changes adds up.
GLANCED = 64


def fingerprint(tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> str:
    """sha256 over named tensors and a configuration, independent of device and order.

    Args:
        tensors: Weights and buffers by name.
        config: JSON values.

    Returns:
        64 hexadecimal digits.

    Example:
        >>> fingerprint({"w": torch.zeros(2)}, {"size": 64})[:8]
        '95967ee7'
    """
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"\n{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


class CachedFingerprint:
    """A fingerprint that is computed again once a weight has changed, in place or not.

    Looking costs a few sums; hashing all weights may take a second.

    Example:
        >>> weights, cached = {"w": torch.zeros(2)}, CachedFingerprint()
        >>> before = cached(weights, {})
        >>> _ = weights["w"].add_(1)
        >>> cached(weights, {}) == before
        False
    """

    def __init__(self) -> None:
        self._state: object = None
        self._value = ""

    def __call__(self, tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> str:
        """The fingerprint of these tensors and this configuration."""
        state = (_glance(tensors), json.dumps(config, sort_keys=True))
        if state != self._state:
            self._value = fingerprint(tensors, config)
            self._state = state
        return self._value


def _glance(tensors: Mapping[str, Tensor]) -> tuple[object, ...]:
    """What changes when tensors are replaced or written to: addresses, versions, a few values.

    The values are there for writes past autograd, through `.data` or NumPy.
    """
    known, values = [], []
    for name in sorted(tensors):
        t = tensors[name].detach()
        version = 0 if t.is_inference() else t._version
        known.append((name, t.data_ptr(), version, t.dtype, tuple(t.shape)))
        values.append(t.reshape(-1)[:: max(1, t.numel() // GLANCED)].double().sum().cpu())
    return *known, *(torch.stack(values).tolist() if values else ())
