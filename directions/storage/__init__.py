"""Atomic files, the container of tensors with one JSON manifest, and the bank format.

Read `bank_format` first. Import from the modules: `atomic` is both a module and its function.
"""
