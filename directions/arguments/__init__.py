"""What public functions are given: converted to the kinds in their annotations, or refused.

Read `checked` first, the decorator of every public function and class; `kinds` converts one
argument, `containers` lists, dicts and alternatives of them, `shapes` compares the shapes of
tensors with those in the annotations, and `settings` is the base of methods, solvers and starts.
"""

from directions.arguments.checked import (
    checked,
    checked_fields,
    checked_kinds,
    checked_values,
)
from directions.arguments.settings import Settings
from directions.arguments.shapes import returned

__all__ = [
    "Settings",
    "checked",
    "checked_fields",
    "checked_kinds",
    "checked_values",
    "returned",
]
