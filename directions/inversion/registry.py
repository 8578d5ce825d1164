"""Solvers and starts by name; listing them imports none of them."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from directions.errors import LatdirError, UnknownNameError, described, did_you_mean
from directions.inversion.base import Inverter
from directions.inversion.starts import Best, Mean, Ridge, Start
from directions.plugins import Entry

__all__ = ["SOLVERS", "STARTS", "find_solver", "find_start"]

SOLVERS: dict[str, Entry] = {
    "levenberg_marquardt": Entry(
        "directions.inversion.levenberg_marquardt:LevenbergMarquardt",
        "damped Gauss–Newton steps with exact products of the Jacobian",
    ),
    "lbfgs": Entry(
        "directions.inversion.lbfgs:LBFGS", "quasi-Newton steps, a line search an image"
    ),
    "adam": Entry(
        "directions.inversion.adam:Adam", "first-order steps with the projector's schedule"
    ),
    "cma": Entry("directions.inversion.cma:CMA", "an evolution strategy, which needs no gradients"),
    "basin_cma": Entry(
        "directions.inversion.cma:BasinCMA", "an evolution strategy over where Adam begins"
    ),
}

STARTS: Mapping[str, type[Start]] = {"mean": Mean, "best": Best, "ridge": Ridge}


def find_solver(solver: str | Inverter, **settings: Any) -> Inverter:
    """A solver by its name, with settings; one that is made already stays as it is.

    Raises:
        LatdirError: No solver of that name, or a setting that it does not have.

    Example:
        >>> find_solver("levenberg_marquardt", steps=20).steps
        20
    """
    if isinstance(solver, Inverter):
        return solver
    if not isinstance(solver, str):
        raise LatdirError(
            f"solver is {described(solver)}: give a name ({', '.join(SOLVERS)}) or an Inverter"
        )
    if solver not in SOLVERS:
        raise UnknownNameError(
            f"no solver {solver!r}: {did_you_mean(solver, SOLVERS)}there are {', '.join(SOLVERS)}"
        )
    module, _, name = SOLVERS[solver].location.partition(":")
    kind: type[Inverter] = getattr(importlib.import_module(module), name)
    known = [f.name for f in fields(kind)]
    for setting in settings:
        if setting not in known:
            raise LatdirError(f"{solver} has no setting {setting!r}: it has {', '.join(known)}")
    return kind(**settings)


def find_start(start: str | Start) -> Start:
    """A start by its name; one that is made already stays as it is.

    Raises:
        LatdirError: No start of that name.

    Example:
        >>> find_start("mean")
        Mean()
    """
    if isinstance(start, Start):
        return start
    if not isinstance(start, str):
        raise LatdirError(
            f"start is {described(start)}: give a name ({', '.join(STARTS)}), codes, or a Start"
        )
    if start not in STARTS:
        raise UnknownNameError(
            f"no start {start!r}: {did_you_mean(start, STARTS)}there are {', '.join(STARTS)}"
        )
    return STARTS[start]()
