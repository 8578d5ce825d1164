"""What an encoder in training is, and what a step of it costs."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from directions.generators.base import Generator
from directions.images import resize
from directions.inversion.encoders.base import Encoder
from directions.inversion.encoders.compact import (
    CompactConfig,
    CompactEncoder,
    Stages,
    principal_axes,
)
from directions.inversion.encoders.critics import Critic
from directions.inversion.encoders.recipes import EncoderRecipe, TrainingSchedule
from directions.inversion.encoders.running import Running
from directions.inversion.fitted import mean_metric
from directions.inversion.objective import psnr
from directions.inversion.typicality import Typicality
from directions.scoring.features import Features
from directions.seeds import ENCODER_SEED

__all__ = ["Learner", "Progress", "training_stream"]

# Held-out codes that progress is measured on.
HELD_OUT = 64
# Codes over which JᵀJ is averaged, and coordinates up to which it is.
METRIC_CODES, METRIC_SIZE = 16, 512
BATCH = 32


class Progress(NamedTuple):
    """Where a training stood.

    Attributes:
        step: Steps taken.
        psnr: Mean PSNR of held-out images and what their codes make, in decibels.
        consistency: Mean distance of held-out codes from those predicted, their farthest and
            nearest hundredth left out: e4e's latent editing consistency without an edit.
    """

    step: int
    psnr: float
    consistency: float


class Learner(Running):
    """Everything that is trained, and what a step costs."""

    metric: Tensor

    def __init__(
        self,
        generator: Generator,
        space: str,
        recipe: EncoderRecipe,
        schedule: TrainingSchedule,
        real: Tensor | None,
        features: Features | None,
        seed: int,
    ) -> None:
        config = CompactConfig.of(generator, space, width=schedule.width, most=schedule.most)
        config = replace(
            config, pairs=recipe.looks > 1, deltas=recipe.offsets > 0, stages=recipe.stages
        )
        axes = principal_axes(generator, space)
        probes = generator.sample(METRIC_CODES, seed=ENCODER_SEED, start=HELD_OUT, space=space)
        render = generator.inference(space=space, precision=schedule.precision)
        with torch.no_grad():
            spread, level = torch.std_mean(render(probes).float())
        shown = {"level": float(level), "contrast": max(float(spread), 1e-4)}
        networks = [CompactEncoder(config, axes, **shown) for _ in range(recipe.stages)]
        made = Stages(networks) if recipe.stages > 1 else networks[0]
        super().__init__(made.to(generator.device), steps=schedule.steps, figures=2)
        self.recipe, self.schedule, self.features = recipe, schedule, features
        # Not modules: their weights are no part of what is trained.
        self.held: dict[str, Any] = {"generator": generator, "real": real}
        self.space, self.stream, self.render = space, training_stream(seed), render
        code, image = config.code[-1:], (3, config.side, config.side)
        self.code_critic = Critic(code).to(generator.device) if recipe.code_critic else None
        self.image_critic = Critic(image).to(generator.device) if recipe.image_critic else None
        near = Typicality.of(generator, space)
        self.near, self.center = near, near.center(axes).to(generator.device)
        self.config = config
        size = generator.space(space).size
        wanted = size <= METRIC_SIZE
        metric = mean_metric(generator, space, None, probes) if wanted else torch.empty(0, 0)
        self.register_buffer("metric", metric)
        with torch.no_grad():
            self.first = self._small(self.render(self.center[None]).clone().float())

    @property
    def critics(self) -> list[Critic]:
        """As `Running.critics`."""
        return [c for c in (self.code_critic, self.image_critic) if c is not None]

    def loss(self, step: int) -> Tensor:
        """Of a step by number."""
        self.begin(step)
        codes, images = self.drawn(step)
        seen = self._small(images)
        stage = min(self.recipe.stages * step // self.schedule.steps, self.recipe.stages - 1)
        self._join(step / self.schedule.steps)
        now, made = self.center.expand(len(seen), *self.center.shape), self.first
        total = seen.new_zeros(())
        for look in range(self.recipe.passes if self.recipe.stages == 1 else stage + 1):
            trained = self.recipe.stages == 1 or look == stage
            with torch.set_grad_enabled(trained):
                now = now + self._offsets(self.network, seen, made, look)
                shown = self._rendered(now, trained)
            if trained:
                total = total + self._cost(codes, images, now, shown, step)
            now = now.detach()
            if shown is not None:
                made = self._small(shown.detach())
        return total

    def drawn(self, step: int) -> tuple[Tensor, Tensor]:
        """Codes that no other step sees, and images: of the codes, then real ones."""
        generator, real = self.held["generator"], self.held["real"]
        count = self.schedule.batch_size
        fresh = count if real is None else count - count // 2
        codes = generator.sample(fresh, seed=self.stream, start=step * fresh, space=self.space)
        with torch.no_grad():
            images = self.render(codes).clone().float()
        if real is not None:
            draw = np.random.default_rng([self.stream, step])
            rows = torch.from_numpy(draw.integers(len(real), size=count - fresh))
            images = torch.cat([images, real[rows.to(real.device)]])
        return codes, images

    def _cost(
        self, codes: Tensor, images: Tensor, found: Tensor, shown: Tensor | None, step: int
    ) -> Tensor:
        """What codes found cost, of those of the generated images and the images shown."""
        recipe, near = self.recipe, self.near
        cost = found.new_zeros(())
        errors = (found[: len(codes)] - codes).flatten(1)
        if recipe.shown and self.metric.numel():
            cost = cost + recipe.shown * ((errors @ self.metric) * errors).sum(1).mean()
        if recipe.codes:
            cost = cost + recipe.codes * near.scaled(errors.reshape_as(codes)).square().mean()
        if recipe.norm:
            cost = cost + recipe.norm * near.standardized(found).square().mean()
        if recipe.offsets:
            lengths = (found[:, 1:] - found[:, :1]).norm(dim=2)
            cost = cost + recipe.offsets * lengths.sum(1).mean()
        if self.code_critic is not None:
            made = found.flatten(0, -2)
            real = codes.flatten(0, -2)
            cost = cost + recipe.code_critic * self.code_critic.of_made(made)
            cost = cost + self.code_critic.own(real, made, step)
        if shown is not None:
            truth = images[_spread(len(images), len(shown))]
            cost = cost + recipe.pixels * (shown - truth).square().mean()
            if recipe.features:
                assert self.features is not None
                with torch.no_grad():
                    wanted = self.features(truth)
                difference = self.features(shown) - wanted
                cost = cost + recipe.features * difference.square().sum(1).mean()
            if self.image_critic is not None:
                small = self._small(shown)
                cost = cost + recipe.image_critic * self.image_critic.of_made(small)
                cost = cost + self.image_critic.own(self._small(truth), small, step)
        return cost

    def _rendered(self, codes: Tensor, trained: bool) -> Tensor | None:
        """Images of codes, of a share of them where they are only compared."""
        if not self.recipe.renders:
            return None
        generator: Generator = self.held["generator"]
        if self.recipe.looks == 1:
            codes = codes[_spread(len(codes), max(1, round(self.schedule.rendered * len(codes))))]
        half = self.schedule.precision == "bfloat16"
        images = generator.synthesize(codes.bfloat16() if half else codes, self.space)
        return images.float()

    def _offsets(self, network: nn.Module, seen: Tensor, made: Tensor, look: int) -> Tensor:
        part = network.at(look) if isinstance(network, Stages) else network
        if self.config.pairs:
            seen = torch.cat([seen, made.expand_as(seen)], 1)
        half = self.schedule.precision == "bfloat16"
        with torch.autocast(seen.device.type, torch.bfloat16, enabled=half):
            offsets: Tensor = part(seen)
        return offsets

    def _small(self, images: Tensor) -> Tensor:
        return resize(images, self.config.side)

    def _join(self, done: float) -> None:
        """As many offsets as have joined by a share of the training."""
        if self.config.deltas and isinstance(self.network, CompactEncoder):
            first, last = self.recipe.joining
            most = self.network.layers - 1
            share = (done - first) / max(last - first, 1e-9)
            self.network.joined = 0 if share < 0 else min(most, 1 + int(share * (most - 1)))

    def measured(self) -> tuple[float, ...]:
        """Mean PSNR of held-out images, and the distance of their codes."""
        generator: Generator = self.held["generator"]
        codes = generator.sample(HELD_OUT, seed=ENCODER_SEED, space=self.space)
        encoder = self.encoder("")
        images, parts = self._images(codes), range(0, HELD_OUT, BATCH)
        found = torch.cat([encoder.encode(images[i : i + BATCH].clamp(-1, 1)) for i in parts])
        distances = (found - codes).flatten(1).norm(dim=1)
        low, high = torch.quantile(distances, torch.tensor([0.01, 0.99]).to(distances))
        middle = distances[(distances >= low) & (distances <= high)].mean()
        return float(psnr(self._images(found), images).mean()), float(middle)

    def _images(self, codes: Tensor) -> Tensor:
        return torch.cat([self.render(part).clone().float() for part in torch.split(codes, BATCH)])

    @property
    def progress(self) -> tuple[Progress, ...]:
        """What was measured so far."""
        return tuple(Progress(int(step), *rest) for step, *rest in self.rows)

    @property
    def status(self) -> str:
        """The last that was measured, for the bar."""
        last = self.progress[-1] if self.progress else None
        return "" if last is None else f"{last.psnr:.1f} dB, {last.consistency:.3g} from codes"

    def encoder(self, name: str) -> Encoder:
        """The encoder of the averaged weights."""
        network = copy.deepcopy(self.kept)
        assert isinstance(network, CompactEncoder | Stages)
        return Encoder(
            network,
            self.held["generator"],
            space=self.space,
            mean=self.center,
            size=self.config.side,
            name=name,
            passes=self.recipe.looks,
            metric=self.metric if self.metric.numel() else None,
        )


def _spread(count: int, chosen: int) -> slice:
    """Rows evenly spaced over a batch, so that real images are among them."""
    return slice(0, None, max(1, count // chosen))


def training_stream(seed: int) -> int:
    """A seed of training codes that nothing else draws from."""
    state = np.random.SeedSequence([ENCODER_SEED, seed]).generate_state(1, np.uint64)
    return int(state[0]) >> 1
