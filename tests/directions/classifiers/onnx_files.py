"""ONNX files of a tiny network."""

from __future__ import annotations

from pathlib import Path

import torch

__all__ = ["BIAS", "WEIGHT", "write"]

RNG = torch.Generator().manual_seed(0)
WEIGHT, BIAS = torch.randn(3, 2, generator=RNG), torch.randn(2, generator=RNG)


def write(path: Path, *, size: int | str = 8, last: bool = False, op: str = "Tanh") -> Path:
    """A network made of ONNX's own parts: mean over pixels, an operation, a linear layer."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    shape = ["n", size, size, 3] if last else ["n", 3, size, size]
    axes = [1, 2] if last else [2, 3]
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0, axes=axes),
        helper.make_node(op, ["mean"], ["bent"]),
        helper.make_node("Gemm", ["bent", "weight", "bias"], ["scores"]),
    ]
    held = {"weight": WEIGHT.numpy(), "bias": BIAS.numpy()}
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(array, name) for name, array in held.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, path)
    return path
