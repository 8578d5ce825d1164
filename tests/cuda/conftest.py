"""Tests that need a CUDA card, and machines without jaxtyping."""

import pytest
import torch

from benchmarks.without_jaxtyping import stand_in

stand_in()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a card where there is none."""
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("cuda"):
            item.add_marker(pytest.mark.skip(reason="no CUDA card here: `make gpu` on one"))
