"""Samples of images that were made before: their scores, and whether codes and images agree."""

from __future__ import annotations

import pytest
import torch

from directions import save_png
from directions.errors import LatdirError, SamplesError
from directions.planted.world import planted
from discovery import Samples, sample
from tests.unchecked import unchecked

WORLD = planted(factors=2, dim=8, size=16)
CODES = WORLD.sample(20, seed=0)
IMAGES = WORLD.synthesize(CODES)


def of(images=IMAGES, **given):
    return Samples.from_images(images, WORLD.classifier(), generator=WORLD, **given)


def test_images_of_a_seed_are_scored_as_sampling_would():
    wanted = sample(WORLD, WORLD.classifier(), 20, seed=0)
    found = of(seed=0)
    assert torch.equal(found.codes, wanted.codes)
    torch.testing.assert_close(found.scores, wanted.scores)
    assert found.classifier_fingerprint == wanted.classifier_fingerprint
    assert found.attributes == wanted.attributes
    assert (found.seed, found.places.tolist()) == (0, list(range(20)))


def test_images_of_some_places_or_of_codes():
    assert torch.equal(of(IMAGES[5:9], seed=0, index=range(5, 9)).codes, CODES[5:9])
    given = of(IMAGES[5:9], codes=CODES[5:9])
    assert torch.equal(given.codes, CODES[5:9])
    assert given.seed is None


@pytest.mark.parametrize("made", [IMAGES.numpy(), IMAGES.double().numpy(), IMAGES.tolist()])
def test_arrays_and_lists_are_taken_as_tensors(made):
    with unchecked():
        assert torch.equal(of(made, seed=0).scores, of(seed=0).scores)


def test_files_in_a_folder_are_read_in_the_order_of_their_names(tmp_path):
    for k, image in enumerate(IMAGES):
        save_png(image, tmp_path / f"{k:02}.png")
    torch.testing.assert_close(of(tmp_path, seed=0).scores, of(seed=0).scores, atol=0.2, rtol=0)


def test_images_in_another_order_are_refused():
    swapped = IMAGES[[0, 2, 1, *range(3, 20)]]
    with pytest.raises(SamplesError, match="image 1 looks less like that of its own code than"):
        of(swapped, seed=0)
    with pytest.raises(SamplesError, match="looks less like that of its own code"):
        of(seed=1)


def test_two_images_of_one_code_are_not_taken_for_another_order():
    twice = torch.cat([CODES[:3], CODES[:3]])
    assert len(of(WORLD.synthesize(twice), codes=twice)) == 6


def test_images_of_another_size_or_number_are_refused():
    with pytest.raises(SamplesError, match=r"images have shape \[20, 3, 8, 8\], and planted makes"):
        of(IMAGES[:, :, :8, :8], seed=0)
    with unchecked(), pytest.raises(SamplesError, match=r"images have shape \[\], and planted"):
        of(torch.tensor(0.0), seed=0)
    with pytest.raises(SamplesError, match="20 codes and 4 rows of labels do not fit"):
        of(IMAGES[:4], codes=CODES)
    with pytest.raises(LatdirError, match="give either codes, or the seed"):
        of()
