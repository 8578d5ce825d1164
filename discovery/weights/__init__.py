"""Directions in the weights of a convolution: what edits the generator instead of the code.

Read `changes` first: which weight, and how large a change is one sigma. Import the methods from
`discovery`.
"""
