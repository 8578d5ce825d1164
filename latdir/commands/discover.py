"""`latdir discover METHOD`: one subcommand per method, with flags from its fields."""

from __future__ import annotations

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from directions import DirectionBank, LatdirError
from directions.classifiers import load_classifier
from directions.generators import load_generator
from discovery.base import Method, Need
from discovery.registry import METHODS, find_method
from latdir.commands.text import MODEL, MODEL_HELP, load_model
from latdir.output import Json, say, table

__all__ = ["MethodGroup", "split_names"]


class MethodGroup(TyperGroup):
    """A group whose subcommands are the registered methods, imported only when called."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of the registered methods."""
        return list(METHODS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The subcommand of one method, or None."""
        if cmd_name not in METHODS:
            return None
        app = typer.Typer(add_completion=False)
        entry = METHODS[cmd_name]
        app.command(cmd_name, help=f"Find {entry.summary} ({entry.paper}).")(
            _command(find_method(cmd_name))
        )
        return typer.main.get_command(app)


REQUIRED = inspect.Parameter.empty
INPUTS: dict[Need, tuple[Any, str, Any]] = {
    "samples": (Path, "Folder written by `latdir sample`.", REQUIRED),
    "generator": (str, "Name, path of a checkpoint, or module:function of your own.", "digiface64"),
    "classifier": (str, "Names joined by +, or module:function of your own.", REQUIRED),
    "text": (list[str], "Target text; 'smiling=a smiling face'.", REQUIRED),
    "clip": (str, MODEL_HELP, MODEL),
}


def _command(method: type[Method]) -> Callable[..., None]:
    """A function whose parameters are the method's inputs and its fields."""
    hints, help_of = typing.get_type_hints(method), _field_help(method)
    takes = inspect.signature(getattr(method, "discover")).parameters  # noqa: B009
    fields = list(dataclasses.fields(method))
    flags = [
        _parameter(need, kind, text, default)
        for need, (kind, text, default) in INPUTS.items()
        if need in method.needs
    ]
    if "neutral" in takes:
        text = "Neutral text."
        flags.append(_parameter("neutral", str, text, takes["neutral"].default))
    if "without" in takes:
        text = "Text to preserve; 'male=a man vs a woman'."
        flags.append(_parameter("without", list[str] | None, text, None))
    flags.append(_parameter("out", Path, "Bank file to write."))
    if "attributes" in takes:
        text = "Attributes wanted, with commas between; all by default."
        flags.append(_parameter("attributes", str | None, text, None))
    for field in fields:
        kind = _flag_type(hints[field.name])
        default = str(field.default) if kind is str else field.default
        flags.append(_parameter(field.name, kind, help_of.get(field.name, ""), default))
    if "seed" in takes:
        flags.append(_parameter("seed", int, "Seed of everything drawn.", 0))

    def run(*, out: Path, as_json: bool = False, **given: Any) -> None:
        inputs: dict[str, Any] = {need: _load(need, given[need]) for need in method.needs}
        if "attributes" in takes:
            inputs["attributes"] = _names(given["attributes"])
        inputs.update({name: given[name] for name in ("seed", "neutral") if name in takes})
        if "without" in takes:
            inputs["without"] = given["without"] or ()
        chosen = method(**{f.name: _parsed(given[f.name], hints[f.name]) for f in fields})
        bank: DirectionBank = getattr(chosen, "discover")(**inputs)  # noqa: B009
        bank.save(out)
        _show(bank, out, as_json=as_json)

    flags.append(
        inspect.Parameter("as_json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Json)
    )
    # typer reads the parameters from the signature; the names differ from method to method.
    setattr(run, "__signature__", inspect.Signature(flags))  # noqa: B010
    run.__annotations__ = {p.name: p.annotation for p in flags}
    return run


def _parameter(name: str, kind: Any, text: str, default: Any = REQUIRED) -> inspect.Parameter:
    annotation = Annotated[kind, typer.Option(help=text)]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )


def _flag_type(hint: Any) -> Any:
    """The type of a field's flag: its own, or text where it takes a word or a number."""
    parts = [p for p in typing.get_args(hint) if p is not type(None)]
    mixed = typing.get_origin(hint) in (typing.Union, types.UnionType) and len(parts) > 1
    return str if mixed else hint


def _parsed(value: Any, hint: Any) -> Any:
    """The value of a flag that is text because its field takes a word or a number."""
    if _flag_type(hint) is not str or hint is str or value is None:
        return value
    try:
        return float(value)
    except ValueError:
        return None if value == "None" else value


def _load(need: Need, given: Any) -> Any:
    if need == "samples":
        from discovery.sampling.samples import Samples

        return Samples.load(given)
    if need == "generator":
        return load_generator(given)
    if need == "classifier":
        return load_classifier(given)
    return load_model(given) if need == "clip" else given


def _names(text: str | None) -> list[str] | None:
    names = split_names(text)
    if names == []:
        raise LatdirError("--attributes is empty: give names with commas between, or leave it out")
    return names


def split_names(text: str | None) -> list[str] | None:
    """Names with commas between; None where the flag was left out."""
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def _show(bank: DirectionBank, out: Path, *, as_json: bool) -> None:
    data = {
        "bank": str(out),
        "generator": bank.generator,
        "directions": [
            {"name": d.name, "space": d.space, "sigma": d.sigma, "evidence": dict(d.evidence)}
            for d in bank.directions
        ],
    }
    keys = sorted(
        {k for d in bank.directions for k, v in d.evidence.items() if isinstance(v, int | float)}
    )
    rows = [[d.name, d.space, *(d.evidence.get(k) for k in keys)] for d in bank.directions]
    say(data, table(f"{out}", ["direction", "space", *keys], rows), as_json=as_json)


def _field_help(method: type[Method]) -> dict[str, str]:
    """The lines of the docstring's Attributes section, by field."""
    found = re.findall(
        r"^ {4}(\w+): (.+(?:\n {6,}\S.*)*)", inspect.getdoc(method) or "", flags=re.MULTILINE
    )
    return {name: " ".join(text.split()) for name, text in found}
