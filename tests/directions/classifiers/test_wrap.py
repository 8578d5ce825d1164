"""A user's own classifier: what passes, and each refusal with its line."""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor, nn

import directions
from directions import LatdirError, wrap_classifier
from directions.classifiers import Attribute, Combined
from directions.classifiers.pixels import pixels
from tests.unchecked import unchecked

IMAGES = torch.rand(5, 3, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1


class Probe(nn.Module):
    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        start = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(3, 2, generator=start))

    def forward(self, images: Tensor) -> Tensor:
        return images.mean((2, 3)) @ self.weight


def returning(scores: object):
    return wrap_classifier(lambda _: scores, attributes=["a", "b"], name="mine")


def test_a_module_keeps_scores_gradients_and_weights() -> None:
    module = Probe().eval()
    classifier = wrap_classifier(module, attributes=["a", "b"])
    assert torch.equal(classifier(IMAGES), module(IMAGES))
    assert classifier.differentiable
    assert torch.equal(classifier.inference(names=["b"])(IMAGES), module(IMAGES)[:, 1:])
    leaf = IMAGES.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(classifier.logits(leaf).sum(), leaf)
    assert gradient.abs().min() > 0
    other = wrap_classifier(Probe(seed=1).eval(), attributes=["a", "b"])
    same = wrap_classifier(Probe().eval(), attributes=["a", "b"])
    assert classifier.fingerprint == same.fingerprint != other.fingerprint


def test_a_function_may_give_one_column_flat_and_in_another_precision() -> None:
    classifier = wrap_classifier(lambda images: images.double().mean((1, 2, 3)), attributes=["m"])
    assert not classifier.differentiable
    scores = classifier(IMAGES)
    assert (scores.shape, scores.dtype) == ((5, 1), torch.float32)
    both = Combined(classifier, pixels())
    assert both.names[:2] == ("m", "brightness")


def test_identity_tells_functions_apart() -> None:
    one, two = (wrap_classifier(len, attributes=["a"], version=v) for v in ("v1", "v2"))
    assert one.fingerprint != two.fingerprint


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([1.0, 2.0], "classifier mine returned list, not a tensor of scores [n, 2]"),
        (torch.zeros(5, 3), "shape [5, 3] for 5 images and 2 attributes: it must return [5, 2]"),
        (torch.zeros(4, 2), "shape [4, 2] for 5 images and 2 attributes"),
        (torch.zeros(5), "shape [5] for 5 images and 2 attributes"),
        (torch.full((5, 2), torch.nan), "5 of 5 scores of 'a' are NaN or infinite (nan in row 0)"),
        (
            torch.tensor([[0.0, torch.inf]]).expand(5, 2),
            "5 of 5 scores of 'b' are NaN or infinite (inf in row 0)",
        ),
    ],
)
def test_wrong_scores_are_refused_when_they_appear(scores: object, message: str) -> None:
    with pytest.raises(LatdirError, match=re.escape(message)):
        returning(scores)(IMAGES)


def test_a_declared_probability_must_be_one() -> None:
    probability = [Attribute("smile", "probability")]
    logits = wrap_classifier(lambda x: x.sum((1, 2, 3)), attributes=probability)
    with pytest.raises(LatdirError, match=r"'smile' .* are not probabilities: apply a sigmoid"):
        logits(IMAGES)
    fine = wrap_classifier(lambda x: x.mean((1, 2, 3)).sigmoid(), attributes=probability)
    torch.testing.assert_close(fine.logits(IMAGES)[:, 0], IMAGES.mean((1, 2, 3)))


def test_modules_are_in_evaluation_mode_while_they_are_called() -> None:
    module = nn.Sequential(Probe(), nn.Dropout(0.5))
    for function in (module, module.forward, lambda images: module(images)):
        classifier = wrap_classifier(function, attributes=["a", "b"])
        assert torch.equal(classifier(IMAGES), module[0](IMAGES))
        assert module.training
        assert module[1].training


def test_one_name_need_not_be_a_list_and_arrays_are_scores() -> None:
    classifier = wrap_classifier(lambda images: images.mean((1, 2, 3)).numpy(), attributes="mean")
    assert classifier.names == ("mean",)
    torch.testing.assert_close(classifier(IMAGES)[:, 0], IMAGES.mean((1, 2, 3)))


def test_probabilities_and_logits_of_classes_are_hinted_at(caplog) -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 3))
    names = ["cat", "dog", "bird"]
    wrap_classifier(module, attributes=names, name="net")
    assert "if they are logits of classes, wrap lambda images: module(images).softmax(1)" in (
        caplog.text
    )
    caplog.clear()
    classes = wrap_classifier(lambda images: module(images).softmax(1), attributes=names)
    classes(IMAGES)
    classes(IMAGES)
    assert caplog.text.count("declare attributes=[Attribute('cat', 'probability'), …]") == 1
    caplog.clear()
    declared = [directions.Attribute(name, "probability") for name in names]
    wrap_classifier(lambda images: module(images).softmax(1), attributes=declared)(IMAGES)
    wrap_classifier(module, attributes=[Attribute(n, unit="logit") for n in names])(IMAGES)
    wrap_classifier(lambda images: module(images), attributes=names)(IMAGES)
    assert not caplog.text


def test_what_cannot_be_wrapped_is_refused_at_once() -> None:
    with pytest.raises(LatdirError, match=r"not a class: .*make an instance first"):
        wrap_classifier(Probe, attributes=["a", "b"])
    with (
        unchecked(),
        pytest.raises(LatdirError, match=r"not a str: classifiers are loaded by name"),
    ):
        wrap_classifier("faces", attributes=["a", "b"])
    with (
        unchecked(),
        pytest.raises(LatdirError, match=r"attributes are names or Attribute\(…\), not 3"),
    ):
        wrap_classifier(len, attributes=["a", 3])
    with pytest.raises(LatdirError, match="'a' occurs twice"):
        wrap_classifier(len, attributes=["a", "a"])
    with pytest.raises(LatdirError, match=r"all different, but they are \[\]"):
        wrap_classifier(len, attributes=[])
    with pytest.raises(LatdirError, match="letters, digits, _ and - only, not 'my net'"):
        wrap_classifier(len, attributes=["a"], name="my net")
    with pytest.raises(LatdirError, match=r"images\[None\]"):
        wrap_classifier(Probe().eval(), attributes=["a", "b"])(IMAGES[0])


def test_a_version_stands_for_code_but_not_for_weights():
    class Judge(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3))

        def redness(self, images):
            return (images.mean((2, 3)) * self.weight)[:, :1]

        def blueness(self, images):
            return (images.mean((2, 3)) * self.weight)[:, 2:]

    module = Judge()
    red, blue = (
        wrap_classifier(part, attributes=["a"], version="1")
        for part in (module.redness, module.blueness)
    )
    before = red.fingerprint
    assert before != blue.fingerprint
    with torch.no_grad():
        module.weight[0] = 2.0
    assert red.fingerprint != before
