"""What a conditional encoder in training is, the images it sees, and what a step of it costs."""

from __future__ import annotations

import copy
import math
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from directions.inversion.conditional.base import ConditionalEncoder, predicted, trunk
from directions.inversion.conditional.judges import Judge, Judges
from directions.inversion.conditional.network import ConditionalConfig, ConditionalNetwork
from directions.inversion.conditional.recipes import ConditionalRecipe
from directions.inversion.conditional.start import linear_start, standard
from directions.inversion.encoders import Encoder, TrainingSchedule
from directions.inversion.encoders.compact import principal_axes
from directions.inversion.encoders.critics import Critic
from directions.inversion.encoders.learner import training_stream
from directions.inversion.encoders.running import Running
from directions.inversion.typicality import Typicality
from directions.seeds import ENCODER_SEED
from directions.training import step_rng

__all__ = ["ConditionalLearner", "ConditionalProgress"]

# Held-out images, samples that conditions are standardized by, and those of a linear start.
HELD_OUT, SAMPLES, STARTED = 32, 128, 1024
BATCH = 32
# Side of images that are compared by their light.
LIGHT = 8
# Units of a layer for each channel of the schedule's width.
HIDDEN = 8


class ConditionalProgress(NamedTuple):
    """Where a training stood, on held-out samples.

    Attributes:
        step: Steps taken.
        error: Mean absolute difference of values from their targets; by identity, of standardized
            embeddings from those asked for.
        identity: Cosine of centered embeddings, to the image given or whose identity was asked for.
    """

    step: int
    error: float
    identity: float


