"""BigGAN-deep as pytorch-pretrained-biggan stores it.

Large Scale GAN Training for High Fidelity Natural Image Synthesis (Brock et al. 2018,
arXiv:1809.11096), appendix B: residual bottleneck blocks whose batch norms are conditional on the
noise and the class together, one self-attention layer, and batch-norm statistics kept for a range
of truncations.

Spectral norms are folded in when a checkpoint is loaded. Statistics between two stored truncations
are mixed as that project does it, with the weights exchanged, since its images are the reference:
at 0.345 of steps of 0.02, a quarter of the lower row and three quarters of the upper.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float
from scipy import special
from torch import Tensor, nn
from torch.nn import functional

from directions.devices import InDtype, sent
from directions.errors import LatdirError, SpaceError
from directions.fingerprints import fingerprint
from directions.generators.base import Generator
from directions.space import Prior, Space

__all__ = ["BigGANDeep", "BigGANGenerator", "Norm", "statistics"]

# Noise beyond this many standard deviations is redrawn.
BOUND = 2.0


def statistics(rows: Float[Tensor, "k c"], truncation: float) -> Float[Tensor, "c"]:
    """Batch-norm statistics at one truncation, of those stored at 0, 1/(k-1), …, 1.

    The arithmetic is the original's to the last bit, because where `truncation` should fall on a
    row, rounding decides between its neighbors.

    Example:
        >>> rows = torch.arange(51.0)[:, None]
        >>> [float(statistics(rows, t)) for t in (1.0, 0.4, 0.345, 0.14, 0.58)]
        [50.0, 20.0, 17.75, 8.0, 28.0]
    """
    step = 1.0 / (len(rows) - 1)
    part, index = math.modf(truncation / step)
    lower = rows[int(index)]
    return lower if part == 0.0 else lower * part + rows[int(index) + 1] * (1 - part)


class Norm(nn.Module):
    """Batch norm whose scale and offset are linear in the condition.

    Args:
        means: `[k, c]`, running means at k truncations.
        variances: `[k, c]`.
        scale: `[c, d]`; one is added.
        offset: `[c, d]`.
        eps: Added to variances.
    """

    means: Tensor
    variances: Tensor

    def __init__(
        self,
        *,
        means: Float[Tensor, "k c"],
        variances: Float[Tensor, "k c"],
        scale: Float[Tensor, "c d"],
        offset: Float[Tensor, "c d"],
        eps: float,
    ) -> None:
        super().__init__()
        self.register_buffer("means", means)
        self.register_buffer("variances", variances)
        self.scale = nn.Parameter(scale)
        self.offset = nn.Parameter(offset)
        self.eps = eps

    def forward(
        self, x: Float[Tensor, "n c h w"], condition: Float[Tensor, "n d"], truncation: float
    ) -> Float[Tensor, "n c h w"]:
        """Normalized, scaled and rectified."""
        deviation = (statistics(self.variances, truncation) + self.eps).sqrt().to(condition)
        mean = statistics(self.means, truncation).to(condition)
        scale = (1 + functional.linear(condition, self.scale)) / deviation
        offset = functional.linear(condition, self.offset) - mean * scale
        return affine_relu(x, scale[:, :, None, None], offset[:, :, None, None])


def affine_relu(x: Tensor, scale: Tensor, offset: Tensor) -> Tensor:
    """`relu(x scale + offset)` in the type of `x`."""
    return functional.relu(torch.addcmul(offset.to(x.dtype), x, scale.to(x.dtype)))


class Block(nn.Module):
    """A residual bottleneck: 1×1, 3×3, 3×3, 1×1 convolutions, each after its norm.

    Args:
        norms: Four.
        convolutions: Four.
        up: Whether it doubles the resolution.
    """

    def __init__(
        self, *, norms: Sequence[Norm], convolutions: Sequence[nn.Conv2d], up: bool
    ) -> None:
        super().__init__()
        self.norms = nn.ModuleList(norms)
        self.convolutions = nn.ModuleList(convolutions)
        self.up = up

    def forward(
        self, x: Float[Tensor, "n c h w"], condition: Float[Tensor, "n d"], truncation: float
    ) -> Float[Tensor, "n o H W"]:
        """The block's output; channels it drops are dropped from the shortcut too."""
        y = x
        for i, (norm, convolution) in enumerate(zip(self.norms, self.convolutions, strict=True)):
            y = norm(y, condition, truncation)
            y = convolution(_doubled(y) if i == 1 and self.up else y)
        shortcut = x[:, : y.shape[1]]
        return y + (_doubled(shortcut) if self.up else shortcut)


