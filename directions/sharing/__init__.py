"""Banks as folders that a model hub shows.

`pretrained` is what `DirectionBank` inherits; nothing needs to be imported from here.
"""
