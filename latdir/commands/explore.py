"""The command `latdir explore`: a bank's directions under sliders, on a page."""

from __future__ import annotations

import getpass
import os
import socket
from pathlib import Path
from typing import Annotated

import typer

from latdir.commands.text import MODEL, MODEL_HELP, bank_of_texts, load_model
from latdir.flags import with_flags
from latdir.models import BankModels
from latdir.options import BankFile, FeatureNames

__all__ = ["explore"]


@with_flags
def explore(
    *,
    bank: BankFile,
    path: Annotated[
        list[Path] | None, typer.Option(help="File of a curved path; again for more.")
    ] = None,
    text: Annotated[
        list[str] | None, typer.Option(help="Text to find a direction for; again for more.")
    ] = None,
    clip: Annotated[str, typer.Option(help=MODEL_HELP)] = MODEL,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 opens the page to others.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 takes a free one.", min=0, max=65535)] = 7860,
    scores: Annotated[bool, typer.Option(help="Score the pictures, for scores and locks.")] = True,
    answers: Annotated[
        Path | None,
        typer.Option(help="Folder that keeps what you teach; by default beside the bank."),
    ] = None,
    features: FeatureNames = "auto",
    model: BankModels,
) -> None:
    """Explore a bank on a page: sliders, locks, scores, history, export."""
    from directions.paths import load_path
    from discovery import Teach
    from latdir.explorer.hosts.server import serve
    from latdir.explorer.session import Session

    loaded, generator = model.open(bank)
    classifier = model.scorer() if scores else None
    if text:
        words = load_model(clip, device=model.device)
        loaded = loaded | bank_of_texts(generator, words, text, neutral="a face")
    paths = [load_path(p, generator=generator, classifier=classifier) for p in path or []]

    teach, folder = Teach(features=features), answers or bank.with_name(f"{bank.stem}-answers")
    first = Session(loaded, generator, classifier, paths=paths)

    def make() -> Session:
        return Session(
            loaded, generator, classifier, paths=paths, beside=first, teach=teach, answers=folder
        )

    serve(make, host=host, port=port, started=lambda address: _say(address, host))


def _say(address: str, host: str) -> None:
    """The address, and from a remote machine how to get to it."""
    typer.echo(f"Exploring at {address} (Ctrl+C stops)")
    if os.environ.get("SSH_CONNECTION") and host in ("127.0.0.1", "localhost"):
        port = address.rpartition(":")[2]
        login = f"{getpass.getuser()}@{socket.gethostname()}"
        typer.echo(f"From your own machine: ssh -L {port}:localhost:{port} {login}")
