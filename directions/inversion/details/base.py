"""Details of images: what codes lose of them, put into a layer's features, also after edits."""

from __future__ import annotations

from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked
from directions.devices import Movable
from directions.fingerprints import fingerprint
from directions.generators.base import Generator
from directions.inversion.checks import check_observed
from directions.inversion.details.networks import Consultation, FeatureEditor, Look
from directions.inversion.encoders.base import Encoder
from directions.scoring.activations import changed_at_layer, layer_activations

__all__ = ["Details", "look_at", "rendered"]

BATCH = 16


class Details(Movable):
    """Images to images of their codes with their details, before and after an edit: one pass.

    Args:
        network: Makes the features.
        encoder: Makes the codes, which are edited.
        layer: Whose features are made, such as `leaky_relu.6` of a StyleGAN2.
        name: Short name, shown and stored.

    Attributes:
        network, encoder, layer, name: As given.
    """

    def __init__(
        self, network: Consultation | FeatureEditor, encoder: Encoder, *, layer: str, name: str
    ) -> None:
        self.network = network.eval().requires_grad_(False)
        self.encoder, self.layer, self.name = encoder, layer, name

    def __repr__(self) -> str:
        return f"<details {self.name} at {self.layer} over {self.encoder!r}>"

    @property
    def generator(self) -> Generator:
        """That makes the images."""
        return self.encoder.generator

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.encoder.device

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over the weights, the settings and the encoder."""
        config = {"layer": self.layer, "encoder": self.encoder.fingerprint}
        return fingerprint(self.network.state_dict(), config | self.network.config.as_dict())

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
        made = []
        with torch.no_grad():
            for i in range(0, len(seen), BATCH):
                part, after = seen[i : i + BATCH], None if moved is None else moved[i : i + BATCH]
                codes = self.encoder.predicted(part)
                after = codes if after is None else after.to(codes)
                look = look_at(self.encoder, self.layer, part, codes, after)
                made.append(rendered(self.encoder, self.layer, after, self.network(look)))
        return torch.cat(made)


def look_at(encoder: Encoder, layer: str, images: Tensor, codes: Tensor, moved: Tensor) -> Look:
    """What a network sees of images, their codes, and the codes after an edit; without a graph."""
    generator, space = encoder.generator, encoder.space
    features = layer_activations(generator, layer=layer, space=space)
    with torch.no_grad():
        made = generator.synthesize(codes, space).float()
        before = features(codes).clone()
        if moved is codes:
            return Look(images, images - made, made, before, before)
        shown = generator.synthesize(moved, space).float()
        return Look(images, images - made, shown, before, features(moved).clone())


def rendered(encoder: Encoder, layer: str, codes: Tensor, features: Tensor) -> Tensor:
    """Images of codes whose layer has given features, differentiable in these."""
    return changed_at_layer(
        encoder.generator, codes, layer=layer, space=encoder.space, change=lambda _: features
    ).float()
