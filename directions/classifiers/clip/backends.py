"""Adapters of several libraries' image and text encoders to one interface.

`clip-anytorch` is the library of choice; `open_clip` and `transformers` are taken where they are
installed. None of them is imported before it is needed.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from directions.errors import CheckpointError, LatdirError, require
from directions.weight_files.downloads import fetched

__all__ = [
    "MEAN",
    "STD",
    "Towers",
    "clip_package",
    "from_module",
    "from_name",
    "from_open_clip",
    "from_state",
    "from_transformers",
    "full_vocabulary",
    "words_of",
]

# Of the images CLIP was trained on, per channel in [0, 1].
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
HOSTS = {"clip": "openaipublic.azureedge.net", "hub": "huggingface.co"}
ROWS = "token_embedding.rows"
EMBEDDING = "token_embedding.weight"


@dataclass(frozen=True, eq=False)
class Towers:
    """The two encoders of one model.

    Attributes:
        module: Holds the weights of both.
        size: Side of the square images it takes.
        temperature: Factor from cosines to logits.
        image: Normalized images `[n, 3, size, size]` to embeddings `[n, e]`.
        text: Tokens `[k, length]` to embeddings `[k, e]`.
        tokenize: Texts to tokens.
        rebuild: The same encoders of a moved copy of the module.
        mean: Of each channel in [0, 1], taken off images.
        std: Divisor after that.
        known: Tokens that it was trained on, where it is known to know only some.
    """

    module: nn.Module
    size: int
    temperature: float
    image: Callable[[Tensor], Tensor]
    text: Callable[[Tensor], Tensor]
    tokenize: Callable[[Sequence[str]], Int[Tensor, "k t"]]
    rebuild: Callable[[nn.Module], Towers]
    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD
    known: frozenset[int] | None = None


def clip_package() -> ModuleType:
    """The package `clip`, imported without its warning about `pkg_resources`.

    Raises:
        LatdirError: It is not installed.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*pkg_resources")
        return require("clip", "clip")


def from_name(name: str, device: torch.device) -> Towers:
    """A model of `clip-anytorch`, downloaded once to its cache.

    Raises:
        LatdirError: It could not be fetched.
    """
    package = clip_package()
    url = package.clip._MODELS[name]
    cache = Path("~/.cache/clip").expanduser()
    module, _ = fetched(
        lambda online: package.load(name, device=torch.device("cpu")),
        what=f"the weights of {name!r}",
        host=HOSTS["clip"],
        remedy=f"fetch {url} and put it into {cache}, or name the model by the path of the file",
        file=cache / Path(url).name,
    )
    return from_module(module.float().requires_grad_(False).to(device))


def from_state(state: Mapping[str, Tensor], device: torch.device) -> Towers:
    """A model of CLIP's own architecture from its weights, in float32.

    Its sizes are read off the weights by `clip.model.build_model`.

    Raises:
        LatdirError: These are not the weights of a CLIP.
    """
    package = clip_package()
    whole = {key: tensor.float() for key, tensor in full_vocabulary(state).items()}
    for key in ("input_resolution", "context_length", "vocab_size"):
        whole.pop(key, None)
    try:
        # Its initial weights, overwritten at once, must not move the global random state.
        with torch.random.fork_rng(devices=[]):
            module: nn.Module = package.model.build_model(dict(whole)).float()
        # build_model rounds weights to half precision.
        module.load_state_dict(whole)
    except (KeyError, RuntimeError, AssertionError) as error:
        some = ", ".join(list(state)[:3])
        raise CheckpointError(
            f"these {len(state)} tensors ({some}, …) are not the weights of a CLIP "
            f"({type(error).__name__}: {str(error).splitlines()[0]}): give the state dict of "
            "clip.model.CLIP, or name another library's model as 'open_clip:NAME/PRETRAINED' or "
            "'transformers:NAME'"
        ) from error
    towers = from_module(module.requires_grad_(False).to(device))
    known = frozenset(state[ROWS].long().tolist()) if ROWS in state else None
    return replace(towers, known=known)


