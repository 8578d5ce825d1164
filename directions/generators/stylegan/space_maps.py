"""Maps between latent spaces that are more than a layer of the network.

PCA-whitening of the space before the mapping's last leaky ReLU (Zhu, Abdal, Qin, Femiani, Wonka
2020: Improved StyleGAN Embedding: Where are the Good Latents?, arXiv:2012.09036), and the way
back from styles to w in least squares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from directions.space import LowRankPrior, Prior

__all__ = ["AffineInverse", "Whitening", "through_affine"]


@dataclass(frozen=True, eq=False)
class Whitening:
    """Coordinates in which a prior has mean zero and unit covariance, and back.

    Axes are the covariance's eigenvectors, by descending eigenvalue, with the largest coordinate
    of each positive. Axes along which codes hardly vary keep a floor under their deviation, so
    that the inverse stays exact: codes vary by less than 1 along those.

    Attributes:
        mean: `[d]`, of the codes.
        axes: `[d, d]`, in rows.
        deviations: `[d]`, along each axis.
    """

    mean: Float[Tensor, "d"]
    axes: Float[Tensor, "d d"]
    deviations: Float[Tensor, "d"]

    @classmethod
    def of(cls, prior: Prior) -> Whitening:
        """The whitening of a prior.

        Example:
            >>> white = Whitening.of(Prior(torch.ones(2), torch.diag(torch.tensor([4.0, 9.0]))))
            >>> white.forward(torch.tensor([[1.0, 4.0], [3.0, 1.0]]))
            tensor([[1., 0.],
                    [0., 1.]])
        """
        values, vectors = torch.linalg.eigh(prior.covariance.double().cpu())
        values, axes = values.flip(0), vectors.T.flip(0)
        largest = axes.gather(1, axes.abs().argmax(1, keepdim=True))
        floor = len(values) * torch.finfo(torch.float32).eps * values[0]
        return cls(prior.mean, axes * largest.sign(), values.clamp_min(floor).sqrt())

    def forward(self, codes: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
        """To the whitened coordinates."""
        centered = codes - self.mean.to(codes)
        return centered @ self.axes.to(codes).T / self.deviations.to(codes)

    def back(self, codes: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
        """From the whitened coordinates."""
        return (codes * self.deviations.to(codes)) @ self.axes.to(codes) + self.mean.to(codes)

    def prior(self, original: Prior) -> Prior:
        """The prior of whitened codes: mean zero, and the identity except for floored axes."""
        axes = self.axes / self.deviations[:, None]
        covariance = axes @ original.covariance.double().cpu() @ axes.T
        return Prior(torch.zeros_like(self.mean), covariance.float().to(self.mean.device))


@dataclass(frozen=True, eq=False)
class AffineInverse:
    """The least-squares w for given outputs of several affine layers.

    Where the layers together have fewer channels than w has coordinates, or depend on one another,
    many w fit equally well: it is the one closest to `center`.

    Attributes:
        weight: `[channels, d]`, the layers' weights one above the other.
        bias: `[channels]`.
        center: `[d]`.
        inverse: `[d, channels]`, pseudo-inverse of the weight.
    """

    weight: Float[Tensor, "c d"]
    bias: Float[Tensor, "c"]
    center: Float[Tensor, "d"]
    inverse: Float[Tensor, "d c"]

    @classmethod
    def of(cls, layers: Sequence[nn.Linear], *, center: Float[Tensor, "d"]) -> AffineInverse:
        """The inverse of layers that read the same w.

        Example:
            >>> layer = nn.Linear(2, 3)
            >>> w = torch.tensor([[1.0, -2.0]])
            >>> found = AffineInverse.of([layer], center=torch.zeros(2)).solve(layer(w))
            >>> torch.allclose(found, w, atol=1e-5)
            True
        """
        weight = torch.cat([layer.weight.detach() for layer in layers])
        bias = torch.cat([layer.bias.detach() for layer in layers])
        # The smaller of the two Gram matrices has the same rank; cut where float32 weights end.
        a = weight.double()
        wide = len(a) < a.shape[1]
        gram = a @ a.T if wide else a.T @ a
        inverted = torch.linalg.pinv(
            gram, hermitian=True, rtol=len(gram) * torch.finfo(torch.float64).eps
        )
        inverse = a.T @ inverted if wide else inverted @ a.T
        return cls(weight, bias, center.detach(), inverse.to(weight.dtype))

    def solve(self, styles: Float[Tensor, "n c"]) -> Float[Tensor, "n d"]:
        """The w of outputs of all layers side by side."""
        center = self.center.to(styles)
        rest = styles - self.bias.to(styles) - center @ self.weight.to(styles).T
        return center + rest @ self.inverse.to(styles).T


def through_affine(prior: Prior, weight: Float[Tensor, "e d"], bias: Float[Tensor, "e"]) -> Prior:
    """The prior of `weight · code + bias`, exactly."""
    exact = weight.detach().double().cpu()
    mean = exact @ prior.mean.double().cpu() + bias.detach().double().cpu()
    factor = exact @ prior.root
    return LowRankPrior(mean.float(), factor.float())
