"""The registry of methods; listing it imports none of them."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from directions.errors import LatdirError, UnknownNameError, did_you_mean
from directions.plugins import installed
from discovery.base import FAMILIES, Method
from discovery.settings import Description, described, read_method

__all__ = ["METHODS", "MethodEntry", "describe", "find_method", "methods"]


@dataclass(frozen=True)
class MethodEntry:
    """One registered method.

    Attributes:
        location: `module:Class`.
        summary: One-line description of its directions.
        paper: Where it was published.
        use: When to use it, in a sentence or two.
    """

    location: str
    summary: str
    paper: str
    use: str = ""


METHODS: dict[str, MethodEntry] = {
    "boundary": MethodEntry(
        "discovery.supervised.boundary:Boundary",
        "normals of linear boundaries between labeled codes",
        "InterFaceGAN, Shen et al. 2020, arXiv:2005.09635",
        "First choice where a classifier, or your own labels, know the attribute: cheap, "
        "calibrated, with a cone that says how far to trust it.",
    ),
    "conditional_mean": MethodEntry(
        "discovery.supervised.conditional_mean:ConditionalMean",
        "changes of the mean code with one attribute, the others held",
        "Cook 2007; Haufe et al. 2014",
        "With labels, where other attributes shall stay as they are: each direction holds them by "
        "construction, without a second step.",
    ),
    "conditional_flow": MethodEntry(
        "discovery.learned.conditional_flow:ConditionalFlow",
        "mean steps of curved paths that change one attribute and hold the others",
        "StyleFlow, Abdal et al. 2021, arXiv:2008.02401; DeCurvEd, Aoshima & Matsubara 2023, "
        "arXiv:2211.14573",
        "With labels, in a space whose codes are not normal, such as w: paths bend with the code "
        "and hold the other attributes along all of their length.",
    ),
    "grad_ctrl": MethodEntry(
        "discovery.learned.grad_ctrl:GradCtrl",
        "mean steps of curved paths along gradients of attributes told from the code",
        "GradCtrl, Chen et al. 2022, arXiv:2209.00698",
        "With labels, where an attribute is a curved function of the code and no image shall be "
        "made after labeling: seconds of training.",
    ),
    "plugen": MethodEntry(
        "discovery.learned.plugen:PluGeN",
        "mean steps of curved paths along attributes that are coordinates of a flow",
        "PluGeN, Wołczyk et al. 2022, arXiv:2109.09011",
        "With labels of which some may be missing, where an attribute is a curved function of the "
        "code.",
    ),
    "gradient": MethodEntry(
        "discovery.supervised.gradient:Gradient",
        "mean gradients of scores through the generator",
        "Stein 1981; Härdle & Stoker 1989",
        "Where images are slow to make or codes are scarce, and generator and classifier are "
        "differentiable.",
    ),
    "latent2im": MethodEntry(
        "discovery.learned.latent2im:Latent2im",
        "directions trained to take each image's attribute to a target and keep its content",
        "Latent2im, Zhuang et al. 2021, arXiv:2102.01187",
        "Where generator and classifier are differentiable, and edits shall keep the content of "
        "the image, as features of your choice see it.",
    ),
    "active_subspace": MethodEntry(
        "discovery.supervised.active_subspace:ActiveSubspace",
        "directions along which a score changes most, up or down",
        "Constantine, Dow & Wang 2014, arXiv:1304.2070",
        "Where an attribute changes in several ways, or both up and down: it returns a few "
        "directions for each.",
    ),
    "teach": MethodEntry(
        "discovery.supervised.teach:Teach",
        "the direction of an attribute that a person was asked about",
        "Rasmussen & Williams 2006, chapter 2",
        "Where no classifier knows the attribute and a person can answer a few dozen questions.",
    ),
    "pca": MethodEntry(
        "discovery.unsupervised.pca:PCA",
        "principal, independent or sparse components of a latent space or a layer",
        "GANSpace, Härkönen et al. 2020, arXiv:2004.02546",
        "First look at a generator without labels: the leading components of w, or of a "
        "layer, are often pose, lighting and gender. Name them afterwards by their measured "
        "effects.",
    ),
    "sefa": MethodEntry(
        "discovery.unsupervised.sefa:SeFa",
        "directions amplified most by the first weights, in closed form",
        "SeFa, Shen & Zhou 2021, arXiv:2007.06600",
        "Without labels and without a single image: it reads the weights of a StyleGAN or "
        "PGGAN in a fraction of a second.",
    ),
    "feature_regression": MethodEntry(
        "discovery.unsupervised.feature_regression:FeatureRegression",
        "directions that change features of images most, each of them few, by regression",
        "Reduced-rank regression, Izenman 1975, with varimax, Kaiser 1958",
        "Without labels, where names are wanted: with `features='faces'` most of its directions of "
        "the built-in faces can be named, smiling among them. Any features of images will do.",
    ),
    "transforms": MethodEntry(
        "discovery.steerability.transforms:Transforms",
        "shift, zoom, rotation and brightness in closed form from a layer",
        "GAN Steerability without optimization, Spingarn et al. 2021, arXiv:2012.05328",
        "For brightness, zoom, shift and rotation of a generator that can follow them, "
        "without training.",
    ),
    "walks": MethodEntry(
        "discovery.steerability.walks:Walks",
        "walks fitted to shifted, zoomed, rotated and tinted images",
        "Steerability of GANs, Jahanian et al. 2020, arXiv:1907.07171",
        "For an image edit that can be written as a function, where the closed form of "
        "`transforms` is too coarse.",
    ),
    "global_basis": MethodEntry(
        "discovery.jacobian.global_basis:GlobalBasis",
        "directions of the largest image change, over many codes",
        "Choi et al. 2023, arXiv:2210.05509",
        "Without labels, for any differentiable generator: directions ranked by how much they "
        "change the image on average.",
    ),
    "local_basis": MethodEntry(
        "discovery.jacobian.local_basis:LocalBasis",
        "directions of the largest change of the image, or of w, at one code",
        "Local Basis, Choi et al. 2022, arXiv:2106.06959",
        "For one image: the directions that change it most, and curved paths that stay among "
        "the codes that occur.",
    ),
    "region": MethodEntry(
        "discovery.jacobian.region:Region",
        "directions that change one region of the image and preserve the rest",
        "LowRankGAN, Zhu et al. 2021, arXiv:2106.04488; ReSeFa, Zhu et al. 2022, arXiv:2202.09649",
        "To change the eyes or the mouth and nothing else, without labels: a box, or a part "
        "of a face found by landmarks.",
    ),
    "stylespace": MethodEntry(
        "discovery.supervised.stylespace:StyleSpace",
        "single style channels specific to an attribute",
        "StyleSpace, Wu et al. 2021, arXiv:2011.12799",
        "In the style space of a StyleGAN: one channel that does one thing, found with few "
        "positive examples.",
    ),
    "local_channels": MethodEntry(
        "discovery.jacobian.local_channels:LocalChannels",
        "single style channels that change one region of the image",
        "StyleSpace, Wu et al. 2021, arXiv:2011.12799",
        "In the style space of a StyleGAN, without labels: channels that act inside one "
        "region of the image only.",
    ),
    "orojar": MethodEntry(
        "discovery.jacobian.orojar:OroJaR",
        "a basis whose directions change the image orthogonally",
        "OroJaR, Wei et al. 2021, arXiv:2108.07668",
        "Without labels, where directions shall change the image independently of each other; "
        "needs exact Jacobians of some codes.",
    ),
    "hessian_penalty": MethodEntry(
        "discovery.jacobian.hessian_penalty:HessianPenalty",
        "a basis whose directions do not modulate each other",
        "The Hessian Penalty, Peebles et al. 2020, arXiv:2008.10599",
        "Without labels, where the effect of one direction shall not depend on the others; "
        "slower than `orojar`, and usually close to it.",
    ),
    "clip_boundary": MethodEntry(
        "discovery.text.clip_boundary:ClipBoundary",
        "boundaries from text, by a zero-shot classifier's labels",
        "CLIP, Radford et al. 2021, arXiv:2103.00020; InterFaceGAN, arXiv:2005.09635",
        "First choice from text: any generator, no gradients; agreement with the text model "
        "is the label.",
    ),
    "clip_gradient": MethodEntry(
        "discovery.text.clip_gradient:ClipGradient",
        "mean gradients of the similarity of an image to a text",
        "StyleCLIP, Patashnik et al. 2021, arXiv:2103.17249",
        "From text, with a differentiable generator: a direction from a few hundred codes.",
    ),
    "clip_global": MethodEntry(
        "discovery.text.clip_global:ClipGlobal",
        "style channels that move images toward a text",
        "StyleCLIP, Patashnik et al. 2021, arXiv:2103.17249",
        "From text, in the style space of a StyleGAN: few channels, so that little else "
        "changes. The relevance of channels is measured once and serves every text.",
    ),
    "clip_optimize": MethodEntry(
        "discovery.text.clip_optimize:ClipOptimize",
        "common change of codes optimized toward a text",
        "StyleCLIP, Patashnik et al. 2021, arXiv:2103.17249",
        "From text, for particular images: each code is optimized by itself, and their common "
        "change is the direction.",
    ),
    "clip_mapper": MethodEntry(
        "discovery.text.clip_mapper:ClipMapper",
        "mean steps of networks trained to move each code toward a text",
        "StyleCLIP, Patashnik et al. 2021, arXiv:2103.17249",
        "From text, where each image needs its own step, which a trained network predicts.",
    ),
    "voynov_babenko": MethodEntry(
        "discovery.learned.voynov_babenko:VoynovBabenko",
        "directions trained to be told apart in images",
        "Voynov & Babenko 2020, arXiv:2002.03754",
        "Without labels, where directions shall change the image in ways as different as can be; "
        "some minutes of training. Distinct does not mean nameable: name them afterwards.",
    ),
    "warped_gan_space": MethodEntry(
        "discovery.learned.warped_gan_space:WarpedGANSpace",
        "mean steps of curved paths trained to be told apart in images",
        "WarpedGANSpace, Tzelepis et al. 2021, arXiv:2109.13357",
        "Without labels, where straight directions may not do: paths may bend with the code, and "
        "the evidence says by how much they do.",
    ),
    "potential_flow": MethodEntry(
        "discovery.learned.potential_flow:PotentialFlow",
        "mean steps of flows along gradients that change with time, trained to be told apart",
        "Potential flows, Song et al. 2023, arXiv:2304.12944",
        "Without labels, where a path may turn as it goes on: codes start at rest and move as "
        "waves do.",
    ),
    "disco": MethodEntry(
        "discovery.learned.disco:DisCo",
        "directions whose changes an encoder sees as alike within one and unlike between two",
        "DisCo, Ren et al. 2022, arXiv:2102.10543",
        "Without labels, where the encoder's code of an image shall be disentangled too.",
    ),
    "latent_clr": MethodEntry(
        "discovery.learned.latent_clr:LatentCLR",
        "moves whose changes of the image are alike for all codes",
        "LatentCLR, Yüksel et al. 2021, arXiv:2104.00820",
        "Without labels, where a direction shall do the same to every image; with an early layer "
        "training needs no images.",
    ),
    "decurved": MethodEntry(
        "discovery.learned.decurved:DeCurvEd",
        "mean steps of curved paths that commute, trained to be told apart",
        "DeCurvEd, Aoshima & Matsubara 2023, arXiv:2211.14573",
        "Without labels, where edits shall be applied one after another: paths are coordinates, so "
        "that their order does not matter and each is undone exactly.",
    ),
    "weight_svd": MethodEntry(
        "discovery.weights.weight_svd:WeightSVD",
        "singular directions of a convolution's weight",
        "Cherepkov et al. 2021, arXiv:2011.13786",
        "To change the generator instead of the code, in closed form: edits that no code has, such "
        "as of texture and contrast. They change all its images alike.",
    ),
    "weight_hessian": MethodEntry(
        "discovery.weights.weight_hessian:WeightHessian",
        "changes of a convolution's weight that change images most",
        "Cherepkov et al. 2021, arXiv:2011.13786",
        "To change the generator instead of the code: the changes of its weight ranked by how much "
        "they change images, in pixels or features.",
    ),
    "weight_contrast": MethodEntry(
        "discovery.weights.weight_contrast:WeightContrast",
        "changes of a convolution's weight trained to be told apart in images",
        "Cherepkov et al. 2021, arXiv:2011.13786",
        "To change the generator instead of the code in ways as different as can be; some minutes "
        "of training. Name them afterwards by their measured effects.",
    ),
    "random_directions": MethodEntry(
        "discovery.unsupervised.random_directions:RandomDirections",
        "random directions, the baseline of all others",
        "no paper",
        "As the baseline: what a method finds should beat these in every measure.",
    ),
}


GROUP = "latdir.methods"
"""Entry points of this group add methods of other distributions: `name = "module:Class"`."""


def methods() -> dict[str, MethodEntry]:
    """All methods by name: the built-in ones, then those of other installed distributions.

    The latter are imported, for their summary is the first line of the class's docstring.
    """
    others = {
        name: MethodEntry(location, (find_method(name).__doc__ or "").partition(".")[0], "no paper")
        for name, location in _others().items()
    }
    return METHODS | others


def find_method(name: str) -> type[Method]:
    """The class of a method, built in or of another installed distribution.

    Raises:
        UnknownNameError: No method of that name.
        LatdirError: Another distribution's entry point that is not a method.

    Example:
        >>> find_method("boundary").__name__
        'Boundary'
        >>> find_method("magic")
        Traceback (most recent call last):
        ...
        directions.errors.UnknownNameError: no method 'magic': there are boundary, ...
    """
    known = {key: entry.location for key, entry in METHODS.items()}
    if not isinstance(name, str):
        raise UnknownNameError(f"a method's name is text, such as 'pca', not {name!r:.60}")
    if name not in known:
        known |= _others()
    if name not in known:
        raise UnknownNameError(
            f"no method {name!r}: {did_you_mean(name, known)}there are {', '.join(known)}"
        )
    module, _, cls = known[name].partition(":")
    found = getattr(importlib.import_module(module), cls)
    if not (isinstance(found, type) and issubclass(found, FAMILIES)):
        raise LatdirError(
            f"{known[name]} is not a method: derive it from one of "
            f"{', '.join(family.__name__ for family in FAMILIES)}"
        )
    return found


def describe(name: str) -> Description:
    """Family and settings of a method; a built-in one is not imported for them.

    Raises:
        UnknownNameError: No method of that name.

    Example:
        >>> [setting.name for setting in describe("sefa").settings]
        ['n_directions', 'layers', 'normalize']
    """
    if name in METHODS:
        return read_method(METHODS[name].location)
    return described(find_method(name))


def _others() -> dict[str, str]:
    """Locations of the methods of other distributions; a built-in name cannot be taken."""
    return {name: entry.location for name, entry in installed(GROUP, METHODS).items()}
