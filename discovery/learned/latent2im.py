"""Directions that take each image's attribute to a target, and little of its content elsewhere.

P. Zhuang, O. Koyejo & A. Schwing: Enjoy Your Editing: Controllable GANs for Image Editing via
Latent Space Navigation (Latent2im), ICLR 2021, arXiv:2102.01187. A code moves by

    w' = w + Σₐ (tₐ - pₐ) Tₐ,    p = R(G(w)), the regressor's attributes in 0 … 1, t their targets,

so that a step depends on where the image stands; Tₐ are trained by

    λ₁ BCE(R(G(w')), t) + λ₂ ‖φ(G(w')) - φ(G(w))‖² + λ₃ softplus(-D(G(w'))).

Differences from the official code: one attribute at a time has a target and the others shall stay,
where that code draws targets for all, which hurts those that oppose each other; cross-entropies are
summed over attributes, so that none weighs less, beside the content, for being one of many; the
regressor is any differentiable classifier, a value being read through the sigmoid of its
standardized score; φ is any function of images, pixels by default, and D may be left out; codes
come from a pool whose unmoved images are scored once; and gradients are followed with momentum,
since Adam goes as far along coordinates that change nothing as along those that do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import softplus

from directions.arguments import returned
from directions.bank import DirectionBank
from directions.classifiers.base import Classifier
from directions.direction import Direction
from directions.errors import LatdirError
from directions.fingerprints import Precision
from directions.generators.base import Generator
from directions.scoring.features import Features, pixel_features
from directions.training import Checkpoint, falling, fit, step_rng
from discovery.base import ScoreMethod, tool
from discovery.learned.contrast import Images, spread
from discovery.learned.targets import Pool

__all__ = ["Latent2im", "latent2im_loss"]

LEAST_SHARE = 1e-12
JUDGED = 64
MOMENTUM, LONGEST_GRADIENT = 0.9, 1.0


def latent2im_loss(
    told: Float[Tensor, "n k"],
    target: Float[Tensor, "n k"],
    change: Float[Tensor, "n f"],
    *,
    regression: float = 10.0,
    content: float = 0.05,
    real: Float[Tensor, "n"] | None = None,
    realism: float = 0.05,
) -> Float[Tensor, ""]:
    """The loss of moved images.

    Args:
        told: Their attributes, in 0 … 1.
        target: What they shall be.
        change: φ of the moved images minus φ of the others.
        regression: λ₁.
        content: λ₂.
        real: Logits of a discriminator for the moved images.
        realism: λ₃.

    Example:
        >>> half, none = torch.full((1, 1), 0.5), torch.zeros(1, 3)
        >>> float(latent2im_loss(half, half, none, regression=1.0))
        0.693...
    """
    yes, no = (p.clamp_min(LEAST_SHARE).log() for p in (told, 1 - told))
    loss = -regression * (target * yes + (1 - target) * no).mean()
    loss = loss + content * change.square().sum(1).mean()
    return loss if real is None else loss + realism * softplus(-real).mean()


class _Walks(nn.Module):
    """T of each attribute, in mean standard deviations of the codes' coordinates."""

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.T = nn.Parameter(start)

    def shorten(self) -> None:
        """Shorten the gradient of each walk: a steep attribute shall not hold up the others."""
        assert self.T.grad is not None
        for gradient in self.T.grad:
            gradient /= (gradient.norm() / LONGEST_GRADIENT).clamp_min(1)


