"""The published conditional encoders as sets of parts.

- `sam`: Alaluf, Patashnik, Cohen-Or 2021, "Only a Matter of Style" (SAM), arXiv:2102.02754: a face
  at a target age. Offsets from the code of an encoder that stays; a third of the images keep their
  own age; the identity of the others counts the less the farther they are to go, by
  ¼ cos(π |Δ| / 100) + ¾; then the way back from the image made.
- `nitzan`: Nitzan, Bermano, Li, Cohen-Or 2020, "Face Identity Disentanglement via Latent Space
  Mapping", arXiv:2005.07728: the identity of one image, pose, expression and light of another. A
  mapper of both, four layers; identity, landmarks, the image itself where both are one.

What differs from the official code: the image is read through the last map of the encoder, which
stays, instead of by a network of its own; the way back aims at the age of the image given, as the
paper says (the code aims at the age of the image made). Identities are compared by the cosine of
centered embeddings (SAM) and by the mean absolute difference of standardized ones (Nitzan), since
faces of a small generator are much alike; images by mean squared differences, LPIPS or others
where given as `features`. Landmarks are in shares of the image's side: 65 is the official 0.001 of
squared pixels at 256.

Nitzan's mapper makes codes of an embedding and a map alone. Here it changes the encoder's code of
the image whose identity it is, and begins with a mixture of both images' codes in closed form
(`start`): from the mean, it had learned no poses after 400 steps. Its code is made an image once,
and half of what that image measures too much is taken back, by how codes answer to measures on
average. Landmarks count ten times as much and expressions too, which landmarks of small faces
hardly tell; light is that of images averaged to 8 × 8; distance from the prior replaces the critic
of codes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from directions.arguments import checked_fields
from directions.errors import LatdirError, known_name, real_number
from directions.inversion.conditional.network import Condition

__all__ = ["CONDITIONAL_RECIPES", "ConditionalRecipe", "find_conditional_recipe"]


@checked_fields
@dataclass(frozen=True)
class ConditionalRecipe:
    """What a conditional encoder is asked for and what it is trained on.

    Attributes:
        condition: `value` of an attribute, or `identity` of another image.
        target: Weight of the squared distance from the target value, in `unit`.
        identity: Of the difference of identity.
        points: Of the landmarks' mean squared distance, in shares of the image's side.
        pixels: Of the mean squared difference of images; of identities, where both are one.
        norm: Of the mean square of standardized codes.
        cycle: Of the way back from the image made to the image given.
        code_critic: Of what a critic says that tells codes from the prior's.
        light: Of the mean squared difference of images averaged to 8 × 8.
        keep: Of the mean squared difference of `kept`, in standard deviations.
        kept: Attributes of the classifier that stay, of a probability its log-odds.
        look: By identity, share of the linear answer to what a look at the image made finds.
        same: Share of images whose target is their own value or identity.
        targets: Lowest and highest target value.
        unit: Value that counts as 1.
    """

    condition: Condition = "value"
    target: float = 5.0
    identity: float = 0.1
    points: float = 0.0
    pixels: float = 0.25
    norm: float = 0.005
    cycle: float = 1.0
    code_critic: float = 0.0
    light: float = 0.0
    keep: float = 0.0
    kept: tuple[str, ...] = ()
    look: float = 0.0
    same: float = 1 / 3
    targets: tuple[float, float] = (10.0, 70.0)
    unit: float = 100.0

    def __post_init__(self) -> None:
        parts = (
            "target",
            "identity",
            "points",
            "pixels",
            "norm",
            "cycle",
            "code_critic",
            "light",
            "look",
            "keep",
            "same",
        )
        for name in parts:
            real_number(getattr(self, name), name, least=0.0)
        if self.same > 1:
            raise LatdirError(f"same {self.same} is a share, 1 at most")
        if real_number(self.unit, "unit") <= 0:
            raise LatdirError(f"unit {self.unit} must be above 0")
        low, high = self.targets
        if not low < high:
            raise LatdirError(f"targets {self.targets} are the lowest and the highest value")
        if not (self.target if self.condition == "value" else self.identity):
            raise LatdirError(f"a recipe by {self.condition} has a weight of it above 0")


CONDITIONAL_RECIPES: Mapping[str, ConditionalRecipe] = {
    "sam": ConditionalRecipe(),
    "nitzan": ConditionalRecipe(
        condition="identity", target=0.0, identity=2.0, points=650.0, pixels=1.0, norm=0.05,
        cycle=0.0, code_critic=0.0, light=0.25, keep=0.3, kept=("smiling",), look=0.5, same=0.125,
    ),
}  # fmt: skip


def find_conditional_recipe(recipe: str | ConditionalRecipe) -> ConditionalRecipe:
    """A recipe by its name; one that is made already stays as it is.

    Raises:
        LatdirError: No recipe of that name.

    Example:
        >>> find_conditional_recipe("nitzan").condition
        'identity'
    """
    if isinstance(recipe, ConditionalRecipe):
        return recipe
    name = known_name(recipe, CONDITIONAL_RECIPES, "conditional recipe", others="a recipe")
    return CONDITIONAL_RECIPES[name]
