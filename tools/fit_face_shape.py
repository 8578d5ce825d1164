"""Recover the mean face of `directions/classifiers/faces/landmarks.py` from landmarks alone.

    python tools/fit_face_shape.py [--count 4000]

Rank-3 factorization of tracked points under a scaled orthographic camera (Tomasi and Kanade,
"Shape and motion from image streams under orthography", IJCV 1992; the metric step as in Poelman
and Kanade 1997). Each digiface64 face counts as one view of one head; each comes with its
mirror image, which makes the shape symmetric. Depth is distinguished from its reversal by the
nose, which points at the viewer. Other samples of faces move the result by less than 0.01.
"""

from __future__ import annotations

import argparse

import torch
from jaxtyping import Float
from torch import Tensor

from directions.classifiers.faces.classifier import faces
from directions.classifiers.faces.landmarks import POINTS, SHAPE
from directions.generators.dcgan import digiface64

# The point that each of `POINTS` becomes in a mirror.
MIRROR = {36: 45, 39: 42, 42: 39, 45: 36, 31: 35, 35: 31, 48: 54, 54: 48}
EYES, MOUTH, NOSE_TIP = (36, 39, 42, 45), (48, 54), 30
BATCH = 128


def views(count: int) -> Float[Tensor, "n p 2"]:
    """Points of faces and their mirror images: x to the right, y up, centered."""
    generator, classifier = digiface64(), faces()
    with torch.inference_mode():
        points = [
            classifier.landmarks(generator.synthesize(codes))
            for codes in generator.sample(count, seed=0).split(BATCH)
        ]
    seen = torch.cat(points)[:, list(POINTS)].double() * torch.tensor([1.0, -1.0])
    order = [POINTS.index(MIRROR.get(p, p)) for p in POINTS]
    both = torch.cat((seen, seen[:, order] * torch.tensor([-1.0, 1.0])))
    return both - both.mean(1, keepdim=True)


def factorize(seen: Float[Tensor, "n p 2"]) -> Float[Tensor, "p 3"]:
    """The rigid shape whose views these are, up to rotation, scale and depth reversal."""
    rows = seen.transpose(1, 2).reshape(-1, seen.shape[1])
    u, s, v = torch.linalg.svd(rows, full_matrices=False)
    print("singular values:", ", ".join(f"{value:.3f}" for value in s[:5] / s[0]))
    cameras, affine = u[:, :3] * s[:3], v[:3]
    right, up = cameras[0::2], cameras[1::2]
    # Q = T Tᵀ makes each camera's two rows orthogonal and equally long, by least squares.
    conditions = torch.cat((quadratic(right, right) - quadratic(up, up), quadratic(right, up)))
    size = (quadratic(right, right) + quadratic(up, up)).mean(0)
    q = torch.linalg.solve(conditions.T @ conditions, size)
    a, b, c, d, e, f = q * 2 / (size @ q)
    metric = torch.stack([torch.stack(row) for row in ((a, d, e), (d, b, f), (e, f, c))])
    values, vectors = torch.linalg.eigh(metric)
    if values[0] <= 0:
        raise SystemExit("these views fix no metric shape: take more faces")
    return torch.linalg.solve(vectors * values.sqrt(), affine).T


def quadratic(p: Float[Tensor, "n 3"], q: Float[Tensor, "n 3"]) -> Float[Tensor, "n 6"]:
    """Coefficients of pᵀ Q q in the six entries of a symmetric Q."""
    cross = [p[:, i] * q[:, j] + p[:, j] * q[:, i] for i, j in ((0, 1), (0, 2), (1, 2))]
    return torch.stack([*(p[:, i] * q[:, i] for i in range(3)), *cross], 1)


def upright(shape: Float[Tensor, "p 3"]) -> Float[Tensor, "p 3"]:
    """In the axes and the unit that `SHAPE` states."""
    at = dict(zip(POINTS, shape, strict=True))
    across = at[45] - at[36]
    x = across / across.norm()
    y = torch.stack([at[p] for p in EYES]).mean(0) - torch.stack([at[p] for p in MOUTH]).mean(0)
    y = y - (y @ x) * x
    y = y / y.norm()
    z = torch.linalg.cross(x, y)
    made = shape @ torch.stack((x, y, z)).T / across.norm()
    made = made - made.mean(0)
    return made * torch.tensor([1.0, 1.0, float(made[POINTS.index(NOSE_TIP), 2].sign())])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=4000, help="faces")
    shape = upright(factorize(views(parser.parse_args().count)))
    for point, position in zip(POINTS, shape.tolist(), strict=True):
        print(f"    {point}: ({', '.join(f'{value + 0.0:.3f}' for value in position)}),")
    stated = torch.tensor(list(SHAPE.values()), dtype=torch.float64)
    print(f"largest difference from SHAPE: {float((shape - stated).abs().max()):.4f}")


if __name__ == "__main__":
    main()
