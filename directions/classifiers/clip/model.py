"""CLIP: images and texts in one embedding, and zero-shot classification of images.

Learning Transferable Visual Models From Natural Language Supervision, A. Radford, J. W. Kim,
C. Hallacy, A. Ramesh, G. Goh, S. Agarwal, G. Sastry, A. Askell, P. Mishkin, J. Clark, G. Krueger,
I. Sutskever, ICML 2021, arXiv:2103.00020.

Images are prepared as `clip`'s own transform does, except that nothing is rounded to bytes on the
way, so that gradients pass. Weights are kept in float32.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from directions import zoo
from directions.arguments import checked
from directions.classifiers.base import Attribute, Classifier
from directions.classifiers.clip import backends as adapters
from directions.classifiers.clip.protocol import TextImageModel
from directions.classifiers.clip.templates import COMMON_NAMES, FACE_PROMPTS, TEMPLATES
from directions.classifiers.clip.weights import read_weights
from directions.classifiers.crop import rgb_images
from directions.devices import Device, Movable, moved, resolve_device
from directions.errors import LatdirError, UnknownNameError, did_you_mean
from directions.fingerprints import fingerprint

__all__ = [
    "TEMPLATES",
    "ClipClassifier",
    "ClipModel",
    "clip_classifier",
    "clip_faces",
    "load_clip",
    "prepare",
]

BUILT_IN = "tinyclip-faces"
# Batch size that the largest models can hold.
BATCH = 128


@dataclass(frozen=True, eq=False)
class ClipModel(Movable):
    """A text-image model; create one with `load_clip`.

    Attributes:
        name: The name it was loaded by.
        towers: Its two encoders.
    """

    name: str
    towers: adapters.Towers = field(repr=False)
    _texts: dict[tuple[str, tuple[str, ...]], Tensor] = field(default_factory=dict, repr=False)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over the weights and how images are prepared."""
        towers = self.towers
        state = {k: v for k, v in towers.module.state_dict().items() if isinstance(v, Tensor)}
        config = {"size": towers.size, "mean": towers.mean, "std": towers.std}
        return fingerprint(state, config)

    @property
    def size(self) -> int:
        """Side in pixels of the square it looks at."""
        return self.towers.size

    @cached_property
    def dim(self) -> int:
        """Length of an embedding."""
        return self.encode_texts([""], templates=["{}"]).shape[1]

    @property
    def temperature(self) -> float:
        """Factor from cosines to the model's own logits, `exp(logit_scale)`."""
        return self.towers.temperature

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.towers.module.parameters()).device

    def to(self, device: Device | None = None, dtype: torch.dtype | None = None) -> ClipModel:
        """The model on a device, its weights in a dtype; itself where nothing changes.

        Args:
            device: As for `resolve_device`.
            dtype: In which both encoders run; embeddings are float32 always.

        Raises:
            LatdirError: No such device on this machine, or no floating-point dtype.
        """
        module = moved(self.towers.module, device, dtype)
        if module is self.towers.module:
            return self
        towers = replace(self.towers.rebuild(module), known=self.towers.known)
        made = ClipModel(self.name, towers)
        if dtype is not None:
            vars(made)["fingerprint"] = self.fingerprint
        return made

    def encode_images(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n e"]:
        """Unit embeddings of images, differentiable.

        Args:
            images: In [-1, 1], of any size; the central square is looked at.

        Returns:
            `[n, dim]`, float32.

        Raises:
            LatdirError: Not a batch of RGB images, or images on another device.
        """
        towers = self.towers
        weight = next(towers.module.parameters())
        if rgb_images(images).device != weight.device:
            raise LatdirError(
                f"the images are on {images.device}, {self.name} on {weight.device}: "
                f"load it with device={str(images.device)!r}, or move it with .to"
            )
        parts = [
            towers.image(
                prepare(part, size=towers.size, mean=towers.mean, std=towers.std).to(weight.dtype)
            )
            for part in torch.split(images, BATCH)
        ]
        return F.normalize(torch.cat(parts).float(), dim=1)

    def encode_texts(
        self, texts: Sequence[str], *, templates: Sequence[str] = TEMPLATES
    ) -> Float[Tensor, "k e"]:
        """Unit embeddings of texts, each the mean over many sentences that it is put in.

        Results are cached.

        Args:
            texts: Noun phrases with their article, such as "a smiling face".
            templates: Sentences with `{}` for the text; `["{}"]` takes the text alone.

        Returns:
            `[k, dim]`, float32, without gradient.

        Raises:
            LatdirError: A template without `{}`, no template, a text that is too long, or a word
                that the model does not know.
        """
        if isinstance(texts, str):
            raise LatdirError(f"texts are a list: write [{texts!r}]")
        if wrong := [text for text in texts if not isinstance(text, str)]:
            raise LatdirError(f"texts are a list of text, such as ['a face'], not {wrong[0]!r}")
        without = [t for t in templates if "{}" not in t]
        if without or not templates:
            what = f"{without[0]!r} has none" if without else "there is none"
            raise LatdirError(f"templates are sentences with {{}} for the text, but {what}")
        key = tuple(templates)
        for text in texts:
            if (text, key) not in self._texts:
                self._refuse_unknown(text)
                self._texts[text, key] = self._ensemble(text, key)
        return torch.stack([self._texts[text, key] for text in texts])

    def unknown_words(self, text: str) -> list[str]:
        """Words of a text that the model was never trained on, where its file says which it knows.

        Example:
            >>> load_clip().unknown_words("a smiling face with glasses")
            ['glasses']
        """
        known = self.towers.known
        if known is None:
            return []
        words = dict.fromkeys(re.findall(r"[^\W\d_]+|\d+", text.lower()))
        # A padded text ends in zeros.
        return [w for w in words if not known.issuperset(set(self.tokenize([w])[0].tolist()) - {0})]

    def _refuse_unknown(self, text: str) -> None:
        unknown = self.unknown_words(text)
        if unknown and self.towers.known is not None:
            words = adapters.words_of(self.towers.known)
            raise UnknownNameError(
                f"{self.name} does not know {', '.join(map(repr, unknown))} in {text!r}: "
                f"{did_you_mean(unknown[0], words)}use another model, such as ViT-B/32, or these "
                f"words: {', '.join(words)}"
            )

    def tokenize(self, texts: Sequence[str]) -> Int[Tensor, "k t"]:
        """Tokens of texts, on the model's device.

        Raises:
            LatdirError: A text that is too long.
        """
        return self.towers.tokenize(texts).to(self.device)

    def _ensemble(self, text: str, templates: tuple[str, ...]) -> Float[Tensor, "e"]:
        with torch.no_grad():
            tokens = self.tokenize([template.replace("{}", text) for template in templates])
            each = F.normalize(self.towers.text(tokens).float(), dim=1)
            return F.normalize(each.mean(0), dim=0)


def prepare(
    images: Float[Tensor, "n 3 h w"], *, size: int, mean: Sequence[float], std: Sequence[float]
) -> Float[Tensor, "n 3 size size"]:
    """Images as CLIP sees them: the shorter side resized, the center cut out, normalized.

    Bicubic and antialiased, with PIL's kernel (a = -1/2); overshoot is clipped as bytes would be.

    Args:
        images: In [-1, 1], of any size.
        size: Side of the result.
        mean: Of each channel, in [0, 1].
        std: Likewise.

    Example:
        >>> half = (0.5, 0.5, 0.5)
        >>> prepare(torch.ones(2, 3, 64, 80), size=32, mean=half, std=half).mean()
        tensor(1.)
    """
    unit = (images.float() + 1) / 2
    height, width = images.shape[2:]
    short = min(height, width)
    if short != size:
        target = (size * height // short, size * width // short)
        unit = F.interpolate(unit, target, mode="bicubic", antialias=True, align_corners=False)
    top, left = (round((side - size) / 2) for side in unit.shape[2:])
    unit = unit[:, :, top : top + size, left : left + size].clamp(0, 1)
    shape = (3, 1, 1)
    return (unit - unit.new_tensor(mean).view(shape)) / unit.new_tensor(std).view(shape)


@checked
def load_clip(
    source: str | Path | nn.Module = BUILT_IN, *, device: Device | None = None
) -> ClipModel:
    """A CLIP by name, from a file, or of a module.

    Args:
        source: One of

            - `tinyclip-faces`, small and built in, for faces only;
            - a name of `clip-anytorch`'s, such as `ViT-B/32`, fetched once;
            - a path to weights of that architecture: a state dict, a TorchScript archive or
              safetensors; nothing in the file is executed;
            - `open_clip:NAME/PRETRAINED` or `transformers:NAME`, where those are installed;
            - a module with the interface of `clip.model.CLIP`, used unchanged.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`; by default the CPU. A module stays where
            it is.

    Raises:
        LatdirError: Not one of these, a missing package, a file without a CLIP, or no such device.

    Example:
        >>> clip = load_clip()
        >>> clip.encode_texts(["a smiling face", "a face"]).shape
        torch.Size([2, 128])
        >>> load_clip("ViT-Z/1")
        Traceback (most recent call last):
        ...
        directions.errors.UnknownNameError: no CLIP 'ViT-Z/1': it is neither a file nor one of
        tinyclip-faces, RN50, ...; other libraries' are named 'open_clip:NAME/PRETRAINED' or
        'transformers:NAME'
    """
    if isinstance(source, nn.Module):
        if device is not None:
            raise LatdirError("a module stays where it is: move it with module.to(device) first")
        return ClipModel(type(source).__name__, adapters.from_module(source))
    where = resolve_device(device or "cpu")
    name = str(source)
    library, _, rest = name.partition(":")
    if name == BUILT_IN:
        return ClipModel(name, adapters.from_state(zoo.load(name), where))
    if library == "open_clip":
        return ClipModel(name, adapters.from_open_clip(rest, where))
    if library == "transformers":
        return ClipModel(name, adapters.from_transformers(rest, where))
    if Path(source).is_file():
        return ClipModel(Path(source).stem, adapters.from_state(read_weights(source), where))
    known = adapters.clip_package().available_models()
    if name in known:
        return ClipModel(name, adapters.from_name(name, where))
    raise UnknownNameError(
        f"no CLIP {name!r}: it is neither a file nor one of {BUILT_IN}, {', '.join(known)}; other "
        "libraries' are named 'open_clip:NAME/PRETRAINED' or 'transformers:NAME'"
    )


class ClipClassifier(Classifier):
    """Zero-shot attributes: similarity of an image to one text relative to another.

    The logit is the model's temperature times the difference of the two cosines; the probability
    its sigmoid, which is the softmax over the pair as published. Make one with `clip_classifier`.
    """

    differentiable = True

    def __init__(
        self, clip: TextImageModel, prompts: Mapping[str, tuple[str, str]], *, name: str
    ) -> None:
        self.clip = clip
        self.prompts = dict(prompts)
        self.name = name
        self.attributes = tuple(
            Attribute(attribute, "probability", "probability", f"“{positive}” against “{neutral}”")
            for attribute, (positive, neutral) in self.prompts.items()
        )
        positives, neutrals = zip(*self.prompts.values(), strict=True)
        self._axes = clip.encode_texts(positives) - clip.encode_texts(neutrals)

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over the model and the texts' embeddings, and with them the prompts."""
        config = {"clip": self.clip.fingerprint, "prompts": list(self.prompts.items())}
        return fingerprint({"axes": self._axes}, config)

    def __call__(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Probabilities of each pair's first text.

        Raises:
            LatdirError: Not a batch of RGB images.
        """
        return self.logits(images).sigmoid()

    def logits(self, images: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k"]:
        """Temperature times the difference of cosines."""
        embedded = self.clip.encode_images(images)
        return self.clip.temperature * embedded @ self._axes.to(embedded).T


def clip_classifier(
    clip: TextImageModel, prompts: Mapping[str, tuple[str, str]], *, name: str = "clip"
) -> ClipClassifier:
    """A zero-shot classifier from texts.

    Args:
        clip: From `load_clip`, or any model of images and texts.
        prompts: For each attribute a text and a text to compare it with, such as
            `{"smiling": ("a smiling face", "a face")}`.
        name: Shown and stored.

    Raises:
        LatdirError: No prompts, or a pair of one text twice.

    Example:
        >>> classifier = clip_classifier(load_clip(), {"smiling": ("a smiling face", "a face")})
        >>> classifier(torch.zeros(2, 3, 64, 64)).shape
        torch.Size([2, 1])
    """
    if not prompts:
        raise LatdirError(
            'give at least one attribute, such as {"smiling": ("a smiling face", "a face")}'
        )
    for attribute, pair in prompts.items():
        if isinstance(pair, str) or len(pair) != 2 or pair[0] == pair[1]:
            raise LatdirError(
                f"{attribute!r} needs two different texts, its description and one to compare "
                f"it with, not {pair!r}"
            )
    return ClipClassifier(clip, prompts, name=name)


def clip_faces() -> ClipClassifier:
    """The built-in CLIP with prompts for faces.

    Raises:
        LatdirError: The package `clip` is not installed.
    """
    made = clip_classifier(load_clip(), FACE_PROMPTS)
    # `tinyclip-faces` learned from captions that were made of these scores.
    made.common_names, made.teachers = COMMON_NAMES, ("faces", "pixels")
    return made
