"""Weights of the three TensorFlow.js graphs of `@vladmandic/human`, under PyTorch's names.

Part of `tools/build_zoo.py`. Axes are put in PyTorch's order; values are not touched, except that
the frozen batch norms after MobileNet's depthwise convolutions, which the graph keeps apart, are
multiplied into the kernels in float32.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

Arrays = dict[str, np.ndarray]

MODEL = "StatefulPartitionedCall/model_1"
# Blocks of the mesh net: the graph's numbers of (depthwise, pointwise, PReLU) of each.
TRUNK = tuple((i, i + 1, i + 1) for i in range(1, 15))
MESH = ((15, 16, 16), (16, 17, 17), (17, 18, 18), (18, 20, 20))
FLAG = ((23, 28, 26), (24, 30, 28))


def arrays(graph: bytes, data: bytes) -> Arrays:
    """Every weight of a graph model, by name, as stored.

    Args:
        graph: Its JSON file.
        data: Its weight file.
    """
    found: Arrays = {}
    start = 0
    for group in json.loads(graph)["weightsManifest"]:
        for weight in group["weights"]:
            dtype = np.dtype(weight.get("quantization", weight)["dtype"])
            count = int(np.prod(weight["shape"]))
            stored = np.frombuffer(data, dtype, count, start).reshape(weight["shape"])
            found[weight["name"]] = stored
            start += count * dtype.itemsize
    if start != len(data):
        raise SystemExit(f"the manifest covers {start} of {len(data)} bytes")
    return found


def mesh(weights: Arrays) -> Iterator[tuple[str, np.ndarray]]:
    """MediaPipe's mesh without its contours, which no attribute needs."""
    yield from _mesh_conv(weights, "conv0", 1)
    yield "prelu0.weight", weights[f"{MODEL}/p_re_lu_1/Neg"].reshape(-1)
    for index, numbers in enumerate(TRUNK):
        yield from _mesh_block(weights, f"trunk.{index}", *numbers)
    for part, blocks, narrow, last in (("mesh", MESH, 19, 21), ("flag", FLAG, 29, 31)):
        *wide, inner = blocks
        for index, numbers in enumerate(wide):
            yield from _mesh_block(weights, f"{part}.{index}", *numbers)
        at = len(wide)
        prelu = inner[2] - 1
        yield from _mesh_conv(weights, f"{part}.{at}", narrow)
        yield f"{part}.{at + 1}.weight", weights[f"{MODEL}/p_re_lu_{prelu}/Neg"].reshape(-1)
        yield from _mesh_block(weights, f"{part}.{at + 2}", *inner)
        name = f"{MODEL}/conv2d_{last}"
        yield f"{part}.{at + 3}.weight", _dense(weights[f"{name}/Conv2D/ReadVariableOp"])
        yield f"{part}.{at + 3}.bias", weights[f"{name}/BiasAdd/ReadVariableOp"]


def expression(weights: Arrays) -> Iterator[tuple[str, np.ndarray]]:
    """Arriaga's mini-Xception; its depthwise kernels and last layer have lost their names."""
    names = {"conv0": 1, "conv1": 2, "block0.expansion": 3, "block1.expansion": 4}
    for name, number in names.items():
        yield from _mesh_conv(weights, name, number)
    for index, unknown in enumerate((9, 15, 26, 32)):
        block, inner = divmod(index, 2)
        name = f"block{block}.separable{inner}"
        origin = f"{MODEL}/separable_conv2d_{index + 1}/separable_conv2d"
        yield f"{name}.depthwise.weight", _depthwise(weights[f"unknown_{unknown}"])
        yield f"{name}.pointwise.weight", _dense(weights[f"{origin}_weights"])
        yield f"{name}.pointwise.bias", weights[f"{origin}_bn_offset"]
    yield "head.weight", _dense(weights["unknown_43"])
    yield "head.bias", weights["unknown_44"]


def age_gender(weights: Arrays) -> Iterator[tuple[str, np.ndarray]]:
    """Savchenko's MobileNet."""
    yield "conv0.weight", _dense(weights["conv1/convolution/merged_input"])
    yield "conv0.bias", weights["conv1_bn/batchnorm_1/sub"]
    for index in range(1, 14):
        depthwise, pointwise = f"conv_dw_{index}", f"conv_pw_{index}"
        scale = weights[f"{depthwise}_bn/batchnorm_1/mul"].astype(np.float32)
        kernel = _depthwise(weights[f"{depthwise}/depthwise_kernel"]).astype(np.float32)
        at = 4 * (index - 1)
        yield f"pairs.{at}.weight", kernel * scale[:, None, None, None]
        yield f"pairs.{at}.bias", weights[f"{depthwise}_bn/batchnorm_1/sub"]
        yield f"pairs.{at + 2}.weight", _dense(weights[f"{pointwise}/convolution/merged_input"])
        yield f"pairs.{at + 2}.bias", weights[f"{pointwise}_bn/batchnorm_1/sub"]
    for name, origin in {"features": "feats", "age": "age_pred", "male": "gender_pred"}.items():
        yield f"{name}.weight", weights[f"{origin}/kernel"].T
        yield f"{name}.bias", weights[f"{origin}/bias"]


# Network: the package's name of it, and its conversion.
GRAPHS: dict[str, tuple[str, Callable[[Arrays], Iterator[tuple[str, np.ndarray]]]]] = {
    "expression": ("emotion", expression),
    "mesh": ("facemesh", mesh),
    "age_gender": ("faceres", age_gender),
}


def convert(net: str, graph: bytes, data: bytes) -> dict[str, Tensor]:
    """One network's state dict.

    Args:
        net: A key of `GRAPHS`.
        graph: The package's JSON file of it.
        data: The package's weight file of it.
    """
    _, read = GRAPHS[net]
    return {
        key: torch.from_numpy(np.array(array, order="C"))
        for key, array in read(arrays(graph, data))
    }


def _mesh_block(
    weights: Arrays, name: str, depthwise: int, pointwise: int, prelu: int
) -> Iterator[tuple[str, np.ndarray]]:
    kernel = weights[f"{MODEL}/depthwise_conv2d_{depthwise}/depthwise/ReadVariableOp"]
    yield f"{name}.separable.depthwise.weight", _depthwise(kernel)
    yield from _mesh_conv(weights, f"{name}.separable.pointwise", pointwise)
    yield f"{name}.prelu.weight", weights[f"{MODEL}/p_re_lu_{prelu}/Neg"].reshape(-1)


def _mesh_conv(weights: Arrays, name: str, number: int) -> Iterator[tuple[str, np.ndarray]]:
    origin = f"{MODEL}/conv2d_{number}/Conv2D"
    yield f"{name}.weight", _dense(weights[f"{origin}_weights"])
    yield f"{name}.bias", weights[f"{origin}_bn_offset"]


def _dense(kernel: np.ndarray) -> np.ndarray:
    """`[h, w, in, out]` to `[out, in, h, w]`."""
    return kernel.transpose(3, 2, 0, 1)


def _depthwise(kernel: np.ndarray) -> np.ndarray:
    """`[h, w, channels, 1]` to `[channels, 1, h, w]`."""
    return kernel.transpose(2, 3, 0, 1)
