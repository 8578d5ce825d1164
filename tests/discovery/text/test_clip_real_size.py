"""Every method of texts with a CLIP of the real size, ViT-B/32, from a file; random weights."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from directions import Direction, DirectionBank
from directions.classifiers.clip.backends import clip_package
from directions.classifiers.clip.model import load_clip
from directions.generators import load_generator
from directions.paths.base import load_path
from discovery.registry import METHODS
from discovery.text.clip_boundary import ClipBoundary
from discovery.text.clip_global import ClipGlobal
from discovery.text.clip_gradient import ClipGradient
from discovery.text.clip_mapper import ClipMapper
from discovery.text.clip_optimize import ClipOptimize

pytestmark = pytest.mark.slow

TINY = {
    "clip_boundary": ClipBoundary(n_codes=60),
    "clip_gradient": ClipGradient(n_codes=4, batch_size=2),
    "clip_global": ClipGlobal(n_codes=2, channels=3, batch_size=4),
    # Small steps without a price: of random weights, three at the published rate may all be worse.
    "clip_optimize": ClipOptimize(steps=4, rate=0.02, distance=0.0, n_codes=2, batch_size=2),
    "clip_mapper": ClipMapper(steps=2, batch_size=2, hidden=16, depth=2),
}
WORDS = {"smile": "a smiling face", "old": "an old face vs a young face"}


@pytest.fixture(scope="module")
def generator():
    return load_generator("digiface64")


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "vit-b-32.pt"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = clip_package().model.CLIP(512, 224, 12, 768, 32, 77, 49408, 512, 8, 12)
    torch.save({k: v.half() for k, v in module.state_dict().items()}, path)
    found = load_clip(path)
    assert (found.size, found.dim) == (224, 512)
    return found


def test_no_method_of_texts_is_left_out():
    assert set(TINY) == {name for name in METHODS if name.startswith("clip")}


@pytest.mark.parametrize("name", TINY)
def test_a_method_gives_its_bank(generator, clip, name, tmp_path):
    method = TINY[name]
    if name == "clip_global":
        method = replace(method, axes=few_axes(generator))
    bank = method.discover(generator, text=WORDS, clip=clip)
    assert list(bank) == ["smile", "old"]
    again = DirectionBank.load(bank.save(tmp_path / "words.safetensors")).check(generator)
    for direction in again.directions:
        assert direction.space == "z"
        assert direction.vector.shape == generator.space("z").shape
        assert direction.vector.isfinite().all()
        assert direction.vector.norm() == pytest.approx(1, abs=1e-5)
        assert direction.method == name
    assert again["smile"].vector.flatten() @ again["old"].vector.flatten() < 0.9999


def test_a_mapper_gives_its_path(generator, clip, tmp_path):
    path = TINY["clip_mapper"].train(generator, clip, text="a smiling face")
    again = load_path(path.save(tmp_path / "smile.safetensors"), generator=generator)
    codes = generator.sample(3, seed=1)
    moved = again.shift(codes, 1.0)
    assert moved.shape == codes.shape
    assert moved.isfinite().all()
    assert (moved - codes).norm(dim=1).min() > 0


def few_axes(generator):
    """Four directions in the place of all coordinates, which are too many for a test."""
    rows = torch.randn(4, generator.space("z").size, generator=torch.Generator().manual_seed(0))
    found = tuple(Direction.from_vector(f"axis_{i}", row, space="z") for i, row in enumerate(rows))
    return DirectionBank(found, generator.name, generator.fingerprint)
