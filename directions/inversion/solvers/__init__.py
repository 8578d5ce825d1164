"""Ways to minimize the cost of codes: one file a solver, listed in `registry`.

Each is a subclass of `Inverter` (`directions/inversion/base.py`) and knows of what is minimized
only an `Objective`. Start with `hybrid`, the default. `first_order` and `line_search` are the
loops that recipes share.
"""

from directions.inversion.solvers.hybrid import Hybrid
from directions.inversion.solvers.levenberg_marquardt import LevenbergMarquardt
from directions.inversion.solvers.registry import SOLVERS, find_solver

__all__ = ["SOLVERS", "Hybrid", "LevenbergMarquardt", "find_solver"]
