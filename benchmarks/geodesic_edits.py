"""Straight, geodesic and transported edits at equal effect: what is kept of the identity.

    python benchmarks/geodesic_edits.py                        both built-in generators
    python benchmarks/geodesic_edits.py --cache labels         labels and walks kept
    python benchmarks/geodesic_edits.py --figure gains.png     drawn from the stored results

Conditional means of the same labels give the directions. Each edit moves held-out codes along one,

- `straight`: the direction itself;
- `geodesic`: the geodesic of the images (pixels) that starts along it;
- `transported`: the geodesic that starts along the direction carried from the mean code, by the
  same length of the code,

until the attribute's mean score has changed by half a standard deviation; amounts between those
that are measured are interpolated, and so is what they keep. `identity` is the mean cosine of face
embeddings before and after, `others` the mean over the other attributes of the absolute mean
change, in standard deviations. The interval of the difference to `straight` is a bootstrap over
codes. Results are stored in `results/geodesic-edits-<generator>.json` after each attribute; with
`--cache` a run that was killed goes on. The labels of `learned.py` will do.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize

from analysis.plots.theme import LIGHT, dress
from directions import Direction, Rendering, keep_freed_memory, load_classifier, load_generator
from directions.classifiers.base import logit
from directions.classifiers.faces.classifier import faces
from directions.generators import Generator
from directions.paths import GeodesicPath
from directions.paths.transport import geodesic, models_of
from directions.scoring.scorer import Scorer
from directions.seeds import HELD_OUT_SEED
from discovery import ConditionalMean, Samples, sample

SPACES = {"digiface64": "z", "styleface64": "w"}
ATTRIBUTES = ("smiling", "yaw", "male", "age")
AMOUNTS = (0.75, 1.5, 2.25, 3.0)
EFFECT = 0.5
CHUNK = 8
RENDERING = Rendering(precision="float32", batch_size=32, progress=False)
RESULTS = Path(__file__).parent / "results"


class Bench:
    """Held-out codes of a generator with their scores and faces."""

    def __init__(self, generator: Generator, samples: Samples, count: int) -> None:
        self.judge, self.network = load_classifier("faces+pixels"), faces()
        self.scorer = Scorer(generator, self.judge, space=samples.space, rendering=RENDERING)
        self.codes = generator.sample(count, seed=HELD_OUT_SEED, space=samples.space)
        known = samples.scores[:, [samples.names.index(n) for n in self.judge.names]]
        self.std = logit(known, self.judge.attributes).std(0)
        self.before = self.seen(self.codes)

    @torch.inference_mode()
    def seen(self, codes: Tensor) -> tuple[Tensor, Tensor]:
        """Scores, probabilities as log-odds, and embeddings of codes."""
        images = torch.cat([part.clone() for part in self.scorer.images(codes)])
        scores = torch.cat([self.scorer.score_images(part) for part in images.split(32)])
        embedded = torch.cat([self.network.embed(part).clone() for part in images.split(32)])
        return logit(scores, self.judge.attributes), embedded

    def curve(self, moved: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Changes `[t, n, a]` in standard deviations, and cosines `[t, n]`, zero amount first."""
        changes = [torch.zeros_like(self.before[0])]
        kept = [torch.ones(len(self.codes))]
        for codes in moved:
            scores, embedded = self.seen(codes)
            changes.append((scores - self.before[0]) / self.std)
            kept.append(cosine_similarity(embedded, self.before[1]))
        return torch.stack(changes), torch.stack(kept)


def at_effect(effects: Tensor) -> tuple[int, float] | None:
    """The interval of amounts and the place in it at which the mean effect is reached."""
    for i, (low, high) in enumerate(zip(effects[:-1].tolist(), effects[1:].tolist(), strict=True)):
        if low < EFFECT <= high:
            return i, (EFFECT - low) / (high - low)
    return None


def traced(path: GeodesicPath, codes: Tensor, cache: Path | None) -> list[Tensor]:
    """Codes after each of the amounts, from one walk of equal steps, a few codes at a time."""
    models = models_of(path.generator, path.space, None)
    parts = []
    for i, part in enumerate(codes.split(CHUNK)):
        kept = cache and cache.with_name(f"{cache.name}-{i}.pt")
        if kept is not None and kept.exists():
            parts.append(torch.load(kept))
            continue
        starts = normalize(path.starts(part), dim=1)
        velocities = AMOUNTS[-1] * path.direction.sigma * starts
        walk = geodesic(models, part, velocities, steps=len(AMOUNTS))
        parts.append(torch.stack(list(walk)[1:]))
        if kept is not None:
            torch.save(parts[-1], kept)
    return list(torch.cat(parts, 1))