class Attention(nn.Module):
    """Self-attention with keys and values pooled to half the side.

    Args:
        query: `[c/8, c, 1, 1]`.
        key: `[c/8, c, 1, 1]`.
        value: `[c/2, c, 1, 1]`.
        out: `[c, c/2, 1, 1]`.
        gamma: `[1]`, its weight relative to the shortcut.
    """

    def __init__(
        self, *, query: Tensor, key: Tensor, value: Tensor, out: Tensor, gamma: Tensor
    ) -> None:
        super().__init__()
        self.query, self.key = nn.Parameter(query), nn.Parameter(key)
        self.value, self.out = nn.Parameter(value), nn.Parameter(out)
        self.gamma = nn.Parameter(gamma)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """The maps plus the attention-weighted features of all positions."""
        query = functional.conv2d(x, self.query).flatten(2)
        key = functional.max_pool2d(functional.conv2d(x, self.key), 2).flatten(2)
        value = functional.max_pool2d(functional.conv2d(x, self.value), 2).flatten(2)
        weights = (query.transpose(1, 2) @ key).softmax(-1).to(value.dtype)
        gathered = (value @ weights.transpose(1, 2)).reshape(*value.shape[:2], *x.shape[2:])
        return x + self.gamma * functional.conv2d(gathered, self.out)


class BigGANDeep(nn.Module):
    """The BigGAN-deep generator; `biggan_from_state` makes one.

    Args:
        embeddings: `[e, classes]`, one column a class.
        first: From the condition to the first maps, 4×4.
        layers: Blocks, and one attention among them.
        last_means: `[k, c]`, statistics of the unconditional norm at the end.
        last_variances: `[k, c]`.
        last_scale: `[c]`.
        last_offset: `[c]`.
        to_rgb: The last convolution, three channels.
        eps: Added to variances.
    """

    last_means: Tensor
    last_variances: Tensor

    def __init__(
        self,
        *,
        embeddings: Float[Tensor, "e classes"],
        first: nn.Linear,
        layers: Sequence[Block | Attention],
        last_means: Float[Tensor, "k c"],
        last_variances: Float[Tensor, "k c"],
        last_scale: Float[Tensor, "c"],
        last_offset: Float[Tensor, "c"],
        to_rgb: nn.Conv2d,
        eps: float,
    ) -> None:
        super().__init__()
        self.embeddings = nn.Parameter(embeddings)
        self.first = first
        self.layers = nn.ModuleList(layers)
        self.register_buffer("last_means", last_means)
        self.register_buffer("last_variances", last_variances)
        self.last_scale = nn.Parameter(last_scale)
        self.last_offset = nn.Parameter(last_offset)
        self.to_rgb = to_rgb
        self.eps = eps
        self.embed_dim, self.num_classes = embeddings.shape
        self.z_dim = first.in_features - self.embed_dim

    @property
    def blocks(self) -> list[Block]:
        """The layers but for the attention."""
        return [layer for layer in self.layers if isinstance(layer, Block)]

    @property
    def resolution(self) -> int:
        """Side of its images."""
        return int(4 * 2 ** sum(block.up for block in self.blocks))

    def forward(
        self, condition: Float[Tensor, "n d"], truncation: float
    ) -> Float[Tensor, "n 3 h w"]:
        """Images of conditions: noise and class embedding side by side."""
        x = self.first(condition).reshape(len(condition), 4, 4, -1).permute(0, 3, 1, 2)
        for layer in self.layers:
            x = layer(x, condition, truncation) if isinstance(layer, Block) else layer(x)
        variance = statistics(self.last_variances, truncation)
        scale = self.last_scale / (variance + self.eps).sqrt()
        offset = self.last_offset - statistics(self.last_means, truncation) * scale
        x = affine_relu(x, scale[:, None, None], offset[:, None, None])
        return torch.tanh(self.to_rgb(x).to(condition.dtype))