@dataclass(frozen=True)
class Latent2im(ScoreMethod):
    """Directions that take each image's attribute to a target, and little of its content elsewhere.

    Evidence, on codes not trained on, each with a random target for the attribute: `reached` (the
    share of the way to the target, 1 - the mean error over that of the unmoved images), `others`
    (mean absolute change of the other attributes over that of this one), `content` (mean squared
    change of the features) and `length` (latent distance from 0 to 1 of the attribute).

    Attributes:
        space: Latent space; by default `w` where there is one, otherwise the generator's own.
        regression: Weight of each attribute's cross-entropy.
        content: Weight of the features' squared change: 0.05 in the paper, whose features are not
            scaled as pixels are.
        realism: Weight of the discriminator's, if there is one.
        steps: Steps of gradient descent with momentum.
        batch_size: Codes a step.
        rate: Highest rate; it falls to zero. T is in mean standard deviations of the coordinates.
        n_codes: Codes that are moved.
        precision: Arithmetic of the generator.
        features: φ, such as `directions.scoring.features.lpips_features()`; by default pixels.
            Images are reduced to 64 pixels for it.
        discriminator: From images to logits of their being real; by default none.

    Example:
        >>> from directions.planted.world import planted
        >>> world = planted(factors=2, dim=8)
        >>> method = Latent2im(steps=80, n_codes=64, rate=1.0)
        >>> bank = method.discover(world, classifier=world.classifier())
        >>> bool((bank.matrix() * world.truth).sum(1).min() > 0.95)
        True
    """

    space: str | None = None
    regression: float = 10.0
    content: float = 10.0
    realism: float = 0.05
    steps: int = 300
    batch_size: int = 8
    rate: float = 0.1
    n_codes: int = 256
    precision: Precision = "bfloat16"
    features: Features | None = tool()
    discriminator: Callable[[Tensor], Tensor] | None = tool()

    method: ClassVar[str] = "latent2im"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_positive("rate", "regression")
        self._check_least(0, "content", "realism")
        if self.n_codes < 2:
            raise LatdirError(f"n_codes is {self.n_codes}: attributes are standardized over 2 or "
                              "more codes")  # fmt: skip

    def discover(
        self,
        generator: Generator,
        *,
        classifier: Classifier,
        attributes: Sequence[str] | None = None,
        seed: int = 0,
        checkpoint: str | PathLike[str] | None = None,
    ) -> DirectionBank:
        """Train one direction an attribute, pointing to higher scores.

        Args:
            generator: Makes the images, differentiably.
            classifier: Scores them, differentiably.
            attributes: Those that have targets, and stay while another has; by default all of the
                classifier's.
            seed: Seed of the codes, the targets and the first directions.
            checkpoint: A file that keeps the training, to go on where it was killed.

        Raises:
            LatdirError: Something is not differentiable, an attribute is the same for all codes or
                unknown, an attribute does not respond, or a checkpoint of another run.
        """
        names = tuple(classifier.names if attributes is None else attributes)
        space = self.space or generator.default_space("w")
        pool = Pool.of(
            generator.sample(self.n_codes + JUDGED, seed=seed, space=space),
            Images(generator, space, self.precision, None),
            classifier,
            names,
            features=self.features or pixel_features,
            seed=seed,
            held_out=JUDGED,
            batch_size=self.batch_size,
        )
        rng = torch.Generator().manual_seed(seed % 2**63)
        start = 0.02 * torch.randn(len(names), *generator.space(space).shape, generator=rng)
        walks, unit = _Walks(start.to(pool.codes)), spread(generator, space)

        def loss(step: int) -> Tensor:
            rng = step_rng(seed, step)
            rows = torch.randint(self.n_codes, (self.batch_size,), generator=rng)
            rows = rows.to(pool.codes.device)
            # A target for one attribute of each code; the others shall stay.
            which = torch.randint(len(names), (len(rows),), generator=rng).to(rows)
            wanted = torch.rand(len(rows), generator=rng).to(pool.told)
            target = pool.told[rows].scatter(1, which[:, None], wanted[:, None])
            found, change, new = pool.moved(rows, target, unit * walks.T)
            return latent2im_loss(
                found,
                target,
                change,
                regression=self.regression * len(names),
                content=self.content,
                real=self._real(new),
                realism=self.realism,
            )

        more = {"attributes": list(names), "classifier": classifier.fingerprint}
        descent = torch.optim.SGD(walks.parameters(), lr=self.rate, momentum=MOMENTUM)
        descent.register_step_pre_hook(lambda *_: walks.shorten())
        fitted = fit(
            walks,
            loss,
            descent,
            steps=self.steps,
            checkpoint=Checkpoint(checkpoint, self.run(generator.fingerprint, seed) | more),
            schedule=falling,
            title=self.method,
        )
        found, prior = unit * walks.T.detach(), generator.prior(space)
        directions = [
            Direction.from_vector(
                name,
                vector,
                space=space,
                method=self.method,
                config=self.config,
                sigma=prior.sigma(vector.flatten() / vector.norm()),
                evidence=self._judged(pool, found, name, k, step_rng(seed, self.steps + k)),
            )
            for k, (name, vector) in enumerate(zip(names, found.cpu(), strict=True))
        ]
        provenance = {"seed": seed, "steps": fitted.kept, "classifier": classifier.name}
        return DirectionBank.of(generator, directions, provenance)

    def _real(self, images: Tensor) -> Float[Tensor, "n"] | None:
        """The discriminator's logits, if there is one."""
        if self.discriminator is None:
            return None
        logits: Tensor = returned(self.discriminator(images), "discriminator", "n ...")
        return logits.flatten()

    def _judged(
        self, pool: Pool, walks: Tensor, name: str, k: int, rng: torch.Generator
    ) -> dict[str, float]:
        """Evidence of the k-th attribute, on the codes not trained on."""
        held = torch.arange(self.n_codes, len(pool.codes), device=pool.codes.device)
        before = pool.told[held]
        target = before.clone()
        target[:, k] = torch.rand(len(held), generator=rng).to(before)
        with torch.no_grad():
            pairs = zip(*(torch.split(t, self.batch_size) for t in (held, target)), strict=True)
            parts = [pool.moved(rows, t, walks)[:2] for rows, t in pairs]
        found, change = (torch.cat(part) for part in zip(*parts, strict=True))
        drift, missed = ((found - t).abs().mean(0) for t in (before, target))
        if not drift[k] > 0:
            raise LatdirError(
                f"attribute {name!r} does not respond to its direction: give more steps or a "
                "higher rate, or leave it out"
            )
        others = (drift.sum() - drift[k]) / max(1, len(drift) - 1)
        return {
            "reached": float(1 - missed[k] / (before - target)[:, k].abs().mean()),
            "others": float(others / drift[k]),
            "content": float(change.square().sum(1).mean()),
            "length": float(walks[k].norm()),
        }
