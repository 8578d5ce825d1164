"""Recipes against their definitions: constants, one step by hand, what each keeps."""

from __future__ import annotations

import pytest
import torch
from scipy.optimize import minimize

from directions import LatdirError, UnknownNameError, invert, wrap_classifier
from directions.generators.wrap import wrap
from directions.inversion import (
    FeatureOffsets,
    NoiseMaps,
    Objective,
    SeveralCodes,
    Typicality,
    ensemble_scores,
    fitted,
    generative_views,
    interpolate_features,
    interpolated_features,
)
from directions.inversion.encoders import CompactConfig, CompactEncoder, Encoder
from directions.inversion.recipes import RECIPES, find_recipe
from directions.inversion.recipes.pix2latent import Pix2Latent
from directions.inversion.recipes.pulse import geocross
from directions.inversion.solvers.first_order import AdamMoments
from directions.inversion.unknowns import noise_autocorrelation
from directions.scoring.features import pixel_features
from tests.directions.inversion.worlds import bent, linear, pair
from tests.styles import small_stylegan2

BRIEF = {
    "stylegan2_ada": {"steps": 300},
    "image2stylegan": {"steps": 400},
    "ii2s": {"steps": 400, "weight": 0.0},
    "creswell": {"steps": 400, "alpha": 0.0},
    "stochastic_clipping": {"steps": 400},
    "pulse": {},
    "in_domain": {"steps": 400, "domain": 0.0},
    "bdinvert": {"steps": 400, "features": 0.0, "codes": 0.0},
    "layer_residuals": {"steps": 400, "features": 0.0},
    "style_space": {"steps": 400},
    "igan": {"limit": 5.0},
    "image2stylegan_plus": {"steps": 400},
    "consecutive_frames": {"steps": 400},
    "mganprior": {"steps": 400},
    "pix2latent": {"steps": 2, "population": 6, "refinement": 10, "final": 20, "limit": 5.0},
    "ensembling": {"steps": 50},
}
CONSTANTS = {
    "stylegan2_ada": {"steps": 1000, "rate": 0.1, "noise": 0.05, "noise_until": 0.75},
    "image2stylegan": {"steps": 5000, "rate": 0.01},
    "ii2s": {"steps": 1300, "rate": 0.01, "weight": 0.001},
    "creswell": {"steps": 5000, "rate": 0.01, "alpha": 0.01},
    "stochastic_clipping": {"steps": 20_000, "limit": 2.0},
    "pulse": {"steps": 100, "rate": 0.4, "cross": 0.05},
    "in_domain": {"steps": 100, "rate": 0.01, "domain": 2.0},
    "bdinvert": {"steps": 1200, "rate": 0.01, "features": 10.0, "codes": 0.01},
    "layer_residuals": {"steps": 3000, "rate": 0.01, "features": 1.0, "codes": 0.0},
    "style_space": {"steps": 5000, "rate": 0.01},
    "igan": {"steps": 200, "limit": 3**0.5},
    "image2stylegan_plus": {"steps": 5000, "rate": 0.01, "noise_steps": 3000, "noise_rate": 5.0},
    "consecutive_frames": {"steps": 5000, "rate": 0.01},
    "mganprior": {"steps": 3000, "rate": 1.0},
    "pix2latent": {
        "steps": 30,
        "sigma": 1.0,
        "refinement": 30,
        "final": 300,
        "rate": 0.05,
        "limit": 2.0,
    },
    "ensembling": {"steps": 500, "perceptual": 0.5, "encoded": 0.25},
}


# Of recipes that fit features, the layer of the worlds that they are tried on.
LAYERS = {"bdinvert": "_module.0", "layer_residuals": "_module.0"}


def objective(world, images, **changes):
    space = world.default_space()
    return Objective(world, space, images, Typicality.of(world, space), **changes)


def brief(name, world):
    """Few steps, and an encoder where the recipe needs one."""
    if name != "in_domain":
        return BRIEF[name]
    network = CompactEncoder(CompactConfig.of(world, "z", width=4), torch.eye(6))
    made = Encoder(network, world, space="z", mean=torch.zeros(6), size=8, name="untrained")
    return BRIEF[name] | {"encoder": made}


def of(name, world):
    return FeatureOffsets(world, layer=LAYERS[name]) if name in LAYERS else world


@pytest.mark.parametrize("name", RECIPES)
def test_constants_are_those_of_the_paper(name):
    config = find_recipe(name).config
    assert {key: config[key] for key in CONSTANTS[name]} == CONSTANTS[name]


