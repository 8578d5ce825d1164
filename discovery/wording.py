"""Text prompts of one run: targets, texts to preserve, and the text-image model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from directions.bank import DirectionBank
from directions.classifiers.base import Classifier
from directions.classifiers.clip.model import clip_classifier
from directions.classifiers.clip.prompts import Prompt, Texts, prompts_of, text_directions
from directions.classifiers.clip.protocol import TextImageModel
from directions.disentangling.measured import independent
from directions.errors import LatdirError
from directions.generators.base import Generator
from directions.scoring.rendering import Rendering
from directions.seeds import PROMPT_SEED
from discovery.second_labeler import judged, labeler_of

__all__ = ["Wording"]

MEASURED = 64


@dataclass(frozen=True)
class Wording:
    """The prompts of a run, those wanted first.

    Attributes:
        prompts: All of them; names differ.
        wanted: Names of the requested directions; the others are held fixed.

    Example:
        >>> words = Wording.of("a smiling face", neutral="a face", without=["a male face"])
        >>> [p.name for p in words.prompts], words.wanted
        (['smiling', 'male'], ('smiling',))
    """

    prompts: tuple[Prompt, ...]
    wanted: tuple[str, ...]

    @classmethod
    def of(cls, text: Texts, *, neutral: str, without: Texts = ()) -> Wording:
        """Read texts.

        Args:
            text: Where to: a text, several, or a mapping from names to texts; as `prompts_of`.
            neutral: Where from, for all.
            without: Texts whose effects are to be preserved.

        Raises:
            LatdirError: As `prompts_of`, or a name that is both wanted and held.
        """
        wanted = prompts_of(text, neutral=neutral)
        held = prompts_of(without, neutral=neutral) if without else ()
        names = tuple(p.name for p in wanted)
        both = [p.name for p in held if p.name in names]
        if both:
            raise LatdirError(f"{both[0]!r} cannot both change and hold: leave it out of one")
        return cls((*wanted, *held), names)

    def judge(self, clip: TextImageModel) -> Classifier:
        """The model as a classifier of these prompts, each against its neutral text.

        Raises:
            LatdirError: A text that the model cannot distinguish from its neutral one.
        """
        text_directions(clip, self.prompts)
        return clip_classifier(clip, {p.name: (p.text, p.neutral) for p in self.prompts})

    def finished(
        self,
        bank: DirectionBank,
        *,
        method: str,
        config: Mapping[str, Any],
        generator: Generator,
        clip: TextImageModel,
        judge: Classifier | None,
        rendering: Rendering,
    ) -> DirectionBank:
        """The requested directions, signed by their method, free of those held fixed, and judged.

        Args:
            bank: A direction for each prompt, under its name.
            method: Name of the method that found them, written into them.
            config: Its settings, as `method`.
            generator: Makes the images to measure on.
            clip: Embeds them.
            judge: A second labeler; by default the built-in one where the images are known to be
                faces.
            rendering: How they are made.
        """
        signed = [
            bank[p.name].evolve(
                method=method,
                config=config,
                evidence={
                    "text": p.text,
                    "neutral": p.neutral,
                    # Its own accuracies are agreement with this model's labels.
                    "labeled_by": clip.name,
                    **bank[p.name].evidence,
                },
            )
            for p in self.prompts
        ]
        made = {"clip": clip.name, "clip_fingerprint": clip.fingerprint, **bank.provenance}
        whole = DirectionBank(tuple(signed), bank.generator, bank.fingerprint, made)
        if len(self.wanted) < len(self.prompts):
            space = whole.directions[0].space
            whole = independent(
                whole,
                generator=generator,
                labelers=[self.judge(clip)],
                on={name: [other for other in whole if other != name] for name in self.wanted},
                codes=generator.sample(MEASURED, seed=PROMPT_SEED, space=space),
                rendering=rendering,
            ).select(self.wanted)
        return judged(
            whole,
            [p for p in self.prompts if p.name in self.wanted],
            generator=generator,
            labeler=labeler_of(generator) if judge is None else judge,
            batch_size=rendering.batch_size or MEASURED,
        )
