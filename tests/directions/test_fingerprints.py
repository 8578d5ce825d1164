"""What tells one function from another, and what cannot."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from torch import nn

import discovery
from directions import LatdirError, wrap, wrap_classifier
from directions.arguments import checked
from directions.fingerprints import CachedFingerprint, callable_parts, fingerprint
from directions.planted import planted


def print_of(function) -> str:
    parts = callable_parts(function)
    return fingerprint(parts.tensors, parts.config)


class Scaled:
    def __init__(self, k):
        self.k = k

    def __call__(self, x):
        return self.k * x

    def method(self, x):
        return self.k + x


def closure(value):
    return lambda x: x * value


def net(seed):
    torch.manual_seed(seed)
    return nn.Linear(3, 2)


def uses(k=1, *, of=2):
    return k + of


def decorated(value):
    @torch.no_grad()
    def times(x):
        return x * value

    return times


def converted(value):
    @checked
    def times(x: float) -> float:
        return x * value

    return times


FACTOR = 3


def reads_a_global(x):
    return x * FACTOR


PAIRS = {
    "two lambdas of one line": ((lambda x: x + 1), (lambda x: x - 1)),
    "closures of numbers": (closure(1), closure(2)),
    "closures of arrays": (closure(np.arange(3)), closure(np.arange(3) + 1)),
    "closures of tensors": (closure(torch.zeros(3)), closure(torch.ones(3))),
    "closures of modules": (closure(net(0)), closure(net(1))),
    "closures of dictionaries": (closure({"a": [1, 2]}), closure({"a": [1, 3]})),
    "closures of functions": (closure(closure(1)), closure(closure(2))),
    "decorated functions": (decorated(1), decorated(2)),
    "functions with checked arguments": (converted(1), converted(2)),
    "partials": (functools.partial(uses, 1), functools.partial(uses, 2)),
    "keywords of partials": (functools.partial(uses, of=1), functools.partial(uses, of=3)),
    "objects": (Scaled(1), Scaled(2)),
    "bound methods": (Scaled(1).method, Scaled(2).method),
    "methods of modules": (net(0).forward, net(1).forward),
    "defaults": (lambda x, k=1: x, lambda x, k=2: x),
}


@pytest.mark.parametrize("case", PAIRS)
def test_what_differs_is_told_apart(case):
    one, other = PAIRS[case]
    assert print_of(one) != print_of(other)
    assert print_of(one) == print_of(one)


@pytest.mark.parametrize(
    "make",
    [lambda: closure(1), lambda: closure(net(0)), lambda: Scaled(2), lambda: closure([1, "a"])],
)
def test_equal_functions_are_equal(make):
    assert print_of(make()) == print_of(make())


def test_globals_and_defaults_count_as_they_are_now(monkeypatch):
    before = print_of(reads_a_global)
    monkeypatch.setitem(globals(), "FACTOR", 4)
    assert print_of(reads_a_global) != before


def test_functions_of_packages_count_by_name():
    parts = callable_parts(lambda x: torch.tanh(x) + nn.functional.softplus(x))
    assert parts.tensors == {}
    assert "torch" in parts.config.values()


def test_recursion_ends():
    def countdown(n):
        return countdown(n - 1) if n else 0

    looped: list[object] = [1]
    looped.append(looped)
    assert print_of(countdown) == print_of(countdown)
    assert print_of(closure(looped))


@pytest.mark.parametrize("thing", [np.random.default_rng(0), torch.Generator(), iter([1])])
def test_what_has_no_value_asks_for_a_version(thing):
    def function(images):
        return thing, images

    with pytest.raises(LatdirError, match=r"\(thing\) has no value .* give a version="):
        callable_parts(function)
    with pytest.raises(LatdirError, match="give a version="):
        wrap_classifier(function, attributes=["a"])
    one = wrap_classifier(function, attributes=["a"], version="1")
    assert one.fingerprint != wrap_classifier(function, attributes=["a"], version="2").fingerprint


def test_weights_changed_in_place_change_the_fingerprint():
    module = net(0)
    classifier = wrap_classifier(lambda x: module(x[:, :, 0, 0]).softmax(1), attributes=["a", "b"])
    cached, seen = CachedFingerprint(), set()
    for change in (
        lambda: None,
        lambda: nn.init.zeros_(module.bias),
        lambda: module.weight.data.mul_(2),
        lambda: module.weight.detach().numpy().__imul__(3),
        lambda: module.load_state_dict(net(1).state_dict()),
    ):
        change()
        seen.add((classifier.fingerprint, cached(module.state_dict(), {})))
    assert len(seen) == 5
    assert classifier.fingerprint == classifier.fingerprint


def test_a_wrapped_generator_knows_what_its_function_closes_over():
    def of_class(k, module):
        return lambda z: torch.tanh(module(z) + k)[:, :, None, None].expand(-1, 3, 4, 4)

    one = nn.Linear(5, 3)
    same = [wrap(of_class(0, one), latent_dim=5, name="conditional") for _ in range(2)]
    other = wrap(of_class(1, one), latent_dim=5, name="conditional")
    another = wrap(of_class(0, nn.Linear(5, 3)), latent_dim=5, name="conditional")
    assert same[0].fingerprint == same[1].fingerprint
    assert len({g.fingerprint for g in (same[0], other, another)}) == 3


def test_another_scoring_function_does_not_resume_the_samples_of_the_first(tmp_path):
    world = planted()
    first = wrap_classifier(lambda im: im[:, 0].mean((1, 2)), attributes=["score"], name="mine")
    second = wrap_classifier(
        lambda im: -5 * im[:, 2].mean((1, 2)) + 7, attributes=["score"], name="mine"
    )
    discovery.sample(world, first, 20, seed=0, out=tmp_path / "samples")
    with pytest.raises(LatdirError, match="another classifier"):
        discovery.sample(world, second, 20, seed=0, out=tmp_path / "samples")
