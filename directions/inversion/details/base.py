"""Details of images: what codes lose of them, put into a layer's features, also after edits."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked
from directions.devices import moved as moved_to
from directions.errors import LatdirError
from directions.inversion.checks import check_observed
from directions.inversion.details.networks import Consultation, FeatureEditor, Look
from directions.inversion.encoders.attached import Attached
from directions.inversion.encoders.base import Encoder
from directions.scoring.activations import changed_at_layer, layer_activations

__all__ = ["Details", "look_at", "map_size", "rendered"]

BATCH = 16


class Details(Attached):
    """Images to images of their codes with their details, before and after an edit: one pass.

    Args:
        network: Makes the features.
        encoder: Makes the codes, which are edited.
        layer: Whose features are made, such as `leaky_relu.6` of a StyleGAN2.
        name: Short name, shown and stored.

    Attributes:
        network, encoder, layer, name: As given.

    Raises:
        LatdirError: No such layer, or a network of other images or features.
    """

    network: Consultation | FeatureEditor

    def __init__(
        self, network: Consultation | FeatureEditor, encoder: Encoder, *, layer: str, name: str
    ) -> None:
        config, generator = network.config, encoder.generator
        made = (generator.image_shape[-1], map_size(encoder, layer))
        if (config.side, config.features) != made:
            raise LatdirError(
                f"these details are of {list(config.features)} features of images of "
                f"{config.side} pixels, and {layer} of {generator.name} makes {list(made[1])} of "
                f"{made[0]}: train them with train_details(encoder, {layer!r})"
            )
        super().__init__(network, encoder, name=name, config={"layer": layer, **config.as_dict()})
        self.layer = layer

    def __repr__(self) -> str:
        return f"<details {self.name} at {self.layer} over {self.encoder!r}>"

    @checked
    def render(
        self, images: Float[Tensor, "n 3 h w"], moved: Float[Tensor, "n ..."] | None = None
    ) -> Float[Tensor, "n 3 h w"]:
        """Images again, by the generator, with their details.

        Args:
            images: `[n, 3, H, W]` in [-1, 1], of the generator's size and framing.
            moved: `[n, *space.shape]`, the encoder's codes of these images after an edit; by
                default before it.

        Raises:
            LatdirError: Images of another size or range, or codes of another number or space.

        Example:
            >>> from directions import load_encoder, move
            >>> from directions.inversion.details.networks import DetailConfig, network_of
            >>> encoder = load_encoder("digiface64")
            >>> network = network_of(DetailConfig("consultation", 64, (128, 16)))
            >>> details = Details(network, encoder, layer="relu.2", name="untrained")
            >>> images = encoder.generator.synthesize(encoder.generator.sample(1, seed=0))
            >>> codes = encoder.encode(images)
            >>> same = encoder.generator.synthesize(1.5 * codes)
            >>> torch.allclose(details.render(images, 1.5 * codes), same, atol=1e-4)
            True
        """
        seen = check_observed(self.generator, images, None)
        if moved is not None:
            self.generator.check(moved, self.encoder.space)
        made, dtype = [], next(self.network.parameters()).dtype
        with torch.no_grad():
            for i in range(0, len(seen), BATCH):
                part, after = seen[i : i + BATCH], None if moved is None else moved[i : i + BATCH]
                codes = self.encoder.predicted(part)
                after = codes if after is None else after.to(codes)
                look = look_at(self.encoder, self.layer, part, codes, after)
                features = self.network(moved_to(look, dtype=dtype)).to(look.features)
                made.append(rendered(self.encoder, self.layer, after, features))
        return torch.cat(made)


def map_size(encoder: Encoder, layer: str) -> tuple[int, int]:
    """Channels and side of a layer's maps.

    Raises:
        LatdirError: No such layer, or one that makes no square maps.
    """
    generator, space = encoder.generator, encoder.space
    code = generator.sample(1, seed=0, space=space)
    shape = layer_activations(generator, layer=layer, space=space)(code).shape[1:]
    if len(shape) != 3 or shape[1] != shape[2]:
        raise LatdirError(f"{layer} of {generator.name} makes {list(shape)}, no maps")
    return int(shape[0]), int(shape[1])


def look_at(encoder: Encoder, layer: str, images: Tensor, codes: Tensor, moved: Tensor) -> Look:
    """What a network sees of images, their codes, and the codes after an edit; without a graph."""
    together = codes if moved is codes else torch.cat([codes, moved])
    kept: list[Tensor] = []

    def keep(features: Tensor) -> Tensor:
        kept.append(features.clone())
        return features

    with torch.no_grad():
        made = changed_at_layer(
            encoder.generator, together, layer=layer, space=encoder.space, change=keep
        ).float()
    n, [seen] = len(codes), kept
    return Look(images, images - made[:n], made[-n:], seen[:n], seen[-n:])


def rendered(encoder: Encoder, layer: str, codes: Tensor, features: Tensor) -> Tensor:
    """Images of codes whose layer has given features, differentiable in these."""
    return changed_at_layer(
        encoder.generator, codes, layer=layer, space=encoder.space, change=lambda _: features
    ).float()
