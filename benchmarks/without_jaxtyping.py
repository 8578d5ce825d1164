"""A stand-in for jaxtyping on machines that have only torch and the packages of arithmetic.

Outside the tests, the packages use jaxtyping for annotations alone; where it is not installed,
`stand_in` registers a module of that name whose `Float[Tensor, "n d"]` is `Tensor`. The packages
themselves know nothing of it: pydantic, Pillow, pyarrow, matplotlib and tqdm they import where
files, pictures and bars are handled.
"""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType
from typing import Any

__all__ = ["stand_in"]


def stand_in() -> bool:
    """Register the stand-in if jaxtyping is not installed; whether it did."""
    if importlib.util.find_spec("jaxtyping") is not None:
        return False
    module = _AnnotationsOnly("jaxtyping")
    sys.modules["jaxtyping"] = module
    return True


class _AnnotationsOnly(ModuleType):
    __file__ = __file__

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Shaped()


class _Shaped:
    def __getitem__(self, item: tuple[Any, str]) -> Any:
        return item[0]
