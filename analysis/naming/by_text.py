"""Names of unlabeled directions from text: the nearest phrases of a vocabulary.

A direction's edits move images in the embedding of a text-image model by

    ΔI = mean over codes of E(G(z + step)) - E(G(z - step));

a phrase p differs from a neutral text by the direction Δp = t(p) - t(neutral). The nearest phrases
are those of the largest cosine between the two (the comparison of directions rather than of
points is that of StyleGAN-NADA, Gal et al. 2021, arXiv:2108.00946). A cosine always has a largest;
whether it exceeds random directions is tested by `name_directions`, for which the
vocabulary is a classifier with one attribute a phrase.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from torch.nn.functional import normalize

from analysis.naming.by_effects import Naming, name_directions
from directions.arguments import checked
from directions.bank import DirectionBank
from directions.classifiers.clip.model import ClipModel, clip_classifier
from directions.classifiers.clip.prompts import Prompt, prompts_of, text_directions
from directions.classifiers.clip.protocol import TextImageModel
from directions.errors import LatdirError
from directions.generators.base import Generator
from directions.progress import tqdm
from directions.scoring.rendering import Rendering
from directions.scoring.scorer import Scorer
from directions.seeds import NAMING_SEED

__all__ = ["FACE_PHRASES", "Phrase", "name_by_text", "nearest_phrases"]

FACE_PHRASES = prompts_of(
    (
        "a smiling face",
        "a sad face",
        "an angry face",
        "a surprised face",
        "a frightened face",
        "an expressionless face",
        "a man",
        "a woman",
        "an old person",
        "a young person",
        "a face looking to the left",
        "a face looking to the right",
        "a face looking up",
        "a face looking down",
        "a face with an open mouth",
        "a face with a closed mouth",
        "a face with closed eyes",
        "a face with glasses",
        "a face with a beard",
        "a face with long hair",
        "a face with dark hair",
        "a face with fair hair",
        "a bright image",
        "a dark image",
        "a face before a bright background",
        "a face before a dark background",
    )
)
"""Phrases to begin with, for faces."""

MAX_SEEN = 3


@dataclass(frozen=True)
class Phrase:
    """One phrase near a direction.

    Attributes:
        text: The phrase.
        cosine: Between the direction's change of the embedding and the phrase's; negative where
            the direction leads away from it.
    """

    text: str
    cosine: float


@checked
def nearest_phrases(
    generator: Generator,
    clip: TextImageModel,
    bank: DirectionBank,
    vocabulary: Sequence[Prompt | str] | None = None,
    *,
    step: float = 2.0,
    count: int = 64,
    seed: int = NAMING_SEED,
    rendering: Rendering = Rendering(),
) -> dict[str, tuple[Phrase, ...]]:
    """The phrases of a vocabulary closest to each direction's effect.

    Args:
        generator: Makes the images.
        clip: Embeds images and phrases.
        bank: Directions of that generator.
        vocabulary: Phrases, measured from "a face", or prompts with other neutral texts, by
            `prompts_of`; by default those of `FACE_PHRASES` whose words the model knows.
        step: Length of the step, in sigma, taken both ways.
        count: Number of codes.
        seed: Seed of the codes.
        rendering: How images are made.

    Returns:
        For each direction all phrases, those it leads to first, those it leads away from last.

    Raises:
        LatdirError: A phrase equal to its neutral text for the model, or a direction that changes
            nothing in the embedding.

    Example:
        >>> from directions import Direction
        >>> from directions.planted.world import planted
        >>> from directions.planted.clip import PlantedClip
        >>> world = planted(factors=2, dim=8, names=("smile", "age"))
        >>> bank = DirectionBank((Direction("d7", -world.truth[1], "z"),), world.name,
        ...                      world.fingerprint)
        >>> words = prompts_of(["a smile", "age", "no age"], neutral="nothing")
        >>> found = nearest_phrases(world, PlantedClip(world), bank, words, count=8)
        >>> [p.text for p in found["d7"]]
        ['no age', 'a smile', 'age']
    """
    if not step > 0 or count < 1:
        raise LatdirError(f"step {step:g} must be positive and count {count} at least 1")
    prompts = _vocabulary(vocabulary, clip)
    texts = text_directions(clip, prompts)
    named = {}
    scorers: dict[str, Scorer] = {}
    n = 2 * count * len(bank)
    hidden = not rendering.progress
    for direction in tqdm(
        bank.check(generator).directions, desc="phrases", delay=1, disable=hidden
    ):
        space = direction.acts_in(generator.spaces)
        codes = generator.sample(
            count, seed=seed, space=space, truncation=rendering.of_bank(bank.provenance).psi
        )
        if space not in scorers:
            scorers[space] = Scorer(
                generator, space=space, embed=clip.encode_images, rendering=rendering, n=n
            )
        embed = scorers[space].embed
        ahead, behind = (embed(direction.shift(codes, amount)) for amount in (step, -step))
        moved = (ahead - behind).mean(0)
        if float(moved.norm()) < 1e-5:
            raise LatdirError(
                f"direction {direction.name!r} changes nothing that {clip.name} sees: take a "
                "larger step, or leave it out"
            )
        cosines = texts @ normalize(moved, dim=0)
        order = cosines.argsort(descending=True).tolist()
        named[direction.name] = tuple(Phrase(prompts[i].text, float(cosines[i])) for i in order)
    return named


@checked
def name_by_text(
    generator: Generator,
    clip: TextImageModel,
    bank: DirectionBank,
    vocabulary: Sequence[Prompt | str] | None = None,
    *,
    alpha: float = 0.01,
    step: float = 2.0,
    null: int = 48,
    count: int = 128,
    seed: int = NAMING_SEED,
    rendering: Rendering = Rendering(),
) -> Naming:
    """Name directions after the phrases that they move images toward, if more than by chance.

    Args:
        generator: Makes the images.
        clip: Embeds images and phrases.
        bank: Directions of that generator.
        vocabulary: As for `nearest_phrases`.
        alpha: Expected fraction of wrong names.
        step: Length of the step, in sigma, taken both ways.
        null: Number of random directions for each space and set of layers, at least 3.
        count: Number of codes.
        seed: Seed of the codes. Measure the named bank on codes of another.
        rendering: How images are made.

    Returns:
        As `name_directions`. Each direction's evidence also has `phrases`: the nearest three
        and their cosines, for the sign that it was given.

    Raises:
        LatdirError: As `nearest_phrases` and `name_directions`.
    """
    prompts = _vocabulary(vocabulary, clip)
    text_directions(clip, prompts)
    on: dict[str, Any] = {"step": step, "count": count, "seed": seed, "rendering": rendering}
    judge = clip_classifier(clip, {p.text: (p.text, p.neutral) for p in prompts})
    naming = name_directions(generator, judge, bank, alpha=alpha, null=null, **on)
    nearest = nearest_phrases(generator, clip, naming.bank, prompts, **on)
    named = [
        d.evolve(
            evidence={**d.evidence, "phrases": [asdict(p) for p in nearest[d.name][:MAX_SEEN]]}
        )
        for d in naming.bank.directions
    ]
    return replace(naming, bank=naming.bank.replaced(named))


def _vocabulary(given: Sequence[Prompt | str] | None, clip: TextImageModel) -> tuple[Prompt, ...]:
    found = _known(clip) if given is None else given
    if not found:
        raise LatdirError("the vocabulary is empty: give a phrase, such as 'a smiling face'")
    texts = [text for text in found if isinstance(text, str)]
    read = iter(prompts_of(texts)) if texts else iter(())
    return tuple(next(read) if isinstance(text, str) else text for text in found)


def _known(clip: TextImageModel) -> tuple[Prompt, ...]:
    """The default phrases, without those that have words unknown to the model."""
    unknown = clip.unknown_words if isinstance(clip, ClipModel) else lambda text: []
    return tuple(p for p in FACE_PHRASES if not unknown(p.text))
