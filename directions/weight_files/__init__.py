"""Restricted readers of .pkl, .pt and .safetensors files that execute nothing.

Read `contents` first, then `pickle_machine`. Import `read_contents` from here; the other modules
are its parts.
"""

from directions.weight_files.contents import Contents, read_contents

__all__ = [
    "Contents",
    "read_contents",
]
