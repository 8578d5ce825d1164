"""Discovery methods: one method, one file, one paper.

Every registered method's class is here by its own name, with `sample`; names that are not used
are not imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from directions.lazy import lazy_names
from discovery.registry import METHODS, find_method

if TYPE_CHECKING:
    from discovery.jacobian.global_basis import GlobalBasis
    from discovery.jacobian.hessian_penalty import HessianPenalty
    from discovery.jacobian.local_basis import LocalBasis
    from discovery.jacobian.local_channels import LocalChannels
    from discovery.jacobian.orojar import OroJaR
    from discovery.jacobian.region import Region
    from discovery.learned.conditional_flow import ConditionalFlow
    from discovery.learned.decurved import DeCurvEd
    from discovery.learned.disco import DisCo
    from discovery.learned.grad_ctrl import GradCtrl
    from discovery.learned.latent2im import Latent2im
    from discovery.learned.latent_clr import LatentCLR
    from discovery.learned.plugen import PluGeN
    from discovery.learned.potential_flow import PotentialFlow
    from discovery.learned.voynov_babenko import VoynovBabenko
    from discovery.learned.warped_gan_space import WarpedGANSpace
    from discovery.sampling.sampler import Auto, Interrupted, sample
    from discovery.sampling.samples import Samples
    from discovery.steerability.transforms import Transforms
    from discovery.steerability.walks import Walks
    from discovery.supervised.active_subspace import ActiveSubspace
    from discovery.supervised.boundary import Boundary
    from discovery.supervised.conditional_mean import ConditionalMean
    from discovery.supervised.gradient import Gradient
    from discovery.supervised.stylespace import StyleSpace
    from discovery.supervised.teach import Teach
    from discovery.teaching.answers import Answers
    from discovery.teaching.lesson import Lesson
    from discovery.text.clip_boundary import ClipBoundary
    from discovery.text.clip_global import ClipGlobal
    from discovery.text.clip_gradient import ClipGradient
    from discovery.text.clip_mapper import ClipMapper
    from discovery.text.clip_optimize import ClipOptimize
    from discovery.unsupervised.feature_regression import FeatureRegression
    from discovery.unsupervised.pca import PCA
    from discovery.unsupervised.random_directions import RandomDirections
    from discovery.unsupervised.sefa import SeFa
    from discovery.weights.weight_contrast import WeightContrast
    from discovery.weights.weight_hessian import WeightHessian
    from discovery.weights.weight_svd import WeightSVD

__all__ = [
    "METHODS", "find_method", "Auto", "Interrupted", "sample", "Samples", "ActiveSubspace",
    "Answers", "Boundary", "ClipBoundary", "ClipGlobal", "ClipGradient", "ClipMapper",
    "ClipOptimize", "ConditionalFlow", "ConditionalMean", "DeCurvEd", "DisCo", "FeatureRegression",
    "GlobalBasis",
    "GradCtrl", "Gradient", "HessianPenalty", "Latent2im", "LatentCLR", "Lesson", "LocalBasis",
    "LocalChannels", "OroJaR", "PCA", "PluGeN", "PotentialFlow", "RandomDirections", "Region",
    "SeFa", "StyleSpace", "Teach", "Transforms", "VoynovBabenko", "Walks", "WarpedGANSpace",
    "WeightContrast", "WeightHessian", "WeightSVD",
]  # fmt: skip

CLASSES = {
    entry.location.partition(":")[2]: entry.location.partition(":")[0] for entry in METHODS.values()
}
"""The module of each registered method's class; a new one need not be written out above."""

__all__ += [name for name in CLASSES if name not in __all__]
__getattr__, __dir__ = lazy_names(__name__, CLASSES)
