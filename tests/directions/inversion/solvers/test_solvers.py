"""Every solver against solutions that are known."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from scipy.optimize import minimize

from directions import invert
from directions.errors import LatdirError
from directions.generators.wrap import wrap
from directions.inversion import (
    SOLVERS,
    LevenbergMarquardt,
    Objective,
    Solved,
    Start,
    Typicality,
    find_solver,
)
from directions.inversion.solvers.hybrid import EASED, FADING
from directions.inversion.solvers.lbfgs import LBFGS, _State
from directions.numerics.linearized_batch import linearize_batch
from tests.directions.inversion.worlds import bent, linear, pair
from tests.styles import small_stylegan2

BRIEF = {
    "hybrid": {},
    "levenberg_marquardt": {},
    "lbfgs": {},
    "adam": {"steps": 400},
    "cma": {"steps": 200},
    "basin_cma": {"steps": 2, "population": 4, "refinement": 10, "final": 300},
}


def objective(world, images, **changes):
    return Objective(world, "z", images, Typicality.of(world, "z"), **changes)


@pytest.mark.parametrize("name", SOLVERS)
def test_a_linear_generator_is_inverted(name):
    world = linear()
    codes, images = pair(world, 3)
    found = invert(world, images, solver=find_solver(name, **BRIEF[name]), start="mean")
    near = 2e-2 if name in ("adam", "basin_cma") else 1e-3
    assert (found.codes - codes).abs().max() < near
    assert found.record["solver"] == type(find_solver(name)).__name__


@pytest.mark.parametrize("name", SOLVERS)
def test_results_do_not_depend_on_the_batch(name):
    world = bent()
    _, images = pair(world, 3)
    solver = find_solver(name, **BRIEF[name] | {"steps": 6})
    target = objective(world, images)
    start = world.sample(3, seed=8)
    whole = solver.solve(target, start, seed=0)
    alone = solver.solve(target.of(torch.tensor([1])), start[1:2], seed=0)
    torch.testing.assert_close(alone.codes[0], whole.codes[1], rtol=1e-3, atol=1e-3)
    assert int(alone.steps[0]) == int(whole.steps[1])


@pytest.mark.parametrize("name", SOLVERS)
def test_the_best_iterate_is_returned_with_its_cost(name):
    world = bent()
    _, images = pair(world, 3)
    target, start = objective(world, images), world.sample(3, seed=8)
    found = find_solver(name, **BRIEF[name] | {"steps": 5}).solve(target, start, seed=0)
    with torch.no_grad():
        torch.testing.assert_close(target.costs(found.codes), found.costs, rtol=1e-3, atol=1e-9)
        assert (found.costs <= target.costs(start) + 1e-9).all()


def test_lbfgs_is_as_good_as_that_of_scipy():
    world = bent()
    _, images = pair(world, 4)
    target, start = objective(world, images), world.sample(4, seed=8)
    found = LBFGS(steps=60, target=300.0).solve(target, start, seed=0)
    for i in range(4):
        one = target.of(torch.tensor([i]))

        def evaluate(z, one=one):
            cost, slope = one.gradient(torch.tensor(z, dtype=torch.float32)[None])
            return float(cost[0]), slope[0].double().numpy()

        best = minimize(
            evaluate, start[i].numpy(), jac=True, method="L-BFGS-B", options={"maxfun": 60}
        )
        assert float(found.costs[i]) <= best.fun * 1.05 + 1e-6


@pytest.mark.parametrize("changes", [{"prior": 0.3}, {"features": lambda x: x.flatten(1).tanh()}])
@pytest.mark.parametrize("space", ["z", "w"])
def test_the_first_order_model_of_the_residuals(changes, space):
    world = bent() if space == "z" else small_stylegan2()
    codes, tangents = (world.sample(3, seed=seed, space=space) for seed in (8, 9))
    with torch.no_grad():
        images = world.synthesize(tangents, space)
    target = Objective(world, space, images, Typicality.of(world, space), **changes)
    model, plain = target.linearize(codes), linearize_batch(target.residuals, codes)
    cotangents = plain.value
    costs, slope = target.gradient(codes)
    for got, expected in (
        (model.value, plain.value),
        (costs, plain.value.square().sum(1)),
        (model.push(tangents), plain.push(tangents)),
        (model.pull(cotangents), plain.pull(cotangents)),
        (slope, 2 * plain.pull(cotangents)),
    ):
        scale = float(expected.abs().max())
        torch.testing.assert_close(got, expected, rtol=0, atol=2e-5 * scale)


def test_a_preconditioner_does_not_change_the_solution():
    world = linear()
    codes, images = pair(world, 3)
    for metric in (None, torch.diag(torch.linspace(0.01, 10, 6))):
        for explicit in (0, 6):
            solver = LevenbergMarquardt(explicit=explicit)
            found = solver.solve(objective(world, images, metric=metric), 0 * codes, seed=0)
            assert (found.codes - codes).abs().max() < 1e-3


@pytest.mark.parametrize("name", ["levenberg_marquardt", "lbfgs", "adam", "cma"])
def test_a_radius_is_kept(name):
    world = bent()
    codes, images = pair(world, 3)
    target = objective(world, images, radius=0.5)
    found = find_solver(name, **BRIEF[name] | {"steps": 30}).solve(target, 0.1 * codes, seed=0)
    assert (target.typicality.distances(found.codes) < 0.5 + 1e-4).all()
    assert (found.costs < objective(world, images).costs(0.1 * codes)).all()


def test_distances_are_root_mean_squares_in_every_space():
    generator = small_stylegan2()
    for space in generator.spaces:
        near = Typicality.of(generator, space)
        codes = generator.sample(256, seed=1, space=space)
        distances = near.distances(codes)
        assert distances.shape == (256,)
        # The floor of standard deviations makes codes of flat spaces a little too typical.
        assert 0.5 < float(distances.square().mean().sqrt()) < 1.3, space
        drawn = near.within(codes, 0.5)
        assert (near.distances(drawn) < 0.5 + 1e-3).all()
        left = near.scaled(codes) * near.standardized(codes)
        right = codes * near.unscaled(near.standardized(codes))
        torch.testing.assert_close(left.sum(), right.sum(), rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("space", ["z", "w", "w+", "s", "p", "pn", "pn+"])
def test_every_space_of_a_style_generator(space):
    generator = small_stylegan2()
    codes = generator.sample(2, seed=4, space=space)
    with torch.no_grad():
        images = generator.synthesize(codes, space)
    near = codes + 0.05 * (generator.sample(2, seed=5, space=space) - codes)
    found = invert(generator, images, space=space, start=near)
    assert (found.psnr > 45).all()
    assert found.codes.shape == codes.shape


def test_a_generator_without_gradients_needs_cma():
    inner = linear(d=3)

    def blind(z):
        with torch.no_grad():
            return inner.synthesize(z)

    world = wrap(blind, latent_dim=3, name="blind")
    codes, images = pair(world, 2)
    with pytest.raises(LatdirError, match=r"no gradient flows through blind: use solver='cma'"):
        invert(world, images)
    found = invert(world, images, solver="cma")
    assert (found.codes - codes).abs().max() < 1e-3


def test_settings_that_are_refused():
    with pytest.raises(LatdirError, match="steps 0 must be at least 1"):
        LevenbergMarquardt(steps=0)
    with pytest.raises(LatdirError, match="products 0 must be at least 1"):
        LevenbergMarquardt(products=0)
    with pytest.raises(LatdirError, match="lbfgs has no setting 'products': it has"):
        find_solver("lbfgs", products=3)
    with pytest.raises(LatdirError, match="population 2 must be at least 4"):
        find_solver("cma", population=2)


def test_an_iterate_is_kept_only_where_it_is_better():
    found = Solved.start(torch.zeros(3, 2))
    rows = torch.tensor([0, 2])
    found.keep(rows, torch.ones(2, 2), torch.tensor([1.0, 2.0]))
    found.keep(rows, 2 * torch.ones(2, 2), torch.tensor([3.0, 0.5]))
    found.keep(rows, 3 * torch.ones(2, 2), torch.tensor([torch.nan, torch.inf]))
    assert found.codes[:, 0].tolist() == [1.0, 0.0, 2.0]
    assert found.costs.tolist() == [1.0, torch.inf, 0.5]


def test_codes_within_a_radius_stay_as_they_are():
    world = linear()
    near = Typicality.of(world, "z")
    codes = torch.stack([torch.full((6,), 0.5), torch.full((6,), 4.0)])
    drawn = near.within(codes, 1.0)
    assert torch.equal(drawn[0], codes[0])
    torch.testing.assert_close(drawn[1], torch.ones(6))


def test_a_step_of_lbfgs_never_raises_a_cost():
    world = bent()
    _, images = pair(world, 16)
    state = _State(objective(world, images), 4 * world.sample(16, seed=8), 10)
    rejected = 0
    for _ in range(40):
        before = state.costs
        state.step()
        assert (state.costs <= before).all()
        rejected += int((state.length < 1).sum())
    assert rejected > 0


def test_a_good_preconditioner_saves_evaluations():
    world = linear()
    codes, images = pair(world, 3)
    basis = torch.eye(6)
    columns = world.synthesize(basis).flatten(1) - world.synthesize(0 * basis[:1]).flatten(1)
    metric = (columns @ columns.T / columns.shape[1]).detach()
    exact = LBFGS(target=80.0).solve(objective(world, images, metric=metric), 0 * codes, seed=0)
    plain = LBFGS(target=80.0).solve(objective(world, images), 0 * codes, seed=0)
    assert (exact.costs <= 4e-8).all()
    assert (plain.costs <= 4e-8).all()
    assert exact.steps.float().mean() < plain.steps.float().mean()


def test_the_hybrid_ends_near_what_lbfgs_alone_does_not_reach():
    world = bent()
    _, images = pair(world, 4)
    target, start = objective(world, images), world.sample(4, seed=8)
    hybrid = find_solver("hybrid", evaluations=60, near=20.0)
    found = hybrid.solve(target, start, seed=0)
    far = LBFGS(steps=60, target=20.0).solve(target, start, seed=0)
    assert (found.costs <= far.costs).all()
    reached = far.costs <= 0.04
    assert reached.any()
    assert (found.costs[reached] <= hybrid.goal).all()
    assert (found.steps[reached] > far.steps[reached]).all()


def test_the_mean_metric_is_the_first_guess_of_the_hessian_damped_by_its_largest_eigenvalue():
    world = linear()
    _, images = pair(world, 2)
    metric = torch.diag(torch.tensor([4.0, 2.0, 1.0, 0.5, 0.1, 0.0]))
    state = _State(objective(world, images, metric=metric), world.sample(2, seed=8), 5)
    expected = torch.linalg.inv(2 * metric + 0.0125 * 8 * torch.eye(6))
    torch.testing.assert_close(state.inverse, expected)
    torch.testing.assert_close(state.direction, -state.gradient @ expected)


@pytest.mark.parametrize("preconditioned", [False, True])
def test_the_compact_form_is_the_two_loops_over_the_history(preconditioned):
    world = bent()
    _, images = pair(world, 3)
    metric = torch.diag(torch.arange(1.0, 7.0)) if preconditioned else None
    state = _State(objective(world, images, metric=metric), world.sample(3, seed=8), 5)
    for _ in range(9):
        state.step()
    for i in range(3):
        pairs = [(s, y) for s, y in zip(state.moves[i], state.turns[i], strict=True) if s @ y > 0]
        s, y = pairs[-1]
        guess = torch.eye(6) * (s @ y) / (y @ y)
        if preconditioned:
            guess = state.inverse * ((s @ y) / (y @ state.inverse @ y)).sqrt()
        q, weights = state.gradient[i], []
        for s, y in reversed(pairs):
            weights.append(s @ q / (s @ y))
            q = q - weights[-1] * y
        q = guess @ q
        for (s, y), weight in zip(pairs, reversed(weights), strict=True):
            q = q + (weight - y @ q / (s @ y)) * s
        torch.testing.assert_close(state._search()[i], -q, rtol=2e-3, atol=1e-4 * q.abs().max())


def hump():
    """Images that vanish far from the mean code: z · exp(−z² / 8)."""

    class Hump(torch.nn.Module):
        def forward(self, z):
            return (z * torch.exp(-z.square() / 8)).repeat(1, 8).reshape(-1, 3, 4, 4)

    return wrap(Hump(), latent_dim=6, name="hump")


def test_a_restart_comes_back_from_where_images_hardly_change():
    world = hump()
    codes, far = torch.full((2, 6), 0.5), torch.full((2, 6), -6.0)
    target = objective(world, world.synthesize(codes))
    hybrid = find_solver("hybrid")
    assert (target.psnr(hybrid.solve(target, far, seed=0).codes) < 20).all()
    again = hybrid.retry(target, far, seed=0)
    assert (again.codes - codes).abs().max() < 1e-3
    assert (again.costs <= hybrid.goal).all()

    class Far(Start):
        def first(self, objective, *, seed):
            return far

        def next(self, objective, *, attempt, seed):
            return far[: len(objective)]

    found = invert(world, world.synthesize(codes), start=Far(), restarts=1)
    assert found.starts == ("restart 1", "restart 1")
    assert (found.codes - codes).abs().max() < 1e-3
    # Steps of the first attempt and of the restart, those under a fading prior among them.
    near = LBFGS(steps=EASED, target=hybrid.near)
    eased, steps = far, hybrid.solve(target, far, seed=0).steps
    for weight in FADING:
        made = near.solve(replace(target, prior=target.prior + weight), eased, seed=0)
        eased, steps = made.codes, steps + made.steps
    steps = steps + hybrid.solve(target, eased, seed=0).steps
    assert torch.equal(found.steps, steps)
