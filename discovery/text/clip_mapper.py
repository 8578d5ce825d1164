"""Mappers: small networks trained for one text to predict each code's step.

Patashnik et al.: StyleCLIP, ICCV 2021, arXiv:2103.17249, section 5. A network M gives every code
its own step; the layers of w+ are cut into coarse (the first four), medium (the next four) and
fine ones with a network each. Over codes w from the prior, training minimizes

    (1 - cos(E(G(w + M(w))), E(text))) + λ_L2 ‖M(w)‖² + λ_ID (1 - cos(R(G(w + M(w))), R(G(w))))

with λ_L2 0.8 and λ_ID 0.1.

Differences from the official code: other spaces than w+ have one network; ‖·‖² is a mean over the
numbers of a code, as there, in units of the prior's variance, so that one λ serves every space;
networks are narrower and trained by Adam in hundreds of steps on batches, not by Ranger in 50,000
on pairs, and their last layer starts at zero, where every code stays in its place. `region`, which
limits where images may change, is ours; see `clip_optimize.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from directions.arguments import returned
from directions.bank import DirectionBank
from directions.classifiers.clip.protocol import TextImageModel
from directions.direction import Direction
from directions.errors import LatdirError
from directions.generators.base import Generator
from directions.paths.mapper import Groups, MapperPath, displacement, perceptron
from directions.progress import tqdm
from directions.seeds import MAPPER_SEED
from discovery.base import TextMethod, tool
from discovery.jacobian.region import region_masks
from discovery.text.clip_optimize import (
    Embed,
    change_outside,
    check_embed,
    edited_space,
    with_gradient,
)
from discovery.wording import Wording

__all__ = ["ClipMapper"]

COARSE, MEDIUM = 4, 8
HELD_OUT = 64


@dataclass(frozen=True)
class ClipMapper(TextMethod):
    """Networks trained to move each code toward a text, and their mean step as a direction.

    `train` gives the path itself. Evidence: `agreement`, length of the mean of the codes' unit
    steps, and `length` of a step in sigma. The loss uses the text alone: `neutral` names the
    directions and serves `without`.

    Attributes:
        steps: Steps of Adam.
        batch_size: Codes a step.
        rate: Its rate.
        distance: λ_L2, price of the mean squared step in units of the prior's variance.
        identity: λ_ID, price of another face, where a face embedding is given.
        hidden: Units of the hidden layers; 0 takes as many as a code has numbers.
        depth: Layers of each network.
        space: Latent space; by default `w+` where there is one, otherwise the first.
        region: Where images may change: a part of the face (eyes, mouth, nose, face, background),
            or a box in pixels, `top,left,bottom,right`; by default everywhere.
        outside: λ_out, price of the mean squared change outside of the region.
        embed: Images to face embeddings, differentiably; without it identity is not held.
        mask: `[h, w]` in 0 … 1, to use instead of `region`.

    Example:
        >>> from directions.planted.world import planted
        >>> from directions.planted.clip import PlantedClip
        >>> world = planted(factors=2, dim=8, names=("smile", "age"))
        >>> path = ClipMapper(steps=60).train(world, PlantedClip(world), text="smile")
        >>> codes = world.sample(16, seed=1)
        >>> change = world.factors(path.shift(codes, 1.0)) - world.factors(codes)
        >>> bool(change[:, 0].mean() > 0.8) and bool(change[:, 1].abs().max() < 0.3)
        True
    """

    steps: int = 400
    batch_size: int = 8
    rate: float = 2e-3
    distance: float = 0.8
    identity: float = 0.1
    hidden: int = 0
    depth: int = 4
    space: str | None = None
    region: str | None = None
    outside: float = 30.0
    embed: Embed | None = tool()
    mask: Float[Tensor, "h w"] | None = tool()

    method: ClassVar[str] = "clip_mapper"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_embed(self.embed)
        self._check_positive("rate")
        self._check_least(0, "distance", "identity", "outside", "hidden")

    def _find(
        self, generator: Generator, words: Wording, clip: TextImageModel, seed: int
    ) -> DirectionBank:
        directions = []
        for prompt in words.prompts:
            path = self.train(generator, clip, text=prompt.text, name=prompt.name, seed=seed)
            steps = _held_out_steps(generator, path.space, path.groups, path.networks)
            unit = steps / steps.norm(dim=1, keepdim=True).clamp_min(1e-12)
            directions.append(
                Direction.from_vector(
                    prompt.name,
                    steps.mean(0).reshape(path.shape),
                    space=path.space,
                    sigma=path.sigma,
                    evidence={
                        "agreement": float(unit.mean(0).norm()),
                        "length": path.length / path.sigma,
                    },
                )
            )
        return DirectionBank.of(generator, tuple(directions))

    def train(
        self,
        generator: Generator,
        clip: TextImageModel,
        *,
        text: str,
        name: str | None = None,
        seed: int = 0,
    ) -> MapperPath:
        """Train the networks for one text.

        Args:
            generator: Makes the images, differentiably.
            clip: Embeds images and texts, differentiably.
            text: What images should show.
            name: Name of the path; by default the text.
            seed: Seed of the codes and of the networks.

        Returns:
            The path. It is saved with `path.save(file)` and read with
            `directions.paths.base.load_path`.

        Raises:
            LatdirError: Nothing is differentiable, training diverged, codes were not moved, or a
                region that `region_masks` refuses.
        """
        space = edited_space(generator, self.space)
        target = clip.encode_texts([text]).detach()[0]
        rng = torch.Generator().manual_seed(seed)
        groups = _groups(space.shape)
        networks = tuple(self._network(space.shape[-1], rng).to(generator.device) for _ in groups)
        weights = [tensor for network in networks for tensor in network.parameters()]
        variance = generator.prior(space.name).covariance.diagonal().mean().to(generator.device)
        optimizer = torch.optim.Adam(weights, lr=self.rate)
        for step in tqdm(range(self.steps), desc="mapper", unit="step", delay=1, leave=False):
            codes = generator.sample(
                self.batch_size, seed=seed, start=step * self.batch_size, space=space.name
            )
            with torch.enable_grad():
                loss = self._loss(
                    generator,
                    clip,
                    codes,
                    space.name,
                    groups,
                    networks,
                    target,
                    variance,
                )
                if not torch.isfinite(loss):
                    raise LatdirError(
                        f"the mapper's loss is {float(loss.detach())} at step {step}: lower rate"
                    )
                optimizer.zero_grad()
                torch.autograd.backward(loss, inputs=weights)
            optimizer.step()
        networks = tuple(network.requires_grad_(False) for network in networks)
        steps = _held_out_steps(generator, space.name, groups, networks)
        mean = steps.mean(0)
        if not mean.any():
            raise LatdirError(
                f"no code is moved toward {text!r}: lower distance, or raise rate or steps"
            )
        return MapperPath(
            name=name or text,
            space=space.name,
            shape=space.shape,
            groups=groups,
            networks=networks,
            length=float(steps.norm(dim=1).mean()),
            sigma=generator.prior(space.name).sigma(mean / mean.norm()),
            generator=generator.name,
            fingerprint=generator.fingerprint,
        )

    def _network(self, size: int, rng: torch.Generator) -> nn.Sequential:
        """He's initialization, drawn from `rng`; the last layer starts at zero."""
        network = perceptron([size, *[self.hidden or size] * (self.depth - 1), size])
        for name, weights in network.named_parameters():
            weights.data.zero_()
            if name.endswith("weight"):
                weights.data = (
                    torch.randn(weights.shape, generator=rng) * (2 / weights.shape[1]) ** 0.5
                )
        list(network.parameters())[-2].data.zero_()
        return network

    def _loss(
        self,
        generator: Generator,
        clip: TextImageModel,
        codes: Tensor,
        space: str,
        groups: Groups,
        networks: tuple[nn.Sequential, ...],
        target: Tensor,
        variance: Tensor,
    ) -> Float[Tensor, ""]:
        step = displacement(codes, groups, networks)
        images = generator.synthesize(codes + step, space)
        unlike = 1 - (with_gradient(clip.encode_images(images), clip, generator) @ target).mean()
        loss = unlike + self.distance * step.square().mean() / variance
        embed, bounded = self.embed, self.region is not None or self.mask is not None
        if embed is None and not bounded:
            return loss
        with torch.no_grad():
            before = generator.synthesize(codes, space)
        if embed is not None:
            made, former = (returned(embed(x), "embed", "n f") for x in (images, before))
            other = 1 - cosine_similarity(made, former.detach(), dim=1)
            loss = loss + self.identity * other.mean()
        if bounded:
            where = self.region or "mask"
            inside = region_masks(generator, codes, space=space, region=where, mask=self.mask)
            loss = loss + self.outside * change_outside(images, before, inside).mean()
        return loss


def _groups(shape: tuple[int, ...]) -> Groups:
    """Coarse, medium and fine layers, as far as there are any."""
    if len(shape) < 2:
        return ((0, 1),)
    ends = sorted({min(end, shape[0]) for end in (COARSE, MEDIUM, shape[0])})
    return tuple(zip([0, *ends[:-1]], ends, strict=True))


def _held_out_steps(
    generator: Generator, space: str, groups: Groups, networks: tuple[nn.Sequential, ...]
) -> Float[Tensor, "n d"]:
    codes = generator.sample(HELD_OUT, seed=MAPPER_SEED, space=space)
    with torch.no_grad():
        return displacement(codes, groups, networks).flatten(1)
