"""How many directions that were found without labels get a name, and what would give them one.

SeFa's and PCA's directions are named by their effects beside those of random directions
(`analysis.naming`). Here effects come from a linear model, least squares of many labels on the
codes, with the noise that a number of codes leaves; so that codes and random directions may be as
many as one likes. Measured effects of the same banks are correlated with the model's.

    python benchmarks/naming_power.py
    python benchmarks/naming_power.py --generator styleface64 --space w

Labels are kept, banks of random directions in the place of the bank say how often a name is wrong,
and results are in `results/naming-power-….json`.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from compare_settings import ATTRIBUTES, LAYERS
from judge_panel import FAST, LABELS, Kept
from scipy import stats
from torch import Tensor

from analysis import NAMING_SEED, measure_effects
from directions import DirectionBank, keep_freed_memory, load_classifier, load_generator
from directions.classifiers.base import logit
from directions.generators import Generator
from discovery import Samples, find_method, sample

ALPHA = 0.01
MEASURED = 32  # codes of the measured effects
RIDGE = 1e-3
POOL = 60_000  # random differences of codes
# Codes, and random directions; None is without noise. The defaults of `name_directions` first.
CASES = ((128, 48), (64, 48), (256, 48), (1024, 48), (None, 48), (64, 192), (64, 1000))


@dataclass(frozen=True)
class Model:
    """Effects of steps on attributes by a plane through the labels.

    Attributes:
        covariance: `[d, d]`, of the codes.
        slopes: `[a, d]`, change of each attribute, in standard deviations, along the codes.
        differences: `[POOL, a]`, effects per sigma of random differences of codes.
    """

    covariance: Tensor
    slopes: Tensor
    differences: Tensor

    @classmethod
    def of(cls, samples: Samples) -> Model:
        """Least squares, and random differences of the codes."""
        x = samples.codes.double().flatten(1)
        x = x - x.mean(0)
        y = logit(samples.scores, samples.attributes).double()
        y = (y - y.mean(0)) / y.std(0)
        covariance = x.T @ x / len(x)
        ridge = RIDGE * covariance.diagonal().mean() * torch.eye(len(covariance)).double()
        slopes = torch.linalg.solve(covariance + ridge, x.T @ y / len(x)).T
        random = torch.Generator().manual_seed(5)
        first, second = torch.randint(len(x), (2, POOL), generator=random)
        steps = (x[first] - x[second])[first != second]
        return cls(covariance, slopes, _effects(steps, covariance, slopes))

    def effects(self, steps: Tensor) -> Tensor:
        """Effects of one sigma along each step."""
        return _effects(steps, self.covariance, self.slopes)


def _effects(steps: Tensor, covariance: Tensor, slopes: Tensor) -> Tensor:
    units = steps / steps.norm(dim=1, keepdim=True)
    sigma = ((units @ covariance) * units).sum(1).sqrt()
    return sigma[:, None] * units @ slopes.T


def banks(generator: Generator, space: str, count: int) -> dict[str, DirectionBank]:
    """SeFa and PCA, by the settings of `compare.py`."""
    layer = LAYERS.get(generator.name)
    where = {"layer": layer} if layer else {"space": space}
    pca = find_method("pca")(progress=False, n_directions=count, n_codes=20_000, **where)
    return {
        "sefa": find_method("sefa")(n_directions=count).discover(generator),
        "pca": pca.discover(generator),
    }


def power(
    model: Model, generator: Generator, bank: DirectionBank, names: tuple[str, ...], repeats: int
) -> dict[str, Any]:
    """Names by case, and how measured effects agree with the model's."""
    expected = model.effects(bank.matrix().double().flatten(1))
    measured = measure_effects(
        generator, load_classifier("faces+pixels"), bank, attributes=names, symmetric=True,
        count=MEASURED, seed=NAMING_SEED, rendering=FAST,
    ).logit  # fmt: skip
    found = measured.standardized.double()
    both = torch.stack([expected.flatten(), found.flatten()])
    scale = float((both[0] @ both[1]) / both[0].square().sum())
    noise = (measured.deltas.std(1) / measured.std).mean(0).double()  # of one code, per sigma
    random = torch.Generator().manual_seed(6)

    def noisy(effects: Tensor, codes: int | None) -> Tensor:
        spread = 0.0 if codes is None else noise / codes**0.5
        error = torch.randn(effects.shape, generator=random, dtype=torch.float64)
        return scale * effects + spread * error

    def drawn(count: int) -> Tensor:
        return model.differences[torch.randint(len(model.differences), (count,), generator=random)]

    cases = []
    for codes, null in CASES:
        named, wrong = 0.0, 0.0
        for _ in range(repeats):
            random_ones = noisy(drawn(null), codes).square().mean(0).sqrt()
            named += by_t(noisy(expected, codes) / random_ones, null) / repeats
            wrong += (by_t(noisy(drawn(len(bank)), codes) / random_ones, null) > 0) / repeats
        cases.append({"codes": codes, "null": null, "named": named, "wrong": wrong})
    ranked = [by_rank(noisy(expected, 64), noisy(model.differences, 64)) for _ in range(4)]
    return {
        "directions": len(bank),
        "correlation": float(torch.corrcoef(both)[0, 1]),
        "cases": cases,
        "by rank": sum(ranked) / len(ranked),
    }


def by_t(t: Tensor, null: int) -> int:
    """Directions whose strongest attribute is beyond chance, as `name_directions` tests it."""
    return _named(torch.from_numpy(2 * stats.t.sf(t.abs().numpy(), null)), t)


def by_rank(effects: Tensor, null: Tensor) -> int:
    """The same by the ranks of effects among all random ones."""
    ordered = null.abs().sort(0).values
    beyond = [
        len(null) - torch.searchsorted(ordered[:, k].contiguous(), effects[:, k].abs().contiguous())
        for k in range(effects.shape[1])
    ]
    p = (torch.stack(beyond, 1) + 1).double() / (len(null) + 1)
    return _named(p, effects / null.square().mean(0).sqrt())


def _named(p: Tensor, t: Tensor) -> int:
    q = torch.from_numpy(stats.false_discovery_control(p.flatten().numpy())).view_as(p)
    top = t.abs().argmax(1, keepdim=True)
    return int((q.gather(1, top) <= ALPHA).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generator", default="digiface64")
    parser.add_argument("--space", default="z")
    parser.add_argument("--labels", type=int, default=20_000)
    parser.add_argument("--directions", type=int, default=15)
    parser.add_argument("--repeats", type=int, default=200)
    options = parser.parse_args()
    kept = Kept(f"naming-power-{options.generator}-{options.space}", vars(options))
    generator, labeler = load_generator(options.generator), load_classifier("faces+pixels")
    samples = sample(
        generator, labeler, options.labels, seed=0, space=options.space,
        attributes=ATTRIBUTES.split(","), rendering=FAST,
        out=LABELS / f"{options.generator}-{options.space}-all",
    )  # fmt: skip
    model = Model.of(samples)
    for method, bank in banks(generator, options.space, options.directions).items():
        job = partial(power, model, generator, bank, samples.names, options.repeats)
        kept.get(method, job)


if __name__ == "__main__":
    torch.set_num_threads(1)
    keep_freed_memory()
    main()
