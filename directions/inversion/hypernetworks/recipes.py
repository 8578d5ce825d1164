"""The published hypernetworks as sets of parts.

- `hyperstyle`, the default: Alaluf et al. 2022, arXiv:2111.15666: scales of channels, several
  passes, each of the image and what the last change makes; colors' layers stay.
- `hyperinverter`: Dinh et al. 2022, arXiv:2112.00719: residual weights in one pass, and a critic of
  images.
- `gradient`: scales of channels along their own gradient, by learned rates (`gradient.py`): of no
  paper, a few thousand numbers learned in a minute, and nearer to the image than both.

Weights are those of the papers. Both compare LPIPS and face identity by 0.8 and 0.1: give them as
`features`, weighted against each other, or none. The refinement blocks are smaller than theirs,
residual weights of low rank, and a step trains one of the passes, in turn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from directions.arguments import checked_fields
from directions.errors import LatdirError, known_name, real_number, whole_number
from directions.inversion.hypernetworks.network import Form

__all__ = ["HYPERNETWORK_RECIPES", "HypernetworkRecipe", "find_hypernetwork_recipe"]


@checked_fields
@dataclass(frozen=True)
class HypernetworkRecipe:
    """What a hypernetwork predicts and what it is trained on.

    Attributes:
        form: `channel`: each pair of channels is scaled; `low_rank`: residual weights are added;
            `gradient`: scales along their gradient.
        rank: Of the changes, where a network predicts them.
        passes: How often the network looks.
        pixels: Weight of the mean squared difference of images.
        features: Of the squared distance of the features given.
        image_critic: Of what a critic says that tells images made from those given.
        mixed: Share of the generated images whose layers are of two codes, where it has w+: no
            single code makes them.
        own: Share of generated images in a batch, where real ones are given.
    """

    form: Form = "channel"
    rank: int = 16
    passes: int = 5
    pixels: float = 1.0
    features: float = 0.8
    image_critic: float = 0.0
    mixed: float = 0.5
    own: float = 0.5

    def __post_init__(self) -> None:
        whole_number(self.rank, "rank", least=1)
        whole_number(self.passes, "passes", least=1)
        for name in ("pixels", "features", "image_critic", "mixed", "own"):
            real_number(getattr(self, name), name, least=0.0)
        if not (self.pixels or self.features):
            raise LatdirError("a hypernetwork learns from pixels or features: give one a weight")
        for name in ("mixed", "own"):
            if getattr(self, name) > 1:
                raise LatdirError(f"{name} {getattr(self, name)} is a share, 1 at most")


HYPERNETWORK_RECIPES: Mapping[str, HypernetworkRecipe] = {
    "hyperstyle": HypernetworkRecipe(),
    "hyperinverter": HypernetworkRecipe(form="low_rank", passes=1, image_critic=0.005),
    "gradient": HypernetworkRecipe(form="gradient", passes=2),
}


def find_hypernetwork_recipe(recipe: str | HypernetworkRecipe) -> HypernetworkRecipe:
    """A recipe by its name; one that is made already stays as it is.

    Raises:
        LatdirError: No recipe of that name.

    Example:
        >>> find_hypernetwork_recipe("hyperstyle").passes
        5
    """
    if isinstance(recipe, HypernetworkRecipe):
        return recipe
    name = known_name(recipe, HYPERNETWORK_RECIPES, "hypernetwork recipe", others="a recipe")
    return HYPERNETWORK_RECIPES[name]
