"""Methods that differentiate the generator.

Read `global_basis` first.
"""
