"""Classifiers from ONNX files: any network of images that was exported.

Scores are computed by onnxruntime. Gradients need a network of torch: onnx2torch converts the file
where it knows all of its operations, and the conversion is used only if it gives the same scores.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from directions.arguments import checked, checked_fields
from directions.classifiers.base import Attribute, Classifier, attributes_of, check_finite
from directions.classifiers.crop import rgb_images
from directions.devices import Device
from directions.errors import CheckpointError, LatdirError, SamplesError, UnknownNameError, require

__all__ = ["OnnxClassifier", "OnnxInput", "load_onnx"]

Output = Literal["value", "probability", "sigmoid", "softmax"]
# Relative difference allowed between the converted network and the file.
SAME = 1e-3


@checked_fields
@dataclass(frozen=True)
class OnnxInput:
    """What a file's network takes, besides its shape, which the file says.

    Attributes:
        mean: Subtracted from each channel, of images in [0, 1].
        std: Divisor after that.
        scale: Factor of [0, 1] before both, such as 255.
        bgr: Whether blue comes first.
    """

    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    scale: float = 1.0
    bgr: bool = False


class OnnxClassifier(Classifier):
    """The scores of an ONNX file; make one with `load_onnx`."""

    def __init__(
        self,
        path: Path,
        session: Any,
        module: nn.Module | None,
        *,
        attributes: tuple[Attribute, ...],
        output: Output,
        given: OnnxInput,
    ) -> None:
        self.name = path.stem
        self.attributes = attributes
        self.module = module
        self.differentiable = module is not None
        self.concurrent = True
        self.output = output
        self.given = given
        self._session = session
        self._input = session.get_inputs()[0]
        content = hashlib.sha256(path.read_bytes())
        columns = [[a.name, a.kind, a.unit] for a in attributes]
        content.update(repr((columns, output, given)).encode())
        self._content = content.hexdigest()

    @property
    def fingerprint(self) -> str:
        """sha256 over the file and what is said about it."""
        return self._content

    def to(self, device: Device | None = None, dtype: torch.dtype | None = None) -> OnnxClassifier:
        """The classifier itself: it runs on the processor and answers on the images' device."""
        return self

    def __call__(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Scores, float32.

        Raises:
            LatdirError: Not a batch of RGB images, scores that are not finite, or as many columns
                as the file has not.
        """
        scores = self._activated(self._raw(images))
        check_finite(scores.detach(), names=self.names, classifier=self.name)
        return scores

    def logits(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Where the file's last step is a sigmoid of ours, what goes into it."""
        return self._raw(images) if self.output == "sigmoid" else super().logits(images)

    def _raw(self, images: Tensor) -> Tensor:
        taken = self._prepared(rgb_images(images))
        if self.module is not None and images.requires_grad and torch.is_grad_enabled():
            scores = _first(self.module(taken.cpu())).to(images.device)
        else:
            feed = {self._input.name: taken.detach().float().cpu().numpy()}
            scores = torch.from_numpy(self._session.run(None, feed)[0]).to(images.device)
        scores = scores.float().flatten(1)
        if scores.shape[1] != len(self.attributes):
            raise SamplesError(
                f"{self.name} has {scores.shape[1]} outputs an image, but "
                f"{len(self.attributes)} labels are given ({', '.join(self.names)}): name each"
            )
        return scores

    def _activated(self, scores: Tensor) -> Tensor:
        if self.output == "sigmoid":
            return scores.sigmoid()
        if self.output == "softmax":
            return scores.softmax(1)
        if self.output == "probability" and len(scores):
            low, high = (float(v) for v in scores.detach().aminmax())
            if low < 0 or high > 1:
                raise SamplesError(
                    f"{self.name} gave scores of {low:g} … {high:g}, which are not probabilities: "
                    "say output=sigmoid or output=softmax, or output=value"
                )
        return scores

    def _prepared(self, images: Tensor) -> Tensor:
        channels_last, size = _layout(self._input.shape)
        unit = (images.float() + 1) / 2
        if size is not None and size != tuple(images.shape[-2:]):
            unit = F.interpolate(unit, size, mode="bilinear", antialias=True, align_corners=False)
        if self.given.bgr:
            unit = unit.flip(1)
        mean, std = (unit.new_tensor(v).view(-1, 1, 1) for v in (self.given.mean, self.given.std))
        made = (unit * self.given.scale - mean) / std
        return made.permute(0, 2, 3, 1) if channels_last else made


@checked
def load_onnx(
    path: str | Path,
    *,
    attributes: str | Attribute | Sequence[str | Attribute],
    output: Output = "value",
    given: OnnxInput = OnnxInput(),
) -> OnnxClassifier:
    """A classifier from an ONNX file with one input of images and one output of scores.

    Images are resized to the input's size, where the file fixes one. The axis of length 3 tells
    channels first from channels last.

    Args:
        path: The file.
        attributes: One name for each number of the output, in its order.
        output: What the numbers are: `value`, `probability`, or logits that become probabilities
            by a `sigmoid` each or one `softmax`.
        given: What the network takes: mean, standard deviation and scale of its training.

    Returns:
        The classifier; it has gradients where the package onnx2torch is installed, knows the
        file's operations, and gives the same scores.

    Raises:
        LatdirError: onnxruntime is missing, the file is none that it reads, has other inputs, or
            another number of outputs than names.
    """
    runtime = require("onnxruntime", "onnx")
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"there is no file {path}: check the path")
    named = attributes_of(attributes)
    if output != "value":
        named = tuple(Attribute(a.name, "probability", a.unit, a.description) for a in named)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise CheckpointError(
            f"{path} is not a readable ONNX file ({str(error).splitlines()[0][:200]}): export it "
            "again, with the model's onnx exporter"
        ) from error
    if len(session.get_inputs()) != 1 or len(session.get_inputs()[0].shape) != 4:
        shapes = ", ".join(f"{i.name} {i.shape}" for i in session.get_inputs())
        raise CheckpointError(
            f"{path} takes {shapes}, not one batch of images [n, 3, height, width]: export the "
            "network of images alone"
        )
    _layout(session.get_inputs()[0].shape)
    made = OnnxClassifier(path, session, None, attributes=named, output=output, given=given)
    size = _layout(session.get_inputs()[0].shape)[1] or (64, 64)
    probe = torch.linspace(-1, 1, 3 * size[0] * size[1]).view(1, 3, *size)
    expected = made._raw(probe)
    module = _converted(path, made._prepared(probe), expected)
    if module is None:
        return made
    return OnnxClassifier(path, session, module, attributes=named, output=output, given=given)


