"""Published ways to invert, with their papers' constants: one file a recipe, listed in `registry`.

Each is an `Inverter`, so that `invert(…, solver=find_recipe("creswell"))` compares it with the
solvers on the same images and costs; `ensembling` and `feature_interpolation` have functions of
their papers beside. What is different from the originals throughout: the best iterate is returned
instead of the last, images of a batch do not influence each other, and the cost is the caller's
(`features=`, by default pixels) where the original names a network that is not included.
"""

from directions.inversion.recipes.registry import RECIPES, find_recipe

__all__ = ["RECIPES", "find_recipe"]
