"""Images to first order in any of a generator's spaces."""

from __future__ import annotations

import pytest
import torch

from directions.errors import LatdirError
from directions.numerics.jacobian import columns
from directions.planted.world import planted
from discovery.jacobian.models import MetricAt, image_models, map_model, metrics
from tests.worlds import Mapped


@pytest.fixture
def mapped() -> Mapped:
    return Mapped(planted(bend=0.8))


def test_features_are_the_chain_rule() -> None:
    generator = planted(bend=0.8)
    codes = generator.sample(2, seed=0)
    reader = generator.classifier()
    for i, model in enumerate(image_models(generator, codes, features=reader)):
        got = columns(model).T
        assert torch.allclose(got, generator.jacobian(codes)[i], atol=1e-3)


def test_of_the_mapping(mapped) -> None:
    code = mapped.sample(1, seed=0)[0]
    got = columns(map_model(mapped, code, source="z", target="w")).T
    assert torch.allclose(got, mapped._matrix, atol=1e-6)


def test_in_another_space(mapped) -> None:
    z = mapped.sample(1, seed=0)
    w = mapped.map(z, "z", "w")
    [in_z], [in_w] = metrics(MetricAt(mapped), z), metrics(MetricAt(mapped, "w"), w)
    a = mapped._matrix.double()
    assert torch.allclose(a.T @ in_w @ a, in_z, atol=1e-5 * float(in_z.max()))


def test_codes_of_another_space_are_refused() -> None:
    with pytest.raises(LatdirError, match=r"codes of space 'z' have shape \[n, 32\]"):
        next(metrics(MetricAt(planted(size=8)), torch.zeros(1, 5)))
