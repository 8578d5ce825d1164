"""Global text directions: the style channels that move images toward a text.

Or Patashnik, Zongze Wu, Eli Shechtman, Daniel Cohen-Or, Dani Lischinski: StyleCLIP: Text-Driven
Manipulation of StyleGAN Imagery, ICCV 2021, arXiv:2103.17249, section 6. With R the relevance of
each channel (see `relevance.py`) and Δt the unit vector between the embeddings of two texts,

    Δs_c = σ_c R_c·Δt / max|R·Δt|  where |R_c·Δt| ≥ β, and 0 elsewhere.

The channels are those of `s`; a generator without styles has its own coordinates, or any directions
given as axes. Every channel's movement has equal weight, however short: that suits channels with
one effect each. Coordinates of z all have many small effects: there `clip_boundary` and
`clip_gradient` come closer, and keeping all of them, not the best 50, helps. β is rarely known
beforehand, so by default it is set by the number of channels to keep, or by the leakage allowed.
The step that the paper calls α = 1 is kept in the evidence, and sigma makes amounts comparable with
those of other methods.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from directions.bank import DirectionBank
from directions.classifiers.base import Classifier
from directions.classifiers.clip.prompts import text_directions
from directions.classifiers.clip.protocol import TextImageModel
from directions.errors import LatdirError
from directions.fingerprints import Precision
from directions.generators.base import Generator
from discovery.base import TextMethod, tool
from discovery.text.axes import Axes
from discovery.text.channel_selection import Channels, LeastLeaking
from discovery.text.relevance import Relevance, Way, measure_relevance
from discovery.wording import Wording

__all__ = ["ClipGlobal"]


@dataclass(frozen=True)
class ClipGlobal(TextMethod):
    """Style channels that move images toward a text.

    Evidence: `beta`, `channels` kept, `largest` |relevance| met, `alpha_sigma` (sigmas that the
    paper's α = 1 moves), `top` (names and relevances of the strongest channels), and for `leakage`
    the effects `measured`.

    Attributes:
        space: Latent space; by default `s` where there is one, otherwise the generator's first.
        n_codes: Number of codes that relevance is averaged over.
        strength: Amount by which each channel is moved both ways, in its standard deviations.
        beta: Least |relevance| of a channel that is kept; by default set by `channels`.
        channels: Number of channels to keep where no beta is given.
        leakage: Keep as many channels as the mean effect on other attributes allows, as a fraction
            of the effect on the text's own; used instead of `channels`.
        way: `differences` of images as published, or the `jacobian`, faster for many channels.
        renormalize: Whether a channel's relevance is brought to unit length over the codes, as
            the official code does; otherwise channels whose codes disagree count less.
        precision: Arithmetic of the networks.
        batch_size: Images at a time.
        axes: Directions of one space to take instead of its channels, such as a PCA's.
        classifier: Scores the other attributes, for `leakage`; by default the text-image model,
            by the other texts.
        relevance: From `measure_relevance` or `relevance_of`, to measure it only once.
        state: File for the relevance, from which an interrupted run resumes.

    Example:
        >>> from directions.planted.world import planted
        >>> from directions.planted.clip import PlantedClip
        >>> world = planted(factors=2, dim=8, names=("smile", "age"))
        >>> found = ClipGlobal(n_codes=8, channels=8).discover(
        ...     world, text="a smile", neutral="nothing", clip=PlantedClip(world))
        >>> bool(found["smile"].vector @ world.truth[0] > 0.9)
        True
    """

    space: str | None = None
    n_codes: int = 100
    strength: float = 5.0
    beta: float | None = None
    channels: int = 50
    leakage: float | None = None
    way: Way = "differences"
    renormalize: bool = True
    precision: Precision = "float32"
    batch_size: int = 64
    axes: DirectionBank | None = tool()
    classifier: Classifier | None = tool()
    relevance: Relevance | None = tool()
    state: str | Path | None = tool()

    method: ClassVar[str] = "clip_global"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.channels < 1:
            raise LatdirError(f"channels is {self.channels}: keep at least 1")
        if self.beta is not None and not 0 <= self.beta < 1:
            raise LatdirError(f"beta {self.beta} must be in [0, 1): the paper's are near 0.1")
        if self.leakage is not None and not self.leakage > 0:
            raise LatdirError(f"leakage {self.leakage} must be positive: a usual one is 0.3")
        if self.leakage is not None and self.beta is not None:
            raise LatdirError("give beta or leakage, not both: leakage sets beta by measurement")

    def _find(
        self, generator: Generator, words: Wording, clip: TextImageModel, seed: int
    ) -> DirectionBank:
        toward = text_directions(clip, words.prompts)
        found = self.relevance or self.relevance_of(generator, clip, seed=seed)
        channels = Channels(generator, found.axes)
        directions = []
        rows = found.along(toward, renormalize=self.renormalize)
        for prompt, row in zip(words.prompts, rows, strict=True):
            if self.leakage is None:
                beta = self._beta(row)
                directions.append(channels.direction(prompt.name, row, beta=beta))
                continue
            least = LeastLeaking(
                channels, words.judge(clip), self.classifier, self.leakage, self.batch_size
            )
            directions.append(least.direction(prompt.name, row))
        return DirectionBank.of(generator, tuple(directions))

    def relevance_of(
        self,
        generator: Generator,
        clip: TextImageModel,
        *,
        seed: int = 0,
    ) -> Relevance:
        """The text-independent part, reusable for all texts.

        Args:
            generator: Makes the images.
            clip: Embeds them.
            seed: Seed of the codes.

        Raises:
            LatdirError: As `measure_relevance`.
        """
        if self.axes is None:
            moved = Axes.coordinates(generator, self.space or generator.default_space("s"))
        else:
            moved = Axes.of(self.axes.check(generator))
        return measure_relevance(
            generator,
            clip,
            moved,
            count=self.n_codes,
            strength=self.strength,
            way=self.way,
            precision=self.precision,
            seed=seed,
            batch=self.batch_size,
            path=self.state,
        )

    def _beta(self, row: Float[Tensor, "c"]) -> float:
        if self.beta is not None:
            return self.beta
        return float(row.abs().topk(min(self.channels, len(row))).values[-1])
