"""Critics of codes and of images, trained beside an encoder, in one backward pass with it.

Both are trained by the logistic loss with R1. The encoder's own cost goes through a copy whose
weights are held, so that one sum serves both: each weight gets its own gradient only.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

__all__ = ["Critic"]

SLOPE = 0.2
HIDDEN = 256


class Critic(nn.Module):
    """A network that tells what is real from what is made, and its two costs.

    Args:
        shape: Of one code, `[d]`, or of one image, `[3, h, w]`.
        every: Steps between R1 terms, which are larger by as much.
        r1: Weight of the squared gradient at what is real.
    """

    def __init__(self, shape: tuple[int, ...], *, every: int = 16, r1: float = 10.0) -> None:
        super().__init__()
        self.every, self.r1 = every, r1
        layers: list[nn.Module] = []
        if len(shape) == 1:
            # e4e's: four layers.
            for before in (shape[0], *[HIDDEN] * 2):
                layers += [nn.Linear(before, HIDDEN), nn.LeakyReLU(SLOPE)]
            layers += [nn.Linear(HIDDEN, 1)]
        else:
            side, before, width = shape[-1], shape[0], 32
            while side > 4:
                layers += [nn.Conv2d(before, width, 4, 2, 1), nn.LeakyReLU(SLOPE)]
                side, before, width = side // 2, width, min(2 * width, HIDDEN)
            layers += [nn.Flatten(), nn.Linear(before * side**2, 1)]
        self.net = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Float[Tensor, "n 1"]:
        """Logits, high for what is real."""
        logits: Tensor = self.net(x)
        return logits

    def of_made(self, made: Tensor) -> Tensor:
        """What the maker pays: nothing flows into the critic's weights."""
        held = {name: p.detach() for name, p in self.named_parameters()}
        logits: Tensor = functional_call(self, held, (made,))
        return functional.softplus(-logits).mean()

    def own(self, real: Tensor, made: Tensor, step: int) -> Tensor:
        """What the critic pays: nothing flows into what is made."""
        cost = functional.softplus(self(made.detach())).mean()
        if step % self.every:
            return cost + functional.softplus(-self(real.detach())).mean()
        leaf = real.detach().clone().requires_grad_()
        logits = self(leaf)
        [slope] = torch.autograd.grad(logits.sum(), leaf, create_graph=True)
        penalty = slope.flatten(1).square().sum(1).mean()
        own = functional.softplus(-logits).mean()
        return cost + own + self.r1 / 2 * self.every * penalty
