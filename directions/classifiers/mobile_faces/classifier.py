"""A second opinion on faces: the attributes of `faces`, by networks of other origins.

Other authors, training data and architectures than those of `faces` (the card,
`directions/zoo/mobile-faces/README.md`, names them), so that a direction found with one set can be
judged by the other. Attributes, units and signs are those of `faces`, without `disgusted`, which
these networks do not see in rendered faces. Pose, mouth and eyes are the measures of
`faces.landmarks`, taken on the 68 of the mesh's 468 points that lie where iBUG's do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, cached_property
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from directions import zoo
from directions.classifiers.base import Attribute, Classifier
from directions.classifiers.crop import crop, rgb_images
from directions.classifiers.faces import landmarks as lm
from directions.classifiers.faces.inference import tiled
from directions.classifiers.mobile_faces import nets
from directions.devices import Device, moved
from directions.fingerprints import Precision, fingerprint

__all__ = ["MobileFaceClassifier", "mobile_faces"]

Net = Literal["expression", "age_gender", "mesh"]
Columns = dict[str, Tensor]

LUMA = (0.299, 0.587, 0.114)
# Of VGGFace2, in the order blue, green, red, in which the age and gender net takes images.
MEAN_BGR = (103.939, 116.779, 123.68)
# Side of each net's input, and the padding of the image's central square that serves it best.
SEEN: dict[Net, tuple[int, float]] = {
    "expression": (64, 0.0),
    "age_gender": (224, 0.0),
    "mesh": (192, 0.1),
}
# The mesh's point at each of iBUG's 68.
IBUG = (
    *(162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389),  # jaw
    *(71, 63, 105, 66, 107, 336, 296, 334, 293, 301),  # brows
    *(168, 197, 5, 4, 75, 97, 2, 326, 305),  # nose
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),  # eyes
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),  # outer lips
    *(78, 82, 13, 312, 308, 317, 14, 87),  # inner lips
)
OF_NET: dict[Net, tuple[Attribute, ...]] = {
    "expression": tuple(
        Attribute(name, "probability", "probability", f"softmax of the class {label!r}")
        for name, label in (
            ("smiling", "happy"),
            *((n, n) for n in ("surprised", "neutral", "sad", "angry", "fearful")),
        )
    ),
    "age_gender": (
        Attribute("male", "probability", "probability", "sigmoid of 'male'"),
        Attribute("age", "value", "years", "mean of the distribution over ages 1 … 100"),
    ),
    "mesh": (
        Attribute("yaw", "value", "degrees", "positive: looks to the image's right"),
        Attribute("pitch", "value", "degrees", "positive: looks up"),
        Attribute("roll", "value", "degrees", "positive: leans clockwise in the image"),
        Attribute("mouth_open", "value", "ratio", "inner lip gap / outer eye-corner distance"),
        Attribute("eyes_open", "value", "ratio", "lid gap / outer eye-corner distance"),
        Attribute("smile_width", "value", "ratio", "mouth width / outer eye-corner distance"),
    ),
}
NETS: dict[Net, Callable[[], nn.Module]] = {
    "expression": nets.expression_net,
    "age_gender": nets.age_gender_net,
    "mesh": nets.mesh_net,
}


class MobileFaceClassifier(Classifier):
    """Scores of faces; make one with `mobile_faces()`.

    Attributes, in order: the probabilities `smiling`, `surprised`, `neutral`, `sad`, `angry`,
    `fearful` and `male`; `age` in years; `yaw`, `pitch`, `roll` in degrees; `mouth_open`,
    `eyes_open` and `smile_width`, ratios to the distance between the outer corners of the eyes as
    seen from the front, drawn to those of an ordinary face where the mesh net sees none.
    """

    name = "mobile-faces"
    attributes = tuple(a for attributes in OF_NET.values() for a in attributes)
    differentiable = True
    concurrent = True

    def __init__(self) -> None:
        self._nets: dict[tuple[Net, torch.device], nn.Module] = {}

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over weights, margins and the constants of the landmarks' measures."""
        tensors = {
            f"{net}.{key}": tensor
            for net in OF_NET
            for key, tensor in zoo.load(f"mobile-faces/{net}").items()
        }
        shape = [[point, *position] for point, position in lm.SHAPE.items()]
        measures = [lm.MISFIT, lm.NEUTRAL_MOUTH, lm.NEUTRAL_EYES, lm.NEUTRAL_SMILE]
        seen = [[net, *how] for net, how in SEEN.items()]
        config = {"name": self.name, "seen": seen, "points": list(IBUG)}
        return fingerprint(tensors, {**config, "shape": shape, "measures": measures})

    def __call__(self, images: Tensor) -> Float[Tensor, "n k"]:
        """Scores, `[n, 14]`, float32.

        Raises:
            LatdirError: Not a batch of RGB images.
        """
        return self._scores(images, self.names, logits=False)

    def logits(self, images: Tensor) -> Float[Tensor, "n k"]:
        """The networks' log-odds of each probability; values unchanged."""
        return self._scores(images, self.names, logits=True)

    def logits_of(self, images: Tensor, names: Sequence[str]) -> Float[Tensor, "n k"]:
        """Log-odds and values of some attributes; networks not needed for them do not run.

        Raises:
            LatdirError: An attribute it does not have.
        """
        self.columns(names)
        return self._scores(images, names, logits=True)

    def to(
        self, device: Device | None = None, dtype: torch.dtype | None = None
    ) -> MobileFaceClassifier:
        """Itself: the networks run in float32 where the images are, loaded there at first use.

        Raises:
            LatdirError: No such device on this machine.
        """
        moved(None, device, dtype)  # refuses what is not there
        return self

    def landmarks(self, images: Tensor) -> Float[Tensor, "n 68 2"]:
        """68 points as iBUG numbers them, in pixels: x to the right, y down.

        The center of the first pixel is at (0.5, 0.5).
        """
        points, _ = self._net("mesh", images.device)(_seen("mesh", images))
        height, width = images.shape[-2:]
        side = min(height, width)
        corner = images.new_tensor([(width - side) / 2, (height - side) / 2])
        return _ibug(points) * side + corner.float()

    def inference(
        self,
        *,
        precision: Precision = "float32",
        names: Sequence[str] | None = None,
        compile: bool = False,
    ) -> Callable[[Tensor], Tensor]:
        """The same function prepared for speed, without gradients.

        Scores of an image are the same to the bit whatever else is in the batch.

        Args:
            precision: `bfloat16` runs expression, age and gender in it, on processors with
                bfloat16 instructions; the mesh, which is slower in it, stays in float32.
            names: Attributes wanted, in this order; by default all. Networks that no wanted
                attribute needs are not run.
            compile: Ignored.

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
        layout = torch.channels_last

        @cache
        def prepared(device: torch.device) -> Callable[[Tensor], Tensor]:
            ready = {}
            for net in _nets_of(wanted):
                ready[net] = NETS[net]().to(device).to(memory_format=layout)
                if precision == "bfloat16" and net != "mesh":
                    nets.narrowed(ready[net])

            def tile(images: Tensor) -> Tensor:
                found: Columns = {}
                for net, network in ready.items():
                    seen = _seen(net, images).contiguous(memory_format=layout)
                    found |= _COLUMNS[net](network(seen), logits)
                return torch.stack([found[n] for n in wanted], 1)

            return tile

        def run(images: Tensor) -> Tensor:
            with torch.inference_mode():
                return tiled(prepared(images.device), rgb_images(images).float())

        return run

    def _scores(self, images: Tensor, names: Sequence[str], *, logits: bool) -> Tensor:
        found: Columns = {}
        for net in _nets_of(names):
            output = self._net(net, images.device)(_seen(net, images))
            found |= _COLUMNS[net](output, logits)
        return torch.stack([found[n] for n in names], 1)

    def _net(self, name: Net, device: torch.device) -> nn.Module:
        if (name, device) not in self._nets:
            # Kept for later calls, which may want gradients.
            with torch.inference_mode(False):
                self._nets[name, device] = NETS[name]().to(device)
        return self._nets[name, device]


def _nets_of(names: Sequence[str]) -> tuple[Net, ...]:
    """The networks that some attributes come from."""
    return tuple(n for n, own in OF_NET.items() if any(a.name in names for a in own))


def _seen(net: Net, images: Tensor) -> Tensor:
    """Images in [-1, 1] as a network takes them."""
    size, margin = SEEN[net]
    square = crop(rgb_images(images).float(), size=size, margin=margin)
    if net == "expression":
        return (square * square.new_tensor(LUMA)[:, None, None]).sum(1, keepdim=True)
    if net == "mesh":
        return square / 2 + 0.5
    return square.flip(1) * 127.5 + (127.5 - square.new_tensor(MEAN_BGR))[:, None, None]


def _expressions(outputs: Tensor, logits: bool) -> Columns:
    odds = outputs.float()
    found = {}
    for index, label in enumerate(nets.EXPRESSIONS):
        others = [i for i in range(odds.shape[1]) if i != index]
        # Log-odds of one class of a softmax: its logit against all the others'.
        score = odds[:, index] - odds[:, others].logsumexp(1)
        found["smiling" if label == "happy" else label] = score if logits else score.sigmoid()
    return found


def _age_gender(outputs: nets.AgeGender, logits: bool) -> Columns:
    chance = outputs.age.float().softmax(1)
    years = torch.arange(1, chance.shape[1] + 1, device=chance.device, dtype=chance.dtype)
    male = outputs.male.float()
    return {"male": male if logits else male.sigmoid(), "age": chance @ years}


def _mesh(outputs: tuple[Tensor, Tensor], logits: bool) -> Columns:
    mesh, flag = outputs
    points = _ibug(mesh)
    pose = lm.head_pose(points)
    # Helmets, masks and broken images: the mesh of an ordinary face lies over them, and says so.
    pose = pose._replace(trust=pose.trust * flag.sigmoid())
    return {
        "yaw": pose.yaw,
        "pitch": pose.pitch,
        "roll": pose.roll,
        "mouth_open": lm.mouth_open(points, pose),
        "eyes_open": lm.eyes_open(points, pose),
        "smile_width": lm.smile_width(points, pose),
    }


def _ibug(mesh: Float[Tensor, "n 468 3"]) -> Float[Tensor, "n 68 2"]:
    """The landmarks of iBUG, as fractions of the image's central square."""
    size, margin = SEEN["mesh"]
    return mesh[:, list(IBUG), :2] / size * (1 + 2 * margin) - margin


_COLUMNS: dict[Net, Callable[[Any, bool], Columns]] = {
    "expression": _expressions,
    "age_gender": _age_gender,
    "mesh": _mesh,
}


def mobile_faces() -> MobileFaceClassifier:
    """The second built-in face classifier, of other origins than `faces`.

    Example:
        >>> scores = mobile_faces()(torch.zeros(2, 3, 64, 64))
        >>> scores.shape, mobile_faces().names[:3]
        (torch.Size([2, 14]), ('smiling', 'surprised', 'neutral'))
    """
    return MobileFaceClassifier()
