"""What a conditional encoder in training is, the images it sees, and what a step of it costs."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from directions.fingerprints import Precision
from directions.inversion.conditional.base import ConditionalEncoder, predicted, trunk
from directions.inversion.conditional.network import ConditionalConfig, ConditionalNetwork
from directions.inversion.conditional.recipes import ConditionalRecipe
from directions.inversion.encoders import Encoder, TrainingSchedule
from directions.inversion.encoders.compact import principal_axes
from directions.inversion.encoders.critics import Critic
from directions.inversion.encoders.learner import training_stream
from directions.inversion.encoders.running import Running
from directions.inversion.typicality import Typicality
from directions.seeds import ENCODER_SEED
from directions.training import step_rng

__all__ = ["ConditionalLearner", "ConditionalProgress", "Judges"]

# Held-out images, and samples that conditions are standardized by.
HELD_OUT, SAMPLES = 32, 128
BATCH = 32
# Units of a layer for each channel of the schedule's width.
HIDDEN = 8


@dataclass(frozen=True)
class Judges:
    """What images are judged by, each differentiable.

    Attributes:
        attribute: Name of the value.
        value: Images to `[n]`.
        embed: Images to `[n, k]`, identity.
        points: Images to `[n, p, 2]`, landmarks in pixels.
    """

    attribute: str
    value: Callable[[Tensor], Tensor]
    embed: Callable[[Tensor], Tensor]
    points: Callable[[Tensor], Tensor] | None

    def at(self, precision: Precision) -> Judges:
        """The same with the products of networks in a precision."""

        def run(judge: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
            def judged(images: Tensor) -> Tensor:
                with torch.autocast(images.device.type, torch.bfloat16):
                    return judge(images).float()

            return judged

        if precision == "float32":
            return self
        points = None if self.points is None else run(self.points)
        return Judges(self.attribute, run(self.value), run(self.embed), points)


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
        known = generator.sample(HELD_OUT + SAMPLES, seed=ENCODER_SEED, space=space)
        with torch.no_grad():
            images = torch.cat([render(part).clone() for part in torch.split(known, BATCH)])
            embedded = torch.cat([judges.embed(part) for part in torch.split(images, BATCH)])
        spread, mean = torch.std_mean(embedded[HELD_OUT:], 0)
        spread = spread.clamp_min(1e-3 * float(spread.max()) + 1e-12)
        low, high = recipe.targets
        center = torch.tensor([(low + high) / 2]) if value else mean
        scale = torch.tensor([(high - low) / 2]) if value else spread
        config = ConditionalConfig(
            recipe.condition, trunk(encoder).config.widths[-1], len(center), len(axes),
            HIDDEN * schedule.width,
        )  # fmt: skip
        network = ConditionalNetwork(config, axes, center, scale).to(generator.device)
        super().__init__(network, steps=schedule.steps, figures=2)
        self.recipe, self.schedule, self.stream = recipe, schedule, training_stream(seed)
        # Not modules: their weights are no part of what is trained.
        self.held: dict[str, Any] = {
            "encoder": encoder, "judges": judges, "render": render, "probes": images[:HELD_OUT]
        }  # fmt: skip
        self.mean, self.spread = mean, spread
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
        return self._placed(cost, shown, images), shown

    def _swapped(self, codes: Tensor, images: Tensor, same: Tensor, step: int) -> Tensor:
        """Of images with the identity of others."""
        recipe, judges = self.recipe, self.held["judges"]
        with torch.no_grad():
            own = judges.embed(images)
        wanted = torch.where(same[:, None], own, own.roll(1, 0))
        found, shown = self._made(images, wanted)
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
        return self._placed(cost, shown, images)

    def _placed(self, cost: Tensor, shown: Tensor, images: Tensor) -> Tensor:
        """The cost with that of landmarks."""
        points = self.held["judges"].points
        if not self.recipe.points:
            return cost
        with torch.no_grad():
            wanted = points(images)
        off: Tensor = (points(shown) - wanted) / images.shape[-1]
        return cost + self.recipe.points * off.square().mean()

    def _made(self, images: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        encoder: Encoder = self.held["encoder"]
        codes = predicted(self.network, encoder, images, condition)
        return codes, encoder.generator.synthesize(codes, encoder.space).float()

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
        if self.recipe.condition == "value":
            asked = torch.linspace(*self.recipe.targets, len(probes)).to(probes)[:, None]
        else:
            asked = judges.embed(probes).roll(1, 0)
        codes = predicted(self.kept, encoder, probes, asked)
        shown = encoder.generator.synthesize(codes, encoder.space).float()
        if self.recipe.condition == "value":
            off = (judges.value(shown) - asked[:, 0]).abs().mean()
            return float(off), float(self._alike(shown, probes).mean())
        off = self._far(judges.embed(shown), asked)
        return float(off), float(self._alike(shown, probes.roll(1, 0)).mean())

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
        return ConditionalEncoder(
            copy.deepcopy(self.kept),
            self.held["encoder"],
            name=name,
            attribute=judges.attribute,
            embed=None if value else judges.embed,
        )
