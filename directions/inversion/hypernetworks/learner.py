"""What a hypernetwork in training is, the images it sees, and what a step of it costs."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from directions.images import resize
from directions.inversion.encoders import Encoder, TrainingSchedule
from directions.inversion.encoders.critics import Critic
from directions.inversion.encoders.learner import training_stream
from directions.inversion.encoders.running import Running
from directions.inversion.hypernetworks.base import Hypernetwork, added, images_of, looked
from directions.inversion.hypernetworks.gradient import GradientNetwork
from directions.inversion.hypernetworks.network import WeightNetwork, WeightNetworkConfig
from directions.inversion.hypernetworks.recipes import HypernetworkRecipe
from directions.inversion.objective import psnr
from directions.scoring.features import Features
from directions.seeds import ENCODER_SEED
from directions.training import step_rng

__all__ = ["HypernetworkLearner", "HypernetworkProgress", "Images"]

# Held-out images.
HELD_OUT = 32


class HypernetworkProgress(NamedTuple):
    """Where a training stood.

    Attributes:
        step: Steps taken.
        psnr: Mean PSNR of held-out images by the changed generators, after all passes.
        encoder: By the generator, of the encoder's codes.
    """

    step: int
    psnr: float
    encoder: float


@dataclass(frozen=True, eq=False)
class Images:
    """Images that a hypernetwork learns from.

    Attributes:
        encoder: Over which it learns.
        mixed: Share of generated images whose layers are of two codes.
        own: Share of generated images, where there are real ones.
        real: `[n, 3, H, W]`, if there are any.
    """

    encoder: Encoder
    mixed: float
    own: float
    real: Tensor | None

    def batch(self, count: int, *, seed: int, step: int) -> Float[Tensor, "n 3 h w"]:
        """Images of one step: generated ones that no other step sees, then real ones."""
        real = self.real
        fresh = count if real is None else round(self.own * count)
        parts = [self.generated(fresh, seed=seed, step=step)] if fresh else []
        if real is not None:
            rows = torch.randint(len(real), (count - fresh,), generator=step_rng(seed, step))
            parts.append(real[rows.to(real.device)])
        return torch.cat(parts)

    def generated(self, count: int, *, seed: int, step: int) -> Float[Tensor, "n 3 h w"]:
        """Samples, some with their last layers from others, from a layer of chance on."""
        generator, space = self.encoder.generator, self.encoder.space
        codes = generator.sample(2 * count, seed=seed, start=2 * step * count, space=space)
        if self.layers:
            rng = np.random.default_rng([seed, step])
            cuts = rng.integers(1, self.layers, size=count)
            cuts = np.where(rng.random(count) < self.mixed, cuts, self.layers)
            first = torch.arange(self.layers)[None] < torch.from_numpy(cuts)[:, None]
            codes = generator.map(codes, space, f"{space}+")
            codes = torch.where(first[..., None].to(codes.device), codes[:count], codes[count:])
        else:
            codes = codes[:count]
        return self.render(codes).clone().clamp(-1, 1)

    @cached_property
    def layers(self) -> int:
        """Of codes that can be mixed; 0 where there are none."""
        layered = self.encoder.generator.spaces.get(f"{self.encoder.space}+")
        return 0 if layered is None else layered.shape[0]

    @cached_property
    def render(self) -> Callable[[Tensor], Tensor]:
        """Images of codes, prepared for speed."""
        space = f"{self.encoder.space}+" if self.layers else self.encoder.space
        return self.encoder.generator.inference(space=space)


class HypernetworkLearner(Running):
    """Everything that is trained, and what a step costs."""

    network: WeightNetwork | GradientNetwork
    kept: WeightNetwork | GradientNetwork

    def __init__(
        self,
        encoder: Encoder,
        recipe: HypernetworkRecipe,
        schedule: TrainingSchedule,
        real: Tensor | None,
        features: Features | None,
        seed: int,
    ) -> None:
        generator, images = encoder.generator, Images(encoder, recipe.mixed, recipe.own, real)
        config = WeightNetworkConfig.of(
            generator, recipe.form, recipe.rank, width=schedule.width, most=schedule.most
        )
        probes = images.generated(HELD_OUT, seed=ENCODER_SEED, step=0)
        spread, level = torch.std_mean(probes)
        network: WeightNetwork | GradientNetwork
        if recipe.form == "gradient":
            network = GradientNetwork(config)
        else:
            network = WeightNetwork(config, level=float(level), contrast=max(float(spread), 1e-4))
        super().__init__(network.to(generator.device), steps=schedule.steps, figures=2)
        self.config, self.recipe, self.schedule, self.features = config, recipe, schedule, features
        # Not modules: their weights are no part of what is trained.
        self.held: dict[str, Any] = {"encoder": encoder, "images": images, "probes": probes}
        self.stream = training_stream(seed)
        shape = (3, config.side, config.side)
        self.critic = Critic(shape).to(generator.device) if recipe.image_critic else None

    @property
    def critics(self) -> tuple[Critic, ...]:
        """As `Running.critics`."""
        return () if self.critic is None else (self.critic,)

    def loss(self, step: int) -> Tensor:
        """Of a step by number: of one of the passes, in turn."""
        self.begin(step)
        encoder: Encoder = self.held["encoder"]
        generator, space = encoder.generator, encoder.space
        batch = self.schedule.batch_size
        images = self.held["images"].batch(batch, seed=self.stream, step=step)
        before, looks = None, step % self.recipe.passes
        with torch.no_grad():
            codes = encoder.predicted(images)
            if looks:
                before = self.hypernetwork("").changes(images, codes, looks)
        half = self.schedule.precision == "bfloat16"
        with torch.autocast(images.device.type, torch.bfloat16, enabled=half):
            more = looked(self.network, encoder, images, codes, before)
        shown = images_of(generator, codes, space, added(before, more))
        return self._cost(images, shown, step)

    def _cost(self, images: Tensor, shown: Tensor, step: int) -> Tensor:
        """What images shown cost, of those wanted."""
        recipe = self.recipe
        cost = recipe.pixels * (shown - images).square().mean()
        if recipe.features:
            assert self.features is not None
            with torch.no_grad():
                wanted = self.features(images)
            difference = self.features(shown) - wanted
            cost = cost + recipe.features * difference.square().sum(1).mean()
        if self.critic is not None:
            real, made = resize(images, self.config.side), resize(shown, self.config.side)
            cost = cost + recipe.image_critic * self.critic.of_made(made)
            cost = cost + self.critic.own(real, made, step)
        return cost

    def measured(self) -> tuple[float, ...]:
        """Mean PSNR of held-out images, with changes and without."""
        images, found = self.held["probes"], self.hypernetwork("").predict(self.held["probes"])
        plain = found.base.synthesize(found.codes, found.space).float()
        return float(psnr(found.images, images).mean()), float(psnr(plain, images).mean())

    @property
    def progress(self) -> tuple[HypernetworkProgress, ...]:
        """What was measured so far."""
        return tuple(HypernetworkProgress(int(step), *rest) for step, *rest in self.rows)

    @property
    def status(self) -> str:
        """The last that was measured, for the bar."""
        last = self.progress[-1] if self.progress else None
        return "" if last is None else f"{last.psnr:.1f} dB, {last.encoder:.1f} without"

    def hypernetwork(self, name: str) -> Hypernetwork:
        """The hypernetwork of the averaged weights."""
        network = copy.deepcopy(self.kept)
        return Hypernetwork(network, self.held["encoder"], name=name, passes=self.recipe.passes)
