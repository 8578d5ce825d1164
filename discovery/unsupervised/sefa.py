"""Closed-form factorization: the directions amplified most by the first affine maps of a code.

Yujun Shen, Bolei Zhou: Closed-Form Factorization of Latent Semantics in GANs, CVPR 2021,
arXiv:2007.06600. With A the style weights of the chosen layers, one above the other, and their
rows of unit norm, the directions are the leading eigenvectors of AᵀA.

Differences from the official code: eigenvectors come sorted, with a fixed sign, from a symmetric
solver, where `numpy.linalg.eig` returns them in no order; near-degenerate ones are reported; AᵀA of
any run of layers is the difference of two cumulative sums, so that many layer sets cost little
more than their eigenvectors. `normalize=False` gives the variant of rosinality's
`closed_form_factorization`, the right singular vectors of A unchanged.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from directions.bank import DirectionBank
from directions.direction import Direction
from directions.errors import LatdirError, SpaceError
from directions.generators.base import Generator
from directions.numerics.eigen import Spectrum, eigh, signed
from discovery.base import GeneratorMethod
from discovery.decomposition.covariance import column_gram

__all__ = ["SeFa", "factorize", "parse_layers"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SeFa(GeneratorMethod):
    """Eigenvectors of the style weights.

    Attributes:
        n_directions: Maximum number of directions; fewer where the weights have a lower rank.
        layers: Layers of w+ codes to factorize and to act on: `all`, or numbers and ranges such
            as `0-1,4`. Generators without such layers have `all` only, their first map.
        normalize: Whether every style channel has equal weight, whatever its weights' norm.

    Example:
        >>> from directions.generators import load_generator
        >>> bank = SeFa(n_directions=3).discover(load_generator("digiface64"))
        >>> bank["sefa_00"].evidence["tied_with"]
        []
    """

    n_directions: int = 20
    layers: str = "all"
    normalize: bool = True

    method: ClassVar[str] = "sefa"

    def discover(self, generator: Generator, *, seed: int = 0) -> DirectionBank:
        """Factorize the style weights; nothing is sampled, so there is no seed.

        Args:
            generator: One with `style_matrices`.
            seed: Without effect: nothing is sampled.

        Returns:
            Directions by descending eigenvalue, of `w` where there is one, otherwise of the
            generator's own space. `sigma` is the prior's standard deviation along each; evidence
            has `eigenvalue`, its `share` of their sum, `tied_with` and `tied_beyond`. Where
            layers were chosen, the directions act on those of w+ codes only.

        Raises:
            LatdirError: No style matrices, or layers that do not exist.
        """
        space = generator.space(generator.default_space("w"))
        indices, slots = _chosen(generator, self.layers)
        matrices = generator.style_matrices(indices)
        wide = [m for m in matrices if m.shape[1] != space.size]
        if wide:
            raise SpaceError(
                f"{generator.name} has style matrices of {wide[0].shape[1]} columns, but codes of "
                f"space {space.name!r} have {space.size} coordinates"
            )
        (spectrum,) = factorize(
            matrices, [range(len(matrices))], count=self.n_directions, normalize=self.normalize
        )
        prior = generator.prior(space.name)
        directions = tuple(
            Direction.from_vector(
                f"sefa_{i:02d}",
                vector.reshape(space.shape).float(),
                space=space.name,
                method=self.method,
                config=self.config,
                layers=slots,
                sigma=prior.sigma(vector),
                evidence=evidence,
            )
            for i, (vector, evidence) in enumerate(spectrum)
        )
        return DirectionBank.of(generator, directions)


def factorize(
    matrices: Sequence[Float[Tensor, "_ d"]],
    layer_sets: Sequence[Sequence[int]],
    *,
    normalize: bool = True,
    count: int | None = None,
) -> list[Spectrum]:
    """Factorize several sets of layers at once.

    Args:
        matrices: Style weights of all layers, each `[out, d]`.
        layer_sets: For each set, the numbers of its layers, distinct.
        normalize: Whether rows are scaled to unit norm; rows of zeros stay.
        count: Maximum number of eigenvectors; the null space is always excluded.

    Returns:
        For each set its leading eigenvectors, float64.

    Raises:
        LatdirError: An empty set, a layer that does not exist, or weights that are all zero.

    Example:
        >>> weights = [torch.tensor([[3.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.0, 2.0]])]
        >>> both, last = factorize(weights, [(0, 1), (1,)])
        >>> both.values.tolist(), last.vectors.tolist()
        ([2.0, 1.0], [[0.0, 1.0]])
    """
    rows = [matrix.detach().double() for matrix in matrices]
    if normalize:
        rows = [torch.nn.functional.normalize(r, dim=1) for r in rows]
    grams = [column_gram(r) for r in rows]
    sums = [torch.zeros_like(grams[0]), *itertools.accumulate(grams)]
    spectra = []
    for chosen in layer_sets:
        layers = sorted(chosen)
        if (
            not layers
            or layers[0] < 0
            or layers[-1] >= len(grams)
            or len(set(layers)) < len(layers)
        ):
            raise SpaceError(
                f"layers {list(chosen)} are not distinct numbers of 0 … {len(grams) - 1}"
            )
        channels = sum(len(rows[i]) for i in layers)
        if channels <= len(sums[0]) // 2:
            spectra.append(_of_few(torch.cat([rows[i] for i in layers]), count))
        else:
            total = sum((sums[stop] - sums[start] for start, stop in _runs(layers)), sums[0])
            spectra.append(_leading(total, channels, float(sums[-1].trace()), count))
    return spectra


def parse_layers(text: str, *, count: int) -> tuple[int, ...]:
    """Layer numbers from `all`, or from comma-separated numbers and ranges.

    Args:
        text: Such as `0-1,4`; both ends of a range are included.
        count: Number of layers.

    Raises:
        LatdirError: Not such a text, or a layer that does not exist.

    Example:
        >>> parse_layers("0-2, 5", count=8)
        (0, 1, 2, 5)
    """
    if text.strip() == "all":
        return tuple(range(count))
    layers: set[int] = set()
    for part in text.split(","):
        first, _, last = (p.strip() for p in part.partition("-"))
        if not first.isdigit() or not (last or first).isdigit():
            raise SpaceError(f"layers {text!r} are not 'all' or numbers and ranges like 0-1,4")
        layers.update(range(int(first), int(last or first) + 1))
    if not layers or max(layers) >= count:
        raise SpaceError(f"layers {text!r} are not among 0 … {count - 1}")
    return tuple(sorted(layers))


def _chosen(
    generator: Generator, layers: str
) -> tuple[tuple[int, ...] | None, tuple[int, ...] | None]:
    """Numbers of the style matrices to take, and of the w+ layers to act on; None means all."""
    slots = generator.style_slots
    if not slots:
        if layers.strip() != "all":
            raise SpaceError(
                f"the codes of {generator.name} have no layers to choose from: use layers='all'"
            )
        return None, None
    wanted = parse_layers(layers, count=max(slots) + 1)
    # Of several matrices that read one layer the last is the convolution's; ToRGB, which comes
    # before it, is left out but for the very last one, as in the official code.
    last = {slot: index for index, slot in enumerate(slots)}
    chosen = tuple(last[slot] for slot in wanted if slot in last)
    return chosen, None if len(wanted) == len(last) else wanted


def _runs(layers: Sequence[int]) -> list[tuple[int, int]]:
    """(start, stop) of each run of consecutive numbers."""
    groups = itertools.groupby(enumerate(layers), key=lambda pair: pair[1] - pair[0])
    runs = [[layer for _, layer in group] for _, group in groups]
    return [(run[0], run[-1] + 1) for run in runs]


def _leading(
    total: Float[Tensor, "d d"], channels: int, scale: float, count: int | None
) -> Spectrum:
    size = len(total)
    wanted = min(size, channels, count or size)
    spectrum = eigh(total, count=wanted)
    # Cumulative sums leave rounding errors of their own size in a null space.
    floor = size * torch.finfo(torch.float64).eps * scale
    rank = int((spectrum.values > floor).sum())
    if not rank:
        raise LatdirError(
            "the style weights of these layers are all zero: there is nothing in them"
        )
    if rank < wanted and count is not None:
        log.warning("%d components requested, but the style weights have rank %d", wanted, rank)
    return spectrum if rank == wanted else eigh(total, count=rank)


def _of_few(rows: Float[Tensor, "out d"], count: int | None) -> Spectrum:
    """Eigenvectors of AᵀA from those of the smaller A Aᵀ, where channels are fewer than d."""
    small = _leading(rows @ rows.T, len(rows), float(rows.square().sum()), count)
    vectors = small.vectors @ rows / small.values.sqrt()[:, None]
    return replace(small, vectors=signed(vectors / vectors.norm(dim=1, keepdim=True)))
