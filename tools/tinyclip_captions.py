"""Captions for `tools/train_tinyclip.py`: what is said of a face, and for which scores it holds.

A claim is a trapezoid over one score, in [0, 1]: how far it holds. A caption says none to four
claims in varied words, so that of every image and every caption of a batch it is known how far
the one is true of the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from directions.classifiers.clip.templates import TEMPLATES

# How many claims a caption makes, and how often.
COUNTS, SHARES = (0, 1, 2, 3, 4), (0.08, 0.37, 0.3, 0.18, 0.07)
HOLDS = 0.75
BARE = 0.4
PLAIN_NOUNS = ("face", "person", "human face", "human", "head")
# Words of no claim, given to the shared row so that it learns to say nothing.
UNKNOWN = "qqq"
UNKNOWN_SHARE = 0.1


@dataclass(frozen=True)
class Claim:
    """Something a caption may say.

    Attributes:
        score: The attribute it is about.
        rise: Where it begins to hold and where it holds fully; `None`: it holds from the lowest.
        fall: Where it ceases to hold fully and where it holds no more; `None`: never.
        ranks: Whether those are quantiles of the attribute instead of scores.
        before: Adjectives, before the noun.
        after: Phrases after the noun.
        around: Sentences around the whole, with `{}`.
        nouns: Nouns in place of `face`.
    """

    score: str
    rise: tuple[float, float] | None = None
    fall: tuple[float, float] | None = None
    ranks: bool = True
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    around: tuple[str, ...] = ()
    nouns: tuple[str, ...] = ()


def expression(score: str, words: Sequence[str], noun: str) -> list[Claim]:
    """An expression's probability: that it is there, strongly, a little, or not."""
    first = words[0]
    return [
        Claim(
            score,
            (0.3, 0.7),
            None,
            False,
            before=tuple(words),
            after=(
                f"with a {first} expression" if first[0] not in "a" else f"with an {first} look",
                f"who is {first}",
                f"that is {first}",
                f"with {noun}",
                f"showing {noun}",
                f"looking {first}",
            ),
        ),
        Claim(
            score,
            (0.9, 0.98),
            None,
            False,
            before=tuple(f"very {w}" for w in words[:3]),
            after=(f"with much {noun}", f"who is very {first}", f"that is extremely {first}"),
        ),
        Claim(
            score,
            (0.12, 0.3),
            (0.75, 0.9),
            False,
            before=tuple(f"slightly {w}" for w in words[:3]),
            after=(f"with a little {noun}", f"who is a bit {first}"),
        ),
        Claim(
            score,
            None,
            (0.1, 0.3),
            False,
            after=(
                f"without {noun}",
                f"who is not {first}",
                f"that is not {first}",
                f"not {first}",
                f"with no {noun}",
            ),
        ),
    ]


