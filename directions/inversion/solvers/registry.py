"""Solvers by name; listing them imports none of them."""

from __future__ import annotations

from typing import Any

from directions.errors import LatdirError, described
from directions.inversion.base import Inverter
from directions.plugins import Entry, configured

__all__ = ["SOLVERS", "find_solver"]

SOLVERS: dict[str, Entry] = {
    "hybrid": Entry(
        "directions.inversion.solvers.hybrid:Hybrid",
        "L-BFGS far from the solution, Levenberg–Marquardt near it",
    ),
    "levenberg_marquardt": Entry(
        "directions.inversion.solvers.levenberg_marquardt:LevenbergMarquardt",
        "damped Gauss–Newton steps with exact products of the Jacobian",
    ),
    "lbfgs": Entry(
        "directions.inversion.solvers.lbfgs:LBFGS", "quasi-Newton steps, a line search an image"
    ),
    "adam": Entry(
        "directions.inversion.solvers.adam:Adam", "first-order steps with the projector's schedule"
    ),
    "cma": Entry(
        "directions.inversion.solvers.cma:CMA", "an evolution strategy, which needs no gradients"
    ),
    "basin_cma": Entry(
        "directions.inversion.solvers.cma:BasinCMA", "an evolution strategy over where Adam begins"
    ),
}


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
    made: Inverter = configured(solver, SOLVERS, kind="solver", **settings)
    return made
