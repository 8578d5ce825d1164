"""Names of unlabeled directions, from measured effects or from text.

Read `by_effects` first. Import from here.
"""

from analysis.naming.by_effects import NamedDirection, Naming, name_directions
from analysis.naming.by_text import Phrase, name_by_text, nearest_phrases

__all__ = [
    "NamedDirection", "Naming", "Phrase", "name_by_text", "name_directions", "nearest_phrases",
]  # fmt: skip
