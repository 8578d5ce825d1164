"""The measures of a bank: computation, columns, figure and part of the report of each.

`analysis.evaluate`, the report and the command loop over these entries and know no measure by
name. Entries are text, so that reading them imports neither torch nor matplotlib.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from directions.errors import UnknownNameError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from analysis.measures.base import Measure, Scored
    from analysis.measures.remarks import Remark

__all__ = [
    "CHAPTERS",
    "MEASURES",
    "Chapter",
    "Flag",
    "MeasureEntry",
    "draw",
    "find_measure",
    "measured",
    "remarks",
]


@dataclass(frozen=True)
class Chapter:
    """A chapter of the report.

    Attributes:
        title: Its heading.
        lead: Its introduction.
    """

    title: str
    lead: str = ""


@dataclass(frozen=True)
class Flag:
    """A flag of `latdir evaluate` and `latdir report` that turns a measure on; 0 leaves it out.

    Attributes:
        help: Meaning of its number.
        default: Its default.
    """

    help: str
    default: int = 0


@dataclass(frozen=True)
class MeasureEntry:
    """One registered measure.

    Attributes:
        location: `module:Class`.
        summary: One-line description.
        columns: Its columns of `latdir evaluate`, with their meaning.
        chapter: Chapter of its part of the report; empty for none.
        title: Heading of that part.
        figure: `module:function` that draws the result.
        caption: Caption of the figure.
        flag: The flag that turns it on; without one it is always measured where possible.
    """

    location: str
    summary: str
    columns: Mapping[str, str] = field(default_factory=dict)
    chapter: str = ""
    title: str = ""
    figure: str = ""
    caption: str = ""
    flag: Flag | None = None


CHAPTERS: dict[str, Chapter] = {
    "effects": Chapter("Effects of each direction"),
    "equal": Chapter(
        "Comparison at equal effect",
        "Directions are compared at equal effect: a direction that moves its own attribute less "
        "also leaks less, and is no better for it. The amounts are those at which the mean of the "
        "target has changed by the given number of its standard deviations (sd).",
    ),
    "geometry": Chapter("Geometry of the directions"),
    "edits": Chapter("Directions in use"),
}

MEASURES: dict[str, MeasureEntry] = {
    "effects": MeasureEntry(
        "analysis.measures.effects:EffectMatrix",
        "the change of every attribute per sigma of every direction",
        {
            "attribute": "attribute that the direction is meant to move",
            "per_sigma": "mean change of that attribute per sigma, in its unit",
            "in_sd": "the same in standard deviations of the attribute",
            "rises": "fraction of the codes whose attribute rises",
        },
        "effects",
    ),
    "leakage": MeasureEntry(
        "analysis.measures.leakage:LeakageAtEqualEffect",
        "the change of the other attributes when the target changes by a given amount",
        {
            "amount_for_one_sd": "sigma that change the target by one standard deviation",
            "mean_ad_at_one_sd": "mean attribute dependency there",
            "max_ad_at_one_sd": "largest attribute dependency there",
        },
        "equal",
        "Attribute dependency",
        "analysis.plots:plot_attribute_dependency",
        "Absolute change of the other attributes, probabilities as log-odds: their mean, and the "
        "largest of them (attribute dependency, as in StyleSpace). It counts changes of single "
        "images that cancel in the mean, so it does not reach zero. Curves end where the amounts "
        "measured do not move the target so far.",
    ),
    "judge": MeasureEntry(
        "analysis.measures.judge:SecondOpinion",
        "the same effects by a second labeler, where there is one",
        {
            "judge_in_sd": "mean change of the target per sigma by the judge, in standard "
            "deviations of its scores or log-odds",
            "judge_rises": "fraction of the codes whose attribute rises by the judge",
            "judge_ratio": "effect by the judge over the effect by the labeler",
            "leakage_over_effect": "mean absolute effect on the other attributes that both have, "
            "over the effect on the target, by the labeler",
            "judge_leakage_over_effect": "the same by the judge",
        },
        "effects",
        "A second opinion",
        "analysis.plots:plot_agreement",
        "Effect of one sigma on the attribute each direction is meant to move, by the labeler and "
        "by the judge, probabilities as log-odds.",
    ),
    "identity": MeasureEntry(
        "analysis.measures.identity:IdentityAtEqualEffect",
        "the identity kept by embeddings when the target changes by a given amount",
        {
            "identity_kept_at_one_sd": "identity kept where the target has changed by one standard "
            "deviation: 1 for the same image, 0 for a different face",
            "different_faces": "mean cosine of embeddings of different faces: nothing kept",
        },
        "equal",
        "Identity preservation",
        "analysis.plots:plot_identity",
        "Identity kept, (c − b) / (1 − b): c is the cosine between embeddings of the image before "
        "and after, b that of different faces.",
    ),
    "response": MeasureEntry(
        "analysis.measures.response:ResponseCurves",
        "the response of each target along its direction and the range over which it is linear",
        {
            "linear_low": "lower end of the linear range, in sigma",
            "linear_high": "upper end of the linear range, in sigma",
        },
    ),
    "cosines": MeasureEntry(
        "analysis.measures.cosines:Cosines",
        "the cosines between directions of one space",
        chapter="geometry",
        title="Cosines between directions",
    ),
    "accuracy": MeasureEntry(
        "analysis.measures.accuracy:EditingAccuracy",
        "the difference between requested and achieved changes of calibrated directions",
        {"misses_by_sd": "mean absolute error, in standard deviations of the attribute"},
        "edits",
        "Editing accuracy",
        "analysis.plots:plot_accuracy",
        "Achieved against requested change; the bands hold half and 90% of the images.",
    ),
    "consistency": MeasureEntry(
        "analysis.measures.consistency:EditConsistency",
        "commutativity and additivity of several edits",
        chapter="edits",
        title="Combination of edits",
    ),
    "realism": MeasureEntry(
        "analysis.measures.realism:EditRealism",
        "the distance of edited images from unedited images of other codes",
        {"frechet_excess": "Fréchet distance at the largest amount, above that of unedited images"},
        "edits",
        "Realism of edited images",
        "analysis.plots:plot_realism",
        "Edited images against unedited ones of other codes, by the features of the embedding: "
        "lower is more realistic. Codes: density of the prior around the moved ones, 1 for its "
        "own.",
        Flag("Codes for measuring realism, such as 512; 0 leaves it out."),
    ),
    "rca": MeasureEntry(
        "analysis.measures.distinguishability:TellingApart",
        "how well a fresh network tells the directions apart in images, beside random ones; "
        "distinguishability, not meaning",
        {"told_apart": "share of the moves along the direction that a network tells from others"},
        "edits",
        "Telling directions apart",
        flag=Flag("Codes for telling directions apart (RCA), such as 4096; 0 leaves it out."),
    ),
    "inversion": MeasureEntry(
        "analysis.measures.inversion:EditsOfInversions",
        "the same edits on codes found by inversion and on those the images were made from",
        {
            "effect_kept_inverted": "effect on inverted codes over that on native ones",
            "edit_error_inverted": "mean absolute difference of the two, image by image, in "
            "standard deviations of the attribute",
        },
        "edits",
        "Edits of inverted images",
        flag=Flag("Images to invert and edit, such as 32; 0 leaves it out."),
    ),
}


def find_measure(name: str) -> Measure[Any]:
    """A registered measure.

    Raises:
        UnknownNameError: No measure of that name.

    Example:
        >>> type(find_measure("realism")).__name__
        'EditRealism'
        >>> find_measure("magic")
        Traceback (most recent call last):
        ...
        directions.errors.UnknownNameError: no measure 'magic': there are effects, ...
    """
    if name not in MEASURES:
        raise UnknownNameError(f"no measure {name!r}: there are {', '.join(MEASURES)}")
    made: Measure[Any] = _load(MEASURES[name].location)()
    return made


def measured(scored: Scored) -> dict[str, Any]:
    """The results, by name, of every measure that scores suffice for."""
    found = {name: find_measure(name).from_scores(scored) for name in MEASURES}
    return {name: result for name, result in found.items() if result is not None}


def remarks(found: Mapping[str, Any], directions: tuple[str, ...]) -> list[Remark]:
    """The remarks of all measures, in the order of the directions; those on the whole last.

    Args:
        found: Results by the names of their measures.
        directions: Names of the directions, in order.
    """
    order = {name: k for k, name in enumerate(directions)}
    made = [r for name, result in found.items() for r in find_measure(name).remarks(result)]
    return sorted(made, key=lambda r: order.get(r.direction, len(order)))


def draw(name: str, result: Any) -> Figure | None:
    """The figure of a measure's result, if it has one."""
    location = MEASURES[name].figure
    figure: Figure | None = _load(location)(result) if location else None
    return figure


def _load(location: str) -> Any:
    module, _, name = location.partition(":")
    return getattr(importlib.import_module(module), name)
