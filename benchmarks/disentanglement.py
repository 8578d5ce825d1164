"""MIG and DCI against the same figures computed one pair of columns at a time.

    python benchmarks/disentanglement.py --skip-dci     # a minute
    python benchmarks/disentanglement.py                # the slow side of DCI takes three

The other side is a plain port of how disentanglement_lib computes them: scikit-learn's
`mutual_info_score` and `GradientBoostingClassifier`, called for one code and one
attribute, or one attribute, at a time. Both see 10,000 rows of 10 noisy, mixed codes of 6
attributes with 57 classes, and 5,000 rows to test on. Times are processor time of one thread,
medians of `--repeats` with both sides in turn; DCI's slow side runs once. With more codes, such as
`--rows 2000 --codes 9088`, this side's metrics run alone, once each; DCI's trees with `--dci`.
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
import sklearn.metrics
import torch
from sklearn.ensemble import GradientBoostingClassifier

from analysis.representation.dci import completeness, dci, disentanglement
from analysis.representation.explicitness import explicitness
from analysis.representation.factorvae import factorvae_score
from analysis.representation.mig import mig
from analysis.representation.modularity import modularity
from analysis.representation.sap import sap

COUNTS = (10, 10, 10, 8, 4, 15)


def world(n, *, codes=10, mix=0.15, noise=0.3, seed=0):
    """Attributes of uniform classes, and codes that mix them."""
    rng = np.random.default_rng(seed)
    factors = np.stack([rng.integers(0, c, n) for c in COUNTS], 1)
    scaled = (factors - factors.mean(0)) / factors.std(0)
    weights = np.eye(len(COUNTS), codes) + mix * rng.standard_normal((len(COUNTS), codes))
    return np.tanh(scaled @ weights * 0.5) + noise * rng.standard_normal((n, codes)), factors


def plain_mig(x, y):
    """Mutual information pair by pair."""
    bins = np.stack([np.digitize(c, np.histogram(c, 20)[1][:-1]) for c in x.T], 1)
    info = np.array([[sklearn.metrics.mutual_info_score(b, a) for a in bins.T] for b in y.T])
    entropy = np.array([sklearn.metrics.mutual_info_score(b, b) for b in y.T])
    top = np.sort(info, 1)[:, ::-1]
    return np.mean((top[:, 0] - top[:, 1]) / entropy)


def plain_dci(x, y, test_x, test_y):
    """One boosted model an attribute."""
    importance, right = [], []
    for j in range(y.shape[1]):
        model = GradientBoostingClassifier().fit(x, y[:, j])
        importance.append(np.abs(model.feature_importances_))
        right.append(np.mean(model.predict(test_x) == test_y[:, j]))
    matrix = torch.tensor(np.stack(importance, 1))
    return disentanglement(matrix), completeness(matrix), float(np.mean(right))


def timed(function):
    """Result and processor seconds."""
    start = time.process_time()
    result = function()
    return result, time.process_time() - start


def wide(rows, codes, *, trees):
    """Time of each metric of this side, every second row held out."""
    x, y = map(torch.from_numpy, world(rows, codes=codes))
    metrics = [mig, sap, modularity, explicitness, factorvae_score]
    for metric in metrics:
        found, seconds = timed(lambda metric=metric: metric(x, y))
        print(f"{metric.__name__}: {found.score:.4f} in {seconds:.2f} s", flush=True)
    if trees:
        found, seconds = timed(lambda: dci(x, y))
        print(f"dci: {found.disentanglement:.4f} in {seconds:.2f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--codes", type=int, default=10)
    parser.add_argument("--skip-dci", action="store_true")
    parser.add_argument("--dci", action="store_true", help="trees of more than 10 codes, too")
    args = parser.parse_args()
    torch.set_num_threads(1)

    if args.codes > 10:
        wide(args.rows, args.codes, trees=args.dci)
        return
    x, y = world(args.rows + 5000, codes=args.codes)
    train, test = (x[: args.rows], y[: args.rows]), (x[args.rows :], y[args.rows :])
    mine, held_out = (tuple(map(torch.from_numpy, pair)) for pair in (train, test))

    def ours_dci():
        found = dci(*mine, held_out=held_out)
        return found.disentanglement, found.completeness, found.informativeness

    mig(*mine)
    runs = [
        (timed(lambda: plain_mig(*train)), timed(lambda: mig(*mine).score))
        for _ in range(args.repeats)
    ]
    (theirs, _), (own, _) = runs[0]
    slow, fast = (statistics.median(r[side][1] for r in runs) for side in (0, 1))
    ratio = statistics.median(a[1] / b[1] for a, b in runs)
    print(
        f"MIG: {theirs:.4f} in {slow:.3f} s, {own:.4f} in {fast:.4f} s: "
        f"{ratio:.1f} times, difference {abs(own - theirs):.4f}",
        flush=True,
    )
    if args.skip_dci:
        return
    fast = [timed(ours_dci) for _ in range(args.repeats)]
    own, seconds = fast[0][0], statistics.median(t for _, t in fast)
    print(f"DCI here: {np.round(own, 4)} in {seconds:.1f} s", flush=True)
    theirs, slow = timed(lambda: plain_dci(*train, *test))
    gap = np.abs(np.subtract(own, theirs)).max()
    print(
        f"DCI: {np.round(theirs, 4)} in {slow:.1f} s: {slow / seconds:.1f} times, "
        f"largest difference {gap:.4f}"
    )


if __name__ == "__main__":
    main()