CLAIMS: tuple[Claim, ...] = (
    Claim(
        "smiling",
        (0.3, 0.7),
        None,
        False,
        before=("smiling", "happy", "grinning", "cheerful", "laughing", "joyful"),
        after=(
            "with a smile",
            "with a happy expression",
            "who is smiling",
            "that is smiling",
            "that smiles",
            "who smiles",
            "smiling",
        ),
    ),
    Claim(
        "smiling",
        (0.9, 0.98),
        None,
        False,
        before=("very happy", "broadly smiling", "widely smiling"),
        after=("with a big smile", "with a broad smile", "with a wide smile"),
    ),
    Claim(
        "smiling",
        (0.12, 0.3),
        (0.75, 0.9),
        False,
        before=("slightly smiling", "slightly happy"),
        after=("with a slight smile", "with a faint smile", "with a little smile"),
    ),
    Claim(
        "smiling",
        None,
        (0.1, 0.3),
        False,
        before=("unsmiling",),
        after=(
            "without a smile",
            "who is not smiling",
            "that is not smiling",
            "not smiling",
            "that is not happy",
            "with no smile",
        ),
    ),
    *expression("surprised", ("surprised", "astonished", "amazed", "shocked"), "surprise"),
    *expression("sad", ("sad", "unhappy", "gloomy", "sorrowful"), "sadness"),
    *expression("angry", ("angry", "furious", "annoyed", "mad"), "anger"),
    *expression("fearful", ("frightened", "scared", "fearful", "afraid"), "fear")[:1],
    *expression("disgusted", ("disgusted",), "disgust")[:1],
    Claim(
        "neutral",
        (0.5, 0.85),
        None,
        False,
        before=("expressionless", "calm", "neutral", "relaxed"),
        after=("with a neutral expression", "without expression", "with a calm expression"),
    ),
    Claim(
        "neutral",
        None,
        (0.05, 0.2),
        False,
        before=("expressive", "emotional"),
        after=("with a strong expression", "that is not neutral", "showing emotion"),
    ),
    Claim(
        "male",
        (0.42, 0.6),
        before=("male", "masculine"),
        after=("of a man", "of the male kind"),
        nouns=("man", "guy", "gentleman", "male person", "man's face"),
    ),
    Claim(
        "male",
        None,
        (0.2, 0.34),
        before=("female", "feminine"),
        after=("of a woman", "of the female kind"),
        nouns=("woman", "lady", "female person", "woman's face"),
    ),
    Claim(
        "age",
        (0.7, 0.86),
        before=("old", "elderly", "aged", "older"),
        after=("of old age", "who is old"),
    ),
    Claim("age", (0.92, 0.98), before=("very old",), after=("of great age", "who is very old")),
    Claim(
        "age",
        None,
        (0.14, 0.3),
        before=("young", "youthful", "younger"),
        after=("of young age", "who is young"),
    ),
    Claim("age", None, (0.02, 0.07), before=("very young",), nouns=("child", "kid", "boy or girl")),
    Claim("age", (0.55, 0.65), (0.85, 0.95), before=("middle-aged", "adult"), nouns=("adult",)),
    Claim("age", None, (0.55, 0.7), after=("who is not old", "not old")),
    Claim(
        "yaw",
        (6.0, 14.0),
        None,
        False,
        after=(
            "looking to the right",
            "looking right",
            "facing right",
            "facing to the right",
            "turned to the right",
            "with the head turned to the right",
        ),
    ),
    Claim(
        "yaw",
        None,
        (-14.0, -6.0),
        False,
        after=(
            "looking to the left",
            "looking left",
            "facing left",
            "facing to the left",
            "turned to the left",
            "with the head turned to the left",
        ),
    ),
    Claim(
        "yaw",
        (20.0, 26.0),
        None,
        False,
        after=("looking far to the right", "in profile to the right"),
    ),
    Claim(
        "yaw",
        None,
        (-26.0, -20.0),
        False,
        after=("looking far to the left", "in profile to the left"),
    ),
    Claim("yaw", (3.0, 6.0), (13.0, 17.0), False, after=("looking slightly to the right",)),
    Claim("yaw", (-17.0, -13.0), (-6.0, -3.0), False, after=("looking slightly to the left",)),
    Claim(
        "yaw",
        (-8.0, -4.0),
        (4.0, 8.0),
        False,
        before=("frontal",),
        after=(
            "looking straight ahead",
            "looking ahead",
            "looking at the camera",
            "facing the camera",
            "seen from the front",
        ),
    ),
    Claim(
        "pitch",
        (0.68, 0.86),
        after=("looking up", "looking upwards", "with the chin raised", "with the head raised"),
    ),
    Claim(
        "pitch",
        None,
        (0.14, 0.32),
        after=("looking down", "looking downwards", "with the head lowered"),
    ),
    Claim(
        "roll",
        (0.78, 0.9),
        after=("leaning to the right", "with the head tilted to the right", "tilted to the right"),
    ),
    Claim(
        "roll",
        None,
        (0.1, 0.22),
        after=("leaning to the left", "with the head tilted to the left", "tilted to the left"),
    ),
    Claim(
        "roll",
        (0.3, 0.4),
        (0.6, 0.7),
        before=("upright",),
        after=("with an upright head", "not tilted"),
    ),
    Claim(
        "mouth_open",
        (0.62, 0.8),
        before=("open-mouthed",),
        after=(
            "with an open mouth",
            "with the mouth open",
            "whose mouth is open",
            "showing teeth",
            "with open lips",
        ),
    ),
    Claim("mouth_open", (0.92, 0.97), after=("with a wide open mouth", "with the mouth wide open")),
    Claim(
        "mouth_open",
        None,
        (0.24, 0.42),
        after=(
            "with a closed mouth",
            "with the mouth closed",
            "whose mouth is closed",
            "with closed lips",
            "with a shut mouth",
        ),
    ),
    Claim(
        "eyes_open",
        (0.85, 0.95),
        before=("wide-eyed",),
        after=("with wide open eyes", "with big eyes", "with open eyes"),
    ),
    Claim(
        "eyes_open",
        None,
        (0.06, 0.15),
        before=("squinting",),
        after=("with closed eyes", "with narrow eyes", "with small eyes"),
    ),
    Claim("smile_width", (0.8, 0.92), after=("with a wide mouth", "with a broad mouth")),
    Claim("smile_width", None, (0.08, 0.2), after=("with a small mouth", "with a narrow mouth")),
    Claim(
        "brightness",
        (0.64, 0.82),
        before=("bright", "brightly lit"),
        after=("in bright light", "in the light"),
        around=("a bright image of {}", "a bright photo of {}", "a light picture of {}"),
    ),
    Claim(
        "brightness",
        (0.9, 0.97),
        around=("a very bright image of {}", "an overexposed photo of {}"),
    ),
    Claim(
        "brightness",
        None,
        (0.18, 0.36),
        before=("dark", "dimly lit"),
        after=("in the dark", "in dim light", "in the shadow"),
        around=("a dark image of {}", "a dark photo of {}", "a dim picture of {}"),
    ),
    Claim(
        "brightness",
        None,
        (0.03, 0.1),
        around=("a very dark image of {}", "an underexposed photo of {}"),
    ),
    Claim(
        "contrast",
        (0.7, 0.88),
        after=("with strong contrast", "with high contrast"),
        around=("a high contrast image of {}", "a contrasty photo of {}"),
    ),
    Claim(
        "contrast",
        None,
        (0.12, 0.3),
        after=("with low contrast", "with weak contrast"),
        around=("a low contrast image of {}", "a flat photo of {}", "a pale picture of {}"),
    ),
    Claim(
        "background_brightness",
        (0.66, 0.84),
        after=(
            "in front of a bright background",
            "in front of a light background",
            "on a bright background",
            "against a bright background",
            "before a light wall",
        ),
    ),
    Claim(
        "background_brightness",
        (0.92, 0.97),
        after=("on a white background", "in front of a white background"),
    ),
    Claim(
        "background_brightness",
        None,
        (0.16, 0.34),
        after=(
            "in front of a dark background",
            "on a dark background",
            "against a dark background",
            "before a dark wall",
        ),
    ),
    Claim(
        "background_brightness",
        None,
        (0.03, 0.08),
        after=("on a black background", "in front of a black background"),
    ),
    Claim(
        "warmth",
        (0.68, 0.86),
        before=("reddish",),
        after=("in warm light", "in reddish light", "in orange light", "with warm colors"),
        around=("a warm image of {}", "a reddish photo of {}"),
    ),
    Claim(
        "warmth",
        None,
        (0.14, 0.32),
        before=("bluish",),
        after=("in cold light", "in bluish light", "in blue light", "with cold colors"),
        around=("a cold image of {}", "a bluish photo of {}"),
    ),
)


