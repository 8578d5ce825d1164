"""Styles of one image in another: layer by layer, or in one region of the image.

Style mixing: Karras, Laine, Aila 2019, arXiv:1812.04948. Transfer in a region: Collins, Bala,
Price, Süsstrunk, Editing in Style, 2020, arXiv:2004.14367. There k-means of activations find the
regions and the channels that contribute to each; here a mask names the region, and a channel's
contribution is the share of the image's squared change with it that falls inside, from products
with the Jacobian's transpose, so that any generator and any space will do.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked_values
from directions.errors import LatdirError, SpaceError, real_number, whole_number
from directions.generators.base import Generator
from directions.generators.checks import check_seed

__all__ = ["mix_styles", "transfer_region"]


@checked_values
def mix_styles(
    codes: Float[Tensor, "n layers d"],
    styles: Float[Tensor, "m layers d"],
    *,
    layers: Sequence[int],
) -> Float[Tensor, "n layers d"]:
    """Codes with some of their layers from other codes.

    Coarse layers come first: they decide pose and shape, later ones colors.

    Args:
        codes: Of a layered space, such as w+.
        styles: The same, one for each code or one for all.
        layers: Those that are taken from `styles`.

    Raises:
        LatdirError: Codes of different numbers or not finite, or a layer that they do not have.

    Example:
        >>> mix_styles(torch.zeros(1, 3, 2), torch.ones(1, 3, 2), layers=[2])[0]
        tensor([[0., 0.],
                [0., 0.],
                [1., 1.]])
    """
    if codes.shape[1:] != styles.shape[1:] or len(styles) not in (1, len(codes)):
        raise SpaceError(
            f"codes of shape {list(codes.shape)} cannot take layers of {list(styles.shape)}: give "
            "one for each code, or one for all, of the same space"
        )
    if not all(0 <= layer < codes.shape[1] for layer in layers):
        raise SpaceError(f"codes have layers 0 to {codes.shape[1] - 1}, not {list(layers)}")
    chosen = torch.zeros(codes.shape[1], dtype=torch.bool, device=codes.device)
    chosen[list(layers)] = True
    return torch.where(chosen[:, None], styles.to(codes), codes)


@checked_values
def transfer_region(
    generator: Generator,
    codes: Float[Tensor, "n *shape"],
    reference: Float[Tensor, "m *shape"],
    region: Tensor,
    *,
    space: str,
    share: float = 0.5,
    probes: int = 16,
    seed: int = 0,
) -> Float[Tensor, "n *shape"]:
    """Codes whose images look like a reference within a region, and as before elsewhere.

    A coordinate is taken from the reference where at least a share of its effect on the image, the
    sum of squared changes of the pixels, is inside the region.

    Args:
        generator: Makes the images; differentiable.
        codes: What is changed; best of s, whose channels act in places.
        reference: One for each code, or one for all.
        region: `[h, w]`, true inside.
        space: Space of the codes.
        share: Least part of a coordinate's effect that is inside, in 0 … 1.
        probes: Random products with the transposed Jacobian that estimate it.
        seed: Of these.

    Raises:
        LatdirError: Codes of another space or not finite, a region of another size or empty, or a
            share outside 0 … 1.

    Example:
        >>> from directions import wrap
        >>> double = lambda z: z.reshape(-1, 1, 2, 2).repeat(1, 3, 1, 1) / 4
        >>> four = wrap(double, latent_dim=4, name="four pixels", version="1")
        >>> left = torch.tensor([[True, False], [True, False]])
        >>> transfer_region(four, torch.zeros(1, 4), torch.ones(1, 4), left, space="z")
        tensor([[1., 0., 1., 0.]])
    """
    check_seed(seed, 0, 0)
    codes, reference = generator.check(codes, space), generator.check(reference, space)
    if not len(codes):
        raise SpaceError("there are no codes to change: give at least one")
    if len(reference) not in (1, len(codes)):
        raise SpaceError(
            f"{len(reference)} references for {len(codes)} codes: give one, or as many"
        )
    inside = torch.as_tensor(region).bool().cpu()
    if tuple(inside.shape) != tuple(generator.image_shape[1:]) or not inside.any():
        raise LatdirError(
            f"a region is {list(generator.image_shape[1:])}, true for pixels inside, and not "
            f"empty; not {list(inside.shape)} with {int(inside.sum())} inside"
        )
    if not 0 <= real_number(share, "share") <= 1:
        raise LatdirError(f"share {share} is a part of a coordinate's effect, in 0 … 1")
    whole_number(probes, "probes", least=1)
    rng = torch.Generator().manual_seed(seed)
    made = []
    for code, other in zip(codes, reference.expand_as(codes), strict=True):
        model = generator.linearize_batch(code[None], space=space)
        # E (Jᵀ (m ∘ u))² over random signs u is the sum of squares of J within the mask m.
        signs = torch.randint(0, 2, (probes, *model.value.shape), generator=rng) * 2 - 1
        effects = [
            model.pull((signs * part).to(model.value)).square().sum(0).reshape(code.shape)
            for part in (inside, ~inside)
        ]
        within = effects[0] >= share * (effects[0] + effects[1]).clamp_min(1e-20)
        made.append(torch.where(within & (effects[0] > 0), other, code))
    return torch.stack(made)
