"""What one sigma changes: `smiling` and `male` in z of digiface64 and w of styleface64.

From the same labels of `faces`: how well a plane of the codes predicts the score, how far the
standard deviations of the codes differ between axes, how long one sigma is along a boundary's
normal and along the difference of class means, and what it moves for `faces` and for
`mobile-faces`.

    python benchmarks/sigma.py

Results are in `results/sigma.json`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from compare_settings import ATTRIBUTES as ALL
from judge_panel import ATTRIBUTES, FAST, LABELS, Kept

from analysis import judge_agreement, measure_effects
from directions import keep_freed_memory, load_classifier, load_generator
from directions.classifiers.base import logit
from discovery import Boundary, Samples, sample

COUNT, LABELED, FITTED = 192, 20_000, 10_000
PLACES = {"digiface64": "z", "styleface64": "w"}
ESTIMATORS = ("ridge", "mean_difference")
NAMES = ("smiling", "male")


def labels(generator: str) -> Samples:
    return sample(
        load_generator(generator), load_classifier("faces+pixels"), LABELED, seed=0,
        space=PLACES[generator], attributes=ALL.split(","), rendering=FAST,
        out=LABELS / f"{generator}-{PLACES[generator]}-all",
    )  # fmt: skip


def codes(samples: Samples) -> Any:
    """Correlation of a plane with held-out scores, and standard deviations of the codes."""
    x = samples.codes.double().flatten(1)
    x = x - x.mean(0)
    y = logit(samples.scores, samples.attributes)[:, samples.names.index("smiling")].double()
    y = (y - y.mean())[:, None]
    plane = torch.linalg.lstsq(x[:FITTED], y[:FITTED]).solution
    both = torch.cat([x[FITTED:] @ plane, y[FITTED:]], 1).T
    deviations = torch.linalg.eigvalsh(x.T @ x / len(x)).sqrt()
    return {
        "correlation": float(torch.corrcoef(both)[0, 1]),
        "widest": float(deviations[-1]),
        "widest over narrowest": float(deviations[-1] / deviations[0]),
    }


def one_sigma(generator: str, samples: Samples, estimator: Any) -> Any:
    """Length of one sigma, effect and leakage by the labeler and by the judge."""
    fit = Boundary(estimator=estimator, validation=0.0, bootstrap=0)
    bank = fit.discover(samples.rows(slice(FITTED)), attributes=NAMES)
    seen = measure_effects(
        load_generator(generator), load_classifier("faces"), bank, attributes=ATTRIBUTES,
        count=COUNT, judge=load_classifier("mobile-faces"), rendering=FAST,
    )  # fmt: skip
    found = {}
    for row in judge_agreement(seen):
        leakage, judged = row.leakage, row.judged_leakage
        assert leakage is not None
        assert judged is not None
        found[row.direction] = {
            "sigma": bank[row.direction].sigma,
            "effect": row.effect.mean,
            "judged": row.judged.mean,
            "leakage": leakage.mean,
            "judged leakage": judged.mean,
        }
    return found


def main() -> None:
    kept = Kept("sigma", {"labels": FITTED, "count": COUNT})
    for generator in PLACES:
        samples = labels(generator)
        kept.get(f"{generator}/codes", partial(codes, samples))
        for estimator in ESTIMATORS:
            job = partial(one_sigma, generator, samples, estimator)
            kept.get(f"{generator}/{estimator}", job)


if __name__ == "__main__":
    torch.set_num_threads(1)
    keep_freed_memory()
    main()
