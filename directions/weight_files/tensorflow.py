"""Networks pickled by the official TensorFlow code: their variables and arguments.

Such a file holds `(G, D, Gs)`, objects of `dnnlib.tflib.Network` (StyleGAN, StyleGAN2,
StyleGAN2-ADA) or of `tfutil.Network` (PGGAN): the source text that built the network, which is
left alone, its static arguments, and its variables by name.
"""

from __future__ import annotations

from typing import Any

from directions.errors import CheckpointError
from directions.weight_files.pickle_objects import Array, Record

__all__ = ["find_network", "static_arguments", "variables"]

NETWORKS = ("dnnlib.tflib.network.Network", "tfutil.Network")
DEEPEST = 8


def find_network(value: Any) -> Record | None:
    """The averaged generator of a file's networks: the last of `(G, D, Gs)`."""
    items = value if type(value) in (tuple, list) else (value,)
    networks = [v for v in items if type(v) is Record and v.kind in NETWORKS]
    return networks[-1] if networks and len(networks) == len(items) else None


def variables(network: Record, *, prefix: str = "", depth: int = 0) -> dict[str, Array]:
    """All variables of a network and of its components, whose names come before theirs.

    Raises:
        LatdirError: The record is not a network's.
    """
    own, components = network.state.get("variables"), network.state.get("components", {})
    if type(own) is not list or type(components) is not dict or depth > DEEPEST:
        raise CheckpointError("its TensorFlow network is damaged")
    found: dict[str, Array] = {}
    for item in own:
        if type(item) not in (tuple, list) or len(item) != 2 or type(item[0]) is not str:
            raise CheckpointError("its TensorFlow network has damaged variables")
        name, value = item
        if type(value) in (int, float):
            value = Array.scalar(value)
        if type(value) is not Array:
            raise CheckpointError(f"its variable {name[:80]!r} is not an array")
        found[prefix + name] = value
    for name, part in components.items():
        if type(part) is not Record or type(name) is not str:
            raise CheckpointError("its TensorFlow network has damaged components")
        found |= variables(part, prefix=f"{prefix}{name}/", depth=depth + 1)
    # The whole network's level of detail is written over its synthesis network's in every call.
    if "lod" in found:
        found.pop("synthesis/lod", None)
    return found


def static_arguments(network: Record) -> dict[str, Any]:
    """The arguments the network was built with."""
    arguments = network.state.get("static_kwargs", {})
    return arguments if type(arguments) is dict else {}
