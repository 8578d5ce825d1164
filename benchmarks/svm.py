"""The exact hinge SVM beside scikit-learn's SVC and LinearSVC, and forty targets beside one.

    python benchmarks/svm.py            # SVC takes some minutes, LinearSVC one
    python benchmarks/svm.py --quick    # small sizes, under a minute

Both sides see the same codes in one run; the solver's times are the median of three.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable

import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import SVC, LinearSVC

from discovery.estimators.svm import HingeFit, hinge_svm

LABEL_NOISE = 0.15


def noisy(n: int, d: int, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Standard normal codes; labels of planted directions, 15 % of them flipped."""
    g = torch.Generator().manual_seed(0)
    codes = torch.randn(n, d, generator=g)
    labels = torch.sign(torch.randn(k, d, generator=g) @ codes.T)
    return codes, torch.where(torch.rand(k, n, generator=g) < LABEL_NOISE, -labels, labels)


def median_of_three(run: Callable[[], HingeFit]) -> tuple[float, HingeFit]:
    times = []
    for _ in range(3):
        start = time.perf_counter()
        fit = run()
        times.append(time.perf_counter() - start)
    return statistics.median(times), fit


def against_svc(n: int, d: int) -> None:
    codes, labels = noisy(n, d, 1)
    print(f"N = {n:,}, d = {d}, 15 % label noise, C = 1")
    results = {
        tolerance: median_of_three(lambda t=tolerance: hinge_svm(codes, labels, tolerance=t))
        for tolerance in (1e-2, 1e-5, 1e-7)
    }
    start = time.perf_counter()
    svc = SVC(kernel="linear", C=1.0, cache_size=1000).fit(
        codes.double().numpy(), labels[0].numpy()
    )
    svc_time = time.perf_counter() - start
    w = torch.tensor(svc.coef_[0])
    margin = labels[0].double() * (codes.double() @ w + float(svc.intercept_[0]))
    svc_objective = float(w @ w / 2 + (1 - margin).clamp_min(0).sum())
    best = float(results[1e-7][1].objective)
    print(
        f"  SVC            {svc_time:8.2f} s   objective {svc_objective:.4f} "
        f"(+{svc_objective / best - 1:.1e})"
    )
    for tolerance, (seconds, fit) in results.items():
        cosine = torch.nn.functional.cosine_similarity(fit.weights[0].double(), w, dim=0)
        print(
            f"  gap <= {tolerance:.0e}   {seconds:8.2f} s   objective {float(fit.objective):.4f} "
            f"(+{float(fit.objective) / best - 1:.1e})   gap {float(fit.gap):.1e}   "
            f"{svc_time / seconds:6.0f}x SVC   cosine to SVC {float(cosine):.6f}"
        )


def against_linear_svc(n: int, d: int) -> None:
    """The same loss by liblinear, which penalizes the intercept too."""
    codes, labels = noisy(n, d, 1)
    x, y = codes.double(), labels[0].double()
    seconds, fit = median_of_three(lambda: hinge_svm(codes, labels, tolerance=1e-5))
    best = float(hinge_svm(codes, labels, tolerance=1e-7).objective)
    print(f"N = {n:,}, d = {d}: {seconds:.2f} s for +{float(fit.objective) / best - 1:.1e}")
    for iterations in (1_000, 10_000):
        start = time.perf_counter()
        model = LinearSVC(loss="hinge", C=1.0, max_iter=iterations)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(x.numpy(), y.numpy())
        taken = time.perf_counter() - start
        w = torch.tensor(model.coef_[0])
        short = (1 - y * (x @ w + float(model.intercept_[0]))).clamp_min(0)
        excess = float(w @ w / 2 + short.sum()) / best - 1
        print(
            f"  LinearSVC, {iterations:,} iterations   {taken:8.2f} s   "
            f"objective +{excess:.1e}   {taken / seconds:6.1f}x"
        )


def many_targets(n: int, d: int, k: int) -> None:
    codes, labels = noisy(n, d, k)
    print(f"N = {n:,}, d = {d}: one target and {k} at once")
    for tolerance in (1e-2, 1e-3, 1e-5):
        one, fit = median_of_three(lambda t=tolerance: hinge_svm(codes, labels[:1], tolerance=t))
        all_, fits = median_of_three(lambda t=tolerance: hinge_svm(codes, labels, tolerance=t))
        print(
            f"  gap <= {tolerance:.0e}   one {one:6.2f} s   {k} in {all_:6.2f} s   "
            f"ratio {all_ / one:5.1f}   gaps {float(fit.gap):.1e}, {float(fits.gap.max()):.1e}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes")
    quick = parser.parse_args().quick
    many_targets(*((4_000, 128, 10) if quick else (20_000, 512, 40)))
    against_linear_svc(*((3_000, 128) if quick else (10_000, 512)))
    against_svc(*((3_000, 128) if quick else (10_000, 512)))


if __name__ == "__main__":
    main()
