"""The HTML report of a bank: one page, its figures inside.

Read `page` first: it gathers the sections that the other modules prepare. Import `write_report`
from here.
"""

from analysis.report.page import write_report

__all__ = ["write_report"]
