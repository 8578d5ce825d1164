"""The `latdir` command: one function per subcommand over the library."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from directions.errors import LatdirError
from latdir import __version__
from latdir.commands import bank, listing, train
from latdir.commands.demo import demo
from latdir.commands.discover import MethodGroup
from latdir.commands.edit import edit
from latdir.commands.explore import explore
from latdir.commands.invert import invert
from latdir.commands.measure import compare, effects, evaluate, report
from latdir.commands.sample import import_, sample
from latdir.commands.sheet import sheet
from latdir.commands.solve import solve
from latdir.commands.teach import teach
from latdir.messages import in_command

__all__ = ["app", "main"]


NOTHING_KEPT = "nothing was written: the same command starts from the beginning"


class _Commands(TyperGroup):
    """All commands; an interrupted one says what is kept."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that was named."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            said = str(error) or "; ".join(getattr(error, "__notes__", ())) or NOTHING_KEPT
            typer.echo(f"latdir: interrupted; {in_command(said)}", err=True)
            raise typer.Exit(130) from error


app = typer.Typer(cls=_Commands, no_args_is_help=True, pretty_exceptions_enable=False)
bank_app = typer.Typer(help="Inspect and merge bank files, import other tools' files.")
samples_app = typer.Typer(help="Labeled codes of other origin.")
list_app = typer.Typer(help="List generators, classifiers and methods.")
train_app = typer.Typer(help="Train networks for a generator.")
discover_app = typer.Typer(help="Find directions by one of the methods.", cls=MethodGroup)


def main() -> None:
    """Run the command; a user's mistake is one line on stderr and exit code 2."""
    from directions.memory import keep_freed_memory

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    keep_freed_memory()
    try:
        app()
    except LatdirError as error:
        typer.echo(f"latdir: {in_command(str(error))}", err=True)
        sys.exit(2)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"latdir {__version__}")
        raise typer.Exit


@app.callback()
def latdir(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Find, measure and apply directions in the latent space of a generator."""


GROUPS: tuple[tuple[typer.Typer, tuple[Callable[..., None], ...]], ...] = (
    (
        app,
        (
            demo,
            sample,
            sheet,
            teach,
            explore,
            edit,
            solve,
            invert,
            effects,
            evaluate,
            compare,
            report,
        ),
    ),
    (bank_app, (bank.show, bank.merge, bank.condition, bank.orthonormalize, bank.convert)),
    (samples_app, (import_,)),
    (train_app, (train.encoder, train.hypernetwork, train.details, train.conditional)),
    (list_app, (listing.generators, listing.classifiers, listing.methods)),
)
for group, commands in GROUPS:
    for command in commands:
        group.command(command.__name__.rstrip("_"))(command)
app.add_typer(discover_app, name="discover")
app.add_typer(bank_app, name="bank", no_args_is_help=True)
app.add_typer(samples_app, name="samples", no_args_is_help=True)
app.add_typer(train_app, name="train", no_args_is_help=True)
app.add_typer(list_app, name="list", no_args_is_help=True)
