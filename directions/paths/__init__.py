"""Curved directions: paths whose step depends on the code.

Read `base` first: the contract and the file. Import the path classes and `load_path` from here.
"""

from directions.paths.base import CurvedPath, StoredPath, load_path
from directions.paths.flow import FlowPath
from directions.paths.instance import InstancePath
from directions.paths.mapper import MapperPath
from directions.paths.neural_walk import NeuralWalk

__all__ = [
    "CurvedPath", "FlowPath", "InstancePath", "MapperPath", "NeuralWalk", "StoredPath", "load_path",
]  # fmt: skip
