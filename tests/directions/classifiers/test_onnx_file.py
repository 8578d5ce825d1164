"""Classifiers from ONNX files: torch's own scores and gradients, and each refusal."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from directions import LatdirError, load_classifier, load_generator
from directions.classifiers import Attribute, OnnxInput, load_onnx
from directions.planted.world import planted
from discovery import Boundary, Gradient, sample
from tests.directions.classifiers.onnx_files import BIAS, WEIGHT, write

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.filterwarnings("ignore")

RNG = torch.Generator().manual_seed(1)
IMAGES = torch.rand(5, 3, 8, 8, generator=RNG) * 2 - 1
PAIR = ["a", "b"]


def torch_scores(images: torch.Tensor) -> torch.Tensor:
    """The same network in torch, on images in [0, 1]."""
    return images.mean((2, 3)).tanh() @ WEIGHT + BIAS


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "tiny.onnx")


def test_scores_are_those_of_torch(file: Path) -> None:
    made = load_onnx(file, attributes=PAIR)
    torch.testing.assert_close(made(IMAGES), torch_scores((IMAGES + 1) / 2))
    given = OnnxInput(mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4), scale=2.0, bgr=True)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (given.mean, given.std))
    taken = ((IMAGES.flip(1) + 1) - mean) / std
    torch.testing.assert_close(
        load_onnx(file, attributes=PAIR, given=given)(IMAGES), torch_scores(taken)
    )


def test_images_take_the_size_and_the_order_of_axes_of_the_file(tmp_path: Path) -> None:
    small = (IMAGES + 1) / 2
    small = F.interpolate(small, (4, 4), mode="bilinear", antialias=True)
    for last in (False, True):
        path = write(tmp_path / f"{last}.onnx", size=4, last=last)
        torch.testing.assert_close(load_onnx(path, attributes=PAIR)(IMAGES), torch_scores(small))
    free = load_onnx(write(tmp_path / "free.onnx", size="side"), attributes=PAIR)
    assert free(torch.zeros(2, 3, 16, 16)).shape == (2, 2)


@pytest.mark.parametrize("output", ["sigmoid", "softmax"])
def test_logits_become_probabilities(file: Path, output: str) -> None:
    raw = torch_scores((IMAGES + 1) / 2)
    made = load_onnx(file, attributes=PAIR, output=output)
    expected = raw.sigmoid() if output == "sigmoid" else raw.softmax(1)
    torch.testing.assert_close(made(IMAGES), expected)
    assert {a.kind for a in made.attributes} == {"probability"}
    if output == "sigmoid":
        torch.testing.assert_close(made.logits(IMAGES), raw)


def test_gradients_are_those_of_torch_where_onnx2torch_knows_the_operations(file: Path) -> None:
    pytest.importorskip("onnx2torch")
    made = load_onnx(file, attributes=PAIR)
    assert made.differentiable
    leaf, same = (IMAGES.clone().requires_grad_() for _ in range(2))
    made(leaf)[:, 1].sum().backward()
    torch_scores((same + 1) / 2)[:, 1].sum().backward()
    torch.testing.assert_close(leaf.grad, same.grad)


def test_without_gradients_it_labels_and_methods_of_gradients_refuse_it(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnx2torch", None)
    made = load_onnx(file, attributes=PAIR)
    assert not made.differentiable
    world = planted()
    bank = Boundary(bootstrap=0).discover(sample(world, made, 100, seed=0))
    assert list(bank) == PAIR
    with pytest.raises(LatdirError, match="classifier tiny is not differentiable: use `boundary`"):
        Gradient(n_codes=4).discover(world, classifier=made)


def test_a_name_with_options_is_the_same_classifier(file: Path) -> None:
    named = load_classifier(f"{file}?labels=a,b&output=sigmoid&mean=0.4,0.5,0.6&std=0.5&bgr=yes")
    given = OnnxInput(mean=(0.4, 0.5, 0.6), std=(0.5,), bgr=True)
    made = load_onnx(file, attributes=PAIR, output="sigmoid", given=given)
    assert torch.equal(named(IMAGES), made(IMAGES))
    assert named.fingerprint == made.fingerprint != load_onnx(file, attributes=PAIR).fingerprint
    both = load_classifier(f"pixels+{file}?labels=a,b")
    assert both.names[-2:] == ("a", "b")
    assert named.to("cpu") is named


def test_what_is_wrong_is_said_in_one_line(file: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a network")
    cases = {
        f"{file}": "does not say what its numbers mean: name each, as in",
        f"{file}?labels=a,b&wings=2": "no option 'wings' of .*: there are labels, output, mean",
        f"{file}?labels=a,b&mean=x": "mean, std and scale are numbers",
        f"{file}?labels=a,b&output=magic": "no output 'magic': use one of value, probab",
        f"{file}?labels=a": r"tiny has 2 outputs an image, but 1 labels are given \(a\)",
        f"{broken}?labels=a": "is not a readable ONNX file",
        f"{tmp_path}/gone.onnx?labels=a": "there is no file .*gone.onnx: check the path",
    }
    for name, text in cases.items():
        with pytest.raises(LatdirError, match=text):
            load_classifier(name)
    wrong = load_onnx(file, attributes=[Attribute("a"), Attribute("b")], output="probability")
    with pytest.raises(LatdirError, match="which are not probabilities: say output=sigmoid"):
        wrong(IMAGES)


def test_a_conversion_that_gives_other_scores_is_not_used(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    converter = pytest.importorskip("onnx2torch")
    other = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 2))
    monkeypatch.setattr(converter, "convert", lambda _: other)
    assert not load_onnx(file, attributes=PAIR).differentiable


@pytest.mark.slow
def test_labels_of_a_real_export_are_those_of_its_network(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 62 * 62, 2))
    path = tmp_path / "net.onnx"
    torch.onnx.export(net.eval(), (torch.zeros(1, 3, 64, 64),), path, dynamo=True)
    images = load_generator("digiface64").synthesize(torch.zeros(1, 100), "z")
    made = load_onnx(path, attributes=PAIR)
    torch.testing.assert_close(made(images), net((images + 1) / 2), rtol=1e-3, atol=1e-4)