class Captions:
    """Makes captions and knows of which images they hold.

    Args:
        names: Names of the score columns.
        scores: `[n, k]` of many images, from which quantiles are taken.
    """

    def __init__(self, names: Sequence[str], scores: Float[Tensor, "n k"]) -> None:
        self.columns = torch.tensor([names.index(c.score) for c in CLAIMS])
        corners = torch.full((len(CLAIMS), 4), 0.0, dtype=torch.float64)
        for j, claim in enumerate(CLAIMS):
            column = scores[:, names.index(claim.score)].double().numpy()
            for first, edge in ((0, claim.rise), (2, claim.fall)):
                if edge is None:
                    far = 1e6 if first else -1e6
                    corners[j, first : first + 2] = torch.tensor([far, far * 2 if first else far])
                    corners[j, first] = far if first else -2e6
                    continue
                found = np.quantile(column, edge) if claim.ranks else np.array(edge)
                corners[j, first : first + 2] = torch.from_numpy(found)
        self.corners = corners.float()
        # A rare claim is made more often where it holds, so that every one is learned.
        share = (self.holding(scores[:20_000]) >= HOLDS).float().mean(0)
        self.weights = (share + 0.01).rsqrt().numpy()

    def holding(self, scores: Float[Tensor, "n k"]) -> Float[Tensor, "n c"]:
        """How far each claim holds of each image, in [0, 1]."""
        x = scores[:, self.columns]
        a, b, c, d = self.corners.T
        return torch.minimum((x - a) / (b - a), (d - x) / (d - c)).clamp(0, 1)

    def caption(
        self, holding: np.ndarray, rng: np.random.Generator, *, count: int | None = None
    ) -> tuple[str, list[int]]:
        """A caption true of an image, and its claims.

        Args:
            holding: `[c]` of one image.
            rng: Chooses claims and words.
            count: How many claims; by default as `SHARES` say.
        """
        wanted = int(rng.choice(COUNTS, p=SHARES)) if count is None else count
        odds = np.where(holding >= HOLDS, self.weights, 0)
        claims: list[int] = []
        while len(claims) < wanted and odds.sum() > 0:
            j = int(rng.choice(len(odds), p=odds / odds.sum()))
            claims.append(j)
            odds[self.columns.numpy() == self.columns[j].item()] = 0
        return phrase([CLAIMS[j] for j in claims], rng), claims

    def truth(
        self, holding: Float[Tensor, "n c"], claims: Sequence[Sequence[int]]
    ) -> Float[Tensor, "n m"]:
        """How far each caption holds of each image: the product over its claims."""
        said = torch.zeros(len(claims), holding.shape[1])
        for row, js in zip(said, claims, strict=True):
            row[list(js)] = 1
        return (holding.clamp_min(1e-4).log() @ said.T).exp()


