"""Curved directions: paths whose step depends on the code.

Read `base` first: the contract and the file. Import the path classes and `load_path` from here.
"""

from directions.paths.base import CurvedPath, load_path
from directions.paths.code_gradient import CodeGradientPath
from directions.paths.contents import StoredPath
from directions.paths.flows import CoordinatePath, FlowPath
from directions.paths.geodesic import GeodesicPath
from directions.paths.instance import InstancePath
from directions.paths.mapper import MapperPath
from directions.paths.neural_walk import NeuralWalk
from directions.paths.potential import PotentialPath
from directions.paths.transport import parallel_transport
from directions.paths.unit_step import UnitStepPath
from directions.paths.warp import WarpPath

__all__ = [
    "CodeGradientPath", "CoordinatePath", "CurvedPath", "FlowPath", "GeodesicPath",
    "InstancePath", "MapperPath", "NeuralWalk", "PotentialPath", "StoredPath", "UnitStepPath",
    "WarpPath", "load_path", "parallel_transport",
]  # fmt: skip
