"""The networks: what codes lose of an image, to the features of a layer.

- `Consultation`: Wang et al. 2022, "High-Fidelity GAN Inversion for Image Attribute Editing"
  (HFGI), arXiv:2109.06590. The residual of an image and what its codes make is aligned to the
  edited image by a U-Net, and read as a scale and a shift of the features, f (1 + s) + b.
- `FeatureEditor`: Bobkov et al. 2024, "The Devil is in the Details: StyleFeatureEditor"
  (arXiv:2406.10601). Features of the image are fused with those of its codes; an editor moves them
  by what an edit of the codes changes.

Both are smaller than the originals, without batch normalization, and begin as the generator's own
features after the edit; the aligner begins as the identity.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from directions.errors import LatdirError

__all__ = ["Consultation", "DetailConfig", "FeatureEditor", "Kind", "Look", "network_of"]

Kind = Literal["consultation", "feature_editor"]
SLOPE = 0.2


@dataclass(frozen=True)
class DetailConfig:
    """Everything that decides the shapes of a network.

    Attributes:
        kind: `consultation` or `feature_editor`.
        side: Of the images.
        features: Channels and side of the layer's output.
        width: Channels of the network's maps.
    """

    kind: Kind
    side: int
    features: tuple[int, int]
    width: int = 32

    def __post_init__(self) -> None:
        if self.side % self.features[1]:
            raise LatdirError(
                f"features of {self.features[1]} pixels do not divide images of {self.side}: "
                "choose another layer"
            )

    @property
    def share(self) -> int:
        """Pixels of an image for each of the features, along an axis."""
        return self.side // self.features[1]

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Look:
    """What a network sees.

    Attributes:
        images: `[n, 3, H, W]`.
        residual: What its codes lose of each, x − y.
        shown: Images of the codes after the edit.
        features: `[n, c, h, w]`, of the layer before it.
        moved: After it.
    """

    images: Tensor
    residual: Tensor
    shown: Tensor
    features: Tensor
    moved: Tensor


class Consultation(nn.Module):
    """HFGI's alignment and consultation."""

    def __init__(self, config: DetailConfig) -> None:
        super().__init__()
        self.config, k = config, config.width
        (channels, _), share = config.features, config.share
        self.enter = nn.Conv2d(6, k, 3, padding=1)
        self.down = nn.Conv2d(k, 2 * k, 3, 2, 1)
        self.deep = nn.Conv2d(2 * k, 2 * k, 3, 2, 1)
        self.middle = nn.Conv2d(4 * k, k, 3, padding=1)
        self.leave = _zero(nn.Conv2d(2 * k, 3, 3, padding=1))
        self.read = nn.Sequential(
            nn.Conv2d(3 * share**2, 2 * k, 3, padding=1), nn.LeakyReLU(SLOPE),
            nn.Conv2d(2 * k, 2 * k, 3, padding=1), nn.LeakyReLU(SLOPE),
        )  # fmt: skip
        self.scale = _zero(nn.Conv2d(2 * k, channels, 3, padding=1))
        self.shift = _zero(nn.Conv2d(2 * k, channels, 3, padding=1))

    def aligned(self, residual: Tensor, shown: Tensor) -> Float[Tensor, "n 3 h w"]:
        """The residual moved to where the edited image has what it belongs to."""
        first = functional.leaky_relu(self.enter(torch.cat([residual, shown], 1)), SLOPE)
        second = functional.leaky_relu(self.down(first), SLOPE)
        third = functional.leaky_relu(self.deep(second), SLOPE)
        back = functional.interpolate(third, second.shape[2:], mode="bilinear")
        back = functional.leaky_relu(self.middle(torch.cat([back, second], 1)), SLOPE)
        back = functional.interpolate(back, first.shape[2:], mode="bilinear")
        made: Tensor = residual + self.leave(torch.cat([back, first], 1))
        return made

    def forward(self, look: Look) -> Float[Tensor, "n c h w"]:
        """Features after the edit, f (1 + s) + b of the aligned residual."""
        return self.consulted(self.aligned(look.residual, look.shown), look.moved)

    def consulted(self, residual: Tensor, features: Tensor) -> Float[Tensor, "n c h w"]:
        """Features with a residual's scale and shift."""
        read = self.read(functional.pixel_unshuffle(residual, self.config.share))
        made: Tensor = features * (1 + self.scale(read)) + self.shift(read)
        return made


class FeatureEditor(nn.Module):
    """StyleFeatureEditor's inverter, fuser and editor of one layer's features."""

    def __init__(self, config: DetailConfig) -> None:
        super().__init__()
        self.config, k = config, config.width
        (channels, _), share = config.features, config.share
        self.inverter = nn.Sequential(
            nn.Conv2d(3 * share**2, 2 * k, 3, padding=1), nn.LeakyReLU(SLOPE),
            nn.Conv2d(2 * k, 2 * k, 3, padding=1), nn.LeakyReLU(SLOPE),
            nn.Conv2d(2 * k, channels, 3, padding=1),
        )  # fmt: skip
        self.fuser, self.editor = _pair(channels, k), _pair(channels, k)

    def fused(self, look: Look) -> Float[Tensor, "n c h w"]:
        """Features of the image itself."""
        own = self.inverter(functional.pixel_unshuffle(look.images, self.config.share))
        made: Tensor = look.features + self.fuser(torch.cat([own, look.features], 1))
        return made

    def forward(self, look: Look) -> Float[Tensor, "n c h w"]:
        """H(F, Δ): the image's features moved by what the edit changes."""
        return self.edited(self.fused(look), look)

    def edited(self, fused: Tensor, look: Look) -> Float[Tensor, "n c h w"]:
        """The same of features that are known."""
        change = look.moved - look.features
        made: Tensor = fused + change + self.editor(torch.cat([fused, change], 1))
        return made


def network_of(config: DetailConfig) -> Consultation | FeatureEditor:
    """The network of a configuration, untrained."""
    return Consultation(config) if config.kind == "consultation" else FeatureEditor(config)


def _zero(layer: nn.Conv2d) -> nn.Conv2d:
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def _pair(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2 * channels, 2 * width, 3, padding=1), nn.LeakyReLU(SLOPE),
        nn.Conv2d(2 * width, 2 * width, 3, padding=1), nn.LeakyReLU(SLOPE),
        _zero(nn.Conv2d(2 * width, channels, 3, padding=1)),
    )  # fmt: skip