def words_of(tokens: Iterable[int]) -> list[str]:
    """The words among tokens of CLIP's own vocabulary, in alphabetical order."""
    spelled = clip_package().simple_tokenizer.SimpleTokenizer().decoder
    texts = (spelled[token] for token in tokens)
    ends = (text.removesuffix("</w>") for text in texts if text.endswith("</w>"))
    return sorted(text for text in ends if text.isalpha())


def full_vocabulary(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights with a pruned token embedding, restored to one row per token.

    Such weights have a tensor `token_embedding.rows`, the ids of the words that have a row of
    their own; the table's last row then represents all other tokens. Other weights are returned
    unchanged.

    Example:
        >>> cut = {"token_embedding.rows": torch.tensor([2, 49407]),
        ...        "token_embedding.weight": torch.tensor([[1.0], [2.0], [0.5]])}
        >>> full_vocabulary(cut)["token_embedding.weight"][[0, 2, 49407], 0]
        tensor([0.5000, 1.0000, 2.0000])
    """
    whole = dict(state)
    rows = whole.pop(ROWS, None)
    if rows is not None:
        own, shared = whole[EMBEDDING][:-1], whole[EMBEDDING][-1]
        # The mark of a text's end is the last id of the vocabulary.
        table = shared.repeat(int(rows.max()) + 1, 1)
        table[rows.long()] = own
        whole[EMBEDDING] = table
    return whole


def from_module(module: nn.Module) -> Towers:
    """A module with the interface of `clip.model.CLIP`, unchanged and on its device.

    Raises:
        LatdirError: It lacks a part of that interface, or is in training mode.
    """
    size: Any = getattr(getattr(module, "visual", None), "input_resolution", None)
    lacking = [
        part for part in ("encode_image", "encode_text", "logit_scale") if not hasattr(module, part)
    ]
    lacking += ["visual.input_resolution"] if size is None else []
    if lacking:
        raise LatdirError(
            f"a {type(module).__name__} lacks {', '.join(lacking)}: give a clip.model.CLIP, or "
            "a class with the interface of directions.classifiers.clip.TextImageModel"
        )
    if module.training:
        raise LatdirError(
            f"this {type(module).__name__} is in training mode, where embeddings may depend on "
            "the batch: call module.eval() first"
        )
    package = clip_package()
    for part in module.modules():
        if isinstance(part, package.model.LayerNorm):
            part.float()  # it computes in float32 whatever its input
    encoder: Any = module
    length = int(getattr(module, "context_length", 77))
    # Positions after the end token are masked; this class takes shorter texts.
    trims = isinstance(module, package.model.CLIP)

    def tokenize(texts: Sequence[str]) -> Tensor:
        try:
            tokens: Tensor = package.tokenize(list(texts), context_length=length)
        except RuntimeError as error:
            raise _too_long(texts, length) from error
        return tokens

    def text(tokens: Tensor) -> Tensor:
        stop = int(tokens.argmax(1).max()) + 1 if trims else None
        encoded: Tensor = encoder.encode_text(tokens[:, :stop])
        return encoded

    return Towers(
        module,
        int(size),
        float(encoder.logit_scale.detach().exp()),
        encoder.encode_image,
        text,
        tokenize,
        from_module,
    )


def from_open_clip(name: str, device: torch.device) -> Towers:
    """A model of `open_clip`, named `NAME/PRETRAINED`, such as `ViT-B-32/laion2b_s34b_b79k`.

    Raises:
        LatdirError: The package is missing, or the name lacks one of the two.
    """
    model, _, pretrained = name.partition("/")
    if not model or not pretrained:
        raise LatdirError(
            f"open_clip models are named open_clip:NAME/PRETRAINED, not {name!r}: "
            "such as open_clip:ViT-B-32/laion2b_s34b_b79k"
        )
    package = require("open_clip", "open-clip")
    module = fetched(
        lambda online: _local(online, lambda: package.create_model(model, pretrained=pretrained)),
        what=f"the weights of 'open_clip:{name}'",
        host=HOSTS["hub"],
        remedy="fetch its file of weights (open_clip_model.safetensors) where there is a network, "
        "copy it here, and name the model "
        f"'open_clip:{model}/PATH'",
        file=Path(pretrained),
    )
    module = module.float().eval().requires_grad_(False).to(device)
    return _open_clip(package.get_tokenizer(model), module)


def _local(online: bool, load: Callable[[], Any]) -> Any:
    """What a package loads through huggingface_hub, from its cache alone where it is offline."""
    if online:
        return load()
    try:
        constants: Any = importlib.import_module("huggingface_hub.constants")
    except ModuleNotFoundError:
        return load()
    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True
    try:
        return load()
    finally:
        constants.HF_HUB_OFFLINE = before


def _open_clip(tokenizer: Any, module: Any) -> Towers:
    size = module.visual.image_size
    length = int(module.context_length)

    def tokenize(texts: Sequence[str]) -> Tensor:
        # This library cuts long texts off without a word.
        longer: Tensor = tokenizer(["", *texts], context_length=length + 1)
        if (longer[1:, -1] != longer[0, -1]).any():
            raise _too_long(texts, length)
        return longer[1:, :length]

    return Towers(
        module,
        size if isinstance(size, int) else size[0],
        float(module.logit_scale.detach().exp()),
        module.encode_image,
        module.encode_text,
        tokenize,
        partial(_open_clip, tokenizer),
        tuple(getattr(module.visual, "image_mean", None) or MEAN),
        tuple(getattr(module.visual, "image_std", None) or STD),
    )


def from_transformers(name: str, device: torch.device) -> Towers:
    """A CLIP of `transformers`, by the name of its repository or the path of its folder.

    Raises:
        LatdirError: The package is missing.
    """
    package = require("transformers", "transformers")
    parts = (package.CLIPModel, package.CLIPTokenizerFast, package.CLIPImageProcessor)
    module, tokenizer, processor = fetched(
        lambda online: [part.from_pretrained(name, local_files_only=not online) for part in parts],
        what=f"the weights of 'transformers:{name}'",
        host=HOSTS["hub"],
        remedy=f"fetch the folder where there is a network (hf download {name} "
        "--local-dir FOLDER), copy it here, and name the model 'transformers:FOLDER'",
        file=Path(name) / "config.json",
    )
    module = module.float().eval().requires_grad_(False).to(device)
    return _transformers(tokenizer, processor, module)


def _transformers(tokenizer: Any, processor: Any, module: Any) -> Towers:
    length = module.config.text_config.max_position_embeddings

    def tokenize(texts: Sequence[str]) -> Tensor:
        read: list[list[int]] = tokenizer(list(texts), padding="max_length", max_length=length)[
            "input_ids"
        ]
        if max(map(len, read)) > length:
            raise _too_long(texts, length)
        return torch.tensor(read)

    return Towers(
        module,
        module.config.vision_config.image_size,
        float(module.logit_scale.detach().exp()),
        lambda images: _pooled(module.get_image_features(pixel_values=images)),
        lambda tokens: _pooled(module.get_text_features(input_ids=tokens)),
        tokenize,
        partial(_transformers, tokenizer, processor),
        tuple(processor.image_mean),
        tuple(processor.image_std),
    )


def _too_long(texts: Sequence[str], length: int) -> LatdirError:
    return LatdirError(
        f"a text is longer than the {length} tokens this model reads: "
        f"shorten {max(texts, key=len)[:60]!r}…"
    )


def _pooled(features: Any) -> Float[Tensor, "n e"]:
    """Embeddings: a tensor in some versions, in others a field of the output."""
    pooled: Tensor = features if isinstance(features, Tensor) else features.pooler_output
    return pooled
