"""Labeled samples a second: `discovery.sample` against the loop one would write first.

Both draw codes, make digiface64's images and score expression, landmarks, age and gender. The
naive loop: float32, batches of 128, every batch norm as trained, a bicubic resize for each network,
TensorFlow's padding as a copy. The two take turns; each figure is the median. The networks and
their weights are the same, so the labels should be: the last lines say how often they are, also
against float32 with the toolkit's own resize, which leaves the arithmetic alone to differ.

    python benchmarks/throughput.py
    python benchmarks/throughput.py --samples 512 --repeats 3 --naive 128
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from directions import Rendering, zoo
from directions.classifiers.faces.classifier import CLASSES, faces
from directions.classifiers.faces.nets import (
    EXPRESSIONS,
    age_gender_net,
    expression_net,
    landmark_net,
    normalize,
)
from directions.generators.dcgan import digiface64
from discovery.sampling.sampler import sample

SEED = 5
NAIVE_BATCH = 128


def main() -> None:
    options = arguments()
    generator, classifier = digiface64(), faces()
    naive = naive_loop()
    fixed = None if options.precision == "auto" else options.precision
    batch = options.batch

    def ours(count: int) -> Tensor:
        rendering = Rendering(batch_size=batch, precision=fixed, progress=False)
        run = sample(generator, classifier, count, seed=SEED, rendering=rendering)
        return run.scores

    naive(generator.sample(16, seed=SEED))
    ours(16)
    codes = generator.sample(options.naive, seed=SEED)
    slow, fast = [], []
    for turn in range(options.repeats):
        slow.append(rates(lambda: naive(codes), options.naive))
        fast.append(rates(lambda: ours(options.samples), options.samples))
        print(f"turn {turn + 1}: naive {slow[-1][0]:.1f}/s, sample {fast[-1][0]:.1f}/s")
    for i, unit in enumerate(("second", "second of processor time")):
        a, b = (statistics.median(turn[i] for turn in turns) for turns in (slow, fast))
        ratio = statistics.median(f[i] / s[i] for f, s in zip(fast, slow, strict=True))
        print(f"a {unit}: naive {a:.1f}, sample {b:.1f}; median of the turns' ratios {ratio:.1f}×")
    agreement(naive, ours)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--samples", type=int, default=1024, help="samples of a turn")
    parser.add_argument("--naive", type=int, default=128, help="samples of a naive turn")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument(
        "--precision",
        choices=["auto", "float32", "bfloat16"],
        default="bfloat16",
        help="bfloat16 is what `sample` chooses by itself for runs of 2,048 and more",
    )
    return parser.parse_args()


def naive_loop() -> Callable[[Tensor], dict[str, Tensor]]:
    net = naive_generator()
    nets = {
        "expression": expression_net(),
        "landmarks": landmark_net(),
        "age_gender": age_gender_net(),
    }

    def run(codes: Tensor) -> dict[str, Tensor]:
        parts: dict[str, list[Tensor]] = {"expression": [], "landmarks": [], "age": [], "male": []}
        with torch.no_grad():
            for batch in codes.split(NAIVE_BATCH):
                images = net(batch[:, :, None, None])
                for name, network in nets.items():
                    seen = functional.interpolate(images, (112, 112), mode="bicubic")
                    answer = network(normalize(seen))
                    if name == "age_gender":
                        parts["age"].append(answer.age)
                        parts["male"].append(answer.gender.softmax(1)[:, 0])
                    else:
                        parts[name].append(answer)
        return {name: torch.cat(tensors) for name, tensors in parts.items()}

    return run


def naive_generator() -> nn.Module:
    weights = zoo.load("digiface64")
    layers: list[nn.Module] = []
    for i in range(5):
        kernel = weights[f"deconv.{i}.weight"]
        c, o = kernel.shape[:2]
        deconv = nn.ConvTranspose2d(c, o, 4, 1 if i == 0 else 2, 0 if i == 0 else 1, bias=False)
        deconv.weight = nn.Parameter(kernel)
        layers.append(deconv)
        if i < 4:
            norm = nn.BatchNorm2d(o)
            prefix = f"norm.{i}."
            state = {k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)}
            norm.load_state_dict(state, strict=False)
            layers += [norm, nn.ReLU()]
    return nn.Sequential(*layers, nn.Tanh()).eval()


def rates(work: Callable[[], object], count: int) -> tuple[float, float]:
    """Samples a second, and a second of processor time, which a busy machine blurs less."""
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return count / (time.perf_counter() - wall), count / (time.process_time() - processor)


def agreement(
    naive: Callable[[Tensor], dict[str, Tensor]], ours: Callable[[int], Tensor], count: int = 512
) -> None:
    generator, classifier = digiface64(), faces()
    codes = generator.sample(count, seed=SEED)
    there = naive(codes)
    with torch.no_grad():
        plain = torch.cat([classifier(generator.synthesize(c)) for c in codes.split(64)])
    scores = ours(count)
    columns = [classifier.names.index(name) for name in CLASSES]
    male, age = (classifier.names.index(name) for name in ("male", "age"))
    order = [EXPRESSIONS.index(label) for label in CLASSES.values()]
    references = {
        "the naive loop": (there["expression"][:, order], there["male"], there["age"]),
        "float32, same resize": (plain[:, columns], plain[:, male], plain[:, age]),
    }
    for name, (expression, gender, years) in references.items():
        same = (scores[:, columns].argmax(1) == expression.argmax(1)).float().mean()
        sexes = ((scores[:, male] > 0.5) == (gender > 0.5)).float().mean()
        print(
            f"against {name}: expression {same:.1%}, male {sexes:.1%} same labels; "
            f"age differs by {(scores[:, age] - years).abs().mean():.2f} years on average"
        )
    spread = (scores - plain).square().mean(0).sqrt() / plain.std(0)
    worst = int(spread.argmax())
    print(
        f"largest error of a score in its own standard deviation: {spread[worst]:.3f} "
        f"({classifier.names[worst]})"
    )


if __name__ == "__main__":
    main()
