"""StyleSpace: single channels specific to one attribute, from a few positive examples.

Zongze Wu, Dani Lischinski, Eli Shechtman: StyleSpace Analysis: Disentangled Controls for StyleGAN
Image Generation, CVPR 2021, arXiv:2011.12799, section 4.2. With μᵖ and σᵖ the mean and standard
deviation of a channel over the population, the examples' styles are whitened, δ = (s - μᵖ) / σᵖ; a
channel belongs to the attribute if all examples have moved it consistently: θ = |mean(δ)| / std(δ).

Differences from the paper: the examples are the codes that a classifier scores highest, or codes
of your own. The paper looks at the channels of highest θ by eye; here each is moved by one
standard deviation both ways, and those that move the attribute's own score most come first
(`verify=0` keeps the order of θ). The population's mean and deviation follow from those of w
exactly. Channels of the color layers, which tint the whole image, are left out by default.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from directions.bank import DirectionBank
from directions.classifiers.base import Classifier, logit
from directions.errors import LatdirError
from directions.fingerprints import Precision
from directions.generators.base import Generator
from directions.progress import tqdm
from directions.scoring.rendering import Rendering
from directions.scoring.scorer import Scorer
from discovery.base import ScoreMethod
from discovery.channels import channel_direction, usable_channels
from discovery.sampling.draw import Draw

__all__ = ["StyleSpace", "relevance"]

BATCH = 64


@dataclass(frozen=True)
class StyleSpace(ScoreMethod):
    """Channels that belong to an attribute.

    Attributes:
        positives: Number of examples of each attribute, those scored highest.
        n_codes: Number of codes to choose them from.
        n_directions: Directions for each attribute, at most.
        candidates: Channels of highest θ that are tried out.
        verify: Number of codes to try them on; 0 keeps the paper's order and tries nothing.
        rgb: Whether channels of the color layers count.
        space: Latent space whose coordinates are the channels; by default `s` where there is one,
            otherwise the generator's own.
        precision: Arithmetic of generator and classifier; float32 by default.

    Example:
        >>> from directions.planted.world import planted
        >>> world = planted(factors=2, dim=6)
        >>> method = StyleSpace(n_codes=400, n_directions=1)
        >>> len(method.discover(world, classifier=world.classifier()))
        2
    """

    positives: int = 30
    n_codes: int = 2000
    n_directions: int = 5
    candidates: int = 30
    verify: int = 16
    rgb: bool = False
    space: str | None = None
    precision: Precision | None = None

    method: ClassVar[str] = "stylespace"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.positives < 2 or self.n_codes < self.positives:
            raise LatdirError(
                f"{self.positives} positives of {self.n_codes} codes: a spread needs at least 2 "
                "examples, and as many codes to choose them from"
            )
        if self.candidates < self.n_directions or self.verify < 0:
            raise LatdirError(
                f"candidates {self.candidates} must not be fewer than n_directions "
                f"{self.n_directions}, and verify {self.verify} must be at least 0"
            )

    def discover(
        self,
        generator: Generator,
        *,
        classifier: Classifier,
        attributes: Sequence[str] | None = None,
        positives: Mapping[str, Float[Tensor, "k ..."]] | None = None,
        seed: int = 0,
    ) -> DirectionBank:
        """Find the channels of each attribute.

        Args:
            generator: One with styles; of any other, the coordinates of its default space.
            classifier: Chooses the examples and judges the candidates.
            attributes: Names, in the order wanted; by default all.
            positives: Codes of the space that show an attribute, by its name, to use instead of
                those scored highest; for these the classifier only judges.
            seed: Of the codes.

        Returns:
            Directions of one channel each, named `attribute:layer:channel`, the attribute's best
            first, positive toward the attribute. Evidence has `layer`, `channel`, `index` in the
            code, `theta`, and where tried `effect` (change of the attribute's log-odds or value
            per sigma of the channel, in standard deviations over the samples) and `specificity`
            (its share of the changes of all attributes).

        Raises:
            LatdirError: Unknown attributes, too few examples, or codes of another space.
        """
        names = list(classifier.names if attributes is None else attributes)
        columns = classifier.columns(names)
        if not names:
            raise LatdirError(f"name at least one attribute of {', '.join(classifier.names)}")
        space = generator.space(self.space or generator.default_space("s"))
        codes, scores = self._population(generator, classifier, space.name, seed)
        prior = generator.prior(space.name)
        mean, spread = prior.mean.flatten().to(codes), prior.deviations.flatten().to(codes)
        usable = usable_channels(generator, space.name, rgb=self.rgb).to(codes.device)
        usable &= spread > 0
        found: dict[str, Tensor] = {}
        for name, column in zip(names, columns, strict=True):
            if positives is not None and name in positives:
                shown = generator.check(positives[name], space.name).flatten(1).to(codes)
            else:
                shown = codes[scores[:, column].topk(self.positives).indices]
            found[name] = relevance(shown, mean, spread) * usable
        chosen = {
            name: values.abs().topk(min(self.candidates, int(usable.sum()))).indices.tolist()
            for name, values in found.items()
        }
        effects = self._effects(generator, classifier, space.name, chosen, scores, seed)
        made = []
        for name, column in zip(names, columns, strict=True):
            ranked = []
            for index in chosen[name]:
                theta = float(found[name][index])
                evidence: dict[str, Any] = {"theta": abs(theta)}
                sign, weight = theta, abs(theta)
                if self.verify:
                    moved = effects[index]
                    sign, weight = float(moved[column]), abs(float(moved[column]))
                    evidence["effect"] = weight
                    evidence["specificity"] = weight / max(float(moved.abs().sum()), 1e-12)
                ranked.append((weight, index, -1.0 if sign < 0 else 1.0, evidence))
            ranked.sort(key=lambda item: (-item[0], item[1]))
            made += [
                channel_direction(
                    generator, space.name, index, sign=sign, name=name, method=self, evidence=notes
                )
                for _, index, sign, notes in ranked[: self.n_directions]
            ]
        provenance = {"classifier": classifier.name, "samples": self.n_codes, "seed": seed}
        return DirectionBank.of(generator, tuple(made), provenance)

    @property
    def _rendering(self) -> Rendering:
        return Rendering(precision=self.precision)

    def _population(
        self, generator: Generator, classifier: Classifier, space: str, seed: int
    ) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n k"]]:
        """Codes, flattened, and the logits of their images."""
        scorer = Scorer(generator, classifier, space=space, rendering=self._rendering)
        draw = Draw(generator, space, seed=seed, samples=self.n_codes, chunk=BATCH)
        kept, scores = [], []
        for codes in draw.chunks(note="examples"):
            kept.append(codes.flatten(1))
            scores.append(logit(scorer.score(codes), classifier.attributes))
        return torch.cat(kept), torch.cat(scores)

    def _effects(
        self,
        generator: Generator,
        classifier: Classifier,
        space: str,
        chosen: Mapping[str, Sequence[int]],
        scores: Float[Tensor, "n k"],
        seed: int,
    ) -> dict[int, Float[Tensor, "k"]]:
        """Change of every attribute's logit per sigma of each candidate, in its deviations."""
        if not self.verify:
            return {}
        scorer = Scorer(generator, classifier, space=space, rendering=self._rendering)
        start = generator.sample(self.verify, seed=seed, start=self.n_codes, space=space)
        sigmas = generator.prior(space).deviations.flatten()
        unit = scores.std(0).clamp_min(1e-12)
        effects = {}
        candidates = sorted({index for indices in chosen.values() for index in indices})
        for index in tqdm(candidates, desc="candidates", leave=False, delay=1):
            step = torch.zeros_like(start[0]).flatten()
            step[index] = sigmas[index]
            ends = torch.cat([start + step.view_as(start[0]), start - step.view_as(start[0])])
            up, down = logit(scorer.score(ends), classifier.attributes).chunk(2)
            effects[index] = (up - down).mean(0) / 2 / unit
        return effects


def relevance(
    examples: Float[Tensor, "k d"], mean: Float[Tensor, "d"], deviations: Float[Tensor, "d"]
) -> Float[Tensor, "d"]:
    """θ of each channel, with the sign of the examples' common move.

    Args:
        examples: Styles of images that show an attribute, at least two.
        mean: Of the population.
        deviations: Of the population; channels of 0 are of no relevance.

    Raises:
        LatdirError: Fewer than two examples.

    Example:
        >>> examples = torch.tensor([[2.0, -1.0], [4.0, 1.0]])
        >>> relevance(examples, torch.zeros(2), torch.ones(2)).round(decimals=2)
        tensor([2.1200, 0.0000])
    """
    if len(examples) < 2:
        raise LatdirError(
            f"{len(examples)} example has no spread: give at least 2, better 10 to 30"
        )
    alive = deviations > 0
    delta = (examples - mean) / torch.where(alive, deviations, torch.ones_like(deviations))
    spread = delta.std(0)
    theta = delta.mean(0) / torch.where(spread > 0, spread, torch.ones_like(spread))
    return torch.where(alive & (spread > 0), theta, torch.zeros_like(theta))
