"""The latent spaces of style-based generators and the ways between them."""

import itertools
from functools import cache, partial

import numpy as np
import pytest
import torch
from torch.nn import functional

from directions import Direction, DirectionBank, LatdirError, move
from directions.generators.stylegan.generator import StyleGenerator
from directions.generators.stylegan.space_maps import AffineInverse
from directions.numerics.tangents import pushforward
from directions.space import LowRankPrior
from tests.styles import small_stylegan1, small_stylegan2

MADE = {
    "stylegan2": small_stylegan2,
    # Fewer channels than w has coordinates: styles do not determine w, slot by slot.
    "narrow": lambda: small_stylegan2(w_dim=40, channels=(8, 6, 4)),
    "stylegan1": small_stylegan1,
}
SPACES = ("w", "w+", "s", "p", "pn", "pn+")


@cache
def _made(name: str) -> StyleGenerator:
    return MADE[name]()


def _sampled(generator: StyleGenerator, space: str, count: int = 8) -> torch.Tensor:
    return generator.sample(count, seed=3, space=space)


@pytest.mark.parametrize("name", MADE)
def test_codes_of_one_w_come_back_from_everywhere(name: str) -> None:
    generator = _made(name)
    codes = {space: _sampled(generator, space) for space in SPACES}
    with torch.no_grad():
        images = generator.synthesize(codes["w"], "w")
        for here, there in itertools.permutations(SPACES, 2):
            mapped = generator.map(codes[here], here, there)
            # All come from the same z; but a layer of StyleGAN2 has fewer channels than w has
            # coordinates here, so that its styles leave w+ open.
            if name == "stylegan1" or here != "s" or there not in ("w+", "pn+"):
                scale = float(codes[there].abs().max())
                torch.testing.assert_close(mapped, codes[there], rtol=0, atol=2e-3 * scale)
            again = generator.synthesize(mapped, there)
            torch.testing.assert_close(again, images, rtol=0, atol=2e-3)


@pytest.mark.parametrize("pair", [("w", "p"), ("w", "pn"), ("p", "pn"), ("w+", "pn+")])
def test_round_trips_are_exact_for_any_code(pair: tuple[str, str]) -> None:
    generator = _made("stylegan2")
    rng = torch.Generator().manual_seed(0)
    for here, there in (pair, pair[::-1]):
        codes = torch.randn(6, *generator.space(here).shape, generator=rng) * 2
        back = generator.map(generator.map(codes, here, there), there, here)
        torch.testing.assert_close(back, codes, rtol=1e-3, atol=1e-3)


def test_p_is_w_before_the_last_leaky_relu() -> None:
    generator = _made("stylegan2")
    w = torch.tensor([[2.0, -1.0] * 6])
    assert generator.map(w, "w", "p").tolist() == [[2.0, -5.0] * 6]


def test_pn_is_p_along_its_principal_axes_at_unit_variance() -> None:
    generator = _made("stylegan2")
    p = generator.sample(16384, seed=0x5EED, space="p").double().numpy()
    values, vectors = np.linalg.eigh(np.cov(p.T))
    expected = (p[:50] - p.mean(0)) @ vectors[:, ::-1] / np.sqrt(values[::-1])
    got = generator.map(torch.from_numpy(p[:50]).float(), "p", "pn").numpy()
    np.testing.assert_allclose(np.abs(got), np.abs(expected), atol=2e-3)
    fresh = generator.sample(8192, seed=9, space="pn")
    torch.testing.assert_close(torch.cov(fresh.T), torch.eye(12), rtol=0, atol=0.06)


def test_the_way_back_from_wplus_is_least_squares() -> None:
    generator = _made("stylegan2")
    ws = torch.randn(3, 6, 12, generator=torch.Generator().manual_seed(0))
    w = generator.map(ws, "w+", "w")
    for nudge in torch.eye(12) * 0.1:
        near = (ws - w[:, None]).square().sum()
        assert near < (ws - (w + nudge)[:, None]).square().sum()
        assert near < (ws - (w - nudge)[:, None]).square().sum()


@pytest.mark.parametrize("name", MADE)
def test_the_ways_back_from_s_agree_with_numpys_least_squares(name: str) -> None:
    generator = _made(name)
    network = generator.network
    rng = torch.Generator().manual_seed(0)
    styles = torch.randn(5, generator.space("s").size, generator=rng)
    mean = network.w_avg.double().numpy()

    def solved(layers: list[int]) -> np.ndarray:
        affine = [network.affine(i) for i in layers]
        a = np.concatenate([f.weight.detach().double().numpy() for f in affine])
        b = np.concatenate([f.bias.detach().double().numpy() for f in affine])
        ends = np.cumsum([0, *network.style_sizes])
        s = np.concatenate([styles[:, ends[i] : ends[i + 1]].numpy() for i in layers], 1)
        return mean + np.linalg.lstsq(a, (s - b - a @ mean).T, rcond=1e-7)[0].T

    everything = solved(list(range(len(network.style_sizes))))
    np.testing.assert_allclose(generator.map(styles, "s", "w").numpy(), everything, atol=2e-3)
    back = generator.map(styles, "s", "w+").numpy()
    for k in range(network.num_ws):
        layers = [i for i, slot in enumerate(network.style_slots) if slot == k]
        np.testing.assert_allclose(back[:, k], solved(layers), atol=5e-3, rtol=5e-3)


