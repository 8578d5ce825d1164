"""Coupling layers that are trained: their turns stay, their networks learn."""

from __future__ import annotations

from torch import nn

from directions.paths.flows.couplings import Couplings

__all__ = ["LearnedCouplings"]


class LearnedCouplings(nn.Module):
    """The weights of coupling layers as parameters.

    Args:
        flow: The layers before training.
    """

    def __init__(self, flow: Couplings) -> None:
        super().__init__()
        self.register_buffer("turns", flow.turns)
        self.weights = nn.ParameterList(flow[1:])

    @property
    def flow(self) -> Couplings:
        """The layers as they are now."""
        return Couplings(self.get_buffer("turns"), *self.weights)

    @property
    def frozen(self) -> Couplings:
        """The layers as they are now, without gradients."""
        return Couplings(*(t.detach().contiguous() for t in self.flow))
