"""Recipes against their definitions: constants, one step by hand, what each keeps."""

from __future__ import annotations

import pytest
import torch
from scipy.optimize import minimize

from directions import LatdirError, UnknownNameError, invert
from directions.generators.wrap import wrap
from directions.inversion import Objective, Typicality
from directions.inversion.recipes import RECIPES, find_recipe
from directions.inversion.recipes.first_order import AdamMoments
from directions.inversion.recipes.pulse import geocross
from tests.directions.inversion.worlds import bent, linear, pair
from tests.styles import small_stylegan2

BRIEF = {
    "stylegan2_ada": {"steps": 300},
    "image2stylegan": {"steps": 400},
    "ii2s": {"steps": 400, "weight": 0.0},
    "creswell": {"steps": 400, "alpha": 0.0},
    "stochastic_clipping": {"steps": 400},
    "pulse": {},
    "style_space": {"steps": 400},
    "igan": {"limit": 5.0},
}
CONSTANTS = {
    "stylegan2_ada": {"steps": 1000, "rate": 0.1, "noise": 0.05, "noise_until": 0.75},
    "image2stylegan": {"steps": 5000, "rate": 0.01},
    "ii2s": {"steps": 1300, "rate": 0.01, "weight": 0.001},
    "creswell": {"steps": 5000, "rate": 0.01, "alpha": 0.01},
    "stochastic_clipping": {"steps": 20_000, "limit": 2.0},
    "pulse": {"steps": 100, "rate": 0.4, "cross": 0.05},
    "style_space": {"steps": 5000, "rate": 0.01},
    "igan": {"steps": 200, "limit": 3**0.5},
}


def objective(world, images, **changes):
    return Objective(world, "z", images, Typicality.of(world, "z"), **changes)


@pytest.mark.parametrize("name", RECIPES)
def test_constants_are_those_of_the_paper(name):
    config = find_recipe(name).config
    assert {key: config[key] for key in CONSTANTS[name]} == CONSTANTS[name]


@pytest.mark.parametrize("name", RECIPES)
def test_it_comes_closer_and_keeps_the_best(name):
    world = linear()
    _, images = pair(world, 2)
    target = objective(world, images)
    start = world.sample(2, seed=8)
    before = target.costs(start)
    found = find_recipe(name, **BRIEF[name]).solve(target, start, seed=0)
    assert (found.costs < 0.25 * before).all()
    torch.testing.assert_close(target.costs(found.codes), found.costs)


@pytest.mark.parametrize("name", RECIPES)
def test_results_do_not_depend_on_the_batch(name):
    world = bent()
    _, images = pair(world, 3)
    target, start = objective(world, images), world.sample(3, seed=8)
    recipe = find_recipe(name, **BRIEF[name] | {"steps": 6})
    whole = recipe.solve(target, start, seed=0)
    alone = recipe.solve(target.of(torch.tensor([1])), start[1:2], seed=0)
    torch.testing.assert_close(alone.codes[0], whole.codes[1], rtol=1e-4, atol=1e-4)


def test_adam_is_pytorchs():
    codes = torch.nn.Parameter(torch.tensor([[1.0, -2.0, 0.5]]))
    theirs, ours = torch.optim.Adam([codes], lr=0.1), AdamMoments([0.1] * 5)
    mine = codes.detach().clone()
    for i in range(5):
        theirs.zero_grad()
        (codes**4).sum().backward()
        mine = ours(mine, 4 * mine**3, i, torch.Generator())
        theirs.step()
        torch.testing.assert_close(mine, codes.detach())


def test_rmsprop_is_pytorchs_with_the_priors_density():
    world = bent()
    _, images = pair(world, 1)
    target, start = objective(world, images), world.sample(1, seed=8)
    codes = torch.nn.Parameter(start.clone())
    optimizer = torch.optim.RMSprop([codes], lr=0.01)
    normal = torch.distributions.Normal(0.0, 1.0)
    for _ in range(3):
        optimizer.zero_grad()
        (target.costs(codes).sum() - 0.01 * normal.log_prob(codes).mean()).backward()
        optimizer.step()
    recipe = find_recipe("creswell", steps=3)
    stepper, mine = recipe.stepper(target, start), start
    for i in range(3):
        leaf = mine.clone().requires_grad_()
        total = (target.costs(leaf) + recipe.penalty(target, leaf)).sum()
        mine = stepper(mine, torch.autograd.grad(total, leaf)[0], i, torch.Generator())
    torch.testing.assert_close(mine, codes.detach())


