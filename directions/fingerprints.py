"""What identifies a model: a hash over its weights and settings, and the precision it runs at."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

__all__ = ["Precision", "fingerprint"]

Precision = Literal["float32", "bfloat16"]


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
