"""A hypernetwork: from images to codes and changes of the generator's weights, in a few passes."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked
from directions.errors import LatdirError, whole_number
from directions.generators.base import Generator
from directions.generators.deltas import Deltas, changed
from directions.images import resize
from directions.inversion.checks import check_observed
from directions.inversion.encoders.attached import Attached
from directions.inversion.encoders.base import Encoder
from directions.inversion.hypernetworks.gradient import GradientNetwork
from directions.inversion.hypernetworks.network import Changes, WeightNetwork

__all__ = ["Hypernetwork", "Predicted", "added", "images_of", "looked"]

BATCH = 16


@dataclass(frozen=True, eq=False)
class Predicted:
    """What a hypernetwork says of images.

    Attributes:
        codes: `[n, *space.shape]`, the encoder's.
        space: Of the codes.
        deltas: For each image, the change of the generator's weights.
        images: `[n, 3, H, W]`, of the codes by the generator with each change.
        base: The generator.
    """

    codes: Float[Tensor, "n ..."]
    space: str
    deltas: tuple[Deltas, ...]
    images: Float[Tensor, "n c h w"]
    base: Generator = field(repr=False)

    def generator(self, index: int) -> Generator:
        """The generator with the weights of one image; directions of the base fit it."""
        return self.base.with_deltas(self.deltas[index])

    @property
    def generators(self) -> tuple[Generator, ...]:
        """Those of all images."""
        return tuple(self.generator(i) for i in range(len(self.deltas)))


class Hypernetwork(Attached):
    """Images to codes and, for each image, a change of weights that makes it: no optimization.

    Args:
        network: Predicts changes from pairs of an image and what was made of it so far, or from
            the gradient of their difference.
        encoder: Whose codes the changes are for.
        name: Short name, shown and stored.
        passes: How often the network looks, each time at what the last change makes.

    Attributes:
        network, encoder, name, passes: As given.

    Raises:
        LatdirError: A network that changes weights which the generator does not have.

    Example:
        >>> from directions import load_encoder
        >>> from directions.inversion.hypernetworks.network import WeightNetworkConfig
        >>> encoder = load_encoder("digiface64")
        >>> config = WeightNetworkConfig.of(encoder.generator, "channel", 4, width=4)
        >>> untrained = Hypernetwork(WeightNetwork(config), encoder, name="none")
        >>> images = encoder.generator.synthesize(encoder.generator.sample(1, seed=0))
        >>> untrained.predict(images).deltas[0].name
        'none'
    """

    network: WeightNetwork | GradientNetwork

    def __init__(
        self,
        network: WeightNetwork | GradientNetwork,
        encoder: Encoder,
        *,
        name: str,
        passes: int = 1,
    ) -> None:
        generator = encoder.generator
        own = {key: tuple(weight.shape) for key, weight in generator.tunable.items()}
        wrong = [(key, shape) for key, shape in network.config.layers if own.get(key) != shape]
        if wrong:
            key, shape = wrong[0]
            raise LatdirError(
                f"the hypernetwork {name} changes {key} of shape {list(shape)}, which "
                f"{generator.name} does not have: train one with train_hypernetwork(encoder)"
            )
        config = {"passes": passes, **network.config.as_dict()}
        super().__init__(network, encoder, name=name, config=config)
        self.passes = passes

    def __repr__(self) -> str:
        return f"<hypernetwork {self.name} over {self.encoder!r}>"

    @checked
    def predict(self, images: Float[Tensor, "n 3 h w"], *, passes: int | None = None) -> Predicted:
        """Codes of images, and the change of weights of each.

        Args:
            images: `[n, 3, H, W]` in [-1, 1], of the generator's size and framing.
            passes: How often the network looks; by default as often as it was trained to.

        Returns:
            Codes, deltas and images, in float32, without a graph.

        Raises:
            LatdirError: Images of another size or range, or no passes.
        """
        generator, space = self.generator, self.encoder.space
        looks = self.passes if passes is None else whole_number(passes, "passes", least=1)
        seen = check_observed(generator, images, None)
        record = {"hypernetwork": self.name, "weights": self.fingerprint, "space": space}
        codes, deltas, made = [], [], []
        for part in torch.split(seen, BATCH):
            with torch.no_grad():
                found = self.encoder.predicted(part)
                changes = self.changes(part, found, looks)
                kept = {k: {p: t.half() for p, t in c.items()} for k, c in changes.items()}
                made.append(images_of(generator, found, space, kept))
            codes.append(found)
            deltas += [
                Deltas(self.name, generator.name, generator.fingerprint, _row(kept, i), record)
                for i in range(len(part))
            ]
        return Predicted(torch.cat(codes), space, tuple(deltas), torch.cat(made), generator)

    def changes(self, images: Tensor, codes: Tensor, passes: int) -> Changes:
        """Changes of weights for images and their codes, after some passes."""
        total: Changes | None = None
        for _ in range(passes):
            total = added(total, looked(self.network, self.encoder, images, codes, total))
        assert total is not None
        return total


def looked(
    network: WeightNetwork | GradientNetwork,
    encoder: Encoder,
    images: Tensor,
    codes: Tensor,
    before: Changes | None,
) -> Changes:
    """What a network adds to the changes of a batch so far, differentiable in its weights only."""
    generator, space = encoder.generator, encoder.space
    if isinstance(network, GradientNetwork):
        own = generator.tunable
        with torch.inference_mode(False), torch.enable_grad():
            scales = {
                key: own[key].new_zeros(len(images), *shape[:2], *[1] * (len(shape) - 2))
                for key, shape in network.config.layers
            }
            inputs = [scale.requires_grad_() for scale in scales.values()]
            now = added(before, {key: {"scale": scale} for key, scale in scales.items()})
            made = images_of(generator, codes, space, now)
            error = made.detach() - images
            slopes = torch.autograd.grad(made, inputs, error)
        difference = error.square().mean((1, 2, 3)).sqrt()
        step: Changes = network(dict(zip(scales, slopes, strict=True)), difference)
        return step
    with torch.no_grad():
        made = images_of(generator, codes, space, before or {})
    pairs = paired(images, made, network.config.side)
    more: Changes = network(pairs.to(next(network.parameters()).dtype))
    return more


def paired(images: Tensor, made: Tensor, side: int) -> Float[Tensor, "n 6 s s"]:
    """Images beside those made, as a network reads them."""
    return torch.cat([resize(images, side), resize(made, side)], 1)


def added(changes: Changes | None, more: Changes) -> Changes:
    """The changes of two passes as one: scales add up, as do left factors of one right factor."""
    if changes is None:
        return more
    return {
        key: {p: t if p == "right" else changes[key][p] + t for p, t in change.items()}
        for key, change in more.items()
    }


def images_of(
    generator: Generator, codes: Tensor, space: str, changes: Changes
) -> Float[Tensor, "n c h w"]:
    """Images of codes, each by weights of its own, differentiable.

    Args:
        generator: Whose weights are changed.
        codes: `[n, *space.shape]`.
        space: Of the codes.
        changes: Of a batch.
    """
    if "s" in generator.spaces and space != "s":
        # Styles come of weights that stay.
        codes, space = generator.map(codes, space, "s"), "s"
    # In the dtype of the codes, which the generator's weights may be kept in another one than.
    generator = generator.to(dtype=codes.dtype)
    own, made = generator.tunable, []
    for i, code in enumerate(torch.split(codes, 1)):
        weights = {
            key: changed(own[key], {p: t.to(own[key]) for p, t in change.items()})
            for key, change in _row(changes, i).items()
        }
        made.append(generator.with_weights(weights).synthesize(code, space))
    return torch.cat(made).float()


def _row(changes: Changes, index: int) -> dict[str, dict[str, Tensor]]:
    return {k: {p: t[index] for p, t in change.items()} for k, change in changes.items()}
