"""Averaging over mirror images: exact symmetry, less noise, the same fast and slow."""

import pytest
import torch
from torch import Tensor

from directions import LatdirError, load_classifier, load_generator
from directions.classifiers import Attribute, Classifier, Mirrored


class Lopsided(Classifier):
    """Reads the left half's brightness, and a tilt that is off by two."""

    name = "lopsided"
    attributes = (Attribute("bright", "probability"), Attribute("tilt"))
    differentiable = True
    fingerprint = "0" * 64

    def logits(self, images: Tensor) -> Tensor:
        left = images[..., : images.shape[-1] // 2].mean((1, 2, 3))
        right = images[..., images.shape[-1] // 2 :].mean((1, 2, 3))
        return torch.stack([4 * left, right - left + 2], 1)

    def __call__(self, images: Tensor) -> Tensor:
        odds, tilt = self.logits(images).unbind(1)
        return torch.stack([odds.sigmoid(), tilt], 1)


def _images() -> Tensor:
    return torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_even_scores_agree_with_the_mirror_image_and_odd_ones_turn() -> None:
    steady, images = Mirrored(Lopsided(), odd=["tilt"]), _images()
    here, there = steady(images), steady(images.flip(3))
    torch.testing.assert_close(here[:, 0], there[:, 0])
    torch.testing.assert_close(here[:, 1], -there[:, 1])
    right, left = images[..., 4:].mean((1, 2, 3)), images[..., :4].mean((1, 2, 3))
    torch.testing.assert_close(here[:, 1], right - left)
    torch.testing.assert_close(here[:, 0], (2 * (left + right)).sigmoid())


def test_the_fast_form_agrees_and_keeps_the_columns_asked_for() -> None:
    steady, images = Mirrored(Lopsided(), odd=["tilt"]), _images()
    fast = steady.inference(names=["tilt", "bright"])(images)
    torch.testing.assert_close(fast, steady(images)[:, [1, 0]])


def test_real_faces_are_scored_alike_in_a_mirror() -> None:
    steady = Mirrored(load_classifier("faces"), odd=["yaw", "roll"])
    generator = load_generator("digiface64")
    images = generator.synthesize(generator.sample(8, seed=3)).detach()
    with torch.no_grad():
        here, there = steady(images), steady(images.flip(3))
    there[:, steady.columns(["yaw", "roll"])] *= -1
    torch.testing.assert_close(here, there, rtol=1e-4, atol=1e-3)


def test_it_is_another_classifier() -> None:
    assert Mirrored(Lopsided()).fingerprint != Lopsided.fingerprint
    assert Mirrored(Lopsided()).fingerprint != Mirrored(Lopsided(), odd=["tilt"]).fingerprint
    with pytest.raises(LatdirError, match="has no attribute 'roll'"):
        Mirrored(Lopsided(), odd=["roll"])
