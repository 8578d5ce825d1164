"""Options objects of the commands as flags."""

import inspect
from dataclasses import dataclass
from typing import Annotated

import pytest
import typer

from directions import LatdirError, Local, Processes, Ray
from latdir.executing import Executing
from latdir.flags import Flags, with_flags

Level = Annotated[int, typer.Option(help="A level.", min=0)]


@dataclass(frozen=True)
class Place:
    """Where.

    Attributes:
        level: How high.
        name: Of whom.
    """

    level: Level = 3
    name: Annotated[str, typer.Option("--called")] = "a"


COUNTS = Flags(
    (
        inspect.Parameter(
            "codes", inspect.Parameter.KEYWORD_ONLY, default=8, annotation=Annotated[int, "n"]
        ),
    )
)


@pytest.fixture
def command():
    seen = []

    @with_flags
    def shown(*, first: Level, place: Place, counts: Annotated[dict[str, int], COUNTS]) -> None:
        """Show."""
        seen.append((first, place, counts))

    return shown, seen


def test_fields_become_flags_in_the_place_of_their_object(command):
    shown, _ = command
    flags = inspect.signature(shown).parameters
    assert list(flags) == ["first", "level", "name", "codes"]
    assert [flag.default for flag in flags.values()] == [inspect.Parameter.empty, 3, "a", 8]
    assert flags["level"].annotation == Level
    assert shown.__doc__ == "Show."


def test_the_command_gets_the_object_back(command):
    shown, seen = command
    app = typer.Typer(add_completion=False)
    app.command()(shown)
    app(["--first", "1", "--level", "5", "--called", "b", "--codes", "9"], standalone_mode=False)
    app(["--first", "2"], standalone_mode=False)
    assert seen == [(1, Place(5, "b"), {"codes": 9}), (2, Place(), {"codes": 8})]


@pytest.mark.parametrize(
    ("given", "executor"),
    [
        ({}, Local()),
        ({"workers": 1}, Local()),
        ({"workers": 3}, Processes(3)),
        ({"executor": "processes"}, Processes(2)),
        ({"executor": "ray", "address": "auto", "num_gpus": 1.0}, Ray("auto", num_gpus=1.0)),
    ],
)
def test_flags_choose_where_images_are_made(given, executor) -> None:
    assert Executing(**given).made() == executor


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"address": "auto"}, "--address and --num-gpus are of a Ray cluster"),
        ({"executor": "local", "workers": 2}, "--workers 2 needs --executor processes or ray"),
    ],
)
def test_flags_of_executors_that_do_not_go_together(given, message: str) -> None:
    with pytest.raises(LatdirError, match=message):
        Executing(**given).made()
