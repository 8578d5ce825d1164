"""Boundaries from text: zero-shot labels of a text-image model, then any boundary estimator.

Alec Radford et al.: Learning Transferable Visual Models From Natural Language Supervision, ICML
2021, arXiv:2103.00020, for the zero-shot classifier; Shen et al., InterFaceGAN, arXiv:2005.09635,
for the boundary. The generator need not be differentiable, and labels are cheap: of the methods
that start from text it is the one to begin with.

The built-in `tinyclip-faces` was trained on the faces of the built-in generators. For others pass
`load_clip("ViT-B/32")` or another real model; OpenAI's weights were not available where these
methods were written, so that all measurements here are with the small one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from directions.bank import DirectionBank
from directions.classifiers.clip.prompts import NEUTRAL, Texts
from directions.classifiers.clip.protocol import TextImageModel
from directions.generators.base import Generator
from discovery.base import TextMethod
from discovery.sampling.sampler import sample
from discovery.supervised.boundary import Boundary, Estimator
from discovery.text.request import Wording

__all__ = ["ClipBoundary"]

BATCH = 64


@dataclass(frozen=True)
class ClipBoundary(TextMethod):
    """Normals of boundaries between codes whose images are like a text and those that are not.

    Attributes:
        n_codes: Number of codes to label.
        estimator: What `boundary` takes: `ridge`, `lda`, `logistic`, `squared_hinge`, `hinge`,
            `mean_difference` or `interfacegan`.
        space: Latent space of the codes; by default the generator's first.

    Example:
        >>> from directions.planted.world import planted
        >>> from directions.planted.clip import PlantedClip
        >>> world = planted(factors=2, dim=16, names=("smile", "age"))
        >>> found = ClipBoundary(n_codes=500).discover(
        ...     world, text="a smile", neutral="nothing", clip=PlantedClip(world))
        >>> bool(found["smile"].vector @ world.truth[0] > 0.99)
        True
    """

    n_codes: int = 4000
    estimator: Estimator = "ridge"
    space: str | None = None

    method: ClassVar[str] = "clip_boundary"

    def discover(
        self,
        generator: Generator,
        *,
        text: Texts,
        clip: TextImageModel,
        neutral: str = NEUTRAL,
        without: Texts = (),
        out: str | Path | None = None,
        seed: int = 0,
    ) -> DirectionBank:
        """One direction a text.

        Args:
            generator: Makes the images.
            text: Where to: a text, several, or a mapping from names to texts; as `prompts_of`.
            clip: Embeds images and texts.
            neutral: Where from.
            without: Texts whose effects are taken out of the directions, such as `a man`.
            out: Folder for the labeled codes, from which an interrupted run resumes.
            seed: Seed of the codes.

        Returns:
            A bank in the order of the texts. Evidence is that of `Boundary`, with `text` and
            `neutral`; `disentangled` where something was held.

        Raises:
            LatdirError: Texts or settings that `Wording`, `sample` or `Boundary` refuse.
        """
        words = Wording.of(text, neutral=neutral, without=without)
        labeled = sample(
            generator, words.judge(clip), self.n_codes, seed=seed, out=out, space=self.space
        )
        return words.finished(
            Boundary(estimator=self.estimator).discover(labeled, seed=seed),
            by=self,
            generator=generator,
            clip=clip,
            provenance={"seed": seed, "samples": len(labeled)},
            batch=BATCH,
        )
