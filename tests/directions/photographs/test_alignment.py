"""Similarities against known ones, warps against pixels, framings against a generator's own."""

from __future__ import annotations

import cmath

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from directions import LatdirError
from directions.classifiers.faces.classifier import faces
from directions.generators.dcgan import digiface64
from directions.images import resize
from directions.photographs import Framing, Similarity
from directions.planted.world import planted

numbers = st.floats(-3, 3)


@settings(deadline=None)
@given(st.floats(0.1, 4), st.floats(-3, 3), numbers, numbers)
def test_the_similarity_between_points_is_recovered(scale, angle, x, y):
    true = Similarity(cmath.rect(scale, angle), complex(x, y))
    points = torch.randn(7, 2, generator=torch.Generator().manual_seed(0))
    found = Similarity.between(points, true(points))
    assert abs(found.factor - true.factor) < 1e-5
    assert abs(found.offset - true.offset) < 1e-5
    torch.testing.assert_close(true.inverse(true(points)), points, atol=1e-5, rtol=0)


def test_least_squares_beat_any_other_similarity():
    random = torch.Generator().manual_seed(1)
    source, target = torch.randn(2, 9, 2, generator=random)
    found = Similarity.between(source, target)
    best = (found(source) - target).square().sum()
    for step in (1e-2, -1e-2, 1e-2j, -1e-2j):
        for other in (
            Similarity(found.factor + step, found.offset),
            Similarity(found.factor, found.offset + step),
        ):
            assert (other(source) - target).square().sum() > best


def test_warps_are_crops_and_resizes():
    picture = torch.rand(1, 3, 48, 60) * 2 - 1
    same = Similarity(1 + 0j, 0j).warp(picture, (48, 60))
    torch.testing.assert_close(same, picture, atol=1e-5, rtol=0)
    part = Similarity(1 + 0j, -10 - 5j).warp(picture, (20, 30))
    torch.testing.assert_close(part, picture[:, :, 5:25, 10:40], atol=1e-5, rtol=0)
    half = Similarity(0.5 + 0j, 0j).warp(picture, (24, 30))
    torch.testing.assert_close(half, resize(picture, (24, 30)), atol=0.08, rtol=0)
    # A quarter turn: x to the right becomes y downward.
    turned = Similarity(1j, 48 + 0j).warp(picture, (60, 48))
    torch.testing.assert_close(turned, picture.rot90(-1, (2, 3)), atol=1e-5, rtol=0)


def test_shrinking_does_not_alias():
    stripes = torch.tensor([-1.0, 1.0]).repeat(64).expand(1, 3, 128, 128)
    assert Similarity(0.125 + 0j, 0j).warp(stripes, (16, 16)).abs().max() < 0.1


def test_a_generators_own_faces_are_where_they_should_be():
    generator = digiface64()
    framing = Framing.of(generator)
    assert Framing.of(generator) is framing
    images = generator.synthesize(generator.sample(16, seed=5))
    factors, shifts = [], []
    for points in faces().landmarks(images):
        brought = framing.bring(points)
        center = torch.tensor([[32.0, 32.0]])
        factors.append(abs(brought.factor))
        shifts.append(float((brought(center) - center).norm()))
    # Medians: of its faces some are broken.
    assert 0.93 < sorted(factors)[8] < 1.07
    assert sorted(shifts)[8] < 2.5


def test_faces_moved_are_brought_back():
    generator = digiface64()
    framing = Framing.of(generator)
    [points] = faces().landmarks(generator.synthesize(generator.sample(1, seed=6)))
    away = Similarity(cmath.rect(2.5, 0.4), 100 + 50j)
    straight, back = framing.bring(points), framing.bring(away(points))
    torch.testing.assert_close(back(away(points)), straight(points), atol=1e-2, rtol=0)


def test_generators_of_no_faces_are_refused():
    with pytest.raises(LatdirError, match="no faces that photographs could be aligned to"):
        Framing.of(planted())