class ConditionalLearner(Running):
    """Everything that is trained, and what a step costs."""

    network: ConditionalNetwork
    kept: ConditionalNetwork
    # The official one.
    critic_rate = 0.4

    def __init__(
        self,
        encoder: Encoder,
        recipe: ConditionalRecipe,
        schedule: TrainingSchedule,
        judges: Judges,
        seed: int,
    ) -> None:
        generator, space = encoder.generator, encoder.space
        judges = judges.at(schedule.precision)
        axes, value = principal_axes(generator, space), recipe.condition == "value"
        render = generator.inference(space=space)
        count = HELD_OUT + (SAMPLES if value else STARTED)
        known = generator.sample(count, seed=ENCODER_SEED, space=space)
        with torch.no_grad():
            images = torch.cat([render(part).clone() for part in torch.split(known, BATCH)])
        embedded = _seen(judges.embed, images)
        mean, spread = standard(embedded[HELD_OUT:])
        low, high = recipe.targets
        center = torch.tensor([(low + high) / 2]) if value else mean
        scale = torch.tensor([(high - low) / 2]) if value else spread
        keeps = judges.kept and _seen(judges.kept, images)
        held = [] if judges.points is None or value else [_seen(judges.points, images).flatten(1)]
        held += [] if keeps is None else [keeps]
        looks = bool(recipe.look) and not value
        config = ConditionalConfig(
            recipe.condition, trunk(encoder).config.widths[-1], len(center), len(axes),
            HIDDEN * schedule.width,
            sum(x.shape[1] for x in (embedded, *held)) if looks else 0,
        )  # fmt: skip
        network = ConditionalNetwork(config, axes, center, scale).to(generator.device)
        if not value:
            one = known.reshape(count, -1, axes.shape[-1]).mean(1)
            network.turn, answer = linear_start(network.coordinates(one), embedded, held)
            if looks:
                network.answer = recipe.look * answer
        super().__init__(network, steps=schedule.steps, figures=2)
        self.recipe, self.schedule, self.stream = recipe, schedule, training_stream(seed)
        # Not modules: their weights are no part of what is trained.
        self.held: dict[str, Any] = {
            "encoder": encoder, "judges": judges, "render": render, "probes": images[:HELD_OUT]
        }  # fmt: skip
        self.mean, self.spread = mean, spread
        self.keeps = None if keeps is None else standard(keeps[HELD_OUT:])[1]
        self.near = Typicality.of(generator, space)
        code = generator.space(space).shape[-1:]
        self.critic = Critic(code).to(generator.device) if recipe.code_critic else None

    @property
    def critics(self) -> tuple[Critic, ...]:
        """As `Running.critics`."""
        return () if self.critic is None else (self.critic,)

    def loss(self, step: int) -> Tensor:
        """Of a step by number."""
        self.begin(step)
        count, encoder = self.schedule.batch_size, self.held["encoder"]
        codes = encoder.generator.sample(
            count, seed=self.stream, start=step * count, space=encoder.space
        )
        with torch.no_grad():
            images = self.held["render"](codes).clone().float()
        rows = torch.arange(count, device=images.device) < round(self.recipe.same * count)
        if self.recipe.condition == "identity":
            return self._swapped(codes, images, rows, step)
        return self._moved(images, rows, step)

    def _moved(self, images: Tensor, same: Tensor, step: int) -> Tensor:
        """Of images at target values, and of the way back."""
        recipe = self.recipe
        with torch.no_grad():
            own = self.held["judges"].value(images)
        low, high = recipe.targets
        drawn = torch.rand(len(images), generator=step_rng(self.stream, step)).to(own)
        target = torch.where(same, own, low + (high - low) * drawn)
        cost, shown = self._value_cost(images, images, target, (target - own).abs())
        if recipe.cycle:
            back, _ = self._value_cost(images, shown.detach(), own, torch.zeros_like(own))
            cost = cost + recipe.cycle * back
        return cost

    def _value_cost(
        self, images: Tensor, seen: Tensor, target: Tensor, way: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What codes of images seen cost at their targets, beside the images wanted."""
        recipe, judges = self.recipe, self.held["judges"]
        codes, shown = self._made(seen, target[:, None])
        cost = recipe.target * ((judges.value(shown) - target) / recipe.unit).square().mean()
        if recipe.identity:
            # SAM's, of the distance of ages over 100.
            weights = 0.25 * torch.cos(math.pi * (way / recipe.unit).clamp_max(1)) + 0.75
            cost = cost + recipe.identity * (weights * (1 - self._alike(shown, images))).mean()
        cost = cost + recipe.pixels * (shown - images).square().mean()
        if recipe.norm:
            cost = cost + recipe.norm * self.near.standardized(codes).square().mean()
        return cost + self._stayed(shown, images), shown

    def _swapped(self, codes: Tensor, images: Tensor, same: Tensor, step: int) -> Tensor:
        """Of images with the identity of others."""
        recipe, judges = self.recipe, self.held["judges"]
        with torch.no_grad():
            own = judges.embed(images)
        wanted = torch.where(same[:, None], own, own.roll(1, 0))
        whose = torch.where(same[:, None, None, None], images, images.roll(1, 0))
        found, shown = self._made(images, wanted, whose)
        cost = recipe.identity * self._far(judges.embed(shown), wanted)
        if recipe.pixels and same.any():
            cost = cost + recipe.pixels * (shown - images)[same].square().mean()
        if recipe.norm:
            cost = cost + recipe.norm * self.near.standardized(found).square().mean()
        if self.critic is not None:
            # Standardized, or the gradients of a critic of small codes have no bound.
            width = found.shape[-1]
            made, real = (self.near.standardized(c).reshape(-1, width) for c in (found, codes))
            cost = cost + recipe.code_critic * self.critic.of_made(made)
            cost = cost + self.critic.own(real, made, step)
        return cost + self._stayed(shown, images)

    def _stayed(self, shown: Tensor, images: Tensor) -> Tensor:
        """What is to be the image's own: landmarks, light, attributes."""
        recipe, judges = self.recipe, self.held["judges"]
        cost = shown.new_zeros(())
        if recipe.points:
            with torch.no_grad():
                wanted = judges.points(images)
            off = (judges.points(shown) - wanted) / images.shape[-1]
            cost = cost + recipe.points * off.square().mean()
        if recipe.light:
            cost = cost + recipe.light * (_light(shown) - _light(images)).square().mean()
        if recipe.keep:
            with torch.no_grad():
                wanted = judges.kept(images)
            cost = cost + recipe.keep * ((judges.kept(shown) - wanted) / self.keeps).square().mean()
        return cost

    def _made(
        self, images: Tensor, condition: Tensor, whose: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        encoder: Encoder = self.held["encoder"]
        codes = predicted(self.network, encoder, images, condition, whose=whose)
        half = self.schedule.precision == "bfloat16"
        given = codes.bfloat16() if half else codes
        return codes, encoder.generator.synthesize(given, encoder.space).float()

    def _alike(self, images: Tensor, others: Tensor) -> Float[Tensor, "n"]:
        """Cosine of centered embeddings."""
        embed = self.held["judges"].embed
        with torch.no_grad():
            wanted = embed(others)
        return functional.cosine_similarity(embed(images) - self.mean, wanted - self.mean)

    def _far(self, embedded: Tensor, wanted: Tensor) -> Tensor:
        """Mean absolute difference of standardized embeddings."""
        off: Tensor = ((embedded - wanted) / self.spread).abs().mean()
        return off

    def measured(self) -> tuple[float, ...]:
        """On held-out images, targets evenly spread, or each with the identity of another."""
        judges, probes = self.held["judges"], self.held["probes"]
        encoder: Encoder = self.held["encoder"]
        value = self.recipe.condition == "value"
        whose = None if value else probes.roll(1, 0)
        if whose is None:
            asked = torch.linspace(*self.recipe.targets, len(probes)).to(probes)[:, None]
        else:
            asked = judges.embed(whose)
        codes = predicted(self.kept, encoder, probes, asked, whose=whose)
        shown = encoder.generator.synthesize(codes, encoder.space).float()
        if whose is None:
            off = (judges.value(shown) - asked[:, 0]).abs().mean()
            return float(off), float(self._alike(shown, probes).mean())
        return float(self._far(judges.embed(shown), asked)), float(self._alike(shown, whose).mean())

    @property
    def progress(self) -> tuple[ConditionalProgress, ...]:
        """What was measured so far."""
        return tuple(ConditionalProgress(int(step), *rest) for step, *rest in self.rows)

    @property
    def status(self) -> str:
        """The last that was measured, for the bar."""
        last = self.progress[-1] if self.progress else None
        return "" if last is None else f"{last.error:.3g} off, identity {last.identity:.2f}"

    def conditional(self, name: str) -> ConditionalEncoder:
        """The encoder of the averaged weights."""
        judges, value = self.held["judges"], self.recipe.condition == "value"
        looks = self.kept.config.measured
        return ConditionalEncoder(
            copy.deepcopy(self.kept),
            self.held["encoder"],
            name=name,
            attribute=judges.attribute,
            embed=None if value else judges.embed,
            held=judges.held if looks else None,
        )


@torch.no_grad()
def _seen(judge: Judge, images: Tensor) -> Tensor:
    """What a judge says of images, in batches."""
    return torch.cat([judge(part.float()) for part in torch.split(images, BATCH)])


def _light(images: Tensor) -> Tensor:
    """Images of 8 × 8."""
    return functional.adaptive_avg_pool2d(images, LIGHT)
