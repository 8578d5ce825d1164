"""Head pose and measures of mouth and eyes from 68 landmarks, differentiable.

The landmarks are numbered as in iBUG's 300-W annotation: 0–16 jaw, 17–26 brows, 27–35 nose,
36–47 eyes, 48–67 mouth, from the image's left to its right. Positions have x to the right and
y down, as in the image.

Pose comes from the weak-perspective camera (rotation, scale, shift; no perspective) that maps a
mean face in three dimensions onto 13 landmarks that expressions move little, by least squares:
the POS step of DeMenthon and Davis (1995, "Model-based object pose in 25 lines of code"). The
mean face was itself recovered from landmarks: rank-3 factorization (Tomasi and Kanade 1992) of
4,000 digiface64 faces and their mirror images; `tools/fit_face_shape.py` does it again.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["POINTS", "SHAPE", "Pose", "eyes_open", "head_pose", "mouth_open", "smile_width"]

# Landmark: (x to the image's right, y up, z toward the viewer), in units of the distance
# between the outer corners of the eyes; the centroid is the origin. Upright means that the
# middle of the eye corners is straight above the middle of the mouth corners.
SHAPE = {
    36: (-0.500, 0.307, -0.170),
    39: (-0.217, 0.289, -0.126),
    42: (0.217, 0.289, -0.126),
    45: (0.500, 0.307, -0.170),
    27: (0.000, 0.294, 0.029),
    28: (0.000, 0.157, 0.134),
    29: (0.000, 0.044, 0.243),
    30: (0.000, -0.079, 0.280),
    31: (-0.134, -0.199, 0.045),
    33: (0.000, -0.229, 0.111),
    35: (0.134, -0.199, 0.045),
    48: (-0.287, -0.490, -0.148),
    54: (0.287, -0.490, -0.148),
}
POINTS = tuple(SHAPE)
# Values returned when the landmarks form no face: about the medians of digiface64.
NEUTRAL_MOUTH, NEUTRAL_EYES, NEUTRAL_SMILE = 0.05, 0.08, 0.57
# Misfit, in eye-corner distances, at which trust is a half. Readable faces stay below 0.05;
# the 3 % of digiface64's that are broken or covered scatter above 0.09.
MISFIT = 0.08
# Undoing the yaw of a profile would magnify noise: no more than that of about 73 degrees is.
NARROWEST = 0.3
SMALLEST = 1e-6


class Pose(NamedTuple):
    """A weak-perspective camera for each face.

    Attributes:
        yaw: `[n]` degrees, azimuth of the face's forward axis; positive when it looks toward
            the image's right.
        pitch: `[n]` degrees, elevation of that axis; positive when it looks up, zero when the
            line from eyes to mouth is parallel to the image.
        roll: `[n]` degrees, slope of the line from eye to eye; positive when the head leans
            clockwise as seen in the image.
        scale: `[n]`, length in the image of the distance between the outer corners of the eyes,
            had the face looked straight ahead; in units of the landmarks.
        width: `[n]`, foreshortening of horizontal lengths by the yaw, about cos(yaw).
        trust: `[n]` in [0, 1], 1 / (1 + (misfit / 0.08)^8), where the misfit is the root mean
            square distance of the 13 points from the fitted mean face over `scale`. Where the
            points make no face (broken or covered ones), the angles are drawn to 0 and the
            measures below to those of an ordinary face, in proportion to 1 − trust.
    """

    yaw: Tensor
    pitch: Tensor
    roll: Tensor
    scale: Tensor
    width: Tensor
    trust: Tensor


def head_pose(landmarks: Float[Tensor, "n 68 2"]) -> Pose:
    """Fit the mean face to landmarks.

    Args:
        landmarks: x to the right and y down, in any unit.

    Example:
        >>> face = torch.zeros(1, 68, 2)
        >>> mean = torch.tensor(list(SHAPE.values()))[:, :2]
        >>> face[0, list(POINTS)] = mean * torch.tensor([1, -1])
        >>> pose = head_pose(face)
        >>> [abs(round(float(angle), 3)) for angle in pose[:3]]
        [0.0, 0.0, 0.0]
    """
    shape = torch.tensor(list(SHAPE.values()), dtype=landmarks.dtype, device=landmarks.device)
    shape = shape - shape.mean(0)
    points = landmarks[:, list(POINTS)] * landmarks.new_tensor([1.0, -1.0])
    points = points - points.mean(1, keepdim=True)
    # The affine camera: the least-squares solution of points = shape @ cameraᵀ.
    camera = points.transpose(1, 2) @ torch.linalg.pinv(shape).T
    rotation, scale = _nearest_rotation(camera)
    right, up = rotation.unbind(1)
    forward = torch.stack(
        (right[:, 1] * up[:, 2] - right[:, 2] * up[:, 1],
         right[:, 2] * up[:, 0] - right[:, 0] * up[:, 2],
         right[:, 0] * up[:, 1] - right[:, 1] * up[:, 0]), 1
    )  # fmt: skip
    # Rows are the image's axes in the face's frame, so column k is the face's axis k in the image.
    yaw = torch.atan2(right[:, 2], forward[:, 2])
    pitch = torch.atan2(up[:, 2], torch.hypot(right[:, 2], forward[:, 2]))
    roll = torch.atan2(-up[:, 0], right[:, 0])
    width = torch.hypot(right[:, 0], up[:, 0])
    misfit = (points - shape @ camera.transpose(1, 2)).square().sum(2).mean(1) / scale.square()
    trust = 1 / (1 + (misfit / MISFIT**2) ** 4)
    yaw, pitch, roll = (trust * angle.rad2deg() for angle in (yaw, pitch, roll))
    return Pose(yaw, pitch, roll, scale, width, trust)


def _nearest_rotation(camera: Float[Tensor, "n 2 3"]) -> tuple[Tensor, Tensor]:
    """Two orthonormal rows times a scale nearest to the camera: (M Mᵀ)^(−1/2) M in closed form."""
    (a, b), (_, d) = ((camera @ camera.transpose(1, 2))[:, i].unbind(1) for i in (0, 1))
    root = (a * d - b * b).clamp_min(SMALLEST**4).sqrt()
    trace = (a + d + 2 * root).sqrt()
    # √(MMᵀ) = (MMᵀ + √det I) / trace for a symmetric 2×2 matrix, whose own trace is `trace`.
    gram = torch.stack((torch.stack((d + root, -b), 1), torch.stack((-b, a + root), 1)), 1)
    rotation = gram @ camera / (root * trace)[:, None, None]
    return rotation, trace / 2


def mouth_open(landmarks: Float[Tensor, "n 68 2"], pose: Pose) -> Float[Tensor, "n"]:
    """Mean gap between the inner lips (three pairs of points), over `pose.scale`."""
    gap = _gap(landmarks, (61, 62, 63), (67, 66, 65)) / pose.scale
    return _trusted(gap, NEUTRAL_MOUTH, pose)


def eyes_open(landmarks: Float[Tensor, "n 68 2"], pose: Pose) -> Float[Tensor, "n"]:
    """Mean gap between the lids of both eyes (four pairs of points), over `pose.scale`."""
    gap = _gap(landmarks, (37, 38, 43, 44), (41, 40, 47, 46)) / pose.scale
    return _trusted(gap, NEUTRAL_EYES, pose)


def smile_width(landmarks: Float[Tensor, "n 68 2"], pose: Pose) -> Float[Tensor, "n"]:
    """Distance between the corners of the mouth, the yaw undone, over `pose.scale`."""
    width = _gap(landmarks, (48,), (54,)) / (pose.scale * pose.width.clamp_min(NARROWEST))
    return _trusted(width, NEUTRAL_SMILE, pose)


def _trusted(measure: Tensor, neutral: float, pose: Pose) -> Tensor:
    return neutral + pose.trust * (measure - neutral)


def _gap(landmarks: Tensor, upper: tuple[int, ...], lower: tuple[int, ...]) -> Tensor:
    difference = landmarks[:, list(upper)] - landmarks[:, list(lower)]
    # hypot has no gradient at zero; a gap of a millionth of the frame is closed.
    return (difference.square().sum(-1) + SMALLEST**2).sqrt().mean(1)
