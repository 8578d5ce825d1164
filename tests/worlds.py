"""Planted worlds: generators whose factors are known, and the ways labels go wrong."""

from __future__ import annotations

import inspect
from functools import cached_property

import torch
from torch import Tensor

from directions.classifiers import Classifier
from directions.fingerprints import fingerprint
from directions.generators.base import Generator
from directions.planted.world import PlantedGenerator, planted
from directions.space import Prior, Space
from discovery.sampling.samples import Samples

WORLDS = {
    "linear": {},
    "entangled": {"cosine": 0.5},
    "curved": {"bend": 0.8},
    "anisotropic": {"condition": 5.0},
    "everything": {"cosine": 0.4, "bend": 0.8, "condition": 5.0},
}


def world(
    name: str = "linear", *, seed: int = 0, dim: int = 32, factors: int = 4
) -> PlantedGenerator:
    """One of `WORLDS`, with fresh geometry for each seed."""
    return planted(factors=factors, dim=dim, seed=seed, **WORLDS[name])


class Noisy(Classifier):
    """A classifier whose logits carry noise, the same for the same image.

    Args:
        classifier: The classifier underneath.
        noise: Standard deviation of the noise, in units of the logits.
        seed: Another seed, another noise.
    """

    differentiable = False

    def __init__(self, classifier: Classifier, *, noise: float, seed: int = 0) -> None:
        self.classifier, self.noise, self.seed = classifier, noise, seed
        self.name = f"noisy-{classifier.name}"
        self.attributes = classifier.attributes

    @cached_property
    def fingerprint(self) -> str:
        of = self.classifier.fingerprint
        return fingerprint({}, {"of": of, "noise": self.noise, "seed": self.seed})

    def logits(self, images: Tensor) -> Tensor:
        # The fraction of a large multiple of a random projection is as good as random, and it is
        # a function of the image alone.
        rng = torch.Generator().manual_seed(self.seed)
        probes = torch.randn(images[0].numel(), len(self.attributes), generator=rng)
        phase = images.flatten(1).double() @ probes.to(images.device).double()
        uniform = (phase * 1e6).remainder(1.0).clamp(1e-9, 1 - 1e-9)
        noise = 2**0.5 * torch.special.erfinv(2 * uniform - 1)
        return self.classifier.logits(images) + self.noise * noise.float()

    def __call__(self, images: Tensor) -> Tensor:
        logits = self.logits(images)
        probability = torch.tensor([a.kind == "probability" for a in self.attributes])
        return torch.where(probability.to(images.device), logits.sigmoid(), logits)


class Mapped(PlantedGenerator):
    """A planted generator with a second space `w`, a fixed linear image of z."""

    name = "mapped"

    def __init__(self, base: PlantedGenerator) -> None:
        self.__dict__.update({k: v for k, v in vars(base).items() if k != "fingerprint"})
        self._base = base
        z = base.space("z")
        self.spaces = {"z": z, "w": Space("w", z.shape)}
        rng = torch.Generator().manual_seed(7)
        self._matrix = (
            torch.eye(z.size) + 0.3 * torch.randn(z.size, z.size, generator=rng) / z.size**0.5
        )
        self._shift = torch.linspace(-1, 1, z.size)

    @cached_property
    def fingerprint(self) -> str:
        return fingerprint({"matrix": self._matrix}, {"of": self._base.fingerprint})

    def prior(self, space: str | None = None) -> Prior:
        prior = super().prior(space)
        if space != "w":
            return prior
        matrix = self._matrix.cpu()
        return Prior(self._shift.cpu(), matrix @ prior.covariance @ matrix.T)

    def _map(self, codes: Tensor, source: str, target: str) -> Tensor:
        if (source, target) == ("z", "w"):
            return codes @ self._matrix.to(codes).T + self._shift.to(codes)
        centered = codes - self._shift.to(codes)
        return torch.linalg.solve(self._matrix.to(codes), centered.T).T

    def synthesize(self, codes: Tensor, space: str = "z") -> Tensor:
        return super().synthesize(self.map(codes, space, "z"), "z")


def labeled(
    generator: Generator,
    classifier: Classifier,
    count: int,
    *,
    seed: int = 0,
    space: str | None = None,
) -> Samples:
    """Codes and scores in memory, by the plainest way there is."""
    space = space or next(iter(generator.spaces))
    codes = generator.sample(count, seed=seed, space=space)
    with torch.no_grad():
        scores = torch.cat([classifier(generator.synthesize(c, space)) for c in codes.split(500)])
    return Samples(
        codes=codes,
        scores=scores,
        attributes=classifier.attributes,
        space=space,
        generator=generator.name,
        fingerprint=generator.fingerprint,
        classifier=classifier.name,
        classifier_fingerprint=classifier.fingerprint,
        seed=seed,
        prior=generator.prior(space),
    )


def untyped(*args, **given) -> Samples:
    """`Samples(…)` as users call it, past the check of types that only the tests have."""
    made = object.__new__(Samples)
    inspect.unwrap(Samples.__init__)(made, *args, **given)
    return made


def slow_jacobian(function, point: Tensor) -> Tensor:
    """`[out, d]`, one backward pass an output."""
    point = point.clone().requires_grad_()
    out = function(point[None]).flatten()
    rows = [torch.autograd.grad(o, point, retain_graph=True)[0].flatten() for o in out]
    return torch.stack(rows)


def equal_gains(bend: float = 0.0) -> PlantedGenerator:
    """All patterns of equal norm and gain: on average every basis of their span is as good."""
    return planted(factors=3, nuisances=0, dim=6, bend=bend, seed=3)


def matched(bank, truth: Tensor) -> Tensor:
    """For each true axis the largest cosine to a direction."""
    return (bank.matrix() @ truth.T).abs().amax(0)
