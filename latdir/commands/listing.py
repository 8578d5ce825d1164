"""The commands `latdir list …`: what there is to choose from."""

from __future__ import annotations

from collections.abc import Mapping

from directions.classifiers import available_classifiers
from directions.generators import available_generators
from discovery import registry
from latdir.output import Json, say, table

__all__ = ["classifiers", "generators", "methods"]


def generators(as_json: Json = False) -> None:
    """Generators that load by name."""
    summaries = {k: v.summary for k, v in available_generators().items()}
    _list("generators", summaries, as_json=as_json)


def classifiers(as_json: Json = False) -> None:
    """Classifiers that load by name."""
    summaries = {k: v.summary for k, v in available_classifiers().items()}
    _list("classifiers", summaries, as_json=as_json)


def methods(as_json: Json = False) -> None:
    """Methods of discovery."""
    summaries = {k: f"{v.summary} ({v.paper})" for k, v in registry.methods().items()}
    _list("methods", summaries, as_json=as_json)


def _list(kind: str, entries: Mapping[str, str], *, as_json: bool) -> None:
    say({kind: entries}, table(kind, ["name", "description"], entries.items()), as_json=as_json)
