"""Methods that map over codes find the same directions wherever the codes are worked on."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from directions.executors import Processes
from directions.planted.world import planted
from discovery.jacobian.global_basis import GlobalBasis
from discovery.jacobian.hessian_penalty import HessianPenalty
from discovery.jacobian.orojar import OroJaR
from discovery.jacobian.region import Region
from discovery.registry import METHODS, describe
from discovery.supervised.active_subspace import ActiveSubspace
from discovery.supervised.gradient import Gradient
from discovery.unsupervised.pca import PCA
from tests.turned import Turned

FEW = {"n_directions": 2, "n_codes": 5}
CASES = [
    PCA(n_directions=2, n_codes=300, batch_size=128),
    Gradient(n_codes=20, batch_size=8),
    ActiveSubspace(n_codes=20, batch_size=8),
    GlobalBasis(**FEW),
    GlobalBasis(rank=3, **FEW),
    Region(region="0,0,8,8", **FEW),
    Region(region="0,0,8,8", solver="alone", **FEW),
    OroJaR(**FEW),
    HessianPenalty(steps=1, **FEW),
]


def found(method):
    world = planted(factors=2, dim=8, bend=0.5)
    needs = {"classifier": world.classifier()} if "classifier" in method.needs else {}
    return method.discover(world, **needs)


@pytest.mark.parametrize("method", CASES, ids=lambda m: m.method)
def test_directions_are_those_of_a_loop(method) -> None:
    here, there = found(method), found(replace(method, executor=Turned()))
    assert torch.equal(here.matrix(), there.matrix())
    assert [d.evidence for d in here.directions] == [d.evidence for d in there.directions]
    assert [d.config for d in here.directions] == [d.config for d in there.directions]


def test_every_method_that_takes_an_executor_is_here() -> None:
    assert {m.method for m in CASES} == {name for name in METHODS if describe(name).executes}


@pytest.mark.slow
@pytest.mark.parametrize("method", [CASES[1], CASES[5]], ids=lambda m: m.method)
def test_directions_of_a_pool_are_those_of_a_loop(method) -> None:
    here, there = found(method), found(replace(method, executor=Processes(2)))
    assert torch.equal(here.matrix(), there.matrix())
