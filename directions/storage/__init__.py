"""Files: atomic writes, the container of tensors with one JSON manifest, and the bank format.

Read `container` first: banks, paths and resumable runs are written and read by its two functions.
"""
