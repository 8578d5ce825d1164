"""Phrases for directions, on a planted generator whose words are known."""

import pytest
import torch
from torch.nn.functional import cosine_similarity

from analysis.naming.by_text import FACE_PHRASES, name_by_text, nearest_phrases
from directions import Direction, DirectionBank, LatdirError, Rendering
from directions.classifiers.clip.prompts import prompts_of
from directions.planted.clip import PlantedClip
from directions.planted.world import planted

NAMES = ("smile", "age", "yaw")
WORDS = prompts_of(["a smile", "no smile", "age", "yaw"], neutral="nothing")


@pytest.fixture(scope="module")
def world():
    return planted(factors=3, dim=40, bend=0.4, names=NAMES)


@pytest.fixture(scope="module")
def clip(world):
    return PlantedClip(world)


@pytest.fixture(scope="module")
def bank(world):
    vectors = {
        "a": world.truth[1],
        "b": -world.truth[0],
        "c": torch.linalg.svd(torch.cat([world.truth, world._nuisances, world._bends]))[2][-1],
    }
    return DirectionBank(
        tuple(Direction(n, v, "z") for n, v in vectors.items()), world.name, world.fingerprint
    )


def test_the_nearest_phrase_is_the_planted_one(world, clip, bank):
    found = nearest_phrases(world, clip, bank.select(["a", "b"]), WORDS, count=32)
    assert found["a"][0].text == "age"
    assert found["b"][0].text == "no smile"
    assert found["b"][-1].text == "a smile"
    assert found["a"][0].cosine > 0.9
    assert all(x.cosine >= y.cosine for x, y in zip(found["a"], found["a"][1:], strict=False))


def test_cosines_are_the_slow_loops(world, clip, bank):
    found = nearest_phrases(
        world,
        clip,
        bank.select("a"),
        WORDS,
        count=5,
        step=1.5,
        seed=3,
        rendering=Rendering(batch_size=2),
    )
    moved = torch.zeros(clip.dim)
    for code in world.sample(5, seed=3):
        ahead, behind = (world.synthesize(code[None] + s * 1.5 * world.truth[1]) for s in (1, -1))
        moved += (clip.encode_images(ahead) - clip.encode_images(behind))[0] / 5
    for phrase in found["a"]:
        text = (clip.encode_texts([phrase.text]) - clip.encode_texts(["nothing"]))[0]
        expected = float(cosine_similarity(moved, text, dim=0))
        assert phrase.cosine == pytest.approx(expected, abs=1e-4)


def test_names_come_with_their_chance(world, clip, bank):
    naming = name_by_text(world, clip, bank.select(["a", "b"]), WORDS, count=32, null=16)
    by_origin = {e.found_as: e for e in naming.entries}
    assert by_origin["a"].attribute == "age"
    assert by_origin["b"].attribute in ("a smile", "no smile")
    turned = naming.bank[by_origin["b"].name]
    assert turned.evidence["phrases"][0]["text"] == by_origin["b"].attribute
    assert len(turned.evidence["phrases"]) == 3
    random = torch.nn.functional.normalize(
        torch.randn(40, generator=torch.Generator().manual_seed(0)), dim=0
    )
    chance = DirectionBank((Direction("r", random, "z"),), world.name, world.fingerprint)
    named = name_by_text(world, clip, chance, WORDS, count=32, null=16)
    assert named.found == ()


def test_refusals(world, clip, bank):
    with pytest.raises(LatdirError, match="cannot distinguish 'a hat' from 'nothing'"):
        name_by_text(world, clip, bank, prompts_of(["age", "a hat"], neutral="nothing"))
    with pytest.raises(LatdirError, match="'c' changes nothing that planted-clip sees"):
        nearest_phrases(world, clip, bank, WORDS, count=4)
    with pytest.raises(LatdirError, match="step 0 must be positive and count 64"):
        nearest_phrases(world, clip, bank, WORDS, step=0.0)
    assert len(set(FACE_PHRASES)) == len(FACE_PHRASES)
