"""Codes moved toward targets of their attributes, and what is seen of them.

What `latent2im` trains on: a pool of codes whose unmoved images are scored once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from directions.arguments import returned
from directions.classifiers.base import Classifier, check_finite
from directions.errors import LatdirError
from directions.progress import tqdm
from directions.scoring.features import Features
from directions.scoring.gradients import reader
from discovery.learned.contrast import Images
from discovery.learned.networks.reconstructors import LARGER, reduced

__all__ = ["Pool", "walked"]


def walked(
    codes: Float[Tensor, "n *shape"], alpha: Float[Tensor, "n k"], walks: Float[Tensor, "k *shape"]
) -> Float[Tensor, "n *shape"]:
    """Codes moved along the walks: w' = w + Σₐ αₐ Tₐ.

    Example:
        >>> walked(torch.zeros(1, 2), torch.tensor([[2.0, -1.0]]), torch.eye(2))
        tensor([[ 2., -1.]])
    """
    return codes + (alpha @ walks.flatten(1)).reshape(codes.shape)


@dataclass(frozen=True, eq=False)
class Pool:
    """Codes and what was seen of them, and how the same is seen of moved ones.

    Attributes:
        codes: `[n, *shape]`.
        told: `[n, k]`, p of their images.
        shown: Their images, reduced.
        see: Codes to images.
        read: Images to p.
        features: φ.
    """

    codes: Tensor
    told: Float[Tensor, "n k"]
    shown: Float[Tensor, "n 3 h w"]
    see: Images
    read: Callable[[Tensor], Tensor]
    features: Features

    @classmethod
    def of(
        cls,
        codes: Float[Tensor, "n *shape"],
        see: Images,
        classifier: Classifier,
        names: Sequence[str],
        *,
        features: Features,
        seed: int,
        held_out: int,
        batch_size: int,
    ) -> Pool:
        """Codes with their scores.

        Args:
            codes: `[n, *shape]`.
            see: Codes to images.
            classifier: Scores them, differentiably.
            names: Attributes.
            features: φ.
            seed: Of the codes.
            held_out: Number of the last codes, which values are not standardized over.
            batch_size: Codes at a time.

        Raises:
            LatdirError: An attribute that is unknown, not differentiable or the same for all codes.
        """
        read = reader(classifier, names)
        with torch.no_grad():
            parts = tqdm(torch.split(codes, batch_size), desc="images", delay=1, leave=False)
            made = [(read(images := see(part)).float(), reduced(images, LARGER)) for part in parts]
        scores, shown = (torch.cat(part) for part in zip(*made, strict=True))
        check_finite(scores, names=names, classifier=classifier.name, seed=seed)
        mean, scale = _standards(scores[: len(codes) - held_out], classifier, names)

        def told(images: Tensor) -> Tensor:
            return torch.sigmoid((read(images).float() - mean) / scale)

        return cls(codes, torch.sigmoid((scores - mean) / scale), shown, see, told, features)

    def moved(
        self, rows: Int[Tensor, "m"], target: Float[Tensor, "m k"], walks: Float[Tensor, "k *shape"]
    ) -> tuple[Float[Tensor, "m k"], Float[Tensor, "m f"], Float[Tensor, "m 3 h w"]]:
        """Attributes, change of φ, and images of codes moved toward their targets."""
        new = self.see(walked(self.codes[rows], target - self.told[rows], walks))
        after, before = (
            returned(self.features(images), "features", "n f")
            for images in (reduced(new, LARGER), self.shown[rows])
        )
        return self.read(new), after - before, new


def _standards(
    scores: Tensor, classifier: Classifier, names: Sequence[str]
) -> tuple[Tensor, Tensor]:
    """What logits are centered and scaled by: values by their mean and deviation."""
    kinds = {a.name: a.kind for a in classifier.attributes}
    value = torch.tensor([kinds[name] == "value" for name in names]).to(scores.device)
    deviation = scores.std(0)
    for name, d in zip(names, deviation.tolist(), strict=True):
        if not d > 0:
            raise LatdirError(
                f"attribute {name!r} is the same for all {len(scores)} codes: leave it out, or "
                "give more n_codes"
            )
    zero, one = torch.zeros_like(deviation), torch.ones_like(deviation)
    return torch.where(value, scores.mean(0), zero), torch.where(value, deviation, one)
