"""What is attached to an encoder: a network for the images of the encoder's generator."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from torch import nn

from directions.devices import Movable
from directions.fingerprints import fingerprint
from directions.generators.base import Generator
from directions.inversion.encoders.base import Encoder

__all__ = ["Attached"]


class Attached(Movable, ABC):
    """A network over an encoder, of whose generator and on whose device it is.

    Args:
        network: It is moved to the encoder's device.
        encoder: Of the images.
        name: Short name, shown and stored.
        config: What else decides what it makes, as JSON values.

    Attributes:
        network, encoder, name: As given.
    """

    network: nn.Module

    def __init__(
        self, network: nn.Module, encoder: Encoder, *, name: str, config: Mapping[str, Any]
    ) -> None:
        self.network = network.eval().requires_grad_(False).to(encoder.device)
        self.encoder, self.name, self._config = encoder, name, dict(config)

    @abstractmethod
    def __repr__(self) -> str:
        """It, and the encoder."""

    @property
    def generator(self) -> Generator:
        """The encoder's."""
        return self.encoder.generator

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.encoder.device

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over the weights, the settings and the encoder."""
        own = {"encoder": self.encoder.fingerprint, **self._config}
        return fingerprint(self.network.state_dict(), own)