@pytest.mark.parametrize("name", RECIPES)
def test_it_comes_closer_and_keeps_the_best(name):
    inner = linear()
    world, (_, images) = of(name, inner), pair(inner, 2)
    target = objective(world, images)
    start = world.sample(2, seed=8)
    before = target.costs(start)
    found = find_recipe(name, **brief(name, world)).solve(target, start, seed=0)
    assert (found.costs < 0.25 * before).all()
    torch.testing.assert_close(target.costs(found.codes), found.costs)


@pytest.mark.parametrize("name", RECIPES)
def test_results_do_not_depend_on_the_batch(name):
    inner = bent()
    world, (_, images) = of(name, inner), pair(inner, 3)
    target, start = objective(world, images), world.sample(3, seed=8)
    recipe = find_recipe(name, **brief(name, world) | {"steps": 6})
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
    with pytest.raises(
        LatdirError, match="pulse has no setting 'lr': it has steps, target, prior, rate"
    ):
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


def test_noise_maps_of_the_projector():
    world = NoiseMaps(small_stylegan2(), space="w")
    codes = world.sample(2, seed=3)
    target = Objective(world, "joint", world.synthesize(codes), Typicality.of(world, "joint"))
    recipe = find_recipe("stylegan2_ada", steps=20)
    first = recipe.begin(target, codes, torch.Generator().manual_seed(5))
    assert torch.equal(world.parts(first)["code"], world.parts(codes)["code"])
    maps = [world.parts(first)[name] for name in world.maps]
    before = [world.parts(codes)[name] for name in world.maps]
    assert not any(torch.equal(a, b) for a, b in zip(maps, before, strict=True))
    expected = 1e5 * sum(noise_autocorrelation(m) for m in maps)
    torch.testing.assert_close(recipe.penalty(target, first), expected)
    seen = recipe.seen(target, first, 0, torch.Generator().manual_seed(3)) - first
    assert all(world.parts(seen)[name].abs().max() == 0 for name in world.maps)
    sigma = world.inner.sample(4096, seed=0, space="w")
    sigma = (sigma - sigma.mean(0)).square().sum(1).mean().sqrt()
    drawn = torch.randn(first.shape[1], generator=torch.Generator().manual_seed(3))[:12]
    torch.testing.assert_close(seen[0, :12], 0.05 * sigma * drawn, rtol=0.05, atol=1e-3)
    step = recipe.stepper(target, first)
    moved = step(first, torch.randn_like(first), 5, torch.Generator())
    for name in world.maps:
        noise = world.parts(moved)[name].flatten(1)
        torch.testing.assert_close(noise.mean(1), torch.zeros(2), rtol=0, atol=1e-5)
        torch.testing.assert_close(noise.square().mean(1), torch.ones(2))


def test_image2stylegan_plus_moves_the_code_then_the_noise():
    world = NoiseMaps(small_stylegan2())
    codes = world.sample(2, seed=3)
    with torch.no_grad():
        target = Objective(world, "joint", world.synthesize(codes), Typicality.of(world, "joint"))
    start = world.sample(2, seed=4)
    only = find_recipe("image2stylegan_plus", steps=3, noise_steps=0, layers=4)
    code = only.solve(target, start, seed=0)
    for name, part in world.parts(code.codes - start).items():
        moves = part.flatten(2).abs().amax((0, 2)) if name == "code" else part.abs().max()[None]
        assert (moves > 0).tolist() == ([True] * 4 + [False] * 2 if name == "code" else [False])
    both = find_recipe("image2stylegan_plus", steps=3, noise_steps=2, noise_rate=0.05, layers=4)
    found = both.solve(target, start, seed=0)
    apart = world.parts(found.codes - code.codes)
    assert apart["code"].abs().max() == 0
    noise = torch.cat([apart[name].flatten() for name in world.maps])
    assert 0.04 < noise.abs().max() <= 0.1 + 1e-4
    assert (found.costs < code.costs).all()
    assert found.steps.tolist() == [5, 5]


def test_descent_of_mganprior_is_pytorchs():
    world = SeveralCodes(bent(), layer="_module.1", count=4)
    codes = world.sample(1, seed=3)
    with torch.no_grad():
        images = world.synthesize(world.sample(1, seed=4))
    target = Objective(world, "joint", images, Typicality.of(world, "joint"))
    recipe = find_recipe("mganprior", steps=3)
    theirs = torch.nn.Parameter(codes.clone())
    optimizer = torch.optim.SGD([theirs], lr=1.0)
    for _ in range(3):
        optimizer.zero_grad()
        (world.synthesize(theirs) - images).square().mean().backward()
        optimizer.step()
    found = recipe.solve(target, codes, seed=0)
    torch.testing.assert_close(found.codes, theirs.detach(), rtol=1e-4, atol=1e-5)
    assert invert(world, images, solver=recipe, restarts=0).record["start"] == "Best"


