"""Directions judged by a labeler that none of them was found with.

Labelers of independent origin are held out in turn. From the labels of the others directions are
found and conditioned on one another; the labeler held out measures, on codes of another seed, the
effect on the attribute, the share of faces on which it rises at +2 sigma, and leakage over effect:
the mean absolute effect on the other attributes, in units of the effect. A labeler that was trained
on the scores of the one held out is held out with it. Banks:

    one          ridge on the labels of one labeler, not conditioned
    conditioned  the same, conditioned on the others as that labeler sees them
    together     ridge on the mean of the labels of all, conditioned
    measured     the same, its measured effects made diagonal in the mean of all (`independent`)
    ceiling      ridge on the labels of the judge itself: what is left for a linear direction

Results are in `results/judge-….json`; `belief_tables.py` writes the tables of the documentation.

    python benchmarks/judge.py
    python benchmarks/judge.py --generator styleface64 --space w --labels 4000 --count 256
"""

from __future__ import annotations

import argparse
from functools import partial

import torch
from judge_panel import FAST, JUDGES, Figures, Kept, Panel
from rich.console import Console
from rich.table import Table

from directions import DirectionBank, keep_freed_memory
from directions.disentangling import independent

BANKS = ("one", "conditioned", "together", "measured", "ceiling")


def bank_of(panel: Panel, judge: str, kind: str, count: int) -> DirectionBank:
    """A bank of labels of which none are the judge's or its students', but for `ceiling`."""
    own = panel.beside(judge)
    if kind == "one":
        return panel.bank(own[:1])
    if kind == "conditioned":
        return panel.conditioned(panel.bank(own[:1]))
    if kind == "together":
        return panel.conditioned(panel.bank(own))
    if kind == "measured":
        return independent(
            panel.bank(own), generator=panel.generator,
            labelers=[panel.labelers[name] for name in own], codes=count, rendering=FAST,
        )  # fmt: skip
    return panel.conditioned(panel.bank([judge]))


def judged(panel: Panel, judge: str, kind: str, count: int) -> Figures:
    return panel.judged(bank_of(panel, judge, kind, count), judge, count)


def show(judge: str, found: dict[str, Figures], count: int) -> None:
    title = f"by {judge}, held out, {count} codes: effect, rises at +2σ, leakage/effect"
    table = Table(title=title)
    for column in ("attribute", *found, "leakage left", "effect kept"):
        table.add_column(column)
    for name in found["one"]:
        cells = [
            f"{v['effect']:.2f} {v['rises']:.0%} {v['leakage']:.2f}"
            for v in (bank[name] for bank in found.values())
        ]
        before, after = found["one"][name], found["measured"][name]
        left, kept = (after[m] / before[m] for m in ("leakage", "effect"))
        table.add_row(name, *cells, f"{left:.2f}", f"{kept:.2f}")
    Console(width=150).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--generator", default="digiface64")
    parser.add_argument("--space", default="z")
    parser.add_argument("--labels", type=int, default=6000, help="labels of each labeler")
    parser.add_argument("--count", type=int, default=512, help="held-out codes")
    options = parser.parse_args()
    kept = Kept(f"judge-{options.generator}-{options.space}", vars(options))
    panel = Panel(options.generator, options.space, options.labels)

    for judge in JUDGES:
        found = {}
        for kind in BANKS:
            if kind == "conditioned" and len(panel.beside(judge)) == 1:
                continue  # the same as `together`
            found[kind] = kept.get(
                f"{judge}/{kind}", partial(judged, panel, judge, kind, options.count)
            )
        show(judge, found, options.count)


if __name__ == "__main__":
    torch.set_num_threads(1)
    keep_freed_memory()
    main()