def test_dependent_layers_have_the_nearest_solution() -> None:
    layer = torch.nn.Linear(3, 4)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 0, 0], [2.0, 0, 0], [0, 1.0, 0], [0, 1.0, 0]]))
        layer.bias.zero_()
    center = torch.tensor([0.0, 0.0, 7.0])
    found = AffineInverse.of([layer], center=center).solve(torch.tensor([[1.0, 2.0, 3.0, 5.0]]))
    torch.testing.assert_close(found, torch.tensor([[1.0, 4.0, 7.0]]))


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("space", ["w+", "s", "pn", "pn+"])
def test_derived_priors_are_those_of_the_codes(name: str, space: str) -> None:
    generator = _made(name)
    prior = generator.prior(space)
    codes = generator.sample(16384, seed=0x5EED, space=space).flatten(1).double()
    scale = float(codes.var(0).max())
    torch.testing.assert_close(prior.mean.double(), codes.mean(0), rtol=0, atol=1e-3 * scale**0.5)
    covariance = torch.cov(codes.T)
    torch.testing.assert_close(prior.covariance.double(), covariance, rtol=0, atol=2e-3 * scale)
    torch.testing.assert_close(
        prior.deviations.double(), covariance.diagonal().sqrt(), rtol=0, atol=2e-3 * scale**0.5
    )
    vector = torch.randn(codes.shape[1], generator=torch.Generator().manual_seed(1))
    assert prior.sigma(vector) == pytest.approx(float((codes @ vector.double()).std()), rel=2e-3)
    torch.testing.assert_close(
        prior.times(vector[None].double())[0],
        covariance @ vector.double(),
        rtol=0,
        atol=0.02 * scale,
    )
    root = prior.root
    torch.testing.assert_close(root @ root.T, prior.covariance.double(), rtol=0, atol=1e-4 * scale)
    assert generator.prior(space) is prior


def test_large_priors_are_kept_as_factors() -> None:
    generator = _made("stylegan2")
    for space in ("s", "w+"):
        prior = generator.prior(space)
        assert isinstance(prior, LowRankPrior)
        assert prior.factor.shape == (generator.space(space).size, 12)
    with pytest.raises(LatdirError, match=r"not \[3\] and \[4, 2\]"):
        LowRankPrior(torch.zeros(3), torch.zeros(4, 2))
    with pytest.raises(LatdirError, match="NaN or infinite"):
        LowRankPrior(torch.zeros(3), torch.full((3, 1), torch.nan))


def test_truncation_is_the_originals() -> None:
    generator = StyleGenerator(_made("stylegan2").network, name="cut", truncation_cutoff=2)
    mean = generator.network.w_avg
    w = generator.sample(4, seed=0, space="w")
    torch.testing.assert_close(
        generator.sample(4, seed=0, space="w", truncation=0.5), mean + 0.5 * (w - mean)
    )
    ws = generator.sample(4, seed=0, space="w+", truncation=0.5)
    torch.testing.assert_close(ws[:, :2], (mean + 0.5 * (w - mean))[:, None].expand(-1, 2, -1))
    torch.testing.assert_close(ws[:, 2:], w[:, None].expand(-1, 4, -1))
    for space in ("s", "pn+"):
        codes = generator.sample(4, seed=0, space=space, truncation=0.5)
        with torch.no_grad():
            torch.testing.assert_close(
                generator.synthesize(codes, space),
                generator.synthesize(ws, "w+"),
                atol=2e-3,
                rtol=0,
            )
    with pytest.raises(LatdirError, match="truncation in z changes nothing: cut normalizes z"):
        generator.sample(4, seed=0, truncation=0.5)


@pytest.mark.parametrize("cutoff", [None, 2])
@pytest.mark.parametrize("space", SPACES)
def test_the_truncated_prior_is_that_of_truncated_codes(space: str, cutoff: int | None) -> None:
    generator = StyleGenerator(_made("stylegan2").network, name="cut", truncation_cutoff=cutoff)
    prior = generator.truncated_prior(space, 0.5)
    codes = generator.sample(20_000, seed=9, space=space, truncation=0.5).flatten(1)
    expected = torch.cov(codes.T)
    # Between the slots on both sides of a cutoff, pn+ is known approximately.
    blocks = expected.diag(), prior.covariance.diag()
    if space == "pn+" and cutoff:
        torch.testing.assert_close(*blocks, rtol=0.1, atol=0)
        return
    scale = float(expected.diag().max())
    torch.testing.assert_close(prior.covariance, expected, rtol=0, atol=0.06 * scale)


