import itertools

import pytest
import torch

from directions import Direction, DirectionBank, LatdirError
from directions.paths.instance import InstancePath
from directions.planted.world import PlantedGenerator
from discovery.supervised.gradient import Gradient
from tests.worlds import Mapped, world


def bank_of(generator, **extra):
    prior = generator.prior()
    vectors = dict(zip(generator.names, generator.truth, strict=True)) | extra
    return DirectionBank(
        tuple(
            Direction.from_vector(n, v, space="z", sigma=prior.sigma(v / v.norm()))
            for n, v in vectors.items()
        ),
        generator.name,
        generator.fingerprint,
    )


def path(generator, *conditions, **settings):
    return InstancePath(
        generator, generator.classifier(), bank_of(generator), "factor_0", conditions, **settings
    )


def test_with_weight_one_it_is_the_straight_line_of_the_global_direction():
    generator = world("everything")
    codes = generator.sample(5, seed=1)
    moved = path(generator, weight=1.0).shift(codes, 1.3)
    straight = bank_of(generator)["factor_0"].shift(codes, 1.3)
    torch.testing.assert_close(moved, straight, atol=1e-5, rtol=0)


def test_with_weight_one_and_conditions_it_is_the_conditioned_direction():
    generator = world("entangled")
    codes = generator.sample(3, seed=1)
    held = generator.truth[1:3].double()
    basis = torch.linalg.qr(held.T)[0]
    left = generator.truth[0].double()
    left = left - basis @ (basis.T @ left)
    expected = (left / left.norm()).float().expand(3, -1)
    tangents = path(generator, "factor_1", "factor_2", weight=1.0).tangents(codes)
    torch.testing.assert_close(tangents, expected, atol=1e-5, rtol=0)


def test_a_step_is_the_blend_of_the_paper_one_code_at_a_time():
    generator = world("everything")
    codes = generator.sample(4, seed=2)
    jacobian = torch.nn.functional.normalize(generator.jacobian(codes), dim=2)
    truth = generator.truth
    for i, tangent in enumerate(path(generator, "factor_3", weight=0.3, batch=3).tangents(codes)):
        target, held = (0.3 * truth[j] + 0.7 * jacobian[i, j] for j in (0, 3))
        held = held / held.norm()
        left = target - (target @ held) * held
        torch.testing.assert_close(tangent, left / left.norm(), atol=2e-3, rtol=0)


def test_following_gradients_holds_curved_conditions_that_a_line_does_not():
    # Factor 1 waves along factor 0: no straight line changes the one and holds the other.
    eye = torch.eye(16)
    generator = PlantedGenerator(
        eye[:3], bends=eye[[5, 0, 6]], nuisances=eye[8:9], covariance=eye, bend=0.8
    )
    codes = generator.sample(64, seed=5)

    def drift(weight):
        moved = path(generator, "factor_1", "factor_2", weight=weight, step=0.1).shift(codes, 2.0)
        change = generator.factors(moved) - generator.factors(codes)
        assert (change[:, 0] > 0.5).all()
        return change[:, 1:].abs().mean()

    assert drift(0.0) < 0.25 * drift(1.0)


def test_paths_go_back_the_way_they_came():
    generator = world("curved")
    codes = generator.sample(6, seed=0)
    fine = path(generator, "factor_1", weight=0.2, step=0.02)
    back = fine.shift(fine.shift(codes, 1.0), -1.0)
    assert (back - codes).norm(dim=1).max() < 0.05
    assert (fine.shift(codes, 1.0) - codes).norm(dim=1).min() > 0.5


def test_amounts_may_differ_and_codes_do_not_touch_each_other():
    generator = world("everything")
    codes = generator.sample(4, seed=0)
    # Multiples of one number of steps, so that each code alone takes the same ones.
    amounts = torch.tensor([1.0, -1.0, 1.0, -1.0])
    one = path(generator, "factor_2", step=0.25, batch=3)
    together = one.shift(codes, amounts)
    alone = torch.cat([one.shift(c[None], float(a)) for c, a in zip(codes, amounts, strict=True)])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)
    torch.testing.assert_close(one.shift(codes, torch.zeros(4)), codes)
    assert one.shift(codes[:0], 1.0).shape == (0, 32)


