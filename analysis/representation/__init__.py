"""Metrics of disentangled representations: MIG, SAP, DCI, modularity, explicitness, FactorVAE.

Read `scores` first: all metrics of one table of codes and factors. Import from here: `mig`, `sap`,
`dci`, `modularity` and `explicitness` are the functions, not the modules of these names.
"""

from analysis.representation.dci import DCI, completeness, dci, disentanglement, stylespace_dci
from analysis.representation.explicitness import Explicitness, explicitness
from analysis.representation.factorvae import FactorVAEScore, factorvae_score
from analysis.representation.mig import MIG, mig, mutual_information
from analysis.representation.modularity import Modularity, modularity, modularity_of
from analysis.representation.sap import SAP, sap
from analysis.representation.scores import (
    METRICS,
    EntanglementSweep,
    disentanglement_scores,
    entanglement_sweep,
)

__all__ = [
    "DCI", "METRICS", "MIG", "SAP", "EntanglementSweep", "Explicitness", "FactorVAEScore",
    "Modularity", "completeness", "dci", "disentanglement", "disentanglement_scores",
    "entanglement_sweep", "explicitness", "factorvae_score", "mig", "modularity", "modularity_of",
    "mutual_information", "sap", "stylespace_dci",
]  # fmt: skip
