"""Measures of a bank, one per file: computation, columns, part of the report.

Read `base` first, then `realism`; `analysis.registry` lists them all. A new measure may compute in
its file here; those of several uses compute in `analysis.edits` and `analysis.spaces`.
"""