@pytest.mark.parametrize(
    ("space", "shape", "text"),
    [
        ("w", (2, 6, 12), r"\[n, 12\], not \[2, 6, 12\], which looks like 'w\+' or 'pn\+': pass "
         r"space='w\+', or carry the codes over with generator.map\(codes, 'w\+', 'w'\)"),
        ("w", (2, 60), r"not \[2, 60\], which looks like 's': pass space='s'"),
        ("w+", (2, 12), r"\[n, 6, 12\], not \[2, 12\], which looks like 'w' or 'p' or 'pn'"),
        ("w+", (60,), r"which looks like 's' without its batch axis: pass codes\[None\] and"),
        ("w+", (6, 12), r"not \[6, 12\]: add a batch axis with codes\[None\]"),
        ("w+", (2, 7, 12), r"not \[2, 7, 12\]: they have 7 layers, this generator has 6"),
        ("s", (2, 61), r"not \[2, 61\]: check which space the codes come from"),
    ],
)  # fmt: skip
def test_wrong_shapes_are_told_which_space_they_look_like(
    space: str, shape: tuple[int, ...], text: str
) -> None:
    generator = _made("stylegan2")
    for attempt in (
        lambda codes: generator.synthesize(codes, space),
        lambda codes: generator.map(codes, space, "s"),
    ):
        with pytest.raises(LatdirError, match=text):
            attempt(torch.zeros(shape))


def test_there_is_no_way_back_to_z() -> None:
    generator = _made("stylegan2")
    with pytest.raises(LatdirError, match="no map from space 's' back to 'z': keep the z codes"):
        generator.map(_sampled(generator, "s"), "s", "z")


def test_a_w_direction_moves_chosen_layers_of_wplus() -> None:
    generator = _made("stylegan2")
    vector = torch.zeros(12)
    vector[3] = 1
    direction = Direction("third", vector, "w", sigma=2.0, layers=(1, 4))
    ws = generator.sample(2, seed=0, space="w+")
    moved = direction.shift(ws, 1.5)
    change = (moved - ws).abs().sum((0, 2)).nonzero().flatten()
    assert change.tolist() == [1, 4]
    torch.testing.assert_close(moved[:, 1] - ws[:, 1], 3 * vector.expand(2, -1))
    bank = DirectionBank((direction,), generator.name, generator.fingerprint)
    everywhere = move(ws, bank, {"third": 1.5}, layers=range(6), generator=generator)
    whole = direction.evolve(layers=None).shift(generator.sample(2, seed=0, space="w"), 1.5)
    torch.testing.assert_close(everywhere, generator.map(whole, "w", "w+"))
    with pytest.raises(LatdirError, match=r"acts on layers \[1, 4\]: give it codes with a layer"):
        direction.shift(ws[:, 0], 1.0)
    with pytest.raises(LatdirError, match=r"acts on layers \[1, 9\], but the codes have 6"):
        direction.evolve(layers=(1, 9)).shift(ws, 1.0)


def test_directions_of_other_spaces_say_what_to_do() -> None:
    generator = _made("stylegan2")
    w, ws = (generator.sample(2, seed=0, space=space) for space in ("w", "w+"))
    layered = Direction.from_vector("all", torch.ones(6, 12), space="w+")
    with pytest.raises(
        LatdirError, match=r"give it codes with a layer axis \[n, 6, 12\], such as "
    ):
        layered.shift(w, 1.0)
    styled = Direction.from_vector("channel", torch.eye(60)[7], space="s")
    with pytest.raises(LatdirError, match=r"carry them over with generator.map"):
        styled.shift(ws, 1.0)


def test_gradients_reach_codes_of_every_space() -> None:
    generator = _made("stylegan2")
    for space in SPACES:
        codes = _sampled(generator, space, 2).requires_grad_()
        loss = generator.synthesize(codes, space).square().sum()
        (gradient,) = torch.autograd.grad(loss, codes)
        assert float(gradient.flatten(1).norm(dim=1).min()) > 0
        tangent = functional.normalize(torch.ones_like(codes.detach()), dim=1)
        image = partial(generator.synthesize, space=space)
        moved = pushforward(image, codes.detach(), tangent).derivative
        slope = (moved * 2 * generator.synthesize(codes.detach(), space)).sum()
        torch.testing.assert_close(slope.detach(), (gradient * tangent).sum(), rtol=1e-3, atol=1e-3)
