"""Directions of texts judged by a labeler of another origin than the text-image model.

The evidence of a direction found with a model's labels is agreement with these labels, however
little they mean. A classifier that was made without the model says whether images that move along
the direction change as its text says.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch

from directions.bank import DirectionBank
from directions.classifiers import load_classifier
from directions.classifiers.base import Classifier
from directions.classifiers.clip.prompts import FILLERS, Prompt
from directions.generators.base import Generator
from directions.scoring.rendering import Rendering
from directions.scoring.scorer import Scorer
from directions.seeds import JUDGE_SEED

__all__ = ["MEANING", "OWN_LABELS", "attribute_of", "judged", "labeler_of"]

JUDGED = 128
OWN_LABELS = "none: the figures are agreement with its own labels only"
FACES = ("digiface64", "styleface64")
"""Generators whose images the built-in face classifier is known to read."""

POSES = frozenset({"to", "head", "looking", "facing", "turned", "face", "person", "expression"})
"""Words of a text about a face that say nothing of which attribute is meant."""

WORDS: dict[str, tuple[str, str]] = {
    "smiling": ("smiling smile smiles happy grinning cheerful laughing joyful", "unsmiling"),
    "surprised": ("surprised surprise astonished amazed shocked", ""),
    "sad": ("sad sadness unhappy gloomy sorrowful", ""),
    "angry": ("angry anger furious annoyed mad", ""),
    "fearful": ("fearful fear frightened scared afraid", ""),
    "disgusted": ("disgusted disgust", ""),
    "neutral": ("neutral expressionless calm relaxed", "expressive emotional"),
    "male": ("male masculine man guy gentleman", "female feminine woman lady"),
    "age": ("old older elderly aged", "young younger youthful child"),
    "yaw": ("right", "left"),
    "pitch": ("up upwards", "down downwards"),
    "roll": ("right+tilted", "left+tilted"),
    "mouth_open": ("mouth+open open-mouthed", "closed+mouth"),
    "eyes_open": ("eyes+open wide-eyed", "closed+eyes squinting"),
    "brightness": ("bright", "dark"),
    "background_brightness": ("background+bright", "background+dark"),
    "warmth": ("warm", "cold cool"),
}
"""Texts by attribute of the built-in classifiers: those that raise it, and those that lower it."""

MEANING = {
    text: (attribute, sign)
    for attribute, sides in WORDS.items()
    for sign, side in zip((1, -1), sides, strict=True)
    for text in side.split()
}


def labeler_of(generator: Generator) -> Classifier | None:
    """The built-in classifiers for a built-in generator of faces; None for any other."""
    if generator.name not in FACES:
        return None
    return load_classifier("mobile-faces+pixels", device=str(generator.device))


def attribute_of(prompt: Prompt, names: Sequence[str]) -> tuple[str, int] | None:
    """The attribute that a text is about and whether the text raises (1) or lowers (-1) it.

    Args:
        prompt: The text; every word of it that its neutral text lacks has to be understood.
        names: Names of the attributes.

    Example:
        >>> attribute_of(Prompt("woman", "a woman", "a face"), ["age", "male"])
        ('male', -1)
        >>> attribute_of(Prompt("dark hair", "a face with dark hair", "a face"), ["brightness"])
    """
    neutral = set(_words(prompt.neutral))
    said = sorted({w for w in _words(prompt.text) if w not in neutral | FILLERS | POSES})
    found = MEANING.get("+".join(said))
    if found is not None and found[0] in names:
        return found
    name = prompt.name.strip().lower().replace(" ", "_")
    return (name, 1) if name in names else None


def judged(
    bank: DirectionBank,
    prompts: Sequence[Prompt],
    *,
    generator: Generator,
    labeler: Classifier | None,
    batch_size: int,
) -> DirectionBank:
    """The directions, their evidence completed by what a second labeler sees.

    Args:
        bank: A direction for each prompt, under its name.
        prompts: The texts.
        generator: Makes the images, of held-out codes.
        labeler: Scores them; None where there is none.
        batch_size: Images at a time.

    Returns:
        Evidence `judged_by` (the labeler's name, or that there is none), and where it has the
        attribute that the text is about `judged_attribute` (after a minus sign where the text
        lowers it), `judged_effect` (change toward the text per sigma, in standard deviations of
        the attribute) and `judged_rises` (fraction of the codes on which it changes that way
        between one sigma back and one ahead).
    """
    made = []
    for prompt in prompts:
        direction = bank[prompt.name]
        about = labeler and attribute_of(prompt, labeler.names)
        figures: dict[str, object] = {"judged_by": OWN_LABELS}
        if labeler is not None and about:
            attribute, sign = about
            space = direction.acts_in(generator.spaces)
            rendering = Rendering(batch_size=batch_size, progress=False)
            scorer = Scorer(generator, labeler, space=space, names=[attribute], rendering=rendering)
            codes = generator.sample(JUDGED, seed=JUDGE_SEED, space=space)
            moved = [direction.shift(codes, amount) for amount in (0.0, 1.0, -1.0)]
            still, ahead, back = scorer.score(torch.cat(moved))[:, 0].chunk(3)
            change = sign * (ahead - back)
            figures = {
                "judged_by": labeler.name,
                "judged_attribute": attribute if sign > 0 else f"-{attribute}",
                "judged_effect": float(change.mean() / 2 / still.std().clamp_min(1e-12)),
                "judged_rises": float((change > 0).double().mean()),
            }
        made.append(direction.evolve(evidence={**direction.evidence, **figures}))
    return bank.replaced(made)


def _words(text: str) -> list[str]:
    return re.findall(r"[\w-]+", text.lower())
