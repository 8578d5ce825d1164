"""Mean gradient of text similarity: a direction from a few hundred codes, in any space.

With E the embedding of the image of a code z and t, t₀ those of a text and a neutral one, the
direction is E_z[∇_z E(G(z))·(t - t₀)], aggregated robustly against outliers; see
`gradient.py` for the estimators, the use of the values, and the evidence. It is the text
to direction step of StyleCLIP (Patashnik et al. 2021, arXiv:2103.17249) with derivatives in the
place of channel-wise finite differences, so that it needs neither channels nor β.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from directions.bank import DirectionBank
from directions.classifiers.clip.protocol import TextImageModel
from directions.generators.base import Generator
from discovery.base import TextMethod
from discovery.supervised.gradient import Gradient
from discovery.supervised.robust_means import Center
from discovery.wording import Wording

__all__ = ["ClipGradient"]


@dataclass(frozen=True)
class ClipGradient(TextMethod):
    """Mean gradient of the similarity of an image to a text rather than to a neutral one.

    Evidence is that of `Gradient`, `split_half_angle` among it.

    Attributes:
        n_codes: Number of codes to take gradients at.
        center: Mean of the gradients: `clipped` at the median norm, geometric `median`,
            `median_of_means`, or the plain `mean`, which a few outliers may ruin.
        values: Whether the similarities themselves are used as well.
        space: Latent space of the codes; by default the generator's first.
        batch_size: Codes at a time; bounds the memory.
        consistency: Share of the codes on which a coordinate's gradient must have the direction's
            sign, as StyleMC's filter of channels (Kocasari et al. 2022, arXiv:2112.08493) has 0.75;
            the direction is 0 in all others. 0 keeps all.

    Example:
        >>> from directions.planted.world import planted
        >>> from directions.planted.clip import PlantedClip
        >>> world = planted(factors=2, dim=16, names=("smile", "age"))
        >>> found = ClipGradient(n_codes=64).discover(
        ...     world, text="a smile", neutral="nothing", clip=PlantedClip(world))
        >>> bool(found["smile"].vector @ world.truth[0] > 0.99)
        True
    """

    n_codes: int = 300
    center: Center = "clipped"
    values: bool = True
    space: str | None = None
    batch_size: int = 32
    consistency: float = 0.0

    method: ClassVar[str] = "clip_gradient"

    def _find(
        self, generator: Generator, words: Wording, clip: TextImageModel, seed: int
    ) -> DirectionBank:
        return Gradient(
            n_codes=self.n_codes,
            center=self.center,
            values=self.values,
            space=self.space,
            batch_size=self.batch_size,
            consistency=self.consistency,
        ).discover(generator, classifier=words.judge(clip), seed=seed)
