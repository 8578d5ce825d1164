"""The published encoders as sets of parts: what a network reads, predicts, and is trained on.

Weights are those of the papers, for images in [-1, 1]; the features that they compare (LPIPS,
identity, VGG16) are those given to `train_encoder`, or none. Steps and rates are the trainer's.

- `compact`, the default: pixels, and codes by what their difference shows.
- `psp`: Richardson et al. 2021, arXiv:2008.00951: pixels and features.
- `e4e`: Tov et al. 2021, arXiv:2102.02766: one code and an offset a layer, kept small, layers
  joining one by one; a critic of codes.
- `restyle`: Alaluf et al. 2021, arXiv:2104.02699: five passes, each of the image and what the last
  code makes.
- `wei`: Wei et al. 2022 (E2Style), arXiv:2104.07661: three networks, trained one after another.
- `idinvert`: Zhu et al. 2020, arXiv:2004.00049: a critic of images; made for real images.
- `ghfeat`: Xu et al. 2021, arXiv:2007.10379: the styles of each layer, from maps of several sizes;
  a critic of images; made for real images. Its codes are features of images: see `Encoder.encode`.
- `icgan`: Perarnau et al. 2016, arXiv:1611.06355: codes of generated images, nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from directions.arguments import checked_fields
from directions.errors import LatdirError, check_positive, known_name, real_number, whole_number
from directions.fingerprints import Precision

__all__ = ["ENCODER_RECIPES", "EncoderRecipe", "TrainingSchedule", "find_encoder_recipe"]


@checked_fields
@dataclass(frozen=True)
class EncoderRecipe:
    """What an encoder is and what it is trained on; weights of 0 leave a part out.

    Attributes:
        pixels: Weight of the mean squared difference of images.
        features: Of the squared distance of the features given.
        shown: Of the codes' squared difference as images show it to first order: by JᵀJ averaged
            over the prior, per pixel. Generated images only.
        codes: Of the mean squared difference of standardized codes. Generated images only.
        norm: Of the mean square of standardized codes.
        offsets: Of e4e's offsets' lengths; above 0 the network predicts a code and offsets.
        joining: Shares of the training at which the first and the last offset join.
        code_critic: Of what a critic says that tells codes from the prior's.
        image_critic: Of what a critic says that tells images of codes from the images.
        passes: How often the network looks, each time at what the last code makes.
        stages: Networks that predict one after another.
        spaces: Of the codes where none is named, the first that the generator has; by default
            w+ of recipes with offsets, else w or z.
    """

    pixels: float = 1.0
    features: float = 0.0
    shown: float = 0.0
    codes: float = 0.0
    norm: float = 0.0
    offsets: float = 0.0
    joining: tuple[float, float] = (0.1, 0.6)
    code_critic: float = 0.0
    image_critic: float = 0.0
    passes: int = 1
    stages: int = 1
    spaces: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        parts = ("pixels", "features", "shown", "codes", "norm", "offsets")
        for name in (*parts, "code_critic", "image_critic"):
            real_number(getattr(self, name), name, least=0.0)
        if not any(getattr(self, name) for name in parts[:4]):
            raise LatdirError(
                f"an encoder learns from one of {', '.join(parts[:4])}: give a weight"
            )
        whole_number(self.passes, "passes", least=1)
        whole_number(self.stages, "stages", least=1)
        if self.passes > 1 and self.stages > 1:
            raise LatdirError("passes are of one network, stages of several: set one of them")
        first, last = self.joining
        if not 0 <= first <= last <= 1:
            raise LatdirError(f"joining {self.joining} are two shares, the first not the larger")

    @property
    def looks(self) -> int:
        """How often a network looks at an image."""
        return max(self.passes, self.stages)

    @property
    def renders(self) -> bool:
        """Whether images of the codes are made in training."""
        return bool(self.pixels or self.features or self.image_critic or self.looks > 1)


ENCODER_RECIPES: Mapping[str, EncoderRecipe] = {
    "compact": EncoderRecipe(shown=1.0),
    "psp": EncoderRecipe(features=0.8),
    "e4e": EncoderRecipe(features=0.8, offsets=2e-4, code_critic=0.1),
    "restyle": EncoderRecipe(features=0.8, passes=5),
    "wei": EncoderRecipe(features=0.8, stages=3),
    "idinvert": EncoderRecipe(features=5e-5, image_critic=0.08),
    "ghfeat": EncoderRecipe(features=5e-5, image_critic=0.1, spaces=("s", "w+", "z")),
    "icgan": EncoderRecipe(pixels=0.0, codes=1.0, spaces=("z",)),
}


def find_encoder_recipe(recipe: str | EncoderRecipe) -> EncoderRecipe:
    """A recipe by its name; one that is made already stays as it is.

    Raises:
        LatdirError: No recipe of that name.

    Example:
        >>> find_encoder_recipe("restyle").passes
        5
    """
    if isinstance(recipe, EncoderRecipe):
        return recipe
    return ENCODER_RECIPES[known_name(recipe, ENCODER_RECIPES, "encoder recipe", others="a recipe")]


@checked_fields
@dataclass(frozen=True)
class TrainingSchedule:
    """How long and in what steps an encoder is trained.

    Attributes:
        steps: Of Adam.
        batch_size: Images a step.
        rate: Highest learning rate; it rises over a twentieth of the steps and falls to zero.
        rendered: Share of a batch whose codes are rendered again, of a single pass.
        width: Channels of the encoder's first maps; they double at each halving.
        most: Channels at most.
        precision: `bfloat16` for the products of networks, which takes half the time on recent
            processors; weights and codes stay float32.
    """

    steps: int = 4000
    batch_size: int = 32
    rate: float = 1e-3
    rendered: float = 0.5
    width: int = 32
    most: int = 256
    precision: Precision = "float32"

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "width", "most"):
            whole_number(getattr(self, name), name, least=1)
        check_positive(self.rate, "rate")
        if not 0 < real_number(self.rendered, "rendered") <= 1:
            raise LatdirError(f"rendered {self.rendered} is a share above 0, 1 at most")
