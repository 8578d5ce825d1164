"""The part of a report about using the directions: side by side, asked, combined, pushed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from analysis import plots
from analysis.edits.accuracy import Accuracy
from analysis.edits.consistency import Consistency
from analysis.edits.identity import Identity
from analysis.edits.leakage import Leakage
from analysis.edits.realism import Realism
from analysis.report.per_direction import svg
from analysis.report.tables import Cell, Row, Table, hundredths, number

__all__ = ["accuracy_part", "consistency_part", "identity_figure", "leakage_figure", "realism_part"]

# A change of the scores that an eye hardly sees.
SLIGHT = 0.1


def leakage_figure(leakage: Leakage) -> Markup:
    """Mean-AD and max-AD, with the figures at one standard deviation in words."""
    said = []
    at = int((leakage.changes - 1).abs().argmin())
    for k, name in enumerate(leakage.directions):
        mean, largest = float(leakage.mean_ad[k, at]), float(leakage.max_ad[k, at])
        said.append(f"{name} {number(mean)} and {number(largest)}")
    text = (
        "Attribute dependency, mean and largest, against the change of the target, one curve a "
        f"direction. At {number(float(leakage.changes[at]))} sd: {'; '.join(said)}."
    )
    return svg(plots.attribute_dependency_curves(leakage), text, "leakage")


def identity_figure(identity: Identity) -> Markup:
    """Cosines of embeddings at equal effect."""
    text = (
        "Cosine of embeddings against the change of the target, one curve a direction; "
        f"unrelated images reach {number(identity.strangers)}."
    )
    return svg(plots.identity_curves(identity), text, "identity")


def accuracy_part(accuracy: Accuracy) -> dict[str, Any]:
    """What came against what was asked, and the worst in words."""
    missed = accuracy.relative.mean(1)
    said = [
        f"{name} by {hundredths(float(m))} sd"
        for name, m in zip(accuracy.directions, missed, strict=True)
    ]
    text = f"On average an edit misses what was asked: {', '.join(said)}."
    return {"figure": svg(plots.accuracy_curves(accuracy), text, "accuracy"), "text": text}


def realism_part(realism: Realism) -> dict[str, Any]:
    """How real images and codes are at each amount, and the farthest amount in words."""
    said = []
    farthest = int(realism.amounts.abs().argmax())
    for k, name in enumerate(realism.directions):
        more = float(realism.excess[k, farthest])
        said.append(f"{name} {number(more, sign=True)}")
    amount = number(float(realism.amounts[farthest]), sign=True)
    floor = float(realism.frechet[:, realism.amounts == 0].mean())
    text = (
        f"Fréchet distance at {amount} sigma above that of unedited images ({number(floor)}): "
        f"{', '.join(said)}."
    )
    return {"figure": svg(plots.realism_curves(realism), text, "realism"), "text": text}


def consistency_part(consistency: Consistency, anchors: Mapping[str, str]) -> dict[str, Any]:
    """Whether edits come to the same in any order and add up, as a table and in words."""
    rows = []
    for name, single in zip(consistency.edits, consistency.single.tolist(), strict=True):
        cells = tuple(Cell(hundredths(value, sign=True)) for value in single)
        rows.append(Row(f"{name} alone", anchors.get(name, ""), cells))
    for name, mean, low, high in (
        ("all together", consistency.joint, None, None),
        (
            "off the sum, per image",
            consistency.interaction,
            consistency.interaction_low,
            consistency.interaction_high,
        ),
        ("between orders", consistency.disagreement, consistency.low, consistency.high),
    ):
        cells = tuple(
            Cell(
                hundredths(float(mean[a]), sign=low is None),
                ""
                if low is None or high is None
                else f"{hundredths(float(low[a]))} … {hundredths(float(high[a]))}",
            )
            for a in range(len(mean))
        )
        rows.append(Row(name, "", cells))
    return {
        "table": Table(consistency.names, tuple(rows)),
        "text": f"{_order_said(consistency)} {_sum_said(consistency)}",
    }


def _order_said(consistency: Consistency) -> str:
    most = int(consistency.disagreement.argmax())
    size = float(consistency.disagreement[most])
    many = len(consistency.orders)
    if size < SLIGHT:
        return f"In {many} orders they come to the same, within {number(max(size, 0.01))} sd."
    return (
        f"In {many} orders they do not come to the same: "
        f"{consistency.names[most]} differs by {hundredths(size)} sd between two orders."
    )


def _sum_said(consistency: Consistency) -> str:
    most = int(consistency.interaction.argmax())
    size = float(consistency.interaction[most])
    what = "add up well" if size < SLIGHT else "do not quite add up"
    return (
        f"Together they {what}: the joint change of {consistency.names[most]} is off the sum of "
        f"the single changes by {hundredths(size)} sd on an image."
    )
