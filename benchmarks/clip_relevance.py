"""Relevance of channels to a text-image model, beside the channel-by-channel loop.

    python benchmarks/clip_relevance.py
    python benchmarks/clip_relevance.py --generator styleface64
    python benchmarks/clip_relevance.py --clip ViT-B/32 --parts 2

The axes are all channels of `s`; without styles, all coordinates and the principal components of
the first layer's activations. The loop is built as the official code's: one channel at a time, its
images made one by one, bytes and PIL in between, then one batch for the model; but each channel is
restored. A second loop makes each channel's images in one batch. Both are timed on a few axes, the
rest is extrapolated; `measure_relevance` is also run on all axes once. Everything is on one
thread; seconds are those of the processor, so that other work on the machine does not count, each
a median of three, taken in turn. Cosines tell how far the relevances of the timed axes agree.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize

from directions import Direction, DirectionBank
from directions.classifiers.clip.model import ClipModel, load_clip
from directions.generators import load_generator
from directions.generators.base import Generator
from directions.images import to_pil
from discovery.text.axes import Axes
from discovery.text.relevance import measure_relevance
from discovery.unsupervised.pca import PCA

STRENGTH = 5.0


def main() -> None:
    options = arguments()
    torch.set_num_threads(1)
    generator, clip = load_generator(options.generator), load_clip(options.clip)
    axes = axes_of(generator, options.layer)
    part = some(axes, options.parts)
    codes = generator.sample(options.codes, seed=0, space=axes.space)
    print(f"{len(axes)} axes of {axes.space}, {options.codes} codes, {clip.name}, one thread")

    ways: dict[str, Callable[[], Tensor]] = {
        "loop, images one by one": lambda: loop(generator, clip, part, codes),
        "loop, a batch a channel": lambda: batched_loop(generator, clip, part, codes),
    }
    for precision in ("float32", "bfloat16"):
        ways[f"differences, {precision}"] = lambda precision=precision: (
            measure_relevance(
                generator, clip, part, count=len(codes), precision=precision, batch=options.batch
            ).means
        )
    found: dict[str, Tensor] = {}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.repeat):
        for name, run in ways.items():
            start = time.process_time()
            found[name] = run()
            seconds[name].append(time.process_time() - start)
    reference = found["loop, images one by one"]
    middle = {name: statistics.median(taken) for name, taken in seconds.items()}
    slowest = middle["loop, images one by one"]
    for name, taken in middle.items():
        agree = cosine_similarity(found[name], reference, dim=1)
        print(
            f"{name:26s} {taken / len(part) * len(axes):8.1f} s for all axes  "
            f"{slowest / taken:5.1f} × as fast  cosine {float(agree.median()):.4f}, "
            f"least {float(agree.min()):.4f}"
        )

    whole = {}
    for way, precision in (("differences", "bfloat16"), ("jacobian", "float32")):
        if way not in options.whole:
            continue
        start, wall = time.process_time(), time.perf_counter()
        relevance = measure_relevance(
            generator, clip, axes, count=len(codes), way=way, precision=precision,
            batch=options.batch,
        )  # fmt: skip
        whole[way] = time.process_time() - start
        print(
            f"all {len(axes)} axes at once, {way} in {precision}: {whole[way]:.1f} s "
            f"({time.perf_counter() - wall:.1f} s on the clock); "
            f"median agreement of codes {float(relevance.agreement.median()):.3f}"
        )
    if options.json:
        options.json.write_text(json.dumps({"timed": middle, "whole": whole}, indent=1))


def axes_of(generator: Generator, layer: str) -> Axes:
    if "s" in generator.spaces:
        return Axes.coordinates(generator, "s")
    space = next(iter(generator.spaces))
    plain = Axes.coordinates(generator, space)
    units = [
        Direction(name, row, space, sigma=float(sigma))
        for name, row, sigma in zip(plain.names, torch.eye(len(plain)), plain.sigmas, strict=True)
    ]
    components = PCA(n_directions=200, n_codes=2000, layer=layer, passes=1).discover(generator)
    bank = DirectionBank((*units, *components.directions), generator.name, generator.fingerprint)
    return Axes.of(bank)


def some(axes: Axes, count: int) -> Axes:
    """A few axes, spread over all of them."""
    chosen = torch.linspace(0, len(axes) - 1, count).long()
    vectors = torch.stack([axes.steps(i, i + 1)[0] / axes.sigmas[i] for i in chosen.tolist()])
    names = tuple(axes.names[i] for i in chosen.tolist())
    return Axes(axes.space, names, axes.sigmas[chosen], vectors)


def loop(generator: Generator, clip: ClipModel, axes: Axes, codes: Tensor) -> Tensor:
    """One channel, one code, one image at a time, by way of bytes and PIL."""
    from clip.clip import _transform

    preprocess, tower = _transform(clip.size), clip.towers
    rows = []
    with torch.inference_mode():
        for c in range(len(axes)):
            step = STRENGTH * axes.steps(c, c + 1).reshape(1, *codes.shape[1:])
            pictures = [
                preprocess(to_pil(generator.synthesize(code[None] + sign * step, axes.space)[0]))
                for code in codes
                for sign in (-1, 1)
            ]
            rows.append(tower.image(torch.stack(pictures)).float())
    return torch.stack([mean_difference(row.unflatten(0, (-1, 2))) for row in rows])


def batched_loop(generator: Generator, clip: ClipModel, axes: Axes, codes: Tensor) -> Tensor:
    """One channel at a time, all its images in one batch, without bytes or PIL."""
    rows = []
    with torch.inference_mode():
        for c in range(len(axes)):
            step = STRENGTH * axes.steps(c, c + 1).reshape(1, *codes.shape[1:])
            moved = torch.stack([codes - step, codes + step], 1).flatten(0, 1)
            images = generator.synthesize(moved, axes.space)
            rows.append(clip.encode_images(images).unflatten(0, (-1, 2)))
    return torch.stack([mean_difference(row) for row in rows])


def mean_difference(pairs: Tensor) -> Tensor:
    unit = normalize(pairs, dim=2)
    return normalize(unit[:, 1] - unit[:, 0], dim=1).mean(0)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generator", default="digiface64")
    parser.add_argument("--clip", default="tinyclip-faces", help="whatever load_clip takes")
    parser.add_argument("--layer", default="relu.0", help="layer of the principal components")
    parser.add_argument("--codes", type=int, default=100)
    parser.add_argument("--parts", type=int, default=4, help="axes that the loops are timed on")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument(
        "--whole", nargs="*", default=["differences"], choices=["differences", "jacobian"],
        help="ways to run on all axes besides",
    )  # fmt: skip
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
