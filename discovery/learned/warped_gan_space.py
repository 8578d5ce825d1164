"""Curved paths trained to be told apart: gradients of sums of Gaussians.

C. Tzelepis, G. Tzimiropoulos & I. Patras: WarpedGANSpace, ICCV 2021, arXiv:2109.13357. Path k
follows the gradient of Σᵢ αᵢ exp(-γₖ ‖x - sᵢ‖²) over antipodal pairs of support vectors, which
start on a sphere of their own radius between 1 and 4; support vectors and γ are trained as in
`contrast.py`. How much paths bend is evidence of each: with γ = 1 / d they start nearly straight,
and training need not bend them.

Differences from the official code: a training step is as long as an edit, up to `reach`, where the
official one is 0.2; either sign is drawn as often; where a gradient vanishes a code stays; codes
are centered and scaled in spaces other than z.
"""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from typing import ClassVar

import torch
from torch import Tensor, nn

from directions.generators.base import Generator
from directions.paths.warp import WarpPath, warp_field
from discovery.learned.contrast import ContrastMethod, Mover, spread
from discovery.learned.mean_steps import Trained
from discovery.learned.path_methods import PathMethod

__all__ = ["WarpedGANSpace"]

RADII = (1.0, 4.0)
JUDGED = 256


class Warps(Mover):
    """Steps along the normalized gradients of K sums of Gaussians.

    Args:
        support: `[K, s, d]`, support vectors.
        alphas: `[K, s]`.
        gamma: `[K]`, γ before training.
        mean: `[d]`, of the codes.
        scale: Latent units to one of x.
    """

    mean: Tensor
    alphas: Tensor

    def __init__(
        self, support: Tensor, alphas: Tensor, gamma: Tensor, mean: Tensor, scale: float
    ) -> None:
        super().__init__()
        self.support, self.log_gamma = nn.Parameter(support), nn.Parameter(gamma.log())
        self.register_buffer("alphas", alphas)
        self.register_buffer("mean", mean)
        self.scale = scale

    def forward(self, codes: Tensor, index: Tensor, amount: Tensor) -> Tensor:
        """As `Mover.forward`."""
        x = (codes - self.mean) / self.scale
        gamma = self.log_gamma.exp()[index]
        field = warp_field(x, self.support[index], self.alphas[index], gamma)
        return codes + amount[:, None] * field


@dataclass(frozen=True)
class WarpedGANSpace(PathMethod[WarpPath], ContrastMethod):
    """Curved paths trained to be told apart; its other settings are those of `ContrastMethod`.

    `train` gives the paths themselves; `discover` their mean steps as straight directions.
    Evidence: `accuracy` and `amount_error` of the reconstructor on held-out codes, `agreement`
    (mean cosine of the codes' own steps with the mean step), `bend` (1 - mean cosine of a code's
    steps from -1 to 0 and from 0 to 1 sigma) and `gamma`.

    Attributes:
        reach: Longest step, in mean standard deviations of the codes' coordinates.
        pairs: Antipodal pairs of support vectors a path.
        gamma: γ of the Gaussians at first; 0 takes 1 / d.

    Example:
        >>> from directions.generators import load_generator
        >>> found = WarpedGANSpace(n_directions=2, pairs=4, steps=20, n_codes=64, batch_size=8)
        >>> found.discover(load_generator("planted"))
        DirectionBank(planted: warped_gan_space_00, warped_gan_space_01)
    """

    reach: float = 3.0
    pairs: int = 32
    gamma: float = 0.0

    method: ClassVar[str] = "warped_gan_space"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_least(1, "pairs")
        self._check_least(0, "gamma")

    def _trained(
        self, generator: Generator, seed: int, checkpoint: str | PathLike[str] | None
    ) -> Trained[WarpPath]:
        space, found = self._contrasted(generator, seed, checkpoint)
        warps = found.mover
        assert isinstance(warps, Warps)
        codes = generator.sample(JUDGED, seed=seed, start=self.n_codes, space=space)
        prior, flat = generator.prior(space), codes.flatten(1)
        paths = {}
        for name, j in found.order(self.method):
            index = torch.full((len(codes),), j, device=codes.device)
            with torch.no_grad():
                mean = (warps(flat, index, torch.ones_like(flat[:, 0])) - flat).mean(0).cpu()
            paths[name] = WarpPath(
                name,
                space,
                prior.sigma(mean / mean.norm()),
                warps.scale,
                float(warps.log_gamma[j].exp()),
                warps.mean.cpu(),
                warps.support[j].detach().cpu(),
                warps.alphas[j].cpu(),
                generator.name,
                generator.fingerprint,
            )
        gammas = [{"gamma": path.gamma} for path in paths.values()]
        figures = [{**a, **b} for a, b in zip(found.figures, gammas, strict=True)]
        return Trained(paths, codes, figures, found.provenance)

    def _mover(self, generator: Generator, space: str, seed: int) -> Mover:
        size, k = generator.space(space).size, self.n_directions
        rng = torch.Generator().manual_seed(seed % 2**63)
        drawn = torch.randn(k, self.pairs, 1, size, generator=rng)
        radii = torch.linspace(*RADII, k)[:, None, None, None]
        ahead = radii * drawn / drawn.norm(dim=-1, keepdim=True)
        support = torch.cat([ahead, -ahead], 2).flatten(1, 2)
        alphas = torch.tensor([1.0, -1.0]).repeat(k, self.pairs)
        gamma = torch.full((k,), self.gamma or 1 / size)
        mean = generator.prior(space).mean.float()
        return Warps(support, alphas, gamma, mean, spread(generator, space))