def phrase(claims: Sequence[Claim], rng: np.random.Generator) -> str:
    """Claims in words."""

    def pick(words: Sequence[str]) -> str:
        return words[int(rng.integers(len(words)))]

    noun, before, after, around = pick(PLAIN_NOUNS), [], [], ""
    if rng.random() < 0.6:
        noun = "face"
    for claim in claims:
        kinds = [k for k in ("before", "after", "around", "nouns") if getattr(claim, k)]
        kinds = [k for k in kinds if not (k == "around" and around)] or ["after"]
        kind = pick(kinds)
        if kind == "around":
            around = pick(claim.around)
        elif kind == "nouns" and noun in PLAIN_NOUNS:
            noun = pick(claim.nouns)
        elif kind == "before" and len(before) < 2:
            before.append(pick(claim.before))
        else:
            options = claim.after or claim.before or claim.around or claim.nouns
            if claim.after:
                after.append(pick(options))
            elif claim.before:
                before.append(pick(options))
            elif claim.around:
                around = pick(options)
            else:
                noun = pick(options)
    if rng.random() < UNKNOWN_SHARE:
        before.insert(int(rng.integers(len(before) + 1)), UNKNOWN)
    words = " ".join([", ".join(before), noun]).strip()
    article = "an" if words[0] in "aeiou" else "a"
    joined = " and ".join(after) if len(after) < 3 else ", ".join(after)
    said = " ".join(filter(None, (article, words, joined)))
    if around:
        return around.replace("{}", said)
    if rng.random() < BARE:
        return said
    return pick(TEMPLATES).replace("{}", said)


def vocabulary() -> list[str]:
    """Every string captions are put together from, for the tokens in use."""
    parts = [*TEMPLATES, *PLAIN_NOUNS, "a an , and . the"]
    for claim in CLAIMS:
        parts += [*claim.before, *claim.after, *claim.around, *claim.nouns]
    return parts
