"""Paths along invertible maps of codes.

Read `couplings` first: layers with an exact inverse. `flow` has paths at given conditions,
`coordinate` paths along one coordinate of a map, and `published` reads StyleFlow's and PluGeN's own
weights.
"""

from directions.paths.flows.coordinate import CoordinatePath
from directions.paths.flows.flow import FlowPath

__all__ = ["CoordinatePath", "FlowPath"]
