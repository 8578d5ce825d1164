"""Identity embeddings of faces, by the built-in recognition network."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from directions.classifiers.crop import crop, rgb_images
from directions.classifiers.faces.inference import Prepare, fast_recognition, tiled
from directions.classifiers.faces.nets import RecognitionNet, folded, normalize, recognition_net
from directions.fingerprints import Precision, fingerprint

__all__ = ["FaceEmbedding"]

SIZE = 150


class FaceEmbedding:
    """Identity: embeddings of photographs closer than about 0.6 are meant to be of one person.

    The rule does not hold for rendered faces: different faces of `digiface64` have a mean cosine of
    0.92. Compare with different faces of the same generator, as `analysis.identity_preservation`
    does.

    Args:
        margin: Padding on each side of the image's central square, as a fraction of its side.

    Example:
        >>> FaceEmbedding()(torch.zeros(1, 3, 64, 64)).shape
        torch.Size([1, 128])
    """

    concurrent = True

    def __init__(self, *, margin: float = 0.0) -> None:
        self.margin = margin
        self._nets: dict[torch.device, RecognitionNet] = {}

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over weights and margin."""
        return fingerprint(recognition_net().state_dict(), {"margin": self.margin})

    def __call__(self, images: Tensor) -> Float[Tensor, "n 128"]:
        """Embeddings, float32, differentiable.

        Raises:
            LatdirError: Not a batch of RGB images.
        """
        if images.device not in self._nets:
            # Kept for later calls, which may want gradients.
            with torch.inference_mode(False):
                self._nets[images.device] = recognition_net().to(images.device)
        embedding: Tensor = self._nets[images.device](self._seen(images))
        return embedding

    def inference(self, *, precision: Precision = "float32") -> Callable[[Tensor], Tensor]:
        """The same function prepared for speed, without gradients.

        Args:
            precision: `bfloat16` runs the network in it, where cosines keep three digits.
        """
        dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32

        @cache
        def prepared(device: torch.device) -> Callable[[Tensor], Tensor]:
            net = fast_recognition(folded(recognition_net()), Prepare(device, dtype))

            def tile(images: Tensor) -> Tensor:
                seen = self._seen(images).to(dtype)
                return net(seen.contiguous(memory_format=torch.channels_last))

            return tile

        def run(images: Tensor) -> Tensor:
            with torch.inference_mode():
                return tiled(prepared(images.device), rgb_images(images).float())

        return run

    def _seen(self, images: Tensor) -> Float[Tensor, "n 3 150 150"]:
        return normalize(crop(rgb_images(images).float(), size=SIZE, margin=self.margin))
