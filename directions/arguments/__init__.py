"""What public functions are given: converted to the kinds in their annotations, or refused.

Read `checked` first, the decorator of every public function and class; `kinds` converts one
argument, `containers` lists, dicts and alternatives of them, and `shapes` compares the shapes of
tensors with those in the annotations.
"""

from directions.arguments.checked import (
    checked,
    checked_fields,
    checked_kinds,
    checked_values,
)
from directions.arguments.shapes import returned

__all__ = ["checked", "checked_fields", "checked_kinds", "checked_values", "returned"]
