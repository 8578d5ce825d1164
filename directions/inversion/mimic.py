"""Inversion through a degradation that is unknown: a filter is fitted along with the codes.

Anirudh, Thiagarajan, Kailkhura, Bremer 2020: MimicGAN: Robust Projection onto Image Manifolds with
Corruption Mimicking, arXiv:1912.07748. There a small network mimics the corruption and alternates
with the codes; here a convolution between the channels and a bias, which blur, mix and scale
colors. It is the same for all images: with one image alone little is known of it.

Alternation crawls, since codes explain most of what the filter gets wrong, a tint as a paler face
and a blur as a smoother one. So the first filter is the one after which the generator's samples
have the colors and spectra of what was observed, without any code; and codes and filter then take
Gauss–Newton steps together. The filter couples all images, each code only its own, so that the
codes are eliminated one image at a time (Schur complement).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from directions.arguments import checked_kinds
from directions.errors import LatdirError, whole_number
from directions.generators.base import Generator, check_generator
from directions.inversion.base import Inversion
from directions.inversion.checks import check_observed
from directions.inversion.degradations.filtering import PIXELS, Filter, check_filter_size
from directions.inversion.degradations.selection import size_of
from directions.inversion.invert import invert
from directions.inversion.solvers import LevenbergMarquardt
from directions.inversion.solvers.lbfgs import LBFGS
from directions.inversion.starts import Ridge
from directions.scoring.rendering import Rendering
from directions.seeds import INVERSION_SEED

__all__ = ["mimic"]

# Samples whose statistics the first filter matches, and numbers in their images at most.
SAMPLES, NUMBERS = 512, 1e8
# Axes of the codes that a step of the filter makes allowance for; tangents at a time.
AXES, CHUNK = 128, 32
# Damping of the codes, relative to the mean curvature; of the filter, to what it is fitted to.
DAMPING, FIRMNESS = 1e-3, 1e-6
# Images count by the inverse of their mean squared difference, down to that of 46 dB.
LEVEL = 1e-4


@checked_kinds
def mimic(
    generator: Generator,
    images: Tensor,
    *,
    size: int = 5,
    rounds: int = 4,
    steps: int = 4,
    space: str | None = None,
    seed: int = 0,
    rendering: Rendering = Rendering(progress=False),
) -> Inversion:
    """Codes of images that all went through one unknown filter, and the filter.

    The first filter matches the statistics of the generator's samples, the first codes are by
    ridge regression on samples filtered alike; then in turn one step of codes and filter together,
    and some of the codes alone.

    Args:
        generator: As for `invert`.
        images: `[n, 3, H, W]`, of the generator's size.
        size: Side of the filter in pixels, odd.
        rounds: Turns.
        steps: Of Levenberg–Marquardt for the codes each time; at the end they are inverted by
            the default solver, with restarts.
        space: As for `invert`.
        seed: As for `invert`.
        rendering: As for `invert`.

    Returns:
        The inversion, whose `degradation` is the filter and whose reconstructions are without it.

    Raises:
        LatdirError: As `invert`; an even size, or one beyond the images'; a generator whose images
            are not finite.

    Example:
        >>> from directions.planted.world import planted
        >>> world = planted(dim=8)
        >>> images = world.synthesize(world.sample(8, seed=1))
        >>> found = mimic(world, 0.5 * images, size=1, rounds=1)
        >>> found.degradation.kernel.shape
        torch.Size([3, 3, 1, 1])
    """
    check_generator(generator)
    whole_number(rounds, "rounds", least=1)
    whole_number(steps, "steps", least=1)
    check_filter_size(size)
    observed = check_observed(generator, images, None)
    if size > min(observed.shape[2:]):
        raise LatdirError(f"size {size} of a filter is beyond images of {size_of(observed)}")
    name = generator.space(space or generator.default_space("w")).name
    count = max(2, min(SAMPLES, int(NUMBERS / observed[0].numel())))
    samples = generator.sample(count, seed=INVERSION_SEED, space=name)
    render = generator.inference(space=name)
    own = torch.cat([render(part).clone() for part in torch.split(samples, CHUNK)])
    if not own.isfinite().all():
        raise LatdirError(
            f"{generator.name} makes images with NaN or infinite pixels: load it anew"
        )
    finite = observed.flatten(1).isfinite().all(1)
    first = filtered = Filter.matching(own, observed[finite], size)
    offsets = (samples - samples.mean(0)).flatten(1)
    axes = torch.linalg.svd(offsets, full_matrices=False).Vh[:AXES]

    settings: dict[str, Any] = {"space": name, "seed": seed, "rendering": rendering}
    found = invert(
        generator, observed, solver=LBFGS(steps=10 * steps), start=Ridge(count=SAMPLES),
        degradation=first, restarts=0, **settings,
    )  # fmt: skip
    for _ in range(rounds):
        filtered, codes = _step(found, filtered, first, observed, axes)
        found = invert(
            generator, observed, solver=LevenbergMarquardt(steps=steps), start=codes,
            degradation=filtered, restarts=0, **settings,
        )  # fmt: skip
    found = invert(generator, observed, start=found.codes, degradation=filtered, **settings)
    record = {**found.record, "mimic": {"size": size, "rounds": rounds, "steps": steps}}
    return replace(found, record=record)


def _step(
    found: Inversion, filtered: Filter, first: Filter, observed: Tensor, axes: Float[Tensor, "k d"]
) -> tuple[Filter, Float[Tensor, "n ..."]]:
    """One Gauss–Newton step of the filter θ and of all codes along some axes, a_i.

    To first order the residual of image i is r_i − Φ_i dθ − J_i da_i, with Φ_i the regressors of
    the filter. Without the codes, S dθ = g with the Schur complement
    S = Σ Φ_iᵀΦ_i − C_i A_i⁻¹ C_iᵀ and g = Σ Φ_iᵀr_i − C_i A_i⁻¹ J_iᵀr_i, where C_i = Φ_iᵀJ_i and
    A_i = J_iᵀJ_i + damping; then da_i = A_i⁻¹ (J_iᵀr_i − C_iᵀ dθ).
    """
    generator, space, codes = found.generator, found.space, found.codes
    finite = found.costs.isfinite().nonzero()[:, 0].tolist()
    step = -(-len(finite) * observed[0, 0].numel() // PIXELS)
    known = filtered.weights.to(observed).double()
    schur = known.new_zeros(known.numel(), known.numel())
    right, gram = known.new_zeros(known.numel()), known.new_zeros(known.shape[1], known.shape[1])
    eye = torch.eye(3).to(known)
    basis = axes.reshape(-1, 1, *codes.shape[1:]).to(codes)
    solved = {}
    for i in finite:
        model = generator.linearize_batch(codes[i : i + 1], space=space)
        seen = model.then(filtered)
        parts = [seen.push(part)[:, 0] for part in torch.split(basis, CHUNK)]
        # One channel of the output has the same regressors as the next.
        rows = filtered.regressors(model.value)[0, ::step].double()
        tangents = torch.cat(parts).flatten(2)[..., ::step].double()  # [k, 3, p]
        rest = (observed[i] - seen.value[0]).flatten(1)[:, ::step].double()
        crossed = torch.einsum("kcp,pf->cfk", tangents, rows).flatten(0, 1)  # C
        flat = tangents.flatten(1)
        curvature = flat @ flat.T  # A
        curvature.diagonal().add_(DAMPING * curvature.diagonal().mean() + 1e-12)
        sides = torch.cat([(flat @ rest.flatten())[:, None], crossed.T], 1)
        solved[i] = torch.cholesky_solve(sides, torch.linalg.cholesky(curvature))
        weight = 1 / (float(found.costs[i]) + LEVEL)
        square = rows.T @ rows
        schur += weight * (torch.kron(eye, square) - crossed @ solved[i][:, 1:])
        right += weight * ((rest @ rows).flatten() - crossed @ solved[i][:, 0])
        gram += weight * square
    firmness = FIRMNESS * gram.diagonal().mean()
    schur.diagonal().add_(firmness)
    right += firmness * (first.weights.to(known) - known).flatten()
    change = torch.linalg.solve(schur, right)
    moved = codes.clone()
    for i, made in solved.items():
        along = made[:, 0] - made[:, 1:] @ change
        moved[i] += (along.to(axes) @ axes).reshape(codes.shape[1:]).to(codes)
    return Filter.of(known + change.reshape(known.shape)), moved
