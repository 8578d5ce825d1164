"""Recipes by name; listing them imports none of them."""

from __future__ import annotations

from typing import Any

from directions.arguments import checked
from directions.inversion.base import Inverter
from directions.plugins import Entry, configured

__all__ = ["RECIPES", "find_recipe"]

_HERE = "directions.inversion.recipes"
RECIPES: dict[str, Entry] = {
    "stylegan2_ada": Entry(
        f"{_HERE}.stylegan2_ada:StyleGAN2Ada", "the projector: Adam, noise on w that dies away"
    ),
    "image2stylegan": Entry(f"{_HERE}.image2stylegan:Image2StyleGAN", "Adam in w+ from the mean"),
    "style_space": Entry(f"{_HERE}.image2stylegan:StyleSpace", "Adam in w+, then in s"),
    "igan": Entry(f"{_HERE}.igan:IGAN", "L-BFGS-B of the arctanh of z in a box"),
    "ii2s": Entry(f"{_HERE}.image2stylegan:II2S", "the same with the P_N distance as a prior"),
    "creswell": Entry(f"{_HERE}.creswell:Creswell", "RMSprop in z with the prior's log density"),
    "stochastic_clipping": Entry(
        f"{_HERE}.stochastic_clipping:StochasticClipping",
        "gradient descent; coordinates that leave a box are drawn anew in it",
    ),
    "image2stylegan_plus": Entry(
        f"{_HERE}.image2stylegan_plus:Image2StyleGANPlus", "Adam in w+, then on noise maps"
    ),
    "consecutive_frames": Entry(
        f"{_HERE}.image2stylegan:ConsecutiveFrames",
        "Adam on a code and on offsets from frame to frame",
    ),
    "mganprior": Entry(f"{_HERE}.mganprior:MGANPrior", "gradient descent on several codes"),
    "pix2latent": Entry(
        f"{_HERE}.pix2latent:Pix2Latent", "BasinCMA in a truncated z, with a last population"
    ),
    "ensembling": Entry(
        f"{_HERE}.ensembling:Ensembling", "L-BFGS on absolute differences, features and codes"
    ),
    "in_domain": Entry(
        f"{_HERE}.in_domain:InDomain", "Adam held where an encoder would put the image made"
    ),
    "bdinvert": Entry(f"{_HERE}.feature_codes:BDInvert", "Adam on w+ and the features of a layer"),
    "layer_residuals": Entry(
        f"{_HERE}.feature_codes:LayerResiduals", "Adam on offsets from the features of a code"
    ),
    "pulse": Entry(f"{_HERE}.pulse:Pulse", "Adam on the sphere that the start lies on"),
}


@checked
def find_recipe(name: str, **settings: Any) -> Inverter:
    """A recipe by its name, with settings of its own.

    Raises:
        LatdirError: No recipe of that name, or a setting that it does not have.

    Example:
        >>> find_recipe("creswell").config
        {'solver': 'Creswell', 'steps': 5000, 'target': 100.0, 'prior': 0.0, 'rate': 0.01,
         'alpha': 0.01}
    """
    made: Inverter = configured(name, RECIPES, kind="recipe", **settings)
    return made
