"""Where tasks run: in this process, in several of this machine, or on the machines of a cluster.

Read `base` first: an executor has one method, `map(function, tasks)`, and its results are those
of a loop, bit for bit. A function that is sent elsewhere is pickled once with all it holds, such
as a generator and classifiers; a task and its result travel each time. Import from here.
"""

from directions.executors.base import Executor, Local
from directions.executors.processes import Processes
from directions.executors.ray import Ray

__all__ = ["Executor", "Local", "Processes", "Ray"]
