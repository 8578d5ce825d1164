"""No figure is cut: its outermost pixels are background, whatever the length of the names."""

import io

import numpy as np
import pytest
import torch
from matplotlib.image import imread

from analysis import (
    attribute_dependency,
    calibration_curves,
    effects_of,
    identity_preservation,
    plots,
)
from analysis.comparison import Agreement, Comparison, Cost, Opinions, Row
from analysis.edits.accuracy import Accuracy
from analysis.edits.realism import Realism
from analysis.edits.sweeps import ScoredSweep
from analysis.intervals.half_samples import Score
from analysis.intervals.mean import Estimate
from analysis.representation import EntanglementSweep
from analysis.spaces.geodesic import Geodesic
from analysis.spaces.path_length import PathLength
from analysis.spaces.pullback import LocalMetric
from analysis.spaces.subspaces import SubspaceComparison
from directions.classifiers.base import Attribute
from tests.analysis.measured import curves

SHORT = ("smiling", "yaw", "age")
LONG = (
    "network-snapshot-025000/a_name_that_nothing_breaks_anywhere",
    "the width of the mouth | yaw, male, age, brightness of the background",
    "age of the face as estimated by the second labeler",
)


def figure_of(name, names):
    """One figure by the name of its function, of three things with those names."""
    random = torch.Generator().manual_seed(0)

    def noise(*shape):
        return torch.randn(*shape, generator=random)

    amounts = (-1.0, 0.0, 0.5, 1.0, 2.0)
    shift = torch.tensor(amounts)[None, :, None, None] * (torch.eye(3) + 0.1)[:, None, None]
    found = curves(
        noise(1, 1, 20, 3) + shift, amounts, attributes=names, directions=names,
        targets=dict(zip(names, names, strict=True)), identity_baseline=torch.full((20,), 0.2),
        identity=(1 - 0.1 * torch.tensor(amounts).clamp(min=0))[None, :, None].expand(3, 5, 20),
    )  # fmt: skip
    attributes = tuple(Attribute(n, "value", "standard units") for n in names)
    score = {n: (Score(0.9, 0.8, 1.0),) * 2 for n in names}
    angles = torch.rand(3, 3, 2, generator=random)
    lengths = {n: PathLength(1.0, 0.1, noise(4), 4, "z", "full", "exact", "faces") for n in names}
    pairs = {n: SubspaceComparison(angles[0, 0], angles[:, 0], "geodesic", 9) for n in names}
    cell = Estimate(0.5, 0.4, 0.6)
    rows = [Row(m, a, a, 1.0, cell, cell, cell, cell, cell) for m in names for a in names]
    codes = {(r.method, r.attribute, m): noise(4) for r in rows for m in ("effect", "leakage")}
    compared = Comparison(
        tuple(rows),
        {n: Cost(12.0) for n in names},
        1.0,
        8,
        1,
        names[0],
        "faces",
        codes,
        0.95,
        identity_baseline=0.9,
    )
    realism = (torch.rand(3, 5, generator=random) for _ in range(5))
    eigen = torch.tensor([3.0, 1.0, 0.1])
    metric = LocalMetric(eigen, torch.eye(3), 4.1, 3)
    steps = torch.ones(4)
    opinions = [Opinions(n, n, cell, cell, cell, 0.5, 1.0, 0.9, cell, cell) for n in names]
    made = {
        "accuracy": lambda: Accuracy(
            "change", names, attributes, torch.ones(3, 2), noise(3, 2, 9), torch.ones(3)
        ),
        "agreement": lambda: Agreement(tuple(opinions), names[0], names[1], names, 2.0, 8, 0.95),
        "attribute_dependency": lambda: attribute_dependency(found, changes=(0.5, 1.0)),
        "calibration": lambda: list(calibration_curves(found)),
        "comparison": lambda: compared,
        "comparison_heatmap": lambda: compared,
        "convergence": lambda: ([500, 2000, 20000], {n: [40.0, 20.0, 9.0] for n in names}),
        "cosines": lambda: (torch.eye(3), names),
        "direction_effects": lambda: (effects_of(found), names[0]),
        "effects": lambda: effects_of(found),
        "entanglement": lambda: EntanglementSweep((0.0, 1.0), score),
        "geodesic": lambda: Geodesic(noise(5, 2), (2.0, 1.0), 4.0, 5.0, steps, steps, True),
        "identity": lambda: identity_preservation(found, changes=(0.5, 1.0)),
        "importance": lambda: (torch.rand(3, 3, generator=random), names, names),
        "leakage": lambda: attribute_dependency(found, changes=(0.5, 1.0)),
        "path_lengths": lambda: lengths,
        "principal_angles": lambda: (angles, names),
        "pullback_spectra": lambda: [metric] * 3,
        "realism": lambda: Realism(names, torch.tensor(amounts), *realism, 9, 9),
        "spectrum": lambda: {n: eigen.tolist() for n in names},
        "subspace_comparisons": lambda: pairs,
        "subspace_distances": lambda: (angles[..., 0], names),
        "sweep": lambda: ScoredSweep(
            names[0], torch.tensor(amounts), noise(2, 5, 3, 8, 8).tanh(), noise(2, 5, 3), attributes
        ),
    }
    given = made[name]()
    given = given if isinstance(given, tuple) else (given,)
    options = {"codes": given[2]} if name == "importance" else {}
    return getattr(plots, f"plot_{name}")(*given[:2], **options)


@pytest.mark.parametrize("names", [SHORT, LONG], ids=["short", "long"])
@pytest.mark.parametrize("name", [n[5:] for n in plots.__all__ if n.startswith("plot_")])
def test_nothing_is_cut(name, names):
    figure = figure_of(name, names)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    file.seek(0)
    pixels = imread(file)[..., :3]
    border = [pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]
    assert np.concatenate(border).min() > 0.99
    for axes in figure.axes:
        if axes.get_subplotspec() is not None:
            assert min(axes.get_window_extent().size) > 30
