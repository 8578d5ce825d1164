"""Expression, head pose, mouth, eyes, age and gender of faces, by four small built-in networks.

The networks are face-api's (see `directions/zoo/faces/README.md` for where they come from, what
they were trained on and where they fail). Images are cut to their central square and resized;
nothing is detected or aligned, so the face should fill most of the square.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, cached_property
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from directions import zoo
from directions.classifiers.base import Attribute, Classifier
from directions.classifiers.crop import crop, rgb_images
from directions.classifiers.faces import inference as fast
from directions.classifiers.faces import landmarks as lm
from directions.classifiers.faces import nets as face_nets
from directions.classifiers.faces.embedding import FaceEmbedding
from directions.classifiers.faces.nets import EXPRESSIONS, normalize
from directions.devices import Device, moved
from directions.errors import LatdirError
from directions.fingerprints import Precision, fingerprint

__all__ = ["Outputs", "FaceClassifier", "faces"]

Net = Literal["expression", "landmarks", "age_gender"]

SIZE = 112
# Attribute: the expression net's name of the class.
CLASSES = {
    "smiling": "happy",
    "surprised": "surprised",
    "neutral": "neutral",
    "sad": "sad",
    "angry": "angry",
    "fearful": "fearful",
    "disgusted": "disgusted",
}
OF_NET: dict[Net, tuple[Attribute, ...]] = {
    "expression": tuple(
        Attribute(name, "probability", "probability", f"softmax of the class {label!r}")
        for name, label in CLASSES.items()
    ),
    "age_gender": (
        Attribute("male", "probability", "probability", "softmax of the class 'male'"),
        Attribute("age", "value", "years", "apparent age"),
    ),
    "landmarks": (
        Attribute("yaw", "value", "degrees", "positive: looks to the image's right"),
        Attribute("pitch", "value", "degrees", "positive: looks up"),
        Attribute("roll", "value", "degrees", "positive: leans clockwise in the image"),
        Attribute("mouth_open", "value", "ratio", "inner lip gap / outer eye-corner distance"),
        Attribute("eyes_open", "value", "ratio", "lid gap / outer eye-corner distance"),
        Attribute("smile_width", "value", "ratio", "mouth width / outer eye-corner distance"),
    ),
}
NETS: dict[Net, Callable[[], nn.Module]] = {
    "expression": face_nets.expression_net,
    "landmarks": face_nets.landmark_net,
    "age_gender": face_nets.age_gender_net,
}
_FAST: dict[Net, Callable[[Any, fast.Prepare], Callable[[Tensor], Any]]] = {
    "expression": fast.fast_dense,
    "landmarks": fast.fast_dense,
    "age_gender": fast.fast_age_gender,
}


class Outputs(NamedTuple):
    """Outputs of the networks; None for one that was not run.

    Attributes:
        expression: `[n, 7]` logits of `EXPRESSIONS`.
        landmarks: `[n, 136]`, x and y of each point as fractions of the square looked at.
        age: `[n]` years.
        gender: `[n, 2]` logits of male and female.
    """

    expression: Tensor | None = None
    landmarks: Tensor | None = None
    age: Tensor | None = None
    gender: Tensor | None = None


class FaceClassifier(Classifier):
    """Scores of faces; make one with `faces()`.

    Attributes, in order: the probabilities `smiling`, `surprised`, `neutral`, `sad`, `angry`,
    `fearful`, `disgusted` (they sum to 1) and `male`; `age` in years; `yaw`, `pitch`, `roll` in
    degrees (`landmarks.head_pose` has the signs); and `mouth_open`, `eyes_open`, `smile_width`,
    ratios to the distance between the outer corners of the eyes as it would be seen from the
    front, so that turning the head leaves them alone.

    Args:
        margin: Padding on each side of the image's central square, as a fraction of its
            side; negative cuts into it.
    """

    name = "faces"
    attributes = tuple(a for attributes in OF_NET.values() for a in attributes)
    differentiable = True
    concurrent = True

    def __init__(self, *, margin: float) -> None:
        if not -0.4 <= margin <= 1:
            raise LatdirError(f"margin is a fraction of the square in -0.4 … 1, not {margin}")
        self.margin = margin
        self._nets: dict[tuple[Net, torch.device], nn.Module] = {}

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over weights, margin and the constants of the landmarks' measures."""
        tensors = {
            f"{net}.{key}": tensor
            for net in OF_NET
            for key, tensor in zoo.load(f"faces/{net}").items()
        }
        shape = [[point, *position] for point, position in lm.SHAPE.items()]
        measures = [lm.MISFIT, lm.NEUTRAL_MOUTH, lm.NEUTRAL_EYES, lm.NEUTRAL_SMILE]
        config = {"name": self.name, "margin": self.margin, "shape": shape, "measures": measures}
        return fingerprint(tensors, config)

    def __call__(self, images: Tensor) -> Float[Tensor, "n k"]:
        """Scores, `[n, 15]`, float32.

        Raises:
            LatdirError: Not a batch of RGB images.
        """
        return self._columns(self._outputs(images, tuple(OF_NET)), self.names)

    def logits(self, images: Tensor) -> Float[Tensor, "n k"]:
        """The networks' log-odds of each probability; values unchanged."""
        return self.logits_of(images, self.names)

    def logits_of(self, images: Tensor, names: Sequence[str]) -> Float[Tensor, "n k"]:
        """Log-odds and values of some attributes; networks not needed for them do not run.

        Raises:
            LatdirError: An attribute it does not have.
        """
        self.columns(names)
        return self._columns(self._outputs(images, _nets_of(names)), names, logits=True)

    def to(self, device: Device | None = None, dtype: torch.dtype | None = None) -> FaceClassifier:
        """Itself: the networks run in float32 where the images are, loaded there at first use.

        Raises:
            LatdirError: No such device on this machine.
        """
        moved(None, device, dtype)  # refuses what is not there
        return self

    @cached_property
    def embed(self) -> FaceEmbedding:
        """Identity embeddings of images, `[n, 128]`.

        Example:
            >>> faces().embed(torch.zeros(1, 3, 64, 64)).shape
            torch.Size([1, 128])
        """
        return FaceEmbedding(margin=self.margin)

    def landmarks(self, images: Tensor) -> Float[Tensor, "n 68 2"]:
        """68 points as iBUG numbers them, in pixels: x to the right, y down.

        The center of the first pixel is at (0.5, 0.5).
        """
        found: Tensor = self._net("landmarks", images.device)(self._seen(images, SIZE))
        height, width = images.shape[-2:]
        side = min(height, width)
        corner = images.new_tensor([(width - side) / 2, (height - side) / 2])
        return self._points(found) * side + corner.float()

    def inference(
        self,
        *,
        precision: Precision = "float32",
        names: Sequence[str] | None = None,
        compile: bool = False,
    ) -> Callable[[Tensor], Tensor]:
        """The same function prepared for speed, without gradients.

        On a CPU, scores of an image are the same to the bit whatever else is in the batch.

        Args:
            precision: `bfloat16` runs the networks in it: about twice as fast on processors
                with bfloat16 instructions, 99 of 100 labels the same.
            names: Attributes wanted, in this order; by default all. Networks that no wanted
                attribute needs are not run.
            compile: Ignored: these networks run no faster compiled.

        Raises:
            LatdirError: An attribute it does not have.
        """
        return self._prepared(precision, names, logits=False)

    def inference_logits(
        self, *, precision: Precision = "float32", names: Sequence[str] | None = None
    ) -> Callable[[Tensor], Tensor]:
        """The networks' own log-odds by the same form; arguments as of `inference`."""
        return self._prepared(precision, names, logits=True)

    def _prepared(
        self, precision: Precision, names: Sequence[str] | None, *, logits: bool
    ) -> Callable[[Tensor], Tensor]:
        wanted = self.names if names is None else tuple(names)
        self.columns(wanted)
        nets = _nets_of(wanted)
        dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32

        @cache
        def prepared(device: torch.device) -> Callable[[Tensor], Tensor]:
            prepare = fast.Prepare(device, dtype)
            runs = {net: _FAST[net](NETS[net](), prepare) for net in nets}

            def tile(images: Tensor) -> Tensor:
                seen = fast.fast_seen(images, margin=self.margin, size=SIZE, prepare=prepare)
                found = _collected({net: run(seen) for net, run in runs.items()})
                return self._columns(found, wanted, logits=logits)

            return tile

        def run(images: Tensor) -> Tensor:
            with torch.inference_mode():
                return fast.tiled(prepared(images.device), rgb_images(images).float())

        return run

    def _outputs(self, images: Tensor, nets: Sequence[Net]) -> Outputs:
        seen = self._seen(images, SIZE)
        return _collected({net: self._net(net, images.device)(seen) for net in nets})

    def _seen(self, images: Tensor, size: int) -> Tensor:
        return normalize(crop(rgb_images(images).float(), size=size, margin=self.margin))

    def _net(self, name: Net, device: torch.device) -> nn.Module:
        if (name, device) not in self._nets:
            # Kept for later calls, which may want gradients.
            with torch.inference_mode(False):
                self._nets[name, device] = NETS[name]().to(device)
        return self._nets[name, device]

    def _points(self, landmarks: Tensor) -> Float[Tensor, "n 68 2"]:
        """Landmarks as fractions of the image's central square."""
        return landmarks.reshape(-1, 68, 2) * (1 + 2 * self.margin) - self.margin

    def _columns(self, outputs: Outputs, names: Sequence[str], *, logits: bool = False) -> Tensor:
        columns: dict[str, Tensor] = {}
        if outputs.expression is not None:
            for name, label in CLASSES.items():
                odds = _log_odds(outputs.expression, EXPRESSIONS.index(label))
                columns[name] = odds if logits else odds.sigmoid()
        if outputs.age is not None and outputs.gender is not None:
            odds = _log_odds(outputs.gender, 0)
            columns |= {"male": odds if logits else odds.sigmoid(), "age": outputs.age}
        if outputs.landmarks is not None:
            points = self._points(outputs.landmarks)
            pose = lm.head_pose(points)
            columns |= {"yaw": pose.yaw, "pitch": pose.pitch, "roll": pose.roll}
            columns["mouth_open"] = lm.mouth_open(points, pose)
            columns["eyes_open"] = lm.eyes_open(points, pose)
            columns["smile_width"] = lm.smile_width(points, pose)
        return torch.stack([columns[n] for n in names], 1)


