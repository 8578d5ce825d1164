"""The commands `latdir list …`: what there is to choose from."""

from __future__ import annotations

from collections.abc import Mapping

from directions.classifiers import CLASSIFIERS
from directions.generators import GENERATORS
from discovery import registry
from latdir.output import Json, say, table

__all__ = ["classifiers", "generators", "methods"]


def generators(as_json: Json = False) -> None:
    """Generators that load by name."""
    _list("generators", {k: v.summary for k, v in GENERATORS.items()}, as_json=as_json)


def classifiers(as_json: Json = False) -> None:
    """Classifiers that load by name."""
    _list("classifiers", {k: v.summary for k, v in CLASSIFIERS.items()}, as_json=as_json)


def methods(as_json: Json = False) -> None:
    """Methods of discovery."""
    summaries = {k: f"{v.summary} ({v.paper})" for k, v in registry.methods().items()}
    _list("methods", summaries, as_json=as_json)


def _list(kind: str, entries: Mapping[str, str], *, as_json: bool) -> None:
    say({kind: entries}, table(kind, ["name", "description"], entries.items()), as_json=as_json)
