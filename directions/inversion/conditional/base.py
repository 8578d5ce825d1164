"""A conditional encoder: codes of images at a target value, or with another image's identity."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked
from directions.errors import LatdirError
from directions.images import resize
from directions.inversion.checks import check_range
from directions.inversion.conditional.network import ConditionalNetwork
from directions.inversion.encoders.attached import Attached
from directions.inversion.encoders.base import Encoder
from directions.inversion.encoders.compact import CompactEncoder

__all__ = ["ConditionalEncoder", "predicted", "trunk"]

log = logging.getLogger(__name__)


class ConditionalEncoder(Attached):
    """Images, and what is asked of them, to codes.

    Args:
        network: Predicts offsets from an encoder's last map and conditions.
        encoder: One that `train_encoder` made, of one pass.
        name: Short name, shown and stored.
        attribute: What a target value is of, or `identity`.
        embed: Images to embeddings of identity `[n, k]`, where that is the condition.
        held: Images to what stays of them, `[n, m]`, where there is a second look.

    Attributes:
        network, encoder, name, attribute, embed, held: As given.

    Raises:
        LatdirError: An encoder of another architecture.
    """

    network: ConditionalNetwork

    def __init__(
        self,
        network: ConditionalNetwork,
        encoder: Encoder,
        *,
        name: str,
        attribute: str,
        embed: Callable[[Tensor], Tensor] | None = None,
        held: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        trunk(encoder)
        config = {"attribute": attribute, **network.config.as_dict()}
        super().__init__(network, encoder, name=name, config=config)
        self.attribute, self.embed, self.held = attribute, embed, held

    def __repr__(self) -> str:
        return f"<conditional encoder {self.name} by {self.attribute}, over {self.encoder!r}>"

    @property
    def space(self) -> str:
        """Of the codes."""
        return self.encoder.space

    @checked
    def encode(self, images: Float[Tensor, "n 3 h w"], target: float | Tensor) -> Tensor:
        """Codes of images at a target value, or with the identity of others.

        Args:
            images: `[n, 3, h, w]` in [-1, 1], of any size, framed as the generator's are.
            target: A value for all or `[n]`, one for each, in the attribute's unit (those beyond
                what it was trained on are warned of); of an encoder by identity, images
                `[n, 3, h, w]` or `[1, 3, h, w]` of whom the codes shall show.

        Returns:
            `[n, *space.shape]` of `self.space`, float32, without a graph.

        Raises:
            LatdirError: No images in [-1, 1], or a target of another kind or number.
        """
        check_range(images)
        value = self.network.config.condition == "value"
        with torch.no_grad():
            if value:
                return predicted(self.network, self.encoder, images, self._values(target, images))
            whose = self._images(target, images)
            assert self.embed is not None
            wanted = self.embed(whose)
            codes = predicted(self.network, self.encoder, images, wanted, whose=whose)
            return self._looked(codes, images, wanted) if self.network.config.measured else codes

    def _looked(self, codes: Tensor, images: Tensor, wanted: Float[Tensor, "#n k"]) -> Tensor:
        """Codes after a look at their images."""
        assert self.embed is not None
        assert self.held is not None
        shown = self.generator.synthesize(codes, self.space).float()
        height, width = shown.shape[2:]
        off = self.held(shown) - self.held(resize(images.to(shown), (height, width)))
        excess = torch.cat([self.embed(shown) - wanted, off], 1).to(self.network.axes)
        moved = self.network.answered(excess).float()
        return codes + moved.reshape(len(codes), *[1] * (codes.ndim - 2), -1)

    def _values(self, target: float | Tensor, images: Tensor) -> Float[Tensor, "n 1"]:
        count, given = len(images), torch.as_tensor(target, dtype=torch.float32, device=self.device)
        if given.ndim > 1 or (given.ndim == 1 and len(given) != count):
            raise LatdirError(
                f"{self.name} takes a target {self.attribute} for all of {count} images or one "
                f"for each, not {list(given.shape)} values"
            )
        center, scale = float(self.network.center), float(self.network.scale)
        # Files may hold both in half precision.
        beyond = given[(given - center).abs() > 1.001 * scale]
        if len(beyond):
            log.warning(
                "%s was trained on a target %s of %.4g to %.4g: at %.4g it extrapolates",
                self.name, self.attribute, center - scale, center + scale, float(beyond[0]),
            )  # fmt: skip
        return given.expand(count)[:, None]

    def _images(self, target: float | Tensor, images: Tensor) -> Float[Tensor, "n 3 h w"]:
        count = len(images)
        if not isinstance(target, Tensor) or target.ndim != 4 or len(target) not in (1, count):
            raise LatdirError(
                f"{self.name} takes images [n, 3, h, w] of whom to show as target=, one or as many "
                f"as the {count} images given"
            )
        check_range(target)
        return target.to(self.device)


def predicted(
    network: ConditionalNetwork,
    encoder: Encoder,
    images: Tensor,
    condition: Float[Tensor, "#n k"],
    *,
    whose: Tensor | None = None,
) -> Float[Tensor, "n ..."]:
    """Codes of images under conditions, differentiable in the network's weights.

    Args:
        network: Of a conditional encoder.
        encoder: The one it is over.
        images: `[n, 3, h, w]`.
        condition: Values, or embeddings of `whose`, `[n, k]` or `[1, k]`.
        whose: By identity, one image or as many.
    """
    with torch.no_grad():
        seen = resize(images.float(), encoder.size).to(next(encoder.network.parameters()))
        maps = trunk(encoder).maps(seen)[-1]
        own = first = encoder.predicted(images)
        change = None
        if whose is not None:
            first = encoder.predicted(whose).expand_as(own)
            # Of codes with layers, each moves alike.
            moved = (own - first).flatten(1, -2).mean(1) if own.ndim > 2 else own - first
            change = moved.to(maps)
    given = condition.to(maps).expand(len(images), -1)
    offsets: Tensor = network(maps, given, change)
    return first + offsets.float().reshape(len(images), *[1] * (first.ndim - 2), -1)


def trunk(encoder: Encoder) -> CompactEncoder:
    """The network of an encoder whose maps are read.

    Raises:
        LatdirError: One of another architecture.
    """
    if not isinstance(encoder.network, CompactEncoder) or encoder.passes > 1:
        raise LatdirError(
            f"{encoder.name} has no maps of one pass to read: give an encoder that train_encoder "
            "made by a recipe of one pass, or a built-in one"
        )
    return encoder.network
