"""The built-in StyleGAN2 makes the faces it was taught, in every space and precision."""

import pytest
import torch

from analysis.spaces.separability import measure_separability
from directions import LatdirError, load_generator
from directions.classifiers.faces.classifier import faces
from directions.generators.dcgan import digiface64
from directions.generators.progressive import pixel_norm
from directions.scoring.rendering import Rendering


@pytest.fixture(scope="module")
def student():
    return load_generator("styleface64")


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(10 * torch.log10(4 / (a - b).square().mean()))


def test_same_codes_are_the_same_faces(student) -> None:
    teacher = digiface64()
    codes = pixel_norm(teacher.sample(64, seed=5))
    with torch.inference_mode():
        wanted, made = (g.inference()(codes).clone() for g in (teacher, student))
    assert psnr(made, wanted) > 21
    # Better than the best constant picture by far, and than another code's.
    assert psnr(made, wanted) > psnr(wanted.mean(0), wanted) + 7
    assert psnr(made, wanted) > psnr(made.flip(0), wanted) + 9


def test_the_stored_mean_of_w_is_the_mean(student) -> None:
    w = student.sample(4000, seed=3, space="w")
    spread = w.std(0)
    assert ((w.mean(0) - student.network.w_avg).abs() < 6 * spread / 4000**0.5 + 1e-4).all()


def test_low_precision_agrees(student) -> None:
    codes = student.sample(16, seed=1, space="w")
    with torch.inference_mode():
        exact, fast = (
            student.inference(precision=p, space="w")(codes).float().clone()
            for p in ("float32", "bfloat16")
        )
    assert psnr(fast, exact) > 40


@pytest.mark.slow
def test_hyperplanes_separate_expressions_better_in_w_than_in_z(student) -> None:
    found = measure_separability(
        student,
        faces(),
        attributes=["smiling", "neutral"],
        count=1500,
        rendering=Rendering(precision="bfloat16"),
    )
    assert found["w"].scored_on == "held-out"
    assert found["w"].high < found["z"].low


def test_codes_of_other_generators_are_refused_with_the_space_they_look_like(student) -> None:
    with pytest.raises(LatdirError, match="10"):
        student.check(torch.zeros(1, 18, 256), "w+")


def test_a_copy_with_other_weights_draws_no_codes_again(student, monkeypatch) -> None:
    codes = student.sample(2, seed=1, space="w")
    student.check(codes, "w")
    monkeypatch.setattr(type(student), "sample", None)
    name, weight = next(iter(student.tunable.items()))
    copy = student.with_weights({name: 1.1 * weight})
    assert copy.synthesize(codes, "w").shape == (2, 3, 64, 64)
