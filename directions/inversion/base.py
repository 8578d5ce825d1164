"""The contract of the ways to invert, and the result of an inversion."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from directions.arguments import Settings
from directions.errors import LatdirError, real_number, whole_number
from directions.generators.base import Generator
from directions.inversion.objective import Degradation, Objective
from directions.inversion.starts import Ridge, Start

__all__ = ["STATUSES", "Inversion", "Inverter", "Solved"]

STATUSES = ("converged", "unfinished", "stagnated", "out of range", "failed")
"""What became of an image.

`converged`: the target PSNR is reached, or no step improves it further above the range limit.
`unfinished`: the steps ran out above the range limit. `stagnated`: below that limit, and no
restart was allowed. `out of range`: below it from every start. `failed`: not finite.
"""


@dataclass(frozen=True, eq=False)
class Solved:
    """What a solver returns: of each image the best iterate.

    Attributes:
        codes: `[n, *space.shape]`.
        costs: `[n]`, of these codes; infinite where none was finite.
        steps: `[n]`, steps taken.
        stationary: `[n]`, whether it ended because steps no longer improved the cost.
    """

    codes: Float[Tensor, "n ..."]
    costs: Float[Tensor, "n"]
    steps: Int[Tensor, "n"]
    stationary: Bool[Tensor, "n"]

    @classmethod
    def start(cls, codes: Float[Tensor, "n ..."]) -> Solved:
        """Before the first step."""
        n, device = len(codes), codes.device
        return cls(
            codes.clone(),
            torch.full((n,), torch.inf, device=device),
            torch.zeros(n, dtype=torch.long, device=device),
            torch.zeros(n, dtype=torch.bool, device=device),
        )

    def keep(
        self, rows: Int[Tensor, "m"], codes: Float[Tensor, "m ..."], costs: Float[Tensor, "m"]
    ) -> None:
        """Note iterates of some of the images where they are the best so far."""
        better = costs < self.costs[rows]
        self.codes[rows[better]] = codes[better].detach()
        self.costs[rows[better]] = costs[better].detach()


@dataclass(frozen=True)
class Inverter(Settings, ABC):
    """A way to minimize the cost of codes; its fields are its settings.

    Every image is treated by itself: damping, line searches and stopping are per image, so that
    results do not depend on the batch beyond rounding.

    Attributes:
        steps: Steps at most.
        target: PSNR in decibels at which an image is done.
        prior: Weight, beside the mean squared difference, of the squared distance from the prior
            (`Typicality`): the mean square of z's coordinates, or of those of w, w+, p and pn
            along the prior's axes (Mahalanobis, P_N).
    """

    gradients: ClassVar[bool] = True
    """Whether the generator has to be differentiable."""
    preconditioned: ClassVar[bool] = False
    """Whether it uses JᵀJ averaged over the prior."""
    spaces: ClassVar[tuple[str, ...]] = ("w",)
    """Spaces it searches where none is named, the first that the generator has."""
    start: ClassVar[Start] = Ridge()
    """Where it begins where no start is given."""

    steps: int = 100
    target: float = 100.0
    prior: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        whole_number(self.steps, "steps", least=1)
        real_number(self.prior, "prior", least=0.0)

    @property
    def config(self) -> dict[str, Any]:
        """Its name and settings, for records."""
        return {"solver": type(self).__name__, **asdict(self)}

    @abstractmethod
    def solve(self, objective: Objective, codes: Float[Tensor, "n ..."], *, seed: int) -> Solved:
        """Minimize the cost of each image from a code each.

        Args:
            objective: The costs of n images.
            codes: Where to start, within the objective's radius.
            seed: Of whatever is drawn at random, the same for every image.
        """

    def retry(self, objective: Objective, codes: Float[Tensor, "n ..."], *, seed: int) -> Solved:
        """Minimize the cost again from the code of a restart; by default as `solve`."""
        return self.solve(objective, codes, seed=seed)

    @property
    def goal(self) -> float:
        """The cost at which an image is done, that of the target PSNR."""
        return 4 / 10 ** (self.target / 10)


@dataclass(frozen=True, eq=False)
class Inversion:
    """Codes of images, and how well each reproduces its image.

    Attributes:
        codes: `[n, *space.shape]`.
        space: Their space.
        costs: `[n]`, what was minimized.
        psnr: `[n]`, in decibels, of what was observed.
        distances: `[n]`, from the prior: root mean square of standardized coordinates, near 1
            for the generator's own codes.
        statuses: Of each image, one of `STATUSES`.
        typical_psnr: `[n]`, the PSNR of the best code as near to the prior as the generator's
            own; NaN for images that are not out of range.
        starts: Of each image, the start that led to its code.
        steps: `[n]`, steps over all starts.
        seconds: `[n]`, the image's share of its batch's time.
        record: Generator and its fingerprint, label, noise, solver and settings, start,
            degradation, seed: with these and the code the image is made again.
        generator: Makes the reconstructions.
        degradation: What the images had gone through, or None.
        names: Of each image, such as its file's; or empty.
        tuned: Of each image, the generator with weights of its own that makes it, such as
            `tune` and hypernetworks give; or empty.
    """

    codes: Float[Tensor, "n ..."]
    space: str
    costs: Float[Tensor, "n"]
    psnr: Float[Tensor, "n"]
    distances: Float[Tensor, "n"]
    statuses: tuple[str, ...]
    typical_psnr: Float[Tensor, "n"]
    starts: tuple[str, ...]
    steps: Int[Tensor, "n"]
    # Of two equal inversions the times differ.
    seconds: Float[Tensor, "n"] = field(compare=False)
    record: Mapping[str, Any]
    generator: Generator = field(repr=False)
    degradation: Degradation | None = field(default=None, repr=False)
    names: tuple[str, ...] = ()
    tuned: tuple[Generator, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if self.tuned and len(self.tuned) != len(self.codes):
            raise LatdirError(
                f"{len(self.tuned)} tuned generators for {len(self.codes)} images: give one each"
            )

    def __len__(self) -> int:
        return len(self.codes)

    def reconstruct(self, *, batch_size: int = 16) -> Float[Tensor, "n 3 h w"]:
        """The images of the codes, without degradation, as the costs were measured on."""
        parts = torch.split(self.codes, 1 if self.tuned else batch_size)
        makers = self.tuned or [self.generator] * len(parts)
        with torch.no_grad():
            images = [
                maker.synthesize(part, self.space)
                for maker, part in zip(makers, parts, strict=True)
            ]
        return torch.cat(images)

    def __str__(self) -> str:
        found = [f"{self.statuses.count(s)} {s}" for s in STATUSES if s in self.statuses]
        middle = f"median PSNR {float(self.psnr.nanmedian()):.1f} dB"
        return f"{len(self)} images in {self.space}: {', '.join(found)}; {middle}"

    def table(self) -> list[dict[str, Any]]:
        """One row an image: name, where there are names, and the per-image results."""
        return [
            {
                **({"name": self.names[i]} if self.names else {}),
                "status": self.statuses[i],
                "psnr": float(self.psnr[i]),
                "typical_psnr": float(self.typical_psnr[i]),
                "distance": float(self.distances[i]),
                "start": self.starts[i],
                "steps": int(self.steps[i]),
                "seconds": float(self.seconds[i]),
            }
            for i in range(len(self))
        ]

    def check(self, generator: Generator) -> None:
        """Refuse another generator than the codes were found with.

        Raises:
            LatdirError: Another fingerprint.
        """
        if generator.fingerprint != self.record["fingerprint"]:
            raise LatdirError(
                f"these codes were found with {self.record['generator']}, and {generator.name} has "
                "another fingerprint: invert the images again with it"
            )