def _nets_of(names: Sequence[str]) -> tuple[Net, ...]:
    """The networks that some attributes come from."""
    return tuple(n for n, own in OF_NET.items() if any(a.name in names for a in own))


def _collected(found: dict[Net, Any]) -> Outputs:
    age, gender = found.get("age_gender", (None, None))
    return Outputs(found.get("expression"), found.get("landmarks"), age, gender)


def _log_odds(logits: Float[Tensor, "n k"], index: int) -> Float[Tensor, "n"]:
    """Log-odds of one class of a softmax: its logit against all the others."""
    others = [i for i in range(logits.shape[1]) if i != index]
    return logits[:, index] - logits[:, others].logsumexp(1)


def faces(*, margin: float = 0.0) -> FaceClassifier:
    """The built-in face classifier.

    Args:
        margin: Padding on each side of the image's central square, as a fraction of its
            side; negative cuts into it. The default suits digiface64 (its card has the figures);
            for faces that leave more room around them, cut: `margin=-0.15`.

    Raises:
        LatdirError: A margin outside -0.4 … 1.

    Example:
        >>> classifier = faces()
        >>> scores = classifier(torch.zeros(2, 3, 64, 64))
        >>> scores.shape, classifier.names[:3]
        (torch.Size([2, 15]), ('smiling', 'surprised', 'neutral'))
    """
    return FaceClassifier(margin=margin)
