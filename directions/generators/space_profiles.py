"""Statistical profiles of latent spaces: which space a batch of codes looks like.

Where two spaces have one shape, such as z and w of most StyleGANs, a code of the wrong one makes
an image all the same. The spaces differ in how the energy of their codes is spread: z is white,
w has nearly all of it along a few axes. A profile holds the principal axes of a space, in groups
of descending variance; the energy of a code in each group, relative to that space's own, is near 1
for its own codes and off by orders of magnitude for others. Moves and truncation shift some
groups of a code, but do not give it the profile of another space.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["PROFILE_CODES", "SpaceProfiles", "readable"]

PROFILE_CODES = 2048
"""Codes of each space that a profile is estimated from."""

# Rows of a batch that are looked at, and the share of them that must agree.
ROWS = 16
QUORUM = 0.7
# Coordinates below which nothing can be told, of several codes and of one.
FEWEST, FEWEST_OF_ONE = 16, 128
# Coordinates of a group at least, and number of groups at most.
GROUP, GROUPS = 8, 8
# Share of a space's own codes beyond either end of its range; how far outside of it codes of
# another space are, and a space's own may be.
TAIL = 0.002
FAR, NEAR = 3.0, 1.5


class SpaceProfiles:
    """Profiles of spaces of one shape, each made at its first use.

    Args:
        draw: Codes of a space by its name, flattened, `[2048, d]`.
    """

    def __init__(self, draw: Callable[[str], Float[Tensor, "n d"]]) -> None:
        self._draw = draw
        self._made: dict[str, tuple[Tensor, _Axes]] = {}
        self._means: dict[str, Tensor] = {}
        self._ranges: dict[tuple[str, str], tuple[Tensor, Tensor]] = {}

    def looks_like(
        self, codes: Float[Tensor, "n d"], claimed: str, others: Sequence[str]
    ) -> str | None:
        """The other space whose codes these are, if they are far from the claimed one.

        Args:
            codes: Readable, on the CPU, float32.
            claimed: The space they are said to be of.
            others: Spaces that they may be of instead.
        """
        n, d = codes.shape
        if not others or n == 0 or d < (FEWEST if n > 1 else FEWEST_OF_ONE):
            return None
        codes = codes[:ROWS]
        beyond = self._beyond(codes, claimed, claimed, FAR)
        for other in others:
            # The axes of a white space are arbitrary, so that both spaces' axes are needed.
            far = (beyond | self._beyond(codes, claimed, other, FAR)).float().mean()
            if far >= QUORUM and self.plausible(codes, other, (claimed,)):
                return other
        return None

    def plausible(self, codes: Float[Tensor, "n d"], space: str, bases: Sequence[str] = ()) -> bool:
        """Whether most codes are within a space's own range, on its axes and those of others."""
        read = codes[:ROWS]
        beyond = torch.stack([self._beyond(read, space, b, NEAR) for b in (space, *bases)]).any(0)
        return bool((~beyond).float().mean() >= QUORUM)

    def _beyond(self, codes: Tensor, space: str, basis: str, factor: float) -> Bool[Tensor, "n"]:
        """Rows beyond a space's range by a factor in some group of axes of a basis.

        Of several rows, their differences count too: a move that all of them share cancels there.
        """
        axes, (low, high) = self._axes(basis), self._range(space, basis)
        views = [codes]
        if len(codes) > 1:
            scale = (len(codes) / (len(codes) - 1)) ** 0.5
            views.append(scale * (codes - codes.mean(0)) + self._mean(space))
        energy = axes.energy(torch.cat(views) - axes.mean)
        outside = ((energy < low / factor) | (energy > high * factor)).any(1)
        return outside.view(len(views), -1).any(0)

    def _range(self, space: str, basis: str) -> tuple[Tensor, Tensor]:
        if (space, basis) not in self._ranges:
            # Codes that the axes were not fitted to.
            axes = self._axes(basis)
            energy = axes.energy(self._codes(space)[PROFILE_CODES // 2 :] - axes.mean)
            low, high = energy.quantile(torch.tensor([TAIL, 1 - TAIL]), dim=0)
            self._ranges[space, basis] = low, high
        return self._ranges[space, basis]

    def _mean(self, space: str) -> Tensor:
        if space not in self._means:
            self._means[space] = self._codes(space).mean(0)
        return self._means[space]

    def _codes(self, space: str) -> Tensor:
        self._axes(space)
        return self._made[space][0]

    def _axes(self, space: str) -> _Axes:
        if space not in self._made:
            codes = self._draw(space).detach().float().cpu()
            self._made[space] = codes, _Axes.of(codes[: PROFILE_CODES // 2])
        return self._made[space][1]


@dataclass(frozen=True, eq=False)
class _Axes:
    """Principal axes of codes, variances descending; weights of a mean over each group of them."""

    mean: Float[Tensor, "d"]
    axes: Float[Tensor, "d d"]
    weights: Float[Tensor, "d g"]

    @classmethod
    def of(cls, codes: Float[Tensor, "n d"]) -> _Axes:
        mean = codes.mean(0)
        centered = (codes - mean).double()
        values, axes = torch.linalg.eigh(centered.T @ centered / (len(codes) - 1))
        floor = 1e-9 * values[-1].clamp_min(1e-300)
        variances = values.flip(0).clamp_min(floor).float()
        groups = max(1, min(GROUPS, len(variances) // GROUP))
        parts = torch.eye(groups).repeat_interleave(
            torch.tensor([len(p) for p in variances.tensor_split(groups)]), 0
        )
        return cls(mean, axes.flip(1).float(), parts / parts.sum(0) / variances[:, None])

    def energy(self, centered: Float[Tensor, "n d"]) -> Float[Tensor, "n g"]:
        """Squared standardized coordinate, its mean over each group of axes."""
        return (centered @ self.axes).square() @ self.weights


def readable(codes: Tensor) -> Tensor | None:
    """The first codes as plain numbers on the CPU, or None where their values cannot be read.

    They cannot under `vmap`, in FakeTensorMode, on the meta device, while a graph is captured or
    compiled.

    Example:
        >>> readable(torch.zeros(2, 3)).shape
        torch.Size([2, 3])
        >>> readable(torch.zeros(2, 3, device="meta")) is None
        True
    """
    if torch.compiler.is_compiling() or codes.numel() == 0:
        return None
    if codes.is_cuda and torch.cuda.is_current_stream_capturing():
        return None
    try:
        with torch.no_grad():
            read = codes[:ROWS].detach().to("cpu", torch.float32)
            read.flatten()[:1].tolist()
            return read
    except RuntimeError:
        return None
