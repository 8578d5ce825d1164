"""Prescribed transforms in closed form, from a layer that is linear in the code.

Nurit Spingarn-Eliezer, Ron Banner, Tomer Michaeli: GAN "Steerability" without optimization,
ICLR 2021, arXiv:2012.05328. If a layer's map is W z + b, the step q whose effect on it is nearest
to a transform P, over all codes and over the places D that P leaves known, is

    q = (Wᵀ D W)⁻¹ Wᵀ D (P - I) b.

Differences from the official code: P and D act on pictures, so that no dense matrix over the
24,576 numbers of a layer is formed; any layer serves, its W and b being the regression on the
code, exact where the layer is affine; and a layer whose mean is the same everywhere is refused,
because there b gives a transform nothing to act on. That is so for the first layer of a DCGAN,
whose batch norm has one bias per channel: its first usable layer is the ReLU after it.

A step exists for every transform, whether or not the generator can follow it: see `fit`. On the
built-in digiface64, whose faces are aligned, brightness reaches 0.60, but shift, zoom and rotation
0.14 to 0.27, their directions resemble each other and the images hardly move. Directions of the
last layer do not move them either, and walks learned for shifts turn the head instead: the
generator has not seen shifted faces. Brightness as more of what there is suits layers without
negative numbers, such as those after a ReLU.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from directions.bank import DirectionBank
from directions.direction import Direction
from directions.errors import LatdirError, SpaceError
from directions.generators.base import Generator
from directions.scoring.activations import layer_activations, layer_names
from discovery.base import GeneratorMethod
from discovery.sampling.draw import Draw
from discovery.steerability.image_edits import Edit, edits_named

__all__ = ["LinearLayer", "Transforms", "closed_form", "fit_layer"]

SMALLEST_SIDE = 4
PROBE = 256
EVEN = 0.05
CHUNK_NUMBERS = 1 << 24
# Below this fraction of a transform's change, a step produces something else.
MIN_EXPLAINED_VARIANCE = 0.3

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Transforms(GeneratorMethod):
    """Closed-form directions of shift, zoom, rotation and brightness.

    Attributes:
        transforms: Which, commas between; colors other than brightness are for images only.
        layer: Layer to read the transforms from; by default the first whose mean has a shape.
        strength: Amount of each transform, 1 being a quarter of the frame, half
            a doubling, 20 degrees, and half as bright again.
        n_codes: Codes that the layer is regressed on.
        ridge: Added to the diagonal of WᵀDW, as a fraction of its mean.

    Example:
        >>> from directions.generators import load_generator
        >>> bank = Transforms(transforms="shift_x", n_codes=512).discover(
        ...     load_generator("digiface64"))
        >>> bank["shift_x"].evidence["layer"]
        'relu.0'
    """

    transforms: str = "shift_x,shift_y,zoom,rotate,brightness"
    layer: str | None = None
    strength: float = 1.0
    n_codes: int = 4096
    ridge: float = 1e-3

    method: ClassVar[str] = "transforms"

    def discover(self, generator: Generator, *, seed: int = 0) -> DirectionBank:
        """Solve for the step of each transform.

        Args:
            generator: Any whose layers are pictures.
            seed: Of the codes that the layer is regressed on.

        Returns:
            A direction a transform, positive as the transform. `sigma` is the prior's standard
            deviation along it. Evidence has the `layer`; `layer_linear`, how much of its variance
            is linear in the code; `step`, the latent distance of the whole transform; and `fit`,
            the fraction of the mean's change that the step produces: near 0, this generator
            cannot do it.

        Raises:
            LatdirError: An unknown transform or layer, or a layer that no transform changes.
        """
        edits = edits_named(self.transforms)
        colors = [e.name for e in edits if e.placement is None and e.name != "brightness"]
        if colors:
            raise LatdirError(f"layers have no {colors[0]}: use the learned walks for colors")
        space = generator.space(generator.default_space())
        if self.n_codes <= space.size or self.ridge < 0 or not self.strength:
            raise LatdirError(
                f"n_codes {self.n_codes} must be more than the code's {space.size} coordinates, "
                f"ridge {self.ridge} at least 0, and strength {self.strength} not 0"
            )
        draw = Draw(generator, space.name, seed, self.n_codes, PROBE)
        name = self.layer or _first_layer(draw)
        layer = fit_layer(draw, layer=name)
        prior = generator.prior(space.name)
        directions = []
        for edit in edits:
            step, fit = closed_form(layer, edit, strength=self.strength, ridge=self.ridge)
            vector = step.reshape(space.shape).float()
            if fit < MIN_EXPLAINED_VARIANCE:
                log.warning(
                    "%s can produce %.0f %% of %s at layer %s: "
                    "the direction may not produce the named transform",
                    generator.name,
                    100 * fit,
                    edit.name,
                    name,
                )
            evidence = {
                "layer": name,
                "layer_linear": layer.linear,
                "step": float(step.norm()),
                "fit": fit,
            }
            made = Direction.from_vector(
                edit.name,
                vector,
                space=space.name,
                method=self.method,
                config=self.config,
                evidence=evidence,
            )
            directions.append(made.evolve(sigma=prior.sigma(made.vector)))
        provenance = {"seed": seed, "samples": self.n_codes}
        return DirectionBank.of(generator, tuple(directions), provenance)


@dataclass(frozen=True, eq=False)
class LinearLayer:
    """A layer as an affine function of the code.

    Attributes:
        weight: `[d, c, h, w]`, the contribution of each coordinate of the code.
        bias: `[c, h, w]`, the layer at the code of zeros.
        linear: Share of the layer's variance that this explains.
    """

    weight: Float[Tensor, "d c h w"]
    bias: Float[Tensor, "c h w"]
    linear: float


def fit_layer(draw: Draw, *, layer: str) -> LinearLayer:
    """Regress a layer's feature maps on the codes.

    Args:
        draw: The codes.
        layer: Name of the layer.

    Raises:
        LatdirError: No such layer, or one whose rows are not feature maps `[c, h, w]`.
    """
    run = layer_activations(draw.generator, layer=layer, space=draw.space)
    shape = run(next(draw.first(2).chunks())).shape[1:]
    if len(shape) != 3 or min(shape[1:]) < SMALLEST_SIDE:
        raise SpaceError(
            f"layer {layer!r} of {draw.generator.name} has shape {list(shape)}, which is not a "
            f"feature map [channels, height, width] of at least {SMALLEST_SIDE} a side"
        )
    size = draw.generator.space(draw.space).size
    device = draw.generator.device
    inner = torch.zeros(size + 1, size + 1, dtype=torch.float64, device=device)
    outer = torch.zeros(size + 1, shape.numel(), device=device)
    squares = torch.zeros((), dtype=torch.float64, device=device)
    for codes in draw.by(CHUNK_NUMBERS // shape.numel()).chunks(note=f"regression of {layer}"):
        pictures = run(codes).flatten(1).float()
        # A column of ones next to the code carries the bias.
        inputs = torch.cat([codes.flatten(1), torch.ones_like(pictures[:, :1])], 1)
        inner += (inputs.T @ inputs).double()
        outer += inputs.T @ pictures
        squares += pictures.square().sum(dtype=torch.float64)
    coefficients = torch.linalg.solve(inner, outer.double())
    weight, bias = coefficients[:-1], coefficients[-1]
    mean = outer[-1].double() / draw.samples
    total = squares - draw.samples * mean.square().sum()
    explained = (coefficients * outer).sum() - draw.samples * mean.square().sum()
    linear = float(explained / total) if total > 0 else 0.0
    return LinearLayer(weight.reshape(-1, *shape), bias.reshape(shape), linear)


def closed_form(
    layer: LinearLayer, edit: Edit, *, strength: float = 1.0, ridge: float = 0.0
) -> tuple[Float[Tensor, "d"], float]:
    """The latent step nearest to a transform of a layer.

    Args:
        layer: W and b.
        edit: P and D.
        strength: Amount of the transform.
        ridge: Added to the diagonal of WᵀDW, as a fraction of its mean.

    Returns:
        q, and the share of ‖D (P - I) b‖² that W q accounts for.

    Raises:
        LatdirError: The transform does not change b.
    """
    b = layer.bias
    if edit.placement is None:
        # Features have no absolute scale: brighter means multiplied.
        change, known = b * (strength / 2), torch.ones_like(b[:1])
    else:
        amount = torch.tensor([strength * CLOSED_FORM_AMOUNTS[edit.name]]).to(b)
        moved, mask = edit(b[None], amount)
        known = mask[0]
        change = (moved[0] - b) * known
    even = (b - b.mean((1, 2), keepdim=True)).norm() < EVEN * b.norm()
    if (even and edit.placement is not None) or not float(change.norm()):
        raise LatdirError(
            f"the layer's mean is nearly constant, so {edit.name} leaves it unchanged "
            "and there is no closed form: choose a layer after the next nonlinearity"
        )
    weight = (layer.weight * known).flatten(1)
    normal = weight @ weight.T
    normal.diagonal().add_(ridge * normal.diagonal().mean())
    step = torch.linalg.lstsq(normal, (weight @ change.flatten())[:, None]).solution[:, 0]
    left = (change.flatten() - step @ weight).square().sum() / change.square().sum()
    return step, 1 - float(left)


CLOSED_FORM_AMOUNTS = {"shift_x": 0.25, "shift_y": 0.25, "zoom": 0.5, "rotate": 20.0}


def _first_layer(draw: Draw) -> str:
    """The first feature-map layer whose mean is not constant over the image."""
    for name in layer_names(draw.generator, space=draw.space):
        run = layer_activations(draw.generator, layer=name, space=draw.space)
        rows = run(next(draw.first(PROBE).chunks()))
        if rows.ndim == 4 and min(rows.shape[2:]) >= SMALLEST_SIDE:
            mean = rows.mean(0)
            # The mean of n codes strays from an even one by the deviation over √n.
            stray = rows.std(0).norm() / len(rows) ** 0.5
            uneven = (mean - mean.mean((1, 2), keepdim=True)).norm()
            if uneven > max(EVEN * float(mean.norm()), 3 * float(stray)):
                return name
    raise SpaceError(
        f"{draw.generator.name} has no feature-map layer to derive transforms from: "
        "use the learned walks"
    )
