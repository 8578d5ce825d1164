"""Measures of a bank, one per file: computation, columns, part of the report.

Read `base` first, then `realism`; `analysis.registry` lists them all. A new measure may compute in
its file here; those of several uses compute in `analysis.edits` and `analysis.spaces`. Import the
contract and the parts of a report from here.
"""

from analysis.measures.base import Drawing, Measure, Part, Scored, Trial
from analysis.measures.remarks import Remark, remarks_on
from analysis.measures.tables import Cell, Row, Table

__all__ = [
    "Cell",
    "Drawing",
    "Measure",
    "Part",
    "Remark",
    "Row",
    "Scored",
    "Table",
    "Trial",
    "remarks_on",
]
