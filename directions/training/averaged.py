"""A network in training with its average, which is what is measured on the way and kept."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

__all__ = ["REPORTS", "Averaged"]

# How often the average is measured in a training, and its memory.
REPORTS, MEMORY = 20, 0.999


class Averaged(nn.Module):
    """A network, its exponential moving average, and what was measured of the average.

    A subclass says what is `measured`, and begins the loss of each step by `begin`.

    Args:
        network: What is trained.
        steps: Of the whole training.
        figures: How many numbers are measured.
    """

    reports: Tensor

    def __init__(self, network: nn.Module, *, steps: int, figures: int) -> None:
        super().__init__()
        self.network, self.steps = network, steps
        self.kept = copy.deepcopy(network).requires_grad_(False)
        self.register_buffer("reports", torch.full((REPORTS + 1, 1 + figures), torch.nan))

    def measured(self) -> tuple[float, ...]:
        """Figures of the average, on what is held out."""
        raise NotImplementedError

    def begin(self, step: int) -> None:
        """Take in what the last step learned; a twentieth of the steps is followed by a report."""
        self.average(step)
        if step % max(1, self.steps // REPORTS) == 0:
            self.report(step)

    def end(self, steps: int) -> None:
        """The same after the last of the steps that are kept."""
        self.average(steps)
        self.report(steps)

    def average(self, steps: int) -> None:
        """Move the average toward the weights, the faster the fewer steps were taken."""
        weight = 1 - min(MEMORY, (1 + steps) / (10 + steps))
        for kept, now in zip(self.kept.parameters(), self.network.parameters(), strict=True):
            kept.data.lerp_(now.data, weight)

    def report(self, step: int) -> None:
        """Measure the average."""
        with torch.no_grad():
            row = torch.tensor([float(step), *self.measured()])
        self.reports[min(step * REPORTS // self.steps, REPORTS)] = row.to(self.reports)

    @property
    def rows(self) -> list[list[float]]:
        """Steps and figures so far."""
        rows: list[list[float]] = self.reports[self.reports[:, 0].isfinite()].tolist()
        return rows
