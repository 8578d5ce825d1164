"""Directions that change one region of the image and preserve the rest.

Jiapeng Zhu, Ruili Feng, Yujun Shen, Deli Zhao, Zheng-Jun Zha, Jingren Zhou, Qifeng Chen:
Low-Rank Subspaces in GANs (LowRankGAN), NeurIPS 2021, arXiv:2106.04488; Jiapeng Zhu, Yujun Shen,
Yinghao Xu, Deli Zhao, Qifeng Chen: Region-Based Semantic Factorization in GANs (ReSeFa), ICML
2022, arXiv:2202.09649.

With M_f = JᵀJ over the region's pixels and M_b over the others: `contrast` is ReSeFa's, the
generalized eigenvectors of (M_f, M_b); `null_space` is LowRankGAN's, what the background's leading
eigenvectors leave of the foreground; `alone` ignores the background.

Differences from the official code: the Jacobian is made in forward mode, by columns; metrics are
averaged over many codes, with a mask for each, where the originals work on one image; after the
background's directions have been projected out, the foreground's eigenvectors are computed anew,
which keeps them orthogonal and ranked. A ridge on M_b bounds the ratio.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from directions.bank import DirectionBank
from directions.classifiers import load_classifier
from directions.errors import LatdirError, UnknownNameError
from directions.executors import Executor
from directions.generators.base import Generator
from directions.numerics.eigen import Spectrum, eigh, generalized_eigh
from discovery.base import GeneratorMethod, tool
from discovery.decomposition.robust_pca import robust_pca
from discovery.jacobian.masks import PARTS, box_mask, part_mask
from discovery.jacobian.models import MetricAt, eigen_bank, metrics

__all__ = ["Region", "region_masks"]

BATCH = 64


@dataclass(frozen=True)
class Region(GeneratorMethod):
    """Directions of one region of the image.

    Attributes:
        region: A part of the face (eyes, mouth, nose, face, background), or a box in pixels,
            `top,left,bottom,right`.
        n_directions: Maximum number of directions; fewer where the codes have fewer dimensions.
        n_codes: Number of codes whose Jacobians are averaged.
        space: Latent space; by default `w` where there is one, otherwise the generator's own.
        solver: `contrast`, `null_space`, or `alone`.
        ridge: Added to the background's metric for `contrast`, as a fraction of its mean.
        protected: Share of the background's change that `null_space` takes away.
        low_rank: For `null_space`, use the whole `spectrum` or its low-rank part by `robust_pca`.
        chunk: Tangents at a time; by default as many as memory allows.
        executor: Where Jacobians are taken (`directions.executors`); by default here.

    Example:
        >>> from directions.generators import load_generator
        >>> top = Region(region="0,0,8,16", n_directions=2, n_codes=4)
        >>> top.discover(load_generator("planted"))
        DirectionBank(planted: region_00, region_01)
    """

    region: str = "mouth"
    n_directions: int = 10
    n_codes: int = 30
    space: str | None = None
    solver: Literal["contrast", "null_space", "alone"] = "contrast"
    ridge: float = 1e-2
    protected: float = 0.9
    low_rank: Literal["spectrum", "robust_pca"] = "spectrum"
    chunk: int | None = None
    executor: Executor | None = tool()

    method: ClassVar[str] = "region"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_least(0, "ridge")
        if not 0 < self.protected < 1:
            raise LatdirError(f"protected {self.protected} must be between 0 and 1")

    def discover(
        self,
        generator: Generator,
        *,
        seed: int = 0,
        codes: Float[Tensor, "n ..."] | None = None,
        mask: Float[Tensor, "..."] | None = None,
        landmarks: Callable[[Tensor], Tensor] | None = None,
    ) -> DirectionBank:
        """Find the directions.

        Args:
            generator: Any generator; for parts of the face, one of faces.
            seed: Of the codes.
            codes: `[n, *shape]`, to use instead of sampled ones.
            mask: `[h, w]`, or one for each code `[n, h, w]`, in 0 … 1, to use instead of
                `region`.
            landmarks: Takes images, returns iBUG's 68 points `[n, 68, 2]` in pixels; by default
                the built-in net's.

        Returns:
            Directions, best first. Evidence has, besides the eigenvalue, `foreground` and
            `background` (mean squared change per latent unit) and `inside`, the region's share
            of the change.

        Raises:
            LatdirError: An unknown region, a box or mask that does not fit, or an empty one.
        """
        space = self.space or generator.default_space("w")
        if codes is None:
            codes = generator.sample(self.n_codes, seed=seed, space=space)
        generator.check(codes, space)
        masks = region_masks(
            generator, codes, space=space, region=self.region, mask=mask, landmarks=landmarks
        )
        count = min(self.n_directions, generator.space(space).size)
        alone = self.solver == "alone"
        sides = masks[:, None] if alone else torch.stack([masks, 1 - masks], 1)
        at = MetricAt(generator, space, cropped=alone, chunk=self.chunk)
        total = torch.zeros(())
        for pair in metrics(at, codes, weights=sides, executor=self.executor):
            total = total.to(pair) + pair / len(codes)
        if alone:
            [front] = total
            spectrum = eigh(front, count=count)
            evidence: list[dict[str, Any]] = [{}] * count
        else:
            front, back = total
            spectrum = self._solve(front, back, count)
            evidence = _shares(spectrum, front, back)
        return eigen_bank(
            generator,
            spectrum,
            space=space,
            method=self.method,
            config=self.config,
            provenance={"seed": seed, "samples": len(codes)},
            evidence=evidence,
        )

    def _solve(
        self, front: Float[Tensor, "d d"], back: Float[Tensor, "d d"], count: int
    ) -> Spectrum:
        if self.solver == "contrast":
            return generalized_eigh(front, back, ridge=self.ridge, count=count)
        if self.low_rank == "robust_pca":
            front, back = robust_pca(front)[0], robust_pca(back)[0]
        whole = eigh(back)
        share = whole.values.clamp_min(0).cumsum(0) / whole.values.clamp_min(0).sum()
        kept = int((share < self.protected).sum()) + 1
        free = len(back) - kept
        if free < 1:
            raise LatdirError(
                f"{self.protected:.0%} of the background's change takes all {len(back)} "
                "dimensions: lower protected, or use solver='contrast'"
            )
        null = whole.vectors[kept:]
        inside = eigh(null @ front @ null.T, count=min(count, free))
        return Spectrum(
            values=inside.values,
            vectors=inside.vectors @ null,
            total=inside.total,
            ties=inside.ties,
            open_end=inside.open_end,
        )


def region_masks(
    generator: Generator,
    codes: Float[Tensor, "n ..."],
    *,
    space: str,
    region: str,
    mask: Float[Tensor, "..."] | None = None,
    landmarks: Callable[[Tensor], Tensor] | None = None,
) -> Float[Tensor, "n h w"]:
    """One mask for each code's image.

    Args:
        generator: Makes the images.
        codes: Whose images are masked.
        space: Space of the codes.
        region: A part of the face, found in each image, or a box, `top,left,bottom,right`.
        mask: `[h, w]` or `[n, h, w]`, to use instead of the region.
        landmarks: Takes images, returns iBUG's 68 points; by default the built-in net's.

    Raises:
        LatdirError: An unknown region, a box or mask that does not fit, or an empty one.
    """
    height, width = generator.image_shape[1:]
    if mask is None and region in PARTS:
        faces = landmarks or getattr(load_classifier("faces"), "landmarks")  # noqa: B009
        with torch.no_grad():
            parts = (codes[i : i + BATCH] for i in range(0, len(codes), BATCH))
            points = torch.cat([faces(generator.synthesize(part, space)) for part in parts])
        mask = torch.stack([part_mask(p, region, height=height, width=width) for p in points])
    elif mask is None:
        mask = box_mask(_window(region), height=height, width=width)
    if tuple(mask.shape) not in ((height, width), (len(codes), height, width)):
        raise LatdirError(
            f"the mask has shape {list(mask.shape)}: give [{height}, {width}], or "
            f"[{len(codes)}, {height}, {width}] for one per code"
        )
    if not ((mask >= 0) & (mask <= 1)).all():
        raise LatdirError(f"a mask must be in 0 … 1, not {float(mask.min())} … {float(mask.max())}")
    if not mask.flatten(-2).any(-1).all():
        raise LatdirError("a mask is empty: no pixel of the region is in the image")
    return mask.to(codes).expand(len(codes), height, width)


def _window(text: str) -> tuple[int, int, int, int]:
    try:
        top, left, bottom, right = (int(number) for number in text.split(","))
    except ValueError as error:
        raise UnknownNameError(
            f"no region {text!r}: it is one of {', '.join(PARTS)}, or a box in pixels such as "
            "'40,16,56,48' (top,left,bottom,right)"
        ) from error
    return top, left, bottom, right


def _shares(
    spectrum: Spectrum, front: Float[Tensor, "d d"], back: Float[Tensor, "d d"]
) -> list[dict[str, Any]]:
    """Mean squared change of the region and of the rest along each direction."""
    made = []
    for v in spectrum.vectors:
        f, b = float(v @ front @ v), float(v @ back @ v)
        made.append({"foreground": f, "background": b, "inside": f / (f + b) if f + b else 0.0})
    return made
