"""Text prompts: target, neutral text and name of a direction."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from directions.classifiers.clip.protocol import TextImageModel
from directions.errors import LatdirError, described

__all__ = ["NEUTRAL", "Prompt", "Texts", "prompts_of", "text_directions"]

NEUTRAL = "a face"
FILLERS = frozenset(
    {"a", "an", "the", "of", "with", "has", "have", "is", "are", "who", "that", "in", "photo"}
)
SAME_TEXT = 1e-4

Texts = str | Sequence[str] | Mapping[str, str]
"""One text, several, or several by the names of their directions; see `prompts_of`."""


@dataclass(frozen=True)
class Prompt:
    """A target text.

    Attributes:
        name: Name of its direction.
        text: Where to, such as `a smiling face`.
        neutral: Where from, such as `a face`.
    """

    name: str
    text: str
    neutral: str

    @classmethod
    def from_argument(cls, value: object, name: str, arguments: object) -> Prompt:
        """What stands for a prompt in a call: a text, as in `prompts_of`."""
        if isinstance(value, str):
            return prompts_of(value)[0]
        raise LatdirError(f"{name} is a text, such as 'a smiling face', not {described(value)}")


def prompts_of(text: Texts, *, neutral: str = NEUTRAL) -> tuple[Prompt, ...]:
    """Prompts of texts.

    Args:
        text: One text, several, or a mapping from names to texts. A text may bring its name and
            its own neutral text along, as in `male=a man vs a woman`; by default it is named
            from the words that the neutral text does not have.
        neutral: The text to move from, where none is brought along.

    Raises:
        LatdirError: No text, an empty one, one equal to its neutral text, or a name twice.

    Example:
        >>> [p.name for p in prompts_of(["a smiling face", "a face with glasses"])]
        ['smiling', 'glasses']
        >>> prompts_of("male=a man vs a woman")
        (Prompt(name='male', text='a man', neutral='a woman'),)
    """
    if isinstance(text, Mapping):
        prompts = [_prompt(words, neutral, name=name or " ") for name, words in text.items()]
    else:
        prompts = [_prompt(t, neutral) for t in ([text] if isinstance(text, str) else text)]
    if not prompts:
        raise LatdirError("give a target text, such as 'a smiling face'")
    for prompt in prompts:
        if not (prompt.name and prompt.text and prompt.neutral):
            raise LatdirError(
                f"the prompt named {prompt.name!r} from {prompt.neutral!r} to {prompt.text!r} is "
                "not whole: write 'a smiling face', or 'smiling=a smiling face vs a face'"
            )
        if prompt.text == prompt.neutral:
            raise LatdirError(
                f"{prompt.text!r} is the neutral text as well, so there is nothing between them: "
                "give another neutral text"
            )
    names = [p.name for p in prompts]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise LatdirError(
            f"two texts are named {twice[0]!r}: give them different names, as in 'name=the text'"
        )
    return tuple(prompts)


def text_directions(clip: TextImageModel, prompts: Sequence[Prompt]) -> Float[Tensor, "k e"]:
    """Δt of each prompt: the unit vector from its neutral text's embedding to its own.

    Raises:
        LatdirError: A model to which the two texts are one and the same.

    Example:
        >>> from directions.planted.world import planted
        >>> from directions.planted.clip import PlantedClip
        >>> clip = PlantedClip(planted(factors=2, dim=8))
        >>> pair = prompts_of(["factor_0", "factor_1"], neutral="neither")
        >>> text_directions(clip, pair).shape
        torch.Size([2, 32])
    """
    toward = clip.encode_texts([p.text for p in prompts]).detach().float()
    away = clip.encode_texts([p.neutral for p in prompts]).detach().float()
    change = toward - away
    lengths = change.norm(dim=1, keepdim=True)
    for prompt, length in zip(prompts, lengths[:, 0].tolist(), strict=True):
        if length < SAME_TEXT:
            raise LatdirError(
                f"{clip.name} cannot distinguish {prompt.text!r} from {prompt.neutral!r} (their "
                f"embeddings are {length:.1g} apart): use words in its vocabulary"
            )
    unit: Tensor = change / lengths
    return unit


def _prompt(text: str, neutral: str, *, name: str = "") -> Prompt:
    own, sign, words = text.partition("=")
    if not name and sign:
        # An empty name before the sign is an error to report, not to guess at.
        return _prompt(words, neutral, name=own.strip() or " ")
    toward, *away = re.split(r"\s+vs\.?\s+", text.strip(), maxsplit=1)
    base = (away or [neutral])[0].strip()
    return Prompt(name.strip() if name else _name(toward, base), toward, base)


def _name(text: str, neutral: str) -> str:
    """The words that distinguish a text from its neutral one."""
    known = set(re.findall(r"\w+", neutral.lower())) | FILLERS
    own = [word for word in re.findall(r"[\w'-]+", text) if word.lower() not in known]
    return " ".join(own) or text