def test_pix2latent_refines_a_last_population_in_its_box(monkeypatch):
    world = bent()
    _, images = pair(world, 2)
    target = objective(world, images)
    asked = []
    refined = Pix2Latent.refined

    def noted(self, objective, found, rows, codes, seed):
        asked.append((self.refinement, codes.clone()))
        return refined(self, objective, found, rows, codes, seed)

    monkeypatch.setattr(Pix2Latent, "refined", noted)
    recipe = find_recipe("pix2latent", steps=2, population=6, refinement=2, final=5, limit=1.0)
    found = recipe.solve(target, 0 * world.sample(2, seed=8), seed=0)
    assert [steps for steps, _ in asked] == [2, 2, 5]
    box = target.typicality.spread
    assert all(len(codes) == 12 and codes.abs().max() <= box + 1e-5 for _, codes in asked)
    assert found.codes.abs().max() <= box + 1e-5
    assert found.steps.tolist() == [7, 7]


def test_the_loss_of_ensembling_and_its_minimum():
    world = bent()
    codes, images = pair(world, 2)
    target, start = objective(world, images), world.sample(2, seed=8)
    recipe = find_recipe("ensembling")
    made = world.synthesize(start)
    encoder = fitted(world, space="z")
    apart = encoder.predicted(made) - encoder.predicted(images)
    expected = (
        0.5 * (made - images).abs().mean((1, 2, 3))
        + 0.5 * (made - images).square().mean((1, 2, 3))
        + 0.25 * apart.square().mean(1)
    )
    torch.testing.assert_close(recipe.loss(target, start), expected)
    found = recipe.solve(target, codes + 0.1, seed=0)
    assert (found.costs < 1e-3 * target.costs(codes + 0.1)).all()


def test_views_change_the_layers_they_name():
    generator = small_stylegan2()
    codes = generator.sample(2, seed=1, space="w")
    for layers, changed in (("coarse", [0]), ("fine", [3, 4, 5]), ("all", [0, 1, 2, 3, 4, 5])):
        for mixed in (False, True):
            views = generative_views(
                generator, codes, space="w", count=4, layers=layers, mixed=mixed
            )
            apart = (views - codes[:, None, None]).abs().amax((0, 1, 3))
            assert (apart > 0).nonzero()[:, 0].tolist() == changed
    spread = generator.prior("w+").deviations.square().mean().sqrt()
    many = (
        generative_views(generator, codes, space="w", count=2000, layers="all", deviation=0.2)
        - codes[:, None, None]
    )
    torch.testing.assert_close(many.std(), 0.2 * spread, rtol=0.02, atol=0)
    with pytest.raises(LatdirError, match="have no fine layers: say layers='all'"):
        generative_views(generator, generator.sample(1, seed=0), space="z")
    with pytest.raises(LatdirError, match="codes: 24 of 24 values are NaN or infinite"):
        generative_views(generator, codes / 0, space="w")


def test_ensembled_scores_are_the_weighted_mean():
    world = bent()
    _, images = pair(world, 2)
    found = invert(world, images, start="mean")
    mean = wrap_classifier(lambda x: x.mean((1, 2, 3)), attributes=["mean"], name="mean")
    settings = {"count": 3, "layers": "all", "seed": 4}
    views = generative_views(world, found.codes, space="z", **settings)
    scored = torch.stack([world.synthesize(v).mean((1, 2, 3)) for v in views])
    total = scored.sum(1) + found.reconstruct().mean((1, 2, 3))
    got = ensemble_scores(found, mean, images, weight=0.25, **settings)
    expected = 0.75 * images.mean((1, 2, 3)) + 0.25 * total / 4
    torch.testing.assert_close(got[:, 0], expected.detach(), rtol=1e-4, atol=1e-5)
    with pytest.raises(LatdirError, match=r"weight 2\.0 is a fraction"):
        ensemble_scores(found, mean, images, weight=2.0)
    with pytest.raises(LatdirError, match="2 inversions of 1 images"):
        ensemble_scores(found, mean, images[:1])
    wrong = wrap_classifier(lambda x: x.mean((1, 2, 3)) * torch.nan, attributes=["m"], name="w")
    with pytest.raises(LatdirError, match="of 'm' are NaN or infinite"):
        ensemble_scores(found, wrong, images, **settings)