def test_a_path_is_as_long_as_it_says_and_a_trace_shows_every_step():
    generator = world("anisotropic")
    codes = generator.sample(3, seed=0)
    own = path(generator, step=0.25)
    points = list(own.trace(codes, 1.0))
    assert len(points) == 5
    assert torch.equal(points[0], codes)
    lengths = sum((b - a).norm(dim=1) for a, b in itertools.pairwise(points))
    torch.testing.assert_close(lengths, torch.full((3,), own.direction.sigma))
    # A third of a step more takes one more step, all of them shorter.
    assert len(list(own.trace(codes, 1.08))) == 6


@pytest.mark.parametrize("factor", [0.0, float("inf"), float("nan")])
def test_a_flat_or_broken_score_is_followed_by_its_global_direction(factor):
    generator = world("linear")

    class Flat(type(generator.classifier())):
        def logits(self, images):
            scores = super().logits(images)
            return torch.cat([scores[:, :1] * factor, scores[:, 1:]], 1)

    flat = Flat(generator)
    codes = generator.sample(2, seed=0)
    own = InstancePath(generator, flat, bank_of(generator), "factor_0", weight=0.5)
    expected = generator.truth[0].expand(2, -1)
    torch.testing.assert_close(own.tangents(codes), expected, atol=1e-5, rtol=0)


def test_a_condition_given_twice_changes_nothing():
    generator = world("everything")
    codes = generator.sample(2, seed=0)
    once, twice = (path(generator, *("factor_1",) * k, weight=0.6).tangents(codes) for k in (1, 2))
    torch.testing.assert_close(once, twice, atol=1e-5, rtol=0)


def test_works_in_another_space_with_a_found_bank():
    generator = Mapped(world("entangled"))
    classifier = generator.classifier()
    bank = Gradient(n_codes=64, space="w").discover(generator, classifier=classifier)
    own = InstancePath(generator, classifier, bank, "factor_0", ("factor_1",), 0.5)
    codes = generator.sample(8, seed=1, space="w")
    before, after = (generator.factors(generator.map(c, "w", "z"))
                     for c in (codes, own.shift(codes, 1.0)))  # fmt: skip
    change = after - before
    assert (change[:, 0] > 0.5).all()
    assert change[:, 1].abs().max() < 0.05


def test_refusals():
    generator = world()
    classifier, bank = generator.classifier(), bank_of(generator)
    codes = generator.sample(3, seed=0)
    with pytest.raises(LatdirError, match="'factor_1' cannot both change and hold"):
        InstancePath(generator, classifier, bank, "factor_1", ("factor_1",))
    with pytest.raises(LatdirError, match="no attribute 'age'"):
        InstancePath(generator, classifier, bank, "age")
    with pytest.raises(LatdirError, match="no direction 'factor_1' in this bank"):
        InstancePath(generator, classifier, bank.select(["factor_0"]), "factor_0", ("factor_1",))
    with pytest.raises(LatdirError, match="was made for planted"):
        InstancePath(world(seed=1), classifier, bank, "factor_0")
    with pytest.raises(LatdirError, match=r"weight 1\.5 must be in \[0, 1\]"):
        path(generator, weight=1.5)
    with pytest.raises(LatdirError, match=r"step 0\.0 must be positive"):
        path(generator, step=0.0)
    with pytest.raises(LatdirError, match=r"amount has shape \[2\]: give one number"):
        path(generator).shift(codes, torch.ones(2))
    with pytest.raises(LatdirError, match="amounts must be finite"):
        path(generator).shift(codes, float("nan"))
    with pytest.raises(LatdirError, match=r"codes of space 'z' have shape \[n, 32\]"):
        path(generator).shift(codes[:, :5], 1.0)
    same = bank.replaced([bank["factor_0"], bank["factor_0"].evolve(name="factor_1")])
    own = InstancePath(generator, classifier, same, "factor_0", ("factor_1",), 1.0)
    with pytest.raises(LatdirError, match="holding factor_1 leaves nothing of 'factor_0'"):
        own.shift(codes, 1.0)
    against = bank.replaced([-bank["factor_0"]])
    own = InstancePath(generator, classifier, against, "factor_0", (), 0.5)
    with pytest.raises(LatdirError, match="its gradient opposes the global direction"):
        own.shift(codes, 1.0)
    layered = bank.replaced([bank["factor_0"].evolve(layers=(0,))])
    with pytest.raises(LatdirError, match="needs directions of one space that act on all of it"):
        InstancePath(generator, classifier, layered, "factor_0")