class BigGANGenerator(Generator):
    """A BigGAN-deep at one truncation, of one class or of any.

    Its spaces are `z`, the noise, and `w`, the condition of every layer: the noise and the
    embedding of the class side by side. With a label, z alone makes an image, and codes of `w`
    differ in the noise only. Without one, codes of `w` are sampled with a class drawn uniformly
    for each, so that the prior spans the classes and directions between them have a sigma:

        generator.class_code(207) - generator.class_code(281)

    is the direction in `w` from class 281 to class 207.

    Args:
        network: The network; put into evaluation mode and frozen, otherwise unchanged.
        name: Short name, shown and stored.
        label: The class all images belong to, or None.
        truncation: Half the bound of the noise, 0 < truncation <= 1: z is a standard normal
            redrawn beyond two deviations, times it. Batch-norm statistics are those of the same
            truncation. `sample(truncation=…)` scales codes further, and leaves the statistics.

    Raises:
        LatdirError: A class it does not have, or a truncation out of range.
    """

    concurrent = True

    def __init__(
        self,
        network: BigGANDeep,
        *,
        name: str,
        label: int | None = None,
        truncation: float = 0.4,
    ) -> None:
        if label is not None and not 0 <= label < network.num_classes:
            raise LatdirError(
                f"this network has classes 0 … {network.num_classes - 1}, so there is no class "
                f"{label}"
            )
        if not 0 < truncation <= 1:
            raise LatdirError(f"truncation is above 0 and at most 1, not {truncation}")
        self.network = network.eval().requires_grad_(False)
        self.name = name
        self.label = label
        self.truncation = float(truncation)
        width = network.z_dim + network.embed_dim
        self.spaces = {"z": Space("z", (network.z_dim,)), "w": Space("w", (width,))}
        self.image_shape = (3, network.resolution, network.resolution)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over the weights, the label and the truncation."""
        config: dict[str, Any] = {
            "label": self.label,
            "truncation": self.truncation,
            "up": [block.up for block in self.network.blocks],
            "eps": self.network.eps,
        }
        return fingerprint(self.network.state_dict(), config)

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.network.embeddings.device

    @cached_property
    def _networks(self) -> InDtype:
        """The network in the dtype of codes."""
        return InDtype(self.network)

    def with_label(self, label: int | None) -> BigGANGenerator:
        """The same network making images of one class, or of any."""
        return BigGANGenerator(
            self.network, name=self.name, label=label, truncation=self.truncation
        )

    def with_truncation(self, truncation: float) -> BigGANGenerator:
        """The same network at another truncation: fewer odd images, less variety."""
        return BigGANGenerator(
            self.network, name=self.name, label=self.label, truncation=truncation
        )

    def class_code(self, label: int) -> Float[Tensor, "d"]:
        """The code of `w` that has no noise and one class.

        Raises:
            LatdirError: A class it does not have.
        """
        checked = self.with_label(label)
        return functional.pad(checked._embedding(), (self.network.z_dim, 0))

    def synthesize(self, codes: Float[Tensor, "n ..."], space: str = "z") -> Tensor:
        """Images of codes, `[n, 3, R, R]` in [-1, 1]."""
        network = self._networks(codes.dtype)
        return cast(Tensor, network(self.map(codes, space, "w"), self.truncation))

    def _map(self, codes: Tensor, source: str, target: str) -> Tensor:
        if (source, target) == ("w", "z"):
            return codes[:, : self.network.z_dim]
        if (source, target) == ("z", "w"):
            return torch.cat([codes, self._embedding().to(codes).expand(len(codes), -1)], 1)
        return super()._map(codes, source, target)

    def _embedding(self) -> Float[Tensor, "e"]:
        if self.label is None:
            raise LatdirError(
                f"{self.name} is conditional on {self.network.num_classes} classes: choose one "
                "with generator.with_label(0), or give codes of 'w', which hold their class"
            )
        return self.network.embeddings[:, self.label].detach()

    def _draw(self, rng: np.random.Generator, count: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        low, high = special.ndtr((-BOUND, BOUND))
        quantiles = rng.uniform(low, high, (count, self.network.z_dim))
        return np.asarray(self.truncation * special.ndtri(quantiles), dtype=np.float32)

    def _block(self, seed: int, block: int, space: str) -> Tensor:
        if space == "z" or self.label is not None:
            return super()._block(seed, block, space)
        noise = super()._block(seed, block, "z")
        # The same key far ahead of the noise's counter: independent of it, and of the batch.
        bits = np.random.Philox(key=np.array([seed, block], dtype=np.uint64), counter=1 << 128)
        labels = np.random.Generator(bits).integers(self.network.num_classes, size=len(noise))
        embedded = self.network.embeddings.detach().T[sent(torch.from_numpy(labels), self.device)]
        return torch.cat([noise, embedded.to(noise)], 1)

    def prior(self, space: str | None = None) -> Prior:
        """Mean and covariance of the codes, exact: noise and classes are independent."""
        name = "z" if space is None else self.space(space).name
        if name not in self._priors:
            z_dim = self.network.z_dim
            density = math.exp(-(BOUND**2) / 2) / math.sqrt(2 * math.pi)
            shrink = 1 - 2 * BOUND * density / math.erf(BOUND / math.sqrt(2))
            noise = torch.eye(z_dim) * self.truncation**2 * shrink
            prior = Prior(torch.zeros(z_dim), noise)
            if name == "w":
                classes = self.network.embeddings.detach().T.double().cpu()
                classes = classes if self.label is None else classes[[self.label]]
                mean = classes.mean(0)
                centered = classes - mean
                spread = (centered.T @ centered / len(classes)).float()
                covariance = functional.pad(noise, (0, len(spread), 0, len(spread)))
                covariance[z_dim:, z_dim:] = spread
                prior = Prior(functional.pad(mean.float(), (z_dim, 0)), covariance)
            self._priors[name] = prior
        return self._priors[name]

    def style_matrices(self, layers: tuple[int, ...] | None = None) -> list[Tensor]:
        """Matrices applied to codes of `w`: the first layer, then each norm's scale and offset.

        The columns of the class are zero, so that directions found from them change the noise.

        Args:
            layers: Numbers among them; all by default. Number 0 is the first layer, 1 and 2 are
                the scale and offset of the first block's first norm, and so on.

        Raises:
            LatdirError: A layer it does not have.
        """
        norms = [cast(Norm, norm) for block in self.network.blocks for norm in block.norms]
        weights = [self.network.first.weight]
        weights += [weight for norm in norms for weight in (norm.scale, norm.offset)]
        chosen = range(len(weights)) if layers is None else layers
        wrong = [i for i in chosen if not 0 <= i < len(weights)]
        if wrong:
            raise SpaceError(f"{self.name} has style layers 0 … {len(weights) - 1}, not {wrong[0]}")
        class_columns = torch.arange(self.spaces["w"].size) >= self.network.z_dim
        return [weights[i].masked_fill(class_columns.to(self.device), 0.0) for i in chosen]


def _doubled(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="nearest")