def test_the_projectors_noise_dies_away_and_its_first_step_is_none():
    world = linear()
    _, images = pair(world, 1)
    target, recipe = objective(world, images), find_recipe("stylegan2_ada", steps=100)
    codes = torch.zeros(1, 6)
    seen = [
        recipe.seen(target, codes, step, torch.Generator().manual_seed(3)) for step in (0, 30, 75)
    ]
    drawn = torch.randn(6, generator=torch.Generator().manual_seed(3))
    sigma = world.sample(4000, seed=0).square().sum(1).mean().sqrt()
    torch.testing.assert_close(seen[0][0], 0.05 * sigma * drawn, rtol=0.05, atol=1e-3)
    torch.testing.assert_close(seen[1], 0.6**2 * seen[0])
    assert torch.equal(seen[2], codes)
    moved = recipe.stepper(target, codes)(codes, torch.ones(1, 6), 0, torch.Generator())
    assert torch.equal(moved, codes)


def test_coordinates_that_leave_the_box_are_drawn_anew():
    world = linear()
    _, images = pair(world, 1)
    stepper = find_recipe("stochastic_clipping").stepper(objective(world, images), images)
    codes = torch.tensor([[1.9, -1.9, 0.0, 0.0, 0.0, 0.0]])
    slope = torch.tensor([[-1.0, 1.0, 0.001, 0.0, 0.0, 0.0]])
    moved = stepper(codes, slope, 0, torch.Generator().manual_seed(0))
    uniform = torch.rand(6, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(moved[0, :2], 4 * uniform[:2] - 2)
    torch.testing.assert_close(moved[0, 2:], codes[0, 2:] - stepper.rate * slope[0, 2:])
    assert stepper.rate == 0.01 * 48


def test_pulse_stays_on_the_sphere_of_its_start():
    world = bent()
    _, images = pair(world, 2)
    start = world.sample(2, seed=8)
    found = find_recipe("pulse").solve(objective(world, images), start, seed=0)
    torch.testing.assert_close(found.codes.norm(dim=1), start.norm(dim=1))
    with pytest.raises(LatdirError, match="sphere of a start at the mean is a point"):
        find_recipe("pulse").solve(objective(world, images), 0 * start, seed=0)


def test_geocross_is_the_sum_over_angles():
    codes = torch.randn(2, 4, 8, generator=torch.Generator().manual_seed(0))
    codes = codes / codes.norm(dim=-1, keepdim=True)
    angles = torch.acos((codes @ codes.mT).clamp(-1, 1))
    angles.diagonal(dim1=1, dim2=2).zero_()
    expected = angles.square().mean((1, 2)) * 8 / 8
    torch.testing.assert_close(geocross(codes), expected, atol=1e-3, rtol=0)


def test_ii2s_draws_codes_toward_the_prior():
    world = linear()
    _, images = pair(world, 1)
    target, codes = objective(world, images), 3 * world.sample(1, seed=8)
    expected = 0.001 * target.typicality.distances(codes) ** 2
    torch.testing.assert_close(find_recipe("ii2s").penalty(target, codes), expected)


def test_a_recipe_is_a_solver_of_invert():
    world = linear()
    _, images = pair(world, 2)
    found = invert(world, images, solver=find_recipe("image2stylegan", steps=600), start="best")
    assert (found.psnr > 40).all()
    assert found.record["solver"] == "Image2StyleGAN"


def test_refusals():
    with pytest.raises(UnknownNameError, match="no recipe 'pulze'"):
        find_recipe("pulze")
    with pytest.raises(LatdirError, match="pulse has no setting 'lr': it has steps, target, rate"):
        find_recipe("pulse", lr=1.0)


def test_the_loop_minimizes_the_penalty_too():
    world = linear()
    _, images = pair(world, 1)
    target, start = objective(world, images), 3 * world.sample(1, seed=8)
    free, bound = (
        find_recipe("ii2s", steps=200, weight=w, rate=0.05).solve(target, start, seed=0).codes
        for w in (0.0, 30.0)
    )
    best = target.typicality.distances
    assert best(free) > 0.3
    assert not torch.allclose(free, bound, atol=0.05)


def test_a_recipe_brings_its_space_and_start():
    generator = small_stylegan2()
    images = generator.synthesize(generator.sample(1, seed=4))
    for name, space, start in (
        ("style_space", "s", "Mean"), ("image2stylegan", "w+", "Mean"), ("creswell", "z", "Best"),
        ("pulse", "pn+", "Best"), ("stylegan2_ada", "w", "Mean"),
    ):  # fmt: skip
        recipe = find_recipe(name, steps=1, **({"first": 1} if name == "style_space" else {}))
        found = invert(generator, images, solver=recipe, restarts=0)
        assert (found.space, found.record["start"]) == (space, start)
    given = invert(generator, images, solver=recipe, space="w", start="mean", restarts=0)
    assert (given.space, given.record["start"]) == ("w", "Mean")


def test_styles_are_searched_from_what_was_found_in_w_plus():
    generator = small_stylegan2()
    w = generator.sample(2, seed=4, space="w+")
    with torch.no_grad():
        images = generator.synthesize(w, "w+")
        start = generator.map(w + 0.3 * torch.randn_like(w), "w+", "s")
    target = Objective(generator, "s", images, Typicality.of(generator, "s"))
    layered = Objective(generator, "w+", images, Typicality.of(generator, "w+"))
    coarse = find_recipe("image2stylegan", steps=20).solve(
        layered, generator.map(start, "s", "w+"), seed=0
    )
    styles = generator.map(coarse.codes, "w+", "s")
    alone = find_recipe("style_space", steps=5, first=0).solve(target, styles, seed=0)
    found = find_recipe("style_space", steps=5, first=20).solve(target, start, seed=0)
    torch.testing.assert_close(found.codes, alone.codes)
    assert found.steps.tolist() == [25, 25]
    assert (found.costs < coarse.costs).all()


def test_igan_is_scipys_lbfgs_of_the_arctanh_in_the_box_of_a_uniform_prior():
    inner = bent()
    world = wrap(
        inner.synthesize, latent_dim=6, name="uniform",
        draw=lambda rng, count: rng.uniform(-1, 1, (count, 6)),
    )  # fmt: skip
    _, images = pair(world, 2)
    target, start = objective(world, images), world.sample(2, seed=8)
    center = target.typicality.center(start)
    assert center.abs().max() < 0.02

    def evaluate(u):
        leaf = torch.tensor(u, dtype=torch.float32).requires_grad_()
        cost = (world.synthesize(center + leaf.tanh()[None]) - images[:1]).square().mean()
        return float(cost.detach()), torch.autograd.grad(cost, leaf)[0].double().numpy()

    half = target.typicality.spread
    assert abs(find_recipe("igan").limit * half - 1) < 0.02
    recipe = find_recipe("igan", steps=5, limit=1 / half)
    found = recipe.solve(target, start, seed=0)
    begin = (start[0] - center).clamp(-0.999, 0.999).atanh().numpy()
    best = minimize(evaluate, begin, jac=True, method="L-BFGS-B", tol=1e-6, options={"maxiter": 5})
    torch.testing.assert_close(
        found.codes[0], center + torch.tensor(best.x).tanh().float(), rtol=1e-3, atol=1e-4
    )
    assert (found.codes - center).abs().max() < 1
    edge = recipe.free(target, torch.full((1, 6), 5.0))
    assert edge.isfinite().all()
    free = recipe.free(target, 0.5 * start)
    torch.testing.assert_close(recipe.bound(target, free), 0.5 * start)
