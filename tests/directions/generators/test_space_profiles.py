"""Codes of a wrong space of the same shape are noticed; codes moved far within theirs are not."""

from __future__ import annotations

import contextlib
import copy
import pickle

import pytest
import torch
from torch import Tensor
from torch.func import grad, vmap

from directions import LatdirError, SpaceError, load_generator
from directions.generators import Generator
from directions.generators.space_profiles import readable
from directions.numerics.tangents import pushforward
from tests.styles import small_stylegan2


def ada() -> Generator:
    return small_stylegan2(z_dim=64, w_dim=64, depth=8)


@pytest.fixture(scope="module")
def styles() -> Generator:
    return ada()


@pytest.mark.parametrize("count", [2, 3, 16, 64])
def test_codes_of_the_wrong_space_are_refused(styles: Generator, count: int) -> None:
    found = {"zw": 0, "wz": 0, "pw": 0, "wp": 0, "zp": 0, "pz": 0}
    for seed in range(10):
        codes = {s: styles.sample(count, seed=seed, space=s) for s in ("z", "w", "p")}
        for own, given in found:
            with contextlib.suppress(SpaceError):
                styles.check(codes[own], given)
                continue
            found[own + given] += 1
    assert min(found.values()) >= 8, found
    assert sum(found.values()) >= 55


def test_every_door_says_how_to_carry_codes_over(styles: Generator) -> None:
    z, w = styles.sample(3, seed=5), styles.sample(3, seed=5, space="w")
    with pytest.raises(
        SpaceError, match=r"look like codes of 'z': .* generator\.map\(codes, 'z', 'w'"
    ):
        styles.synthesize(z, "w")
    with pytest.raises(
        SpaceError, match=r"look like codes of 'w': pass space='w'; there is no map"
    ):
        styles.synthesize(w)
    with pytest.raises(SpaceError, match="look like codes of 'z'"):
        styles.map(z, "w", "w+")
    # Of another shape, the advice is about the space that the codes are of.
    with pytest.raises(SpaceError, match=r"looks like 'w': pass space='w', or carry .*'w', 'w\+'"):
        styles.synthesize(w, "w+")
    with pytest.raises(SpaceError, match=r"looks like 'z': pass space='z', or carry .*'z', 'w\+'"):
        styles.synthesize(z, "w+")


def variants(codes: Tensor, generator: Generator, space: str, seed: int) -> list[Tensor]:
    """Codes of a space as editing, truncation, averaging and optimization leave them."""
    rng = torch.Generator().manual_seed(seed)
    prior = generator.prior(space)
    made = [codes, torch.zeros_like(codes), codes[:1].expand_as(codes), codes.mean(0, keepdim=True)]
    axes, lengths, _ = torch.linalg.svd(prior.root.float(), full_matrices=False)
    for _ in range(3):
        vector = torch.randn(codes.shape[1], generator=rng)
        vector /= vector.norm()
        step = prior.sigma(vector) * vector
        made += [codes + amount * step for amount in (-5, -3, 3, 5)]
        made.append(torch.cat([codes[:1] + amount * step for amount in range(-5, 6)]))
    made += [codes + a * lengths[j] * axes[:, j] for j in (0, 1, 10) for a in (-5, 5)]
    made += [prior.mean + psi * (codes - prior.mean) for psi in (0, 0.1, 0.3, 0.5, 0.7)]
    other = generator.sample(len(codes), seed=seed + 1000, space=space)
    made += [codes.lerp(other, t) for t in (0.25, 0.5, 0.75)]
    noise = torch.randn(codes.shape, generator=rng) * prior.deviations.mean()
    return [*made, codes + 0.05 * noise, codes + 0.3 * noise, 2 * codes]


@pytest.mark.parametrize("count", [1, 2, 16])
def test_codes_edited_within_their_space_are_accepted(styles: Generator, count: int) -> None:
    for generator, spaces in ((styles, "zwp"), (load_generator("styleface64"), "w")):
        for space in spaces:
            for seed in range(5):
                codes = generator.sample(count, seed=seed, space=space)
                for made in variants(codes, generator, space, seed):
                    generator.check(made, space)


def test_values_that_cannot_be_read_are_not_looked_at() -> None:
    styles = ada()
    z, w = styles.sample(2, seed=0), styles.sample(2, seed=0, space="w")
    assert readable(w.to("meta")) is None
    assert styles.check(z.to("meta"), "w").is_meta
    images = vmap(lambda code: styles.synthesize(code[None], "w")[0])(w)
    torch.testing.assert_close(images, styles.synthesize(w, "w"), rtol=0, atol=1e-4)
    vmap(lambda code: styles.check(code[None], "w"))(z)
    pushforward(lambda codes: styles.synthesize(codes, "w"), w, torch.ones_like(w))
    assert grad(lambda codes: styles.synthesize(codes, "w").sum())(w).shape == w.shape
    leaf = w.clone().requires_grad_()
    styles.synthesize(leaf, "w").sum().backward()
    assert leaf.grad is not None
    with pytest.raises(LatdirError, match="look like codes of 'z'"):
        styles.synthesize(z.double().requires_grad_(), "w")


def test_profiles_travel_with_a_copy() -> None:
    styles = ada()
    styles.check(styles.sample(2, seed=0, space="w"), "w")
    for twin in (copy.deepcopy(styles), pickle.loads(pickle.dumps(styles))):
        with pytest.raises(SpaceError, match="look like codes of 'z'"):
            twin.check(styles.sample(2, seed=0), "w")


def test_layered_codes_are_told_apart_once_both_spaces_are_in_use() -> None:
    styles = ada()
    codes = {s: styles.sample(4, seed=0, space=s) for s in ("w+", "pn+")}
    for own, given in (("w+", "pn+"), ("pn+", "w+")):
        with pytest.raises(SpaceError, match=rf"look like codes of '{own[:-1]}\+'"):
            styles.check(codes[own], given)
        styles.check(codes[own], own)
