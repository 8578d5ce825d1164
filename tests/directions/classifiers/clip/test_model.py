"""CLIP: preparing images, reading texts, loading weights, classifying by words."""

from __future__ import annotations

import pickle
import re
import sys
import time
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F  # noqa: N812 - its usual name

from directions import CheckpointError, LatdirError, UnknownNameError
from directions.classifiers.clip import backends as adapters
from directions.classifiers.clip.model import (
    TEMPLATES,
    ClipModel,
    clip_classifier,
    load_clip,
    prepare,
)
from directions.classifiers.clip.protocol import TextImageModel
from directions.classifiers.clip.templates import FACE_PROMPTS
from directions.classifiers.clip.weights import read_weights
from directions.images import from_pil
from directions.scoring.features import lpips_features
from directions.weight_files import downloads

package = adapters.clip_package()


def random_clip(seed: int = 0, *, resolution: int = 32, layers: object = 2) -> nn.Module:
    """`clip.model.CLIP` with random weights; a ViT, or a ResNet where `layers` is a tuple."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        patch = 8 if isinstance(layers, int) else None
        width = 64 if isinstance(layers, int) else 8
        module = package.model.CLIP(48, resolution, layers, width, patch, 77, 49408, 64, 1, 2)
    # As after training, not the near-zero positions it starts with.
    nn.init.normal_(module.positional_embedding, std=0.3, generator=generator(seed))
    return module.eval().requires_grad_(False)


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def smooth_images(height: int, width: int, *, seed: int = 0) -> torch.Tensor:
    """Three images with detail at several scales, bytes exactly."""
    rng = np.random.default_rng(seed)
    waves = [
        np.kron(rng.random((3, height // k, width // k, 3)), np.ones((1, k, k, 1))) for k in (8, 1)
    ]
    pixels = (255 * (0.8 * waves[0] + 0.2 * waves[1])).round().astype(np.uint8)
    return torch.cat([from_pil(Image.fromarray(p)) for p in pixels])


MODULE = random_clip()
CLIP = load_clip(MODULE)
IMAGES = smooth_images(64, 64)


@pytest.mark.parametrize(
    "shape", [(64, 64), (48, 80), (104, 40), (32, 32), (16, 24)], ids=lambda s: f"{s[0]}x{s[1]}"
)
def test_images_are_prepared_as_clips_own_transform_does(shape) -> None:
    images = smooth_images(*shape)
    transform = package.clip._transform(CLIP.size)
    bytes_ = ((images + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    theirs = torch.stack([transform(Image.fromarray(b)) for b in bytes_])
    ours = prepare(images, size=CLIP.size, mean=adapters.MEAN, std=adapters.STD)
    # Theirs is rounded to bytes twice, once along each axis.
    difference = (ours - theirs).abs() * min(adapters.STD) * 255
    assert difference.max() < 5
    assert difference.mean() < 0.5
    expected = F.normalize(MODULE.encode_image(theirs), dim=1)
    cosines = (CLIP.encode_images(images) * expected).sum(1)
    assert cosines.min() > 1 - 1e-4
    assert (expected @ expected.T).triu(1).max() < 1 - 2e-3, "these images must differ"


def test_embeddings_of_images_are_unit_rows_and_let_gradients_pass() -> None:
    leaf = IMAGES.clone().requires_grad_()
    embedded = CLIP.encode_images(leaf)
    assert embedded.shape == (3, CLIP.dim)
    torch.testing.assert_close(embedded.norm(dim=1), torch.ones(3))
    aim = F.normalize(torch.randn(CLIP.dim, generator=generator(1)), dim=0)
    (gradient,) = torch.autograd.grad((embedded @ aim).sum(), leaf)
    step = 0.5 * gradient / gradient.abs().max()
    with torch.no_grad():
        gained = CLIP.encode_images(leaf + 0.02 * step) @ aim - embedded @ aim
    predicted = (gradient * 0.02 * step).flatten(1).sum(1)
    torch.testing.assert_close(gained, predicted, rtol=0.2, atol=1e-5)
    many = IMAGES.repeat(50, 1, 1, 1)
    torch.testing.assert_close(CLIP.encode_images(many)[147:], embedded.detach())


def test_a_text_is_the_mean_of_its_sentences_each_of_unit_length() -> None:
    assert len(set(TEMPLATES)) == len(TEMPLATES) >= 70
    assert all(t.count("{}") == 1 for t in TEMPLATES)
    texts = ["a smiling face", "an old man"]
    mean = []
    for text in texts:
        tokens = package.tokenize([t.format(text) for t in TEMPLATES])
        each = MODULE.encode_text(tokens)
        mean.append((each / each.norm(dim=1, keepdim=True)).mean(0))
    expected = F.normalize(torch.stack(mean), dim=1)
    torch.testing.assert_close(CLIP.encode_texts(texts), expected)
    alone = F.normalize(MODULE.encode_text(package.tokenize(texts)), dim=1)
    torch.testing.assert_close(CLIP.encode_texts(texts, templates=["{}"]), alone)
    assert not torch.allclose(alone, expected, atol=1e-3)


def test_texts_are_encoded_once_and_serve_gradients_later() -> None:
    calls = []
    towers = adapters.from_module(MODULE)

    def counted(tokens: torch.Tensor) -> torch.Tensor:
        calls.append(len(tokens))
        return towers.text(tokens)

    clip = ClipModel("counted", adapters.Towers(**{**vars(towers), "text": counted}))
    with torch.inference_mode():
        first = clip.encode_texts(["a face", "a man"])
    again = clip.encode_texts(["a man", "a face"])
    assert calls == [len(TEMPLATES)] * 2
    assert torch.equal(first, again.flip(0))
    leaf = IMAGES.clone().requires_grad_()
    (clip.encode_images(leaf) @ clip.encode_texts(["a face"]).T).sum().backward()
    assert leaf.grad is not None


def test_what_cannot_be_a_text_is_refused() -> None:
    with pytest.raises(LatdirError, match=r"texts are a list: write \['a face'\]"):
        CLIP.encode_texts("a face")
    with pytest.raises(LatdirError, match=r"sentences with \{\} for the text, but 'hm' has none"):
        CLIP.encode_texts(["a face"], templates=["{}", "hm"])
    with pytest.raises(LatdirError, match=r"but there is none"):
        CLIP.encode_texts(["a face"], templates=[])
    with pytest.raises(LatdirError, match="longer than the 77 tokens this model reads: shorten"):
        CLIP.encode_texts(["very " * 80 + "old"])


@pytest.mark.parametrize("layers", [2, (1, 1, 1, 1)], ids=["vit", "resnet"])
def test_a_state_dict_of_either_architecture_loads_exactly(layers, tmp_path) -> None:
    module = random_clip(3, layers=layers)
    direct = load_clip(module)
    before = torch.random.get_rng_state()
    torch.save(module.state_dict(), tmp_path / "weights.pt")
    torch.save({"epoch": 3, "state_dict": OrderedDict(module.state_dict())}, tmp_path / "more.pt")
    save_file(module.state_dict(), tmp_path / "weights.safetensors")
    for file in ("weights.pt", "more.pt", "weights.safetensors"):
        loaded = load_clip(tmp_path / file)
        assert (loaded.name, loaded.size) == (file.split(".")[0], 32)
        # Exactly, though build_model rounds to half precision.
        assert loaded.fingerprint == direct.fingerprint
        assert torch.equal(loaded.encode_images(IMAGES), direct.encode_images(IMAGES))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert direct.fingerprint != CLIP.fingerprint


def test_half_precision_weights_are_widened() -> None:
    state = {k: v.half() for k, v in MODULE.state_dict().items()}
    towers = adapters.from_state(state, torch.device("cpu"))
    assert {p.dtype for p in towers.module.parameters()} == {torch.float32}
    half = ClipModel("half", towers).encode_images(IMAGES)
    assert (half * CLIP.encode_images(IMAGES)).sum(1).min() > 1 - 1e-4


def test_a_torchscript_archive_gives_its_weights_without_its_code(tmp_path) -> None:
    inputs = {"encode_image": torch.zeros(1, 3, 32, 32), "encode_text": package.tokenize(["a"])}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace_module(MODULE, inputs, check_trace=False)
        torch.jit.save(traced, tmp_path / "scripted.pt")
    read = read_weights(tmp_path / "scripted.pt")
    expected = MODULE.state_dict()
    assert read.keys() == expected.keys()
    assert all(torch.equal(read[k], expected[k]) for k in expected)
    assert load_clip(tmp_path / "scripted.pt").fingerprint == CLIP.fingerprint
    with zipfile.ZipFile(tmp_path / "trap.pt", "w") as archive:
        archive.writestr("trap/data.pkl", pickle.dumps(Trap()))
        archive.writestr("trap/constants.pkl", b"")
    with pytest.raises(LatdirError, match=r"trap\.pt cannot be read: it asks for .*Path"):
        read_weights(tmp_path / "trap.pt")


class Trap:
    def __reduce__(self):
        return (Path.touch, (Path("sprung"),))


def test_files_with_code_or_without_a_clip_are_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"a": Trap()}, "trap.pt")
    with pytest.raises(LatdirError, match=r"trap\.pt cannot be read: .*refused and nothing in the"):
        load_clip("trap.pt")
    assert not Path("sprung").exists()
    Path("text.pt").write_text("hello")
    with pytest.raises(LatdirError, match=r"text\.pt cannot be read: it is neither a torch file"):
        load_clip("text.pt")
    torch.save([1, 2], "list.pt")
    with pytest.raises(LatdirError, match=r"list\.pt cannot be read: it holds a list, not a state"):
        load_clip("list.pt")
    torch.save({"conv.weight": torch.zeros(2)}, "other.pt")
    with pytest.raises(LatdirError, match=r"1 tensors \(conv.weight, …\) are not the weights of a"):
        load_clip("other.pt")
    with pytest.raises(LatdirError, match=r"there is no file gone\.pt"):
        read_weights("gone.pt")


def test_sources_that_are_none_are_refused(monkeypatch) -> None:
    with pytest.raises(LatdirError, match="no CLIP 'ViT-B/33': it is neither a file nor one of"):
        load_clip("ViT-B/33")
    with pytest.raises(LatdirError, match="Linear lacks encode_image, encode_text, logit_scale, "):
        load_clip(nn.Linear(2, 2))
    with pytest.raises(LatdirError, match=r"in training mode.*call module\.eval\(\) first"):
        load_clip(random_clip().train())
    with pytest.raises(LatdirError, match="a module stays where it is"):
        load_clip(MODULE, device="cpu")
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(LatdirError, match=r"'open_clip': pip install 'latdir\[open-clip\]'"):
        load_clip("open_clip:ViT-B-32/laion2b_s34b_b79k")
    with pytest.raises(LatdirError, match="open_clip models are named open_clip:NAME/PRETRAINED"):
        load_clip("open_clip:ViT-B-32")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(LatdirError, match=r"'transformers': pip install 'latdir\[transformers\]'"):
        load_clip("transformers:openai/clip-vit-base-patch32")


class Absent(ModuleType):
    """A package, or its classes, whose every loader finds nothing and no network."""

    clip = CLIPModel = CLIPTokenizerFast = CLIPImageProcessor = property(lambda self: self)
    _MODELS: ClassVar[dict[str, str]] = {"ViT-B/32": "https://there/ViT-B-32.pt"}

    def available_models(self) -> list[str]:
        return ["ViT-B/32"]

    def load(self, *_: object, **__: object) -> None:
        raise OSError("no route")

    create_model = from_pretrained = LPIPS = load


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("ViT-B/32", "fetch https://there/ViT-B-32.pt and put it into .*/.cache/clip, or name"),
        ("open_clip:ViT-B-32/laion2b", "fetch its file of weights .* 'open_clip:ViT-B-32/PATH'"),
        ("transformers:openai/clip", "hf download openai/clip --local-dir FOLDER"),
        ("lpips", "fetch https://download.pytorch.org/models/vgg16-397923af.pth and put it into "),
    ],
)
@pytest.mark.parametrize("online", [False, True])
def test_weights_that_are_not_to_be_had_are_asked_for(
    name: str, text: str, online: bool, monkeypatch, tmp_path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(downloads, "reachable", lambda host: online)
    absent = Absent("absent")
    for package_name in ("clip", "open_clip", "transformers", "lpips"):
        monkeypatch.setitem(sys.modules, package_name, absent)
    why = "could not be fetched from" if online else "are not on this machine, and .* not answer"
    with pytest.raises(CheckpointError, match=f"^the weights of .*{why}.*no route.*: .*{text}"):
        lpips_features() if name == "lpips" else load_clip(name)


def test_a_host_that_never_answers_is_given_up_in_time(monkeypatch) -> None:

    def silent(*_, **__):
        time.sleep(9)
        raise TimeoutError

    monkeypatch.setattr(downloads.socket, "create_connection", silent)
    start = time.perf_counter()
    assert not downloads.reachable("slow.invalid", timeout=0.2)
    assert time.perf_counter() - start < 2


def test_a_cut_vocabulary_is_made_whole_with_one_row_for_all_other_words() -> None:
    state = MODULE.state_dict()
    kept = sorted({int(t) for t in package.tokenize(["a face", "a man"]).flatten()} | {49407})
    table = state["token_embedding.weight"]
    shared = torch.full((1, table.shape[1]), 0.5)
    cut = {
        **state,
        "token_embedding.weight": torch.cat((table[kept], shared)),
        "token_embedding.rows": torch.tensor(kept, dtype=torch.int32),
    }
    clip = ClipModel("cut", adapters.from_state(cut, torch.device("cpu")))
    alone = ["{}"]
    texts = ["a face", "a man"]
    same = clip.encode_texts(texts, templates=alone)
    torch.testing.assert_close(same, CLIP.encode_texts(texts, templates=alone))
    others = ["a zebra", "a tiger"]
    assert (package.tokenize(others) > 0).sum(1).tolist() == [4, 4], "as many tokens each"
    zebra, tiger = clip.towers.text(clip.tokenize(others))
    torch.testing.assert_close(zebra, tiger)
    with pytest.raises(UnknownNameError, match=r"not know 'zebra' in 'a zebra': .*: a, face, man"):
        clip.encode_texts(others)
    assert not torch.equal(*CLIP.encode_texts(others, templates=alone))


def test_logits_are_temperature_times_the_difference_of_cosines() -> None:
    pairs = {"smiling": ("a smiling face", "a face"), "old": ("an old man", "a young man")}
    classifier = clip_classifier(CLIP, pairs)
    assert isinstance(CLIP, TextImageModel)
    images, texts = CLIP.encode_images(IMAGES), CLIP.encode_texts(["a smiling face", "a face"])
    both = CLIP.temperature * images @ texts.T
    torch.testing.assert_close(classifier(IMAGES)[:, 0], both.softmax(1)[:, 0])
    torch.testing.assert_close(classifier.logits(IMAGES)[:, 0], both[:, 0] - both[:, 1])
    assert CLIP.temperature == pytest.approx(1 / 0.07)
    assert classifier.names == ("smiling", "old")
    turned = clip_classifier(CLIP, {"smiling": pairs["smiling"], "old": pairs["old"][::-1]})
    torch.testing.assert_close(turned.logits(IMAGES)[:, 1], -classifier.logits(IMAGES)[:, 1])
    assert turned.fingerprint != classifier.fingerprint
    assert classifier.fingerprint == clip_classifier(CLIP, pairs).fingerprint


def test_prompts_that_are_no_pairs_are_refused() -> None:
    with pytest.raises(LatdirError, match="give at least one attribute, such as"):
        clip_classifier(CLIP, {})
    message = re.escape("'smiling' needs two different texts, its description and one to")
    with pytest.raises(LatdirError, match=message):
        clip_classifier(CLIP, {"smiling": ("a face", "a face")})


@pytest.mark.slow
def test_the_real_size_runs_from_a_path(tmp_path) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = package.model.CLIP(512, 224, 12, 768, 32, 77, 49408, 512, 8, 12)
    state = {k: v.half() for k, v in module.state_dict().items()}
    torch.save(state, tmp_path / "vit-b-32.pt")
    clip = load_clip(tmp_path / "vit-b-32.pt")
    assert (clip.size, clip.dim) == (224, 512)
    leaf = IMAGES[:2].clone().requires_grad_()
    classifier = clip_classifier(clip, {"smiling": FACE_PROMPTS["clip_smiling"]})
    (gradient,) = torch.autograd.grad(classifier.logits(leaf).sum(), leaf)
    assert torch.isfinite(gradient).all()
    assert gradient.flatten(1).norm(dim=1).min() > 0
