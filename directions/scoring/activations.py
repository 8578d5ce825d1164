"""Activations of any layer of a generator built of modules or of functions.

A layer goes by the name of its `torch.nn.Module`, or, for a generator that calls functions, by
the operation and its number in order of use: `relu.0` is the output of the first ReLU. The network
stops there, so an early layer costs no more than what comes before it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from directions.errors import SpaceError
from directions.generators.base import Generator

__all__ = ["changed_at_layer", "layer_activations", "layer_names"]

LISTED = 16


class _Reached(BaseException):
    """Leaves the network once the layer has run; no `except Exception` may swallow it."""


class _Operations(TorchFunctionMode):
    """Sees every torch operation's result under its name and number, and may replace it."""

    def __init__(self, visit: Callable[[str, Any], Any]) -> None:
        super().__init__()
        self._visit = visit
        self._calls: Counter[str] = Counter()

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        # Reading an attribute of a tensor, such as its shape, is a call of `__get__`.
        if name and not name.startswith("__"):
            number = self._calls[name]
            self._calls[name] += 1
            changed = self._visit(f"{name}.{number}", result)
            result = result if changed is None else changed
        return result


def layer_activations(
    generator: Generator, *, layer: str, space: str, gradients: bool = False
) -> Callable[[Tensor], Float[Tensor, "n ..."]]:
    """The function from codes to the output of one layer.

    Args:
        generator: Any generator.
        layer: A name among `layer_names`.
        space: The codes' space.
        gradients: Whether the result is differentiable where gradients are enabled.

    Returns:
        A function of codes `[n, *shape]`; its result keeps the layer's shape, `[n, ...]`.

    Raises:
        LatdirError: No such layer, or one that does not give one tensor with one row per code.

    Example:
        >>> from directions.generators import load_generator
        >>> generator = load_generator("digiface64")
        >>> first = layer_activations(generator, layer="relu.0", space="z")
        >>> first(generator.sample(2, seed=0)).shape
        torch.Size([2, 512, 4, 4])
    """
    modules = dict(_modules(generator))

    def run(codes: Tensor) -> Tensor:
        seen: list[Any] = []
        # What the first look at codes of a space computes is not an operation of the network.
        generator.check(codes, space)

        def keep(output: Any) -> None:
            seen.append(output)
            raise _Reached

        def hook(_module: nn.Module, _inputs: object, output: Any) -> None:
            keep(output)

        def visit(name: str, output: Any) -> None:
            if name == layer:
                keep(output)

        handle = modules[layer].register_forward_hook(hook) if layer in modules else None
        try:
            with nullcontext() if gradients else torch.inference_mode():
                if handle is not None:
                    generator.synthesize(codes, space)
                else:
                    with _Operations(visit):
                        generator.synthesize(codes, space)
        except _Reached:
            pass
        finally:
            if handle is not None:
                handle.remove()
        if not seen:
            raise _no_layer(generator, layer, space)
        if not isinstance(seen[0], Tensor) or seen[0].shape[:1] != codes.shape[:1]:
            raise SpaceError(
                f"layer {layer!r} of {generator.name} gives no row per code: choose another"
            )
        return seen[0]

    return run


def changed_at_layer(
    generator: Generator,
    codes: Float[Tensor, "n ..."],
    *,
    layer: str,
    space: str,
    change: Callable[[Tensor], Tensor],
) -> Float[Tensor, "m ..."]:
    """Images made with the output of one layer replaced; differentiable.

    Args:
        generator: Any generator.
        codes: `[n, *space.shape]`.
        layer: A name among `layer_names`.
        space: The codes' space.
        change: What the rest of the network gets for the layer's output. It may have another
            number of rows where nothing but that output reaches the rest.

    Raises:
        LatdirError: No such layer.

    Example:
        >>> from directions.generators import load_generator
        >>> generator = load_generator("digiface64")
        >>> half = changed_at_layer(
        ...     generator, generator.sample(2, seed=0), layer="relu.1", space="z",
        ...     change=lambda x: x.mean(0, keepdim=True),
        ... )
        >>> half.shape
        torch.Size([1, 3, 64, 64])
    """
    seen: list[bool] = []
    generator.check(codes, space)

    def visit(name: str, output: Any) -> Tensor | None:
        if name != layer or seen:
            return None
        seen.append(True)
        return change(output)

    modules = dict(_modules(generator))
    if layer in modules:
        handle = modules[layer].register_forward_hook(lambda _m, _i, output: visit(layer, output))
        try:
            images = generator.synthesize(codes, space)
        finally:
            handle.remove()
    else:
        with _Operations(visit):
            images = generator.synthesize(codes, space)
    if not seen:
        raise _no_layer(generator, layer, space)
    return images


def _no_layer(generator: Generator, layer: str, space: str) -> SpaceError:
    names = layer_names(generator, space=space)
    few = ", ".join(names[:LISTED]) + (", …" if len(names) > LISTED else "")
    return SpaceError(
        f"{generator.name} runs no layer {layer!r} when it makes images of space "
        f"{space!r}: it has {few}"
    )


def layer_names(generator: Generator, *, space: str) -> list[str]:
    """Names of the layers with a floating-point output for every code.

    Args:
        generator: Any generator.
        space: The codes' space.

    Returns:
        Modules in order of definition, then operations in order of use.
    """
    found: list[str] = []

    def visit(name: str, output: Any) -> None:
        rows = isinstance(output, Tensor) and output.is_floating_point() and output.ndim > 1
        if rows and len(output) == len(codes):
            found.append(name)

    # A count of codes that no weight or buffer is likely to have as its first length.
    codes = generator.sample(7, seed=0, space=space)
    generator.check(codes, space)
    with torch.inference_mode(), _Operations(visit):
        generator.synthesize(codes, space)
    return [name for name, _ in _modules(generator)] + found


def _modules(generator: Generator) -> Iterator[tuple[str, nn.Module]]:
    if isinstance(generator, nn.Module):
        roots: dict[str, nn.Module] = {"": generator}
    else:
        roots = {k: v for k, v in vars(generator).items() if isinstance(v, nn.Module)}
    for attribute, root in roots.items():
        # A generator with one network names its layers as the network does.
        prefix = attribute if len(roots) > 1 else ""
        for name, module in root.named_modules(prefix=prefix):
            if module is not root:
                yield name, module
