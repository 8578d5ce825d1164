"""In-domain inversion: an encoder's code refined, and held where the encoder would put it.

Zhu, Shen, Zhao, Zhou 2020, "In-Domain GAN Inversion for Real Image Editing", arXiv:2004.00049.
From E(x) 100 steps of Adam at 0.01 on the cost + 2 · mean (w − E(G(w)))². The official code
compares pixels and 5e-5 · VGG16 conv4_3; here the cost is yours.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor

from directions.errors import LatdirError, real_number
from directions.inversion.base import Solved
from directions.inversion.encoders.base import Encoder
from directions.inversion.encoders.files import built_in_encoder
from directions.inversion.objective import Objective
from directions.inversion.solvers.first_order import AdamMoments, FirstOrder, Stepper

__all__ = ["InDomain"]


@dataclass(frozen=True, eq=False)
class InDomain(FirstOrder):
    """Adam from an encoder's codes, with its regularization.

    Attributes:
        encoder: Of the generator; by default the built-in one.
        steps: Of Adam.
        rate: Its learning rate.
        domain: Weight of the mean squared distance from the encoder's code of the image made.
    """

    spaces: ClassVar[tuple[str, ...]] = ("w", "z")

    steps: int = 100
    encoder: Encoder | None = None
    rate: float = 0.01
    domain: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        real_number(self.rate, "rate", least=0.0)
        real_number(self.domain, "domain", least=0.0)

    @property
    def config(self) -> dict[str, Any]:
        """Name, settings, and the encoder by its fingerprint."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "encoder"}
        known = None if self.encoder is None else self.encoder.fingerprint
        return {"solver": type(self).__name__, **own, "encoder": known}

    def solve(self, objective: Objective, codes: Float[Tensor, "n ..."], *, seed: int) -> Solved:
        """As `Inverter.solve`.

        Raises:
            LatdirError: No encoder of the generator and space.
        """
        self._own(objective)
        return super().solve(objective, codes, seed=seed)

    def penalty(self, objective: Objective, codes: Tensor) -> Float[Tensor, "n"]:
        """2 · mean (w − E(G(w)))²."""
        encoder = self._own(objective)
        if not self.domain:
            return codes.new_zeros(len(codes))
        again = encoder.predicted(objective.generator.synthesize(codes, objective.space))
        return self.domain * (codes - again).flatten(1).square().mean(1)

    def stepper(self, objective: Objective, codes: Tensor) -> Stepper:
        """Adam."""
        return AdamMoments([self.rate] * self.steps)

    def _own(self, objective: Objective) -> Encoder:
        generator = objective.generator
        encoder = self.encoder or built_in_encoder(generator)
        if encoder is None:
            raise LatdirError(
                f"no encoder of {generator.name} is built in: give one, "
                "find_recipe('in_domain', encoder=train_encoder(generator).encoder)"
            )
        if encoder.generator.fingerprint != generator.fingerprint:
            raise LatdirError(
                f"{encoder.name} is an encoder of {encoder.generator.name}, not of {generator.name}"
            )
        if encoder.space != objective.space:
            raise LatdirError(
                f"{encoder.name} makes codes of {encoder.space}: invert with "
                f"space={encoder.space!r}"
            )
        return encoder
