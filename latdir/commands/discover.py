"""`latdir discover METHOD`: one subcommand per method, with flags from its fields."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from directions.errors import LatdirError
from discovery.registry import METHODS, describe, find_method, methods
from latdir.commands.text import MODEL, MODEL_HELP, load_model
from latdir.executing import Executing
from latdir.flags import flags_of
from latdir.options import DeviceName, split_names
from latdir.output import Json, say, table

if TYPE_CHECKING:
    from directions import DirectionBank

__all__ = ["MethodGroup"]

REQUIRED = inspect.Parameter.empty


class MethodGroup(TyperGroup):
    """A group whose subcommands are the methods, imported only when run."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of the methods."""
        return list(methods())

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The subcommand of the first argument; unknown methods are an error as in the library."""
        if not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            find_method(args[0])
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The subcommand of one method, or None."""
        entry = METHODS.get(cmd_name) or methods().get(cmd_name)
        if entry is None:
            return None
        app = typer.Typer(add_completion=False)
        app.command(cmd_name, help=f"Find {entry.summary} ({entry.paper}).")(_Discovery(cmd_name))
        return typer.main.get_command(app)


@dataclass(frozen=True)
class Input:
    """An argument of `discover` as a flag of the command.

    Attributes:
        type: Of the flag.
        help: Of the flag.
        load: Conversion of the flag's value.
        default: Where the flag is left out; `REQUIRED` keeps the argument's own default.
        model: Whether it is loaded onto a device, an argument of `load`.
    """

    type: Any
    help: str
    load: Callable[..., Any] = lambda given: given
    default: Any = REQUIRED
    model: bool = False


def _samples(folder: str) -> Any:
    from discovery.sampling.samples import Samples

    return Samples.open(folder)


def _answers(path: Path) -> Any:
    from discovery.teaching.answers import Answers

    return Answers.load(path)


def _generator(name: str, *, device: str) -> Any:
    from directions import load_generator

    return load_generator(name, device=device)


def _classifier(name: str, *, device: str) -> Any:
    from directions import load_classifier

    return load_classifier(name, device=device)


def _judge(name: str | None, *, device: str) -> Any:
    return None if name is None else _classifier(name, device=device)


def _attributes(text: str | None) -> list[str] | None:
    names = split_names(text)
    if names == []:
        raise LatdirError("--attributes is empty: give names with commas between, or leave it out")
    return names


INPUTS = {
    "samples": Input(
        str, "Folder written by `latdir sample`, or its address, such as s3://….", _samples
    ),
    "answers": Input(Path, "File of answers, JSON, as `Answers.save` writes it.", _answers),
    "generator": Input(
        str,
        "Name, path of a checkpoint, module:function, or file.py:function.",
        _generator,
        "digiface64",
        model=True,
    ),
    "classifier": Input(
        str, "Names joined by +, module:function, or file.py:function.", _classifier, model=True
    ),
    "text": Input(list[str], "Target text; 'smiling=a smiling face'."),
    "clip": Input(str, MODEL_HELP, load_model, MODEL, model=True),
    "neutral": Input(str, "Neutral text."),
    "without": Input(
        list[str] | None,
        "Text to preserve; 'male=a man vs a woman'.",
        lambda given: given or (),
        None,
    ),
    "judge": Input(
        str | None,
        "A classifier of another origin to judge the directions; mobile-faces+pixels where images "
        "are known to be faces.",
        _judge,
        model=True,
    ),
    "attributes": Input(
        str | None, "Attributes wanted, with commas between; all by default.", _attributes
    ),
    "seed": Input(int, "Seed of everything drawn."),
    "checkpoint": Input(
        Path | None, "File that keeps the training: the same command goes on where it was killed."
    ),
}


class _Discovery:
    """The command of one method: a flag for each argument of its family and for each field."""

    def __init__(self, name: str) -> None:
        found = describe(name)
        declared = inspect.signature(found.family.discover).parameters
        self.__name__, self.name, self.settings = name, name, found.settings
        self.executes = found.executes
        self.inputs = {key: INPUTS[key] for key in declared if key != "self"}
        flags = [
            _flag(key, flag.type, flag.help, _first(flag.default, declared[key].default))
            for key, flag in self.inputs.items()
        ]
        flags.append(_flag("out", Path, "Bank file to write."))
        for field in self.settings:
            hint = _flag_type(field.type)
            default = str(field.default) if hint is str else field.default
            flags.append(_flag(field.name, hint, field.help, default))
        kind = inspect.Parameter.KEYWORD_ONLY
        if any(flag.model for flag in self.inputs.values()):
            where = inspect.Parameter("device", kind, default="auto", annotation=DeviceName)
            flags.append(where)
        if self.executes:
            flags += flags_of(Executing)
        flags.append(inspect.Parameter("as_json", kind, default=False, annotation=Json))
        self.__signature__ = inspect.Signature(flags)
        self.__annotations__ = {flag.name: flag.annotation for flag in flags}

    def __call__(
        self, *, out: Path, as_json: bool = False, device: str = "cpu", **given: Any
    ) -> None:
        """Run the method and write its bank."""
        inputs = {
            key: flag.load(given[key], **({"device": device} if flag.model else {}))
            for key, flag in self.inputs.items()
        }
        settings = {f.name: _parsed(given[f.name], f.type) for f in self.settings}
        if self.executes:
            where = {flag.name: given[flag.name] for flag in flags_of(Executing)}
            settings["executor"] = Executing(**where).made()
        bank = find_method(self.name)(**settings).discover(**inputs)
        bank.save(out)
        _show(bank, out, as_json=as_json)


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not REQUIRED), REQUIRED)


def _flag(name: str, kind: Any, text: str, default: Any = REQUIRED) -> inspect.Parameter:
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
    by = {
        d.name: str(d.evidence["judged_by"]) for d in bank.directions if "judged_by" in d.evidence
    }
    said = [
        f"Judged by {labeler}: {', '.join(name for name in by if by[name] == labeler)}"
        for labeler in sorted(set(by.values()))
    ]
    say(data, table(f"{out}", ["direction", "space", *keys], rows), *said, as_json=as_json)
