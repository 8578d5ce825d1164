"""The HTML report of a bank: one page, its figures inside.

Read `page` first: it gathers the sections that the other modules prepare.
"""
