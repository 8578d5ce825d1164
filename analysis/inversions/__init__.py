"""Quality of inversions: likeness of the images, and what the codes are worth for edits.

Read `quality` first, which measures an inversion in one call; `kept_edits` makes the same edit on
inverted and on native codes, `consistency` inverts edited images again. Import from here.
"""

from analysis.inversions.consistency import LatentConsistency, latent_consistency
from analysis.inversions.kept_edits import KeptEdits, kept_edits
from analysis.inversions.quality import InversionQuality, measure_inversion

__all__ = [
    "InversionQuality", "KeptEdits", "LatentConsistency", "kept_edits", "latent_consistency",
    "measure_inversion",
]  # fmt: skip