def named_in(text: str) -> OnnxClassifier:
    """A classifier from a path with options, as the command names it.

    Args:
        text: `model.onnx?labels=smiling,age`, and after `&` any of `output`, `mean`, `std`,
            `scale`, `bgr`.

    Raises:
        LatdirError: No labels, an option that does not exist, or what `load_onnx` refuses.
    """
    before, _, after = text.partition("?")
    words = {
        key: word for key, _, word in (item.partition("=") for item in after.split("&")) if key
    }
    known = ["labels", "output", *(f.name for f in fields(OnnxInput))]
    if wrong := [key for key in words if key not in known]:
        raise UnknownNameError(f"no option {wrong[0]!r} of {before}: there are {', '.join(known)}")
    if not words.get("labels"):
        raise LatdirError(
            f"{before} does not say what its numbers mean: name each, as in "
            f"'{before}?labels=smiling,age'"
        )
    try:
        mean, std = (
            tuple(map(float, words.get(key, default).split(",")))
            for key, default in (("mean", "0"), ("std", "1"))
        )
        bgr = {"yes": True, "no": False}[words.get("bgr", "no")]
        given = OnnxInput(mean, std, float(words.get("scale", 1)), bgr)
    except (ValueError, KeyError) as error:
        raise LatdirError(
            f"mean, std and scale are numbers, bgr is yes or no, not {error}: such as "
            "mean=0.485,0.456,0.406"
        ) from error
    output: Any = words.get("output", "value")
    return load_onnx(before, attributes=words["labels"].split(","), output=output, given=given)


def _layout(shape: Sequence[Any]) -> tuple[bool, tuple[int, int] | None]:
    """Whether channels come last, and the size of images, where it is fixed."""
    if shape[1] != 3 and shape[3] != 3:
        raise CheckpointError(
            f"the network takes images of shape {list(shape)}, without an axis of 3 channels: "
            "export one for RGB images"
        )
    last = shape[1] != 3
    height, width = shape[1:3] if last else shape[2:]
    fixed = isinstance(height, int) and isinstance(width, int)
    return last, (height, width) if fixed else None


def _converted(path: Path, taken: Tensor, expected: Tensor) -> nn.Module | None:
    """The network in torch, if it can be converted and gives the same scores."""
    try:
        convert = require("onnx2torch", "onnx").convert
        module: nn.Module = convert(str(path)).eval().requires_grad_(False)
        scores = _first(module(taken)).float().flatten(1)
    except Exception:  # it knows some operations only, and fails in ways of its own
        return None
    close = (scores - expected).abs().max() <= SAME * (1 + expected.abs().max())
    return module if scores.shape == expected.shape and close else None


def _first(output: Any) -> Tensor:
    first: Tensor = output[0] if isinstance(output, tuple | list) else output
    return first