def compared(
    bench: Bench, generator: Generator, direction: Direction, cache: Path | None
) -> dict[str, object]:
    """Figures of the three edits along one direction."""
    column = bench.judge.names.index(direction.name)
    others = [i for i in range(len(bench.std)) if i != column]
    mean = generator.prior(direction.space).mean.reshape(direction.vector.shape)
    moved = {
        "straight": [direction.shift(bench.codes, amount) for amount in AMOUNTS],
        "geodesic": traced(
            GeodesicPath(generator, direction),
            bench.codes,
            cache and cache / f"{generator.name}-{direction.name}-geodesic",
        ),
        "transported": traced(
            GeodesicPath(generator, direction, origin=mean),
            bench.codes,
            cache and cache / f"{generator.name}-{direction.name}-transported",
        ),
    }
    found: dict[str, object] = {"codes": len(bench.codes)}
    identities: dict[str, Tensor] = {}
    for name, along in moved.items():
        changes, kept = bench.curve(along)
        place = at_effect(changes[:, :, column].mean(1))
        if place is None:
            found[name] = None
            continue
        i, part = place
        change = torch.lerp(changes[i], changes[i + 1], part)
        identities[name] = torch.lerp(kept[i], kept[i + 1], part)
        amounts = (0.0, *AMOUNTS)
        found[name] = {
            "amount": round(amounts[i] + part * (amounts[i + 1] - amounts[i]), 3),
            "identity": round(float(identities[name].mean()), 4),
            "others": round(float(change[:, others].mean(0).abs().mean()), 4),
        }
    rng = torch.Generator().manual_seed(0)
    draws = torch.randint(len(bench.codes), (2000, len(bench.codes)), generator=rng)
    for name in ("geodesic", "transported"):
        if name in identities and "straight" in identities:
            gains = (identities[name] - identities["straight"])[draws].mean(1)
            ends = gains.quantile(torch.tensor([0.025, 0.975])).tolist()
            found[f"{name} gain"] = [round(float(gains.mean()), 4), *(round(e, 4) for e in ends)]
    return found


def drawn() -> Figure:
    """Identity kept beyond that of straight edits of equal effect, of the stored results."""
    figure = Figure(figsize=(8, 3), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(SPACES)), SPACES, strict=True):
        kept = json.loads((RESULTS / f"geodesic-edits-{name}.json").read_text(encoding="utf-8"))
        shown = [a for a in ATTRIBUTES if a in kept]
        dress(axes, LIGHT, title=f"{name}, {SPACES[name]}", size=10)
        axes.axhline(0, color=LIGHT.quiet, linewidth=1)
        for j, edit in enumerate(("geodesic", "transported")):
            color, marker, _ = LIGHT.line(j)
            for i, attribute in enumerate(shown):
                x, gain = i + 0.3 * (j - 0.5), kept[attribute].get(f"{edit} gain")
                if gain is None:
                    foot = axes.get_xaxis_transform()
                    axes.plot(x, 0.04, marker="x", color=color, transform=foot, clip_on=False)
                    continue
                ends = [[gain[0] - gain[1]], [gain[2] - gain[0]]]
                axes.errorbar(x, gain[0], ends, fmt=marker, color=color)
            axes.plot([], [], marker, color=color, label=edit)
        axes.plot([], [], "x", color=LIGHT.quiet, label="effect not reached")
        axes.set_xticks(range(len(shown)), shown)
    figure.axes[0].set_ylabel("identity less that of straight edits")
    figure.axes[0].legend(frameon=False, fontsize=8, loc="center right")
    return figure


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generator", choices=SPACES, nargs="+", default=list(SPACES))
    parser.add_argument("--attributes", choices=ATTRIBUTES, nargs="+", default=ATTRIBUTES)
    parser.add_argument("--labels", type=int, default=4096)
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--cache", type=Path, help="folder that keeps labels and walks")
    parser.add_argument("--figure", type=Path, help="draw the stored results there and stop")
    options = parser.parse_args()
    if options.figure:
        drawn().savefig(options.figure, dpi=150)
        return
    keep_freed_memory()
    for name in options.generator:
        generator, space = load_generator(name), SPACES[name]
        out = options.cache and options.cache / f"{name}-{space}"
        judge, fast = (
            load_classifier("faces+pixels"),
            Rendering(precision="bfloat16", progress=False),
        )
        samples = sample(
            generator, judge, options.labels, seed=2026, space=space, out=out, rendering=fast
        )
        bank = ConditionalMean().discover(samples, attributes=ATTRIBUTES)
        bench = Bench(generator, samples, options.count)
        file = RESULTS / f"geodesic-edits-{name}.json"
        kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        for attribute in options.attributes:
            if attribute not in kept:
                kept[attribute] = compared(bench, generator, bank[attribute], options.cache)
                file.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
            print(name, attribute, json.dumps(kept[attribute]), flush=True)


if __name__ == "__main__":
    main()