def test_features_are_interpolated_over_the_nearest_and_inverted():
    world = linear()
    codes, images = pair(world, 2)
    direction = torch.tensor([1.0, 0, 0, 0, 0, 0])
    near = codes + 0.01 * world.sample(2, seed=9)
    far = near + 50
    with torch.no_grad():
        low, high = (world.synthesize(torch.cat([near + k * direction, far])) for k in (0.0, 1.0))
    target = interpolated_features(pixel_features, images, low, high, amount=2.0, neighbors=2)
    expected = pixel_features(images) + 2 * (
        pixel_features(high[:2]).mean(0) - pixel_features(low[:2]).mean(0)
    )
    torch.testing.assert_close(target, expected)
    found = interpolate_features(
        world, images, low, high, features=pixel_features, amount=2.0, neighbors=2, start=codes
    )
    torch.testing.assert_close(found.codes, codes + 2 * direction, rtol=0, atol=2e-3)
    with pytest.raises(LatdirError, match="with and without the attribute: give at least one of e"):
        interpolated_features(pixel_features, images, low[:0], high)
    with pytest.raises(
        LatdirError, match=r"features returned 3, not a tensor \[n, f\]: check that"
    ):
        interpolated_features(lambda x: 3, images, low, high)
    half = interpolated_features(pixel_features, images.half(), low.double(), high)
    torch.testing.assert_close(half, interpolated_features(pixel_features, images, low, high),
                               rtol=0, atol=2e-3)  # fmt: skip


def test_in_domain_codes_are_held_where_the_encoder_would_put_them():
    world = bent()
    settings = brief("in_domain", world) | {"domain": 2.0, "steps": 3}
    torch.nn.init.normal_(
        settings["encoder"].network.heads[0].linear.weight,
        generator=torch.Generator().manual_seed(0),
    )
    recipe, encoder = find_recipe("in_domain", **settings), settings["encoder"]
    target, codes = objective(world, pair(world, 2)[1]), world.sample(2, seed=8)
    again = encoder.encode(world.synthesize(codes).detach())
    expected = 2 * (codes - again).square().mean(1)
    torch.testing.assert_close(recipe.penalty(target, codes), expected)
    leaf = codes.clone().requires_grad_()
    [slope] = torch.autograd.grad(recipe.penalty(target, leaf).sum(), leaf)
    step = 1e-3 * torch.eye(6)[0]
    ahead, behind = (recipe.penalty(target, codes + sign * step) for sign in (1, -1))
    torch.testing.assert_close(slope[:, 0], (ahead - behind) / 2e-3, rtol=0.05, atol=1e-3)
    found = invert(world, target.observed, solver=recipe, start=encoder, restarts=0)
    assert found.record["solver"] == "InDomain"
    other = linear()
    with pytest.raises(LatdirError, match="is an encoder of bent, not of linear"):
        invert(other, pair(other, 1)[1], solver=recipe, start="mean")
    with pytest.raises(LatdirError, match="no encoder of linear is built in"):
        invert(other, pair(other, 1)[1], solver=find_recipe("in_domain"), start="mean")


def test_layer_residuals_leave_the_code_and_halve_their_rate():
    inner = bent()
    world = FeatureOffsets(inner, layer="_module.0")
    target = objective(world, pair(inner, 2)[1])
    start = world.sample(2, seed=8)
    recipe = find_recipe("layer_residuals", steps=30)
    assert (
        recipe.stepper(target, start).rates
        == [0.01] * 8 + [0.005] * 4 + [0.0025] * 6 + [0.00125] * 12
    )
    found = recipe.solve(target, start, seed=0)
    assert torch.equal(world.parts(found.codes)["code"], world.parts(start)["code"])
    moved = found.codes + 0.1
    expected = world.parts(moved)["features"].flatten(1).square().mean(1)
    torch.testing.assert_close(recipe.penalty(target, moved), expected)
    both = find_recipe("bdinvert")
    near = Typicality.of(inner, "z").standardized(world.parts(moved)["code"]).square().mean(1)
    torch.testing.assert_close(both.penalty(target, moved), 10 * expected + 0.01 * near)
    with pytest.raises(LatdirError, match="which bent's codes have none of"):
        both.penalty(objective(inner, pair(inner, 2)[1]), inner.sample(2, seed=0))
