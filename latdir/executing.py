"""Flags that say where images are made and scored, which several commands share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from directions.errors import LatdirError

if TYPE_CHECKING:
    from directions.executors import Executor

__all__ = ["Executing"]


@dataclass(frozen=True)
class Executing:
    """Where a command's work is done.

    Attributes:
        executor: Here, in processes, or on a cluster.
        workers: Number of processes or actors.
        address: Of a Ray cluster.
        num_gpus: Cards of each actor.
    """

    executor: Annotated[
        Literal["local", "processes", "ray"] | None,
        typer.Option(help="Where the work is done; by default what --workers says."),
    ] = None
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes of this machine, or Ray's actors.")
    ] = None
    address: Annotated[
        str | None,
        typer.Option(help="Of a Ray cluster, such as auto; by default one on this machine."),
    ] = None
    num_gpus: Annotated[float, typer.Option(min=0, help="Cards of each of Ray's actors.")] = 0.0

    def made(self) -> Executor:
        """The executor.

        Raises:
            LatdirError: Flags that do not go together.
        """
        from directions.executors import Local, Processes, Ray

        workers = self.workers or 1
        kind = self.executor or ("processes" if workers > 1 else "local")
        if kind != "ray" and (self.address or self.num_gpus):
            raise LatdirError("--address and --num-gpus are of a Ray cluster: give --executor ray")
        if kind == "local" and workers > 1:
            raise LatdirError(f"--workers {workers} needs --executor processes or ray")
        if kind == "processes":
            return Processes(self.workers or 2)
        if kind == "ray":
            return Ray(self.address, self.workers, num_gpus=self.num_gpus)
        return Local()
