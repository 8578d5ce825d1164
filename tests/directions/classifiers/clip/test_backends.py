"""CLIPs of other libraries, where installed: random weights, the libraries' outputs."""

from __future__ import annotations

import json
import warnings

import pytest
import torch
from torch.nn import functional as F  # noqa: N812 - its usual name

from directions import LatdirError
from directions.classifiers.clip.backends import MEAN, STD, clip_package
from directions.classifiers.clip.model import load_clip, prepare

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
TEXTS = ["a smiling face", "an old man looking to the left"]
ALONE = ["{}"]


def library(name: str):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(name, reason=f"{name} is not installed", exc_type=ImportError)


def test_open_clip_models_answer_as_their_library_does(tmp_path) -> None:
    open_clip = library("open_clip")
    with torch.random.fork_rng(devices=[]):
        module = open_clip.create_model("ViT-S-32-alt").eval()
    torch.save(module.state_dict(), tmp_path / "weights.pt")
    clip = load_clip(f"open_clip:ViT-S-32-alt/{tmp_path / 'weights.pt'}")
    assert clip.size == 224
    assert clip.temperature == pytest.approx(float(module.logit_scale.detach().exp()))
    with torch.no_grad():
        images = module.encode_image(prepare(IMAGES, size=224, mean=MEAN, std=STD))
        texts = module.encode_text(open_clip.get_tokenizer("ViT-S-32-alt")(TEXTS))
    torch.testing.assert_close(clip.encode_images(IMAGES), F.normalize(images, dim=1))
    torch.testing.assert_close(clip.encode_texts(TEXTS, templates=ALONE), F.normalize(texts, dim=1))
    with pytest.raises(LatdirError, match="longer than the 77 tokens this model reads: shorten"):
        clip.encode_texts(["very " * 80])


def test_transformers_models_answer_as_their_library_does(tmp_path) -> None:
    transformers = library("transformers")
    small = {
        "hidden_size": 64,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    config = transformers.CLIPConfig(
        text_config={**small, "eos_token_id": 49407},
        vision_config={**small, "image_size": 64, "patch_size": 16},
        projection_dim=32,
    )
    with torch.random.fork_rng(devices=[]):
        module = transformers.CLIPModel(config).eval()
    module.save_pretrained(tmp_path)
    words = clip_package().clip._tokenizer
    (tmp_path / "vocab.json").write_text(json.dumps(words.encoder))
    merges = "\n".join(" ".join(pair) for pair in words.bpe_ranks)
    (tmp_path / "merges.txt").write_text(f"#version: 0.2\n{merges}")
    size = {"height": 64, "width": 64}
    transformers.CLIPImageProcessor(crop_size=size, image_mean=[0.5] * 3).save_pretrained(tmp_path)
    clip = load_clip(f"transformers:{tmp_path}")
    assert (clip.size, clip.dim, clip.towers.mean) == (64, 32, (0.5, 0.5, 0.5))
    tokens = clip_package().tokenize(TEXTS)
    with torch.no_grad():
        answer = module(
            input_ids=tokens,
            pixel_values=prepare(IMAGES, size=64, mean=(0.5, 0.5, 0.5), std=clip.towers.std),
        )
    torch.testing.assert_close(clip.encode_images(IMAGES), answer.image_embeds)
    torch.testing.assert_close(clip.encode_texts(TEXTS, templates=ALONE), answer.text_embeds)
    both = clip.temperature * clip.encode_images(IMAGES) @ clip.encode_texts(TEXTS).T
    assert both.shape == (2, 2)
    with pytest.raises(LatdirError, match="longer than the 77 tokens this model reads: shorten"):
        clip.encode_texts(["very " * 80])
