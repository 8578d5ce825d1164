"""Changes of weights along their gradient: one step of an optimizer whose rates are learned.

The derivative of half the squared difference of images by the scales of channels, through the
generator itself, is a better look at an image than a network's: a single step along it gains 2 to
3 dB. What is learned is how far: for each scale s of a layer, with its gradient g,

    Δs = −a · u_o · v_i · ρ · ĝ / √(ĝ² + τ²),    ĝ = g / rms(g),

ρ the root mean square difference of the images, a and τ a number a layer, u and v one an output
and an input channel. After Meta-SGD (Li et al. 2017, arXiv:1707.09835: learned rates, a number a
weight) and learned optimizers (Andrychowicz et al. 2016, arXiv:1606.04474); no paper has it as a
hypernetwork of a generator.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from directions.inversion.hypernetworks.network import WeightNetworkConfig

__all__ = ["GradientNetwork"]

# Before training: the size of a step, and what softens the sign of a gradient.
RATE, SOFT = 0.1, 0.4


class GradientNetwork(nn.Module):
    """Gradients of scales to changes of scales; a few numbers a layer.

    Attributes:
        config: As given, of form `gradient`.

    Example:
        >>> config = WeightNetworkConfig(8, (4,), (("a", (5, 3, 1, 1)),), form="gradient")
        >>> step = GradientNetwork(config)
        >>> made = step({"a": torch.ones(2, 5, 3, 1, 1)}, torch.full((2,), 0.5))
        >>> made["a"]["scale"][0, 0, 0].detach().round(decimals=4)  # −0.1 · 0.5 / √(1 + 0.4²)
        tensor([[-0.0464]])
    """

    def __init__(self, config: WeightNetworkConfig) -> None:
        super().__init__()
        self.config = config
        count = len(config.layers)
        self.rate = nn.Parameter(torch.full((count,), RATE).log())
        self.soft = nn.Parameter(torch.full((count,), SOFT).log())
        self.outputs = _zeros(shape[0] for _, shape in config.layers)
        self.inputs = _zeros(shape[1] for _, shape in config.layers)

    def forward(
        self, gradients: Mapping[str, Tensor], difference: Float[Tensor, "n"]
    ) -> dict[str, dict[str, Tensor]]:
        """Changes of a batch, of gradients by the scales and the images' differences."""
        made = {}
        for i, (key, shape) in enumerate(self.config.layers):
            g = gradients[key].flatten(3).sum(3)
            g = g / g.square().mean((1, 2), keepdim=True).sqrt().clamp_min(1e-30)
            size = torch.exp(self.rate[i] + self.outputs[i][:, None] + self.inputs[i])
            step = g / (g.square() + torch.exp(2 * self.soft[i])).sqrt()
            scale = -size * difference[:, None, None] * step
            made[key] = {"scale": scale.reshape(*scale.shape, *[1] * (len(shape) - 2))}
        return made


def _zeros(sizes: Iterable[int]) -> nn.ParameterList:
    return nn.ParameterList(torch.zeros(size) for size in sizes)
