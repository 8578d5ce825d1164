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
from directions.classifiers.clip.protocol import TextImageModel
from directions.fingerprints import Precision
from directions.generators.base import Generator
from directions.scoring.rendering import Rendering
from discovery.base import TextMethod, tool
from discovery.sampling.sampler import sample
from discovery.supervised.boundary import Boundary, Estimator
from discovery.wording import Wording

__all__ = ["ClipBoundary"]


@dataclass(frozen=True)
class ClipBoundary(TextMethod):
    """Normals of boundaries between codes whose images are like a text and those that are not.

    Evidence is that of `Boundary`.

    Attributes:
        n_codes: Number of codes to label.
        estimator: What `boundary` takes: `ridge`, `lda`, `logistic`, `squared_hinge`, `hinge`,
            `mean_difference` or `interfacegan`.
        space: Latent space of the codes; by default the generator's first.
        precision: Arithmetic of generator and model; by default measured on long runs.
        state: Folder for the labeled codes, from which an interrupted run resumes.

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
    precision: Precision | None = None
    state: str | Path | None = tool()

    method: ClassVar[str] = "clip_boundary"

    def _find(
        self, generator: Generator, words: Wording, clip: TextImageModel, seed: int
    ) -> DirectionBank:
        labeled = sample(
            generator,
            words.judge(clip),
            self.n_codes,
            seed=seed,
            out=self.state,
            space=self.space,
            rendering=Rendering(precision=self.precision),
        )
        return Boundary(estimator=self.estimator).discover(labeled, seed=seed)
