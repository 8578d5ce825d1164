"""The HTML report of a bank: one page, its figures inside.

Read `page` first; the parts of the page come from the measures of `analysis.registry`. Import
`write_report` from here.
"""

from analysis.report.page import write_report

__all__ = ["write_report"]
