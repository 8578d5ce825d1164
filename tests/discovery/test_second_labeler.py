"""Text directions are judged by a labeler of another origin, or say that they are not."""

from __future__ import annotations

import pytest
import torch

from directions import Direction, DirectionBank, load_classifier, load_generator
from directions.classifiers.clip.model import load_clip
from directions.classifiers.clip.prompts import Prompt, prompts_of
from directions.planted.clip import PlantedClip
from directions.planted.world import planted
from discovery import ClipBoundary, ClipGradient
from discovery.second_labeler import MEANING, OWN_LABELS, attribute_of, judged, labeler_of

WORLD = planted(factors=3, dim=16, names=("smile", "age", "yaw"))
CLASS = WORLD.classifier()
NAMES = load_classifier("faces+pixels").names


def judge_of(direction: Direction, prompt: Prompt, labeler):
    bank = DirectionBank((direction,), WORLD.name, WORLD.fingerprint)
    made = judged(bank, [prompt], generator=WORLD, labeler=labeler, batch_size=64)
    return made[prompt.name].evidence


def along(name: str, vector: torch.Tensor) -> Direction:
    return Direction.from_vector(name, vector, space="z", evidence={"auc": 0.9})


def test_a_true_direction_moves_what_the_second_labeler_sees_by_its_effect():
    found = judge_of(along("smile", WORLD.truth[0]), Prompt("smile", "a smile", "x"), CLASS)
    assert found["judged_by"] == CLASS.name
    assert found["judged_attribute"] == "smile"
    # One sigma of z moves the factor by one, the standard deviation of the factor is one.
    assert found["judged_effect"] == pytest.approx(1, abs=0.15)
    assert found["judged_rises"] == 1
    assert found["auc"] == 0.9


def test_a_direction_of_something_else_is_not_taken_for_it():
    found = judge_of(along("smile", WORLD.truth[1]), Prompt("smile", "a smile", "x"), CLASS)
    assert abs(found["judged_effect"]) < 0.05
    backward = judge_of(along("smile", -WORLD.truth[0]), Prompt("smile", "a smile", "x"), CLASS)
    assert backward["judged_effect"] < -0.8
    assert backward["judged_rises"] == 0


def test_a_text_that_lowers_its_attribute_is_judged_that_way():
    young = Prompt("young", "a young face", "a face")
    found = judge_of(along("young", -WORLD.truth[1]), young, CLASS)
    assert found["judged_attribute"] == "-age"
    assert found["judged_effect"] > 0.8
    assert found["judged_rises"] == 1


@pytest.mark.parametrize(
    ("labeler", "text"), [(None, "a smile"), (CLASS, "a dragon"), (CLASS, "an open mouth")]
)
def test_without_a_labeler_that_knows_the_attribute_the_evidence_says_so(labeler, text: str):
    [prompt] = prompts_of({"it": text}, neutral="a face")
    found = judge_of(along("it", WORLD.truth[0]), prompt, labeler)
    assert found["judged_by"] == OWN_LABELS
    assert set(found) == {"auc", "judged_by"}


def test_words_are_understood_whole_or_not_at_all():
    def about(text: str, neutral: str = "a face") -> object:
        return attribute_of(prompts_of(text, neutral=neutral)[0], NAMES)

    assert about("a smiling face") == ("smiling", 1)
    assert about("a man vs a woman") == ("male", 1)
    assert about("a woman") == ("male", -1)
    assert about("the face of an old person") == ("age", 1)
    assert about("a face looking to the left") == ("yaw", -1)
    assert about("a face with an open mouth") == ("mouth_open", 1)
    assert about("a face with closed eyes") == ("eyes_open", -1)
    assert about("a face with a dark background") == ("background_brightness", -1)
    assert about("brightness=a sunny face") == ("brightness", 1)
    for other in ("a face with dark hair", "a face with glasses", "a face without a smile"):
        assert about(other) is None


def test_every_attribute_of_the_table_is_one_of_the_built_in_classifiers():
    assert {attribute for attribute, _ in MEANING.values()} <= set(NAMES)
    assert all("+".join(sorted(text.split("+"))) == text for text in MEANING)


def test_the_built_in_generators_of_faces_have_a_labeler_and_others_none():
    assert labeler_of(WORLD) is None
    found = labeler_of(load_generator("digiface64"))
    assert found is not None
    assert found.name == "mobile-faces+pixels"


@pytest.mark.parametrize("method", [ClipBoundary(n_codes=300), ClipGradient(n_codes=24)])
def test_methods_of_texts_write_the_judgment_into_the_evidence(method):
    words = {"text": "a smile", "neutral": "nothing", "clip": PlantedClip(WORLD)}
    plain = method.discover(WORLD, **words)["smile"]
    found = method.discover(WORLD, judge=CLASS, **words)["smile"]
    assert plain.evidence["judged_by"] == OWN_LABELS
    assert found.evidence["judged_by"] == CLASS.name
    assert found.evidence["judged_effect"] > 0.9
    assert torch.equal(plain.vector, found.vector)


@pytest.mark.slow
def test_words_the_small_model_knows_are_confirmed_by_the_face_classifier():
    clip, generator = load_clip("tinyclip-faces"), load_generator("digiface64")
    bank = ClipBoundary(n_codes=1000).discover(
        generator, text=["a smiling face", "a woman"], clip=clip
    )
    for direction in bank.directions:
        assert direction.evidence["judged_by"] == "mobile-faces+pixels"
        assert direction.evidence["judged_rises"] > 0.75
        assert direction.evidence["judged_effect"] > 0.2
