"""An encoder: a network that predicts codes from images, with the generator it belongs to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from directions.arguments import checked
from directions.devices import Movable
from directions.errors import LatdirError, SpaceError
from directions.fingerprints import fingerprint
from directions.generators.base import Generator
from directions.images import resize
from directions.inversion.checks import check_range
from directions.inversion.encoders.compact import CompactEncoder, Stages
from directions.inversion.encoders.networks import StyleEncoder
from directions.inversion.objective import Objective
from directions.inversion.starts import Start

__all__ = ["Encoded", "Encoder"]


class Encoder(Movable):
    """Images to codes in one pass, or in a few that each look at what the last one made.

    Args:
        network: Predicts codes as offsets from the mean; of pairs of images where `passes` are
            several, the second being the image so far.
        generator: Makes the images of the codes.
        space: Of the codes, `w` or `w+`.
        mean: What is added to the network's codes, of one code's shape.
        size: Side of the images that the network reads.
        name: Short name, shown and stored.
        passes: How often a network looks, each time at pairs if more than once, as ReStyle's.
        rows: The rows of its images that the network reads, as of cars; by default all.
        metric: `[d, d]`, JᵀJ of the images averaged over the prior, which solvers use, if known.

    Attributes:
        network, generator, space, size, name, passes, rows, metric: As given.

    Raises:
        LatdirError: Codes of another shape than the generator's.
    """

    def __init__(
        self,
        network: StyleEncoder | CompactEncoder | Stages,
        generator: Generator,
        *,
        space: str,
        mean: Tensor,
        size: int,
        name: str,
        passes: int = 1,
        rows: tuple[int, int] | None = None,
        metric: Tensor | None = None,
    ) -> None:
        self.network = network.eval().requires_grad_(False)
        self.generator, self.space, self.name = generator, space, name
        self.size, self.passes, self.rows, self.metric = size, passes, rows, metric
        wanted = generator.space(space)
        if network.shape != wanted.shape:
            raise SpaceError(
                f"the encoder makes codes of shape {list(network.shape)}, but those of "
                f"{generator.name}'s {space} have {list(wanted.shape)}: it was trained for "
                "another generator"
            )
        self.mean = mean.expand(wanted.shape).to(generator.device, torch.float32)

    def __repr__(self) -> str:
        return f"<encoder {self.name} of {self.generator.name}, {self.space}>"

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over the weights, the mean and the settings."""
        config = {"space": self.space, "size": self.size, "passes": self.passes, "rows": self.rows}
        return fingerprint({**self.network.state_dict(), "mean": self.mean}, config)

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.network.parameters()).device

    def fits(self, generator: Generator) -> bool:
        """Whether it is an encoder of a generator, or of the one that it was tuned from."""
        return self.generator.fingerprint in (generator.fingerprint, *generator.ancestors)

    @checked
    def encode(self, images: Float[Tensor, "n 3 h w"]) -> Tensor:
        """Codes of images.

        Args:
            images: `[n, 3, h, w]` in [-1, 1], of any size, framed as the generator's are.

        Returns:
            `[n, *space.shape]` of `self.space`, float32, without a graph.

        Raises:
            LatdirError: No images in [-1, 1].
        """
        check_range(images)
        with torch.no_grad():
            return self.predicted(images)

    def predicted(self, images: Tensor) -> Tensor:
        """The same, differentiable; images are not looked at before."""
        seen = self._framed(resize(images.float(), self.size).to(self.device))
        mean = self.mean.float()
        if self.passes == 1:
            return mean + self._predicted(seen, 0)
        made = self._rendered(mean[None]).expand_as(seen)
        codes = mean.expand(len(seen), *mean.shape)
        for i in range(self.passes):
            codes = codes + self._predicted(torch.cat([seen, made], 1), i)
            if i + 1 < self.passes:
                made = self._rendered(codes)
        return codes

    def _predicted(self, images: Tensor, look: int) -> Tensor:
        network = self.network.at(look) if isinstance(self.network, Stages) else self.network
        offsets: Tensor = network(images.to(next(network.parameters()).dtype))
        return offsets.float()

    def _rendered(self, codes: Tensor) -> Tensor:
        """Images of codes as the network reads them: averaged, or repeated, to its size."""
        images = self.generator.synthesize(codes, self.space).float()
        return self._framed(functional.adaptive_avg_pool2d(images, self.size))

    def _framed(self, images: Tensor) -> Tensor:
        return images if self.rows is None else images[:, :, slice(*self.rows)]


@dataclass(frozen=True, eq=False)
class Encoded(Start):
    """The encoder's codes; restarts begin at samples of the prior.

    Attributes:
        encoder: Of the generator whose codes are wanted.
    """

    encoder: Encoder

    @property
    def config(self) -> dict[str, Any]:
        """The encoder's name and fingerprint."""
        found = self.encoder
        return {"start": "Encoded", "encoder": found.name, "encoder_weights": found.fingerprint}

    def metric(self, objective: Objective) -> Tensor | None:
        """As `Start.metric`, kept with the encoder."""
        own = objective.space == self.encoder.space and objective.degradation is None
        return self.encoder.metric if own else None

    def first(self, objective: Objective, *, seed: int) -> Float[Tensor, "n ..."]:
        """As `Start.first`.

        Raises:
            LatdirError: An encoder of another generator or space, or degraded images that are
                no longer images.
        """
        encoder, generator = self.encoder, objective.generator
        if not encoder.fits(generator):
            raise LatdirError(
                f"{encoder.name} is an encoder of {encoder.generator.name}, not of "
                f"{generator.name}: invert with encoder.generator"
            )
        codes = encoder.encode(objective.observed)
        if encoder.space != objective.space:
            codes = generator.map(codes, encoder.space, objective.space)
        return codes.to(objective.observed)
