"""The CLIP that ships: what it knows on faces it was not trained on, and how it was taught."""

from __future__ import annotations

import importlib.util
import re
import sys
from functools import cache
from importlib import resources

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from directions import LatdirError, zoo
from directions.classifiers import load_classifier
from directions.classifiers.clip.model import clip_classifier, load_clip
from directions.generators.dcgan import digiface64
from discovery import ClipBoundary
from tests.parity import ROOT

TOOLS = ROOT / "tools"
FACES = digiface64()
CLIP = load_clip()
# Attribute of another classifier, prompts, and the least AUC of its outer deciles.
KNOWN = {
    "smiling": ("a smiling face", "a face", 0.9),
    "surprised": ("a surprised face", "a face", 0.85),
    "age": ("an old person", "a young person", 0.85),
    "yaw": ("a face looking to the right", "a face looking to the left", 0.97),
    "pitch": ("a face looking up", "a face looking down", 0.9),
    "mouth_open": ("a face with an open mouth", "a face with a closed mouth", 0.9),
    "brightness": ("a bright image of a face", "a dark image of a face", 0.99),
    "warmth": ("a face in warm light", "a face in cold light", 0.97),
}


@cache
def seen() -> tuple[torch.Tensor, dict[str, np.ndarray]]:
    """Faces of a seed of no training run, and what the other classifiers say of them."""
    judge = load_classifier("faces+pixels")
    with torch.no_grad():
        images = FACES.synthesize(FACES.sample(400, seed=41))
        scores = judge.inference(names=list(KNOWN))(images)
    return images, {name: scores[:, j].numpy() for j, name in enumerate(KNOWN)}


def test_words_rank_faces_as_other_classifiers_do() -> None:
    images, truth = seen()
    classifier = clip_classifier(CLIP, {name: pair[:2] for name, pair in KNOWN.items()})
    with torch.no_grad():
        said = classifier.logits(images)
    for j, (name, (*_, least)) in enumerate(KNOWN.items()):
        low, high = np.quantile(truth[name], (0.1, 0.9))
        outer = (truth[name] <= low) | (truth[name] >= high)
        assert roc_auc_score(truth[name][outer] >= high, said[outer, j]) > least, name


def test_other_words_and_negations_are_understood() -> None:
    images, truth = seen()
    texts = ["a photo of a face without a smile", "a grinning woman", "a person who is smiling"]
    with torch.no_grad():
        cosines = CLIP.encode_images(images) @ CLIP.encode_texts([*texts, "a face"]).T
    smiles = truth["smiling"] > 0.7
    against = cosines[:, :3] - cosines[:, 3:]
    gap = against[smiles].mean(0) - against[~smiles].mean(0)
    assert gap[0] < -0.02
    assert gap[1] > 0.02
    assert gap[2] > 0.02


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("a face wearing glasses", "'wearing', 'glasses' in 'a face wearing glasses'"),
        ("eine lächelnde Frau", "'eine', 'lächelnde', 'frau'"),
        ("zzz", "'zzz'"),
        ("a smilling face", "'smilling' in 'a smilling face': did you mean 'smiling'"),
    ],
)
def test_words_without_a_meaning_of_their_own_are_refused(text: str, unknown: str) -> None:
    with pytest.raises(LatdirError, match=f"does not know {re.escape(unknown)}.* adult, afraid"):
        CLIP.encode_texts([text])
    with pytest.raises(LatdirError, match="does not know"):
        ClipBoundary(n_codes=100).discover(FACES, text=text, clip=CLIP)
    with pytest.raises(LatdirError, match="does not know"):
        clip_classifier(CLIP, {"a": ("a face", text)})
    assert not CLIP.unknown_words("A photo of a smiling woman, grinning!")


def test_gradients_lead_codes_to_what_the_words_say() -> None:
    names = ["yaw", "mouth_open", "brightness"]
    judge = load_classifier("faces+pixels").inference(names=names)
    classifier = clip_classifier(CLIP, {n: KNOWN[n][:2] for n in names})
    codes = FACES.sample(32, seed=43).requires_grad_()
    said = classifier.logits(FACES.synthesize(codes))
    for j, name in enumerate(names):
        (gradient,) = torch.autograd.grad(said[:, j].sum(), codes, retain_graph=True)
        step = 1.5 * gradient.mean(0) / gradient.mean(0).norm()
        with torch.no_grad():
            low, high = (judge(FACES.synthesize(codes + a * step))[:, j] for a in (-1, 1))
        assert float((high - low).mean()) > 0.3 * float(seen()[1][name].std()), name


def test_words_never_read_in_training_share_one_row() -> None:
    table = zoo.load("tinyclip-faces")["token_embedding.weight"]
    assert len(table) < 500
    whole = CLIP.towers.module.state_dict()["token_embedding.weight"]
    assert whole.shape == (49408, table.shape[1])
    assert int((whole == table[-1]).all(1).sum()) >= 49408 - len(table)
    assert resources.files(zoo).joinpath("tinyclip-faces/weights.safetensors").stat().st_size < 5e6


def test_the_default_prompts_make_a_classifier_beside_the_others() -> None:
    both = load_classifier("faces+pixels+clip")
    assert [n for n in both.names if n.startswith("clip_")] == list(load_classifier("clip").names)


@pytest.fixture(scope="module")
def captions():
    spec = importlib.util.spec_from_file_location(
        "tinyclip_captions", TOOLS / "tinyclip_captions.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules["tinyclip_captions"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["tinyclip_captions"]


def test_captions_hold_of_the_images_they_are_made_for(captions) -> None:
    names = sorted({claim.score for claim in captions.CLAIMS})
    rng = np.random.default_rng(0)
    scores = torch.from_numpy(rng.random((500, len(names)))).float()
    scores[:, names.index("yaw")] = scores[:, names.index("yaw")] * 60 - 30
    made = captions.Captions(names, scores)
    holding = made.holding(scores)
    written = [made.caption(row.numpy(), rng) for row in holding[:400]]
    truth = made.truth(holding, [claims for _, claims in written])
    own = truth[:400].diagonal()
    assert own.min() > captions.HOLDS**4
    assert truth.mean() < 0.5
    for m in range(0, 400, 40):
        slow = holding[:, written[m][1]].prod(1)
        torch.testing.assert_close(truth[:, m], slow, atol=1e-3, rtol=1e-3)
    # Columns are claims; what a caption says, and what it is about, agree with the scores.
    yaw = scores[:400, names.index("yaw")]
    for side, sign in (("right", 1), ("left", -1)):
        turned = re.compile(rf"(looking|facing|turned)( far| slightly)?( to the)? {side}")
        said = torch.tensor([turned.search(text) is not None for text, _ in written])
        assert said.sum() > 5
        assert (sign * yaw[said]).min() > 0
    assert len({text for text, _ in written}) > 300
    # A claim's degree follows its trapezoid.
    smile = captions.CLAIMS.index(next(c for c in captions.CLAIMS if c.score == "smiling"))
    column = scores[:, names.index("smiling")]
    torch.testing.assert_close(holding[:, smile], ((column - 0.3) / 0.4).clamp(0, 1))
