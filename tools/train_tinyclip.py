"""Train `tinyclip-faces`: clip-anytorch's CLIP class, small, on images of the built-in generator.

    python tools/train_tinyclip.py --labels out/labels      train, or go on where it stopped
    python tools/train_tinyclip.py --export                 put the result into directions/zoo
    python tools/train_tinyclip.py --evaluate               the card's figures

`--labels` is a folder of scores, made by

    latdir sample --out out/labels --count 65536 --seed 2026

Images are made again from the codes. Each step takes images, moved, scaled, mirrored, recolored,
blurred and noised a little; scores of pixels are taken after that. Captions are put together from
claims that hold (`tools/tinyclip_captions.py`). Of every image and caption of a batch it is known
how far the caption holds, and both directions of the contrastive loss aim at that, row and column
normalized: with one-hot targets, a second smiling face would be a wrong answer to "a smiling face".

To learn faster, a linear head reads the scores from the image embedding, by squared error; it is
thrown away at the end. Steps draw from streams of their own, so that a run killed and taken up
again ends the same.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import math
import time
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from safetensors.torch import save
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score
from tinyclip_captions import HOLDS, UNKNOWN, Captions, vocabulary
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 - its usual name
from tqdm.auto import tqdm

from directions.classifiers import load_classifier
from directions.classifiers.clip.backends import EMBEDDING, MEAN, ROWS, STD, clip_package
from directions.classifiers.clip.model import ClipModel, clip_classifier, load_clip, prepare
from directions.classifiers.pixels import pixels
from directions.generators.dcgan import digiface64
from directions.scoring.rendering import Rendering
from discovery.sampling.sampler import sample
from discovery.sampling.samples import Samples

ZOO = Path(__file__).parents[1] / "directions" / "zoo"
NAME = "tinyclip-faces"
SIDE = 64
SIZES = {
    "embed_dim": 128,
    "image_resolution": SIDE,
    "vision_layers": (2, 2, 2, 1),
    "vision_width": 16,
    "vision_patch_size": None,
    "context_length": 77,
    "transformer_width": 128,
    "transformer_heads": 2,
    "transformer_layers": 3,
}
RATE, DECAY, WARM, COOL = 1.5e-3, 0.05, 100, 400
AVERAGE = 0.995
CHECKPOINT_EVERY = 25
# Images of an expression rarer than this are shown more often, up to nine times.
RARE = 0.1
EXPRESSIONS = ("smiling", "surprised", "sad", "angry", "fearful", "disgusted")
MIRRORED = ("yaw", "roll")
POOL, EVALUATED, EVALUATION_SEED = 100, 4000, 77
PAIRS = {
    "smiling": ("a smiling face", "a face without a smile"),
    "surprised": ("a surprised face", "a face without surprise"),
    "neutral": ("an expressionless face", "an expressive face"),
    "sad": ("a sad face", "a face without sadness"),
    "angry": ("an angry face", "a face without anger"),
    "fearful": ("a frightened face", "a face"),
    "disgusted": ("a disgusted face", "a face"),
    "male": ("a man", "a woman"),
    "age": ("an old person", "a young person"),
    "yaw": ("a face looking to the right", "a face looking to the left"),
    "pitch": ("a face looking up", "a face looking down"),
    "roll": ("a face leaning to the right", "a face leaning to the left"),
    "mouth_open": ("a face with an open mouth", "a face with a closed mouth"),
    "eyes_open": ("a face with wide open eyes", "a face with closed eyes"),
    "smile_width": ("a face with a wide mouth", "a face with a small mouth"),
    "brightness": ("a bright image of a face", "a dark image of a face"),
    "contrast": ("a face with high contrast", "a face with low contrast"),
    "background_brightness": (
        "a face in front of a bright background",
        "a face in front of a dark background",
    ),
    "warmth": ("a face in warm light", "a face in cold light"),
}
PIXELS = ("brightness", "contrast", "background_brightness", "warmth")

log = logging.getLogger("tinyclip")


class Words:
    """Texts to rows of the small table: 0 for unknown tokens, the rest in order of their ids."""

    def __init__(self) -> None:
        package = clip_package()
        self._read = package.clip._tokenizer.encode
        start, end = (package.clip._tokenizer.encoder[f"<|{s}oftext|>"] for s in ("start", "end"))
        used = {token for part in vocabulary() for token in self._read(part)} | {start, end}
        self.ids = sorted(used)
        self._row = {token: row for row, token in enumerate(self.ids, start=1)}
        self._start, self._end = self._row[start], self._row[end]
        self._known: dict[str, list[int]] = {UNKNOWN: [0]}
        self._known[f"{UNKNOWN},"] = [0, *self._rows(",")]

    def __call__(self, texts: list[str]) -> Tensor:
        """Rows `[k, t]`, as short as the longest text allows."""
        read = [
            [self._start, *(r for word in text.split() for r in self._rows(word)), self._end]
            for text in texts
        ]
        tokens = torch.zeros(len(read), max(map(len, read)), dtype=torch.long)
        for row, found in zip(tokens, read, strict=True):
            row[: len(found)] = torch.tensor(found)
        return tokens

    def _rows(self, word: str) -> list[int]:
        if word not in self._known:
            self._known[word] = [self._row.get(t, 0) for t in self._read(word)]
        return self._known[word]


def images_of(samples: Samples, path: Path) -> np.ndarray:
    """All images as bytes `[n, 3, 64, 64]`, made once and kept in a file."""
    shape = (len(samples), 3, SIDE, SIDE)
    if path.exists() and path.stat().st_size == math.prod(shape):
        return np.memmap(path, np.uint8, "r", shape=shape)
    unfinished = path.with_suffix(".tmp")
    kept = np.memmap(unfinished, np.uint8, "w+", shape=shape)
    make = digiface64().inference(precision="bfloat16")
    for first in tqdm(range(0, len(samples), 512), desc="images"):
        made = make(samples.codes[first : first + 512])
        kept[first : first + 512] = ((made + 1) * 127.5).round().clamp(0, 255).byte().numpy()
    kept.flush()
    unfinished.rename(path)
    return np.memmap(path, np.uint8, "r", shape=shape)


def augmented(
    images: Float[Tensor, "n 3 h w"], scores: Float[Tensor, "n k"], names: list[str], seed: int
) -> tuple[Tensor, Tensor]:
    """Images changed a little, and the scores that hold of them then."""
    g = torch.Generator().manual_seed(seed)
    n = len(images)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.rand(n, *shape, generator=g) * (high - low) + low

    flip = torch.rand(n, generator=g) < 0.5
    scores = scores.clone()
    for name in MIRRORED:
        scores[flip, names.index(name)] *= -1
    zoom = uniform(0.92, 1.06)
    matrix = torch.zeros(n, 2, 3)
    matrix[:, 0, 0] = torch.where(flip, -zoom, zoom)
    matrix[:, 1, 1] = zoom
    matrix[:, :, 2] = uniform(-0.08, 0.08, 2)
    where = F.affine_grid(matrix, list(images.shape), align_corners=False)
    images = F.grid_sample(images, where, padding_mode="border", align_corners=False)
    gain, pivot = uniform(0.75, 1.25, 1, 1, 1), images.mean((1, 2, 3), keepdim=True)
    tint, shift = uniform(0.92, 1.08, 3, 1, 1), uniform(-0.2, 0.2, 1, 1, 1)
    images = (images - pivot) * gain + pivot + shift
    images = (images + 1) * tint - 1
    third = n // 3
    taps = torch.tensor([[0.25, 0.5, 0.25]])
    kernel = (taps.T @ taps).expand(3, 1, 3, 3)
    images[:third] = F.conv2d(F.pad(images[:third], (1, 1, 1, 1), "replicate"), kernel, groups=3)
    noise = torch.randn(images[third : 2 * third].shape, generator=g)
    images[third : 2 * third] += 0.06 * noise
    images = images.clamp(-1, 1)
    scores[:, [names.index(p) for p in PIXELS]] = pixels()(images)
    return images, scores


def loss_of(logits: Float[Tensor, "n m"], truth: Float[Tensor, "n m"]) -> Tensor:
    """Cross-entropy from images to captions and back, against how far each caption holds."""
    rows = truth / truth.sum(1, keepdim=True).clamp_min(1e-6)
    columns = truth / truth.sum(0, keepdim=True).clamp_min(1e-6)
    to_texts = -(rows * logits.log_softmax(1)).sum(1).mean()
    to_images = -(columns * logits.log_softmax(0)).sum(0).mean()
    return (to_texts + to_images) / 2


class Trainer:
    """The model, its optimizer and where it stands."""

    def __init__(self, options: argparse.Namespace) -> None:
        torch.manual_seed(options.seed)
        self.options, self.words, self.step = options, Words(), 0
        package = clip_package()
        self.model: nn.Module = package.model.CLIP(vocab_size=len(self.words.ids) + 1, **SIZES)
        self.average = torch.optim.swa_utils.AveragedModel(
            self.model,
            multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(AVERAGE),
            use_buffers=False,
        )
        self.head = nn.Linear(int(str(SIZES["embed_dim"])), len(PAIRS))
        decayed = [p for p in self.model.parameters() if p.ndim > 1] + [self.head.weight]
        others = [p for p in self.model.parameters() if p.ndim <= 1] + [self.head.bias]
        groups = [{"params": decayed, "weight_decay": DECAY}, {"params": others, "weight_decay": 0}]
        self.optimizer = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.98), eps=1e-6)
        self.path = options.out / "checkpoint.pt"
        if self.path.exists():
            state = torch.load(self.path, weights_only=True)
            self.step = state["step"]
            self.model.load_state_dict(state["model"])
            self.head.load_state_dict(state["head"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            log.info("going on at step %d", self.step)

    def keep(self) -> None:
        """Write the checkpoint, whole or not at all."""
        parts = {"model": self.model, "head": self.head, "average": self.average}
        state = {name: part.state_dict() for name, part in parts.items()}
        state |= {"step": self.step, "optimizer": self.optimizer.state_dict()}
        torch.save(state, self.path.with_suffix(".tmp"))
        self.path.with_suffix(".tmp").rename(self.path)

    def train(self, samples: Samples) -> None:
        """All steps that are left."""
        options, names = self.options, list(samples.names)
        images = images_of(samples, options.images)
        captions = Captions(names, samples.scores)
        shares = samples.scores[:, [names.index(e) for e in EXPRESSIONS]].double()
        odds = (1 + shares @ (RARE / shares.mean(0)).clamp(max=8)).numpy()
        odds /= odds.sum()
        mean, std = samples.scores.mean(0), samples.scores.std(0)
        self.model.train()
        begun, first, recent = time.time(), self.step, []
        for step in tqdm(range(self.step, options.steps), initial=self.step, total=options.steps):
            rng = np.random.default_rng([options.seed, step])
            chosen = np.sort(rng.choice(len(samples), options.batch, replace=False, p=odds))
            shown = torch.from_numpy(images[chosen]).float() / 127.5 - 1
            order = torch.from_numpy(rng.permutation(options.batch))
            shown, scores = augmented(
                shown[order], samples.scores[chosen][order], names, int(rng.integers(2**62))
            )
            holding = captions.holding(scores)
            made = [captions.caption(holding[i].numpy(), rng) for i in range(options.captions)]
            truth = captions.truth(holding, [claims for _, claims in made])
            tokens = self.words([text for text, _ in made])
            standard = ((scores - mean) / std).clamp(-3, 3)
            loss = self.update(step, shown, standard, tokens, truth)
            recent.append(loss)
            if (step + 1) % 25 == 0:
                pace = (time.time() - begun) / (step + 1 - first)
                contrast, distilled = np.mean(recent, 0)
                log.info(
                    "step %d contrastive loss %.4f, squared error %.4f, %.2f s a step",
                    step + 1,
                    contrast,
                    distilled,
                    pace,
                )
                recent = []
            self.step = step + 1
            if self.step % CHECKPOINT_EVERY == 0 or self.step == options.steps:
                self.keep()

    def update(
        self, step: int, shown: Tensor, standard: Tensor, tokens: Tensor, truth: Tensor
    ) -> tuple[float, float]:
        """One step of AdamW; the rate rises, stays, and falls to zero. Gives the two losses."""
        rate = RATE * min((step + 1) / WARM, 1.0, (self.options.steps - step) / COOL)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        prepared = prepare(shown, size=SIDE, mean=MEAN, std=STD)
        prepared = prepared.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            image = self.model.encode_image(prepared)
            text = self.model.encode_text(tokens)
        distilled = F.mse_loss(self.head(image.float()), standard)
        image, text = F.normalize(image.float(), dim=1), F.normalize(text.float(), dim=1)
        contrast = loss_of(self.model.logit_scale.exp() * image @ text.T, truth)
        loss = contrast + distilled
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        with torch.no_grad():
            self.model.logit_scale.clamp_(max=math.log(100))
        self.average.update_parameters(self.model)
        return float(contrast.detach()), float(distilled.detach())

    def exported(self) -> bytes:
        """Averaged weights in half precision, the words' table cut to those in use."""
        state = {k: v for k, v in self.average.module.state_dict().items() if "batches" not in k}
        table = state[EMBEDDING]
        state[EMBEDDING] = torch.cat((table[1:], table[:1]))
        kept = {k: (v if "running_" in k or v.ndim == 0 else v.half()) for k, v in state.items()}
        kept[ROWS] = torch.tensor(self.words.ids, dtype=torch.int32)
        return save({k: v.contiguous() for k, v in kept.items()})


def export(trainer: Trainer, zoo: Path) -> None:
    """Put the weights into the zoo and their sha256 into its manifest."""
    data, manifest = trainer.exported(), zoo / "manifest.json"
    file = f"{NAME}/weights.safetensors"
    (zoo / NAME).mkdir(exist_ok=True)
    (zoo / file).write_bytes(data)
    entries = json.loads(manifest.read_text())
    source = {"command": "tools/train_tinyclip.py", "steps": trainer.step}
    sha256 = hashlib.sha256(data).hexdigest()
    entries[NAME] = {"file": file, "sha256": sha256, "source": source}
    manifest.write_text(json.dumps(entries, indent=2) + "\n")
    print(f"{len(data):,} bytes, sha256 {sha256}")


def evaluate(clip: ClipModel, *, count: int, seed: int) -> None:
    """Print zero-shot and retrieval figures on codes that training has not seen."""
    generator = digiface64()
    judge = load_classifier("faces+pixels")
    samples = sample(
        generator, judge, count, seed=seed, rendering=Rendering(batch_size=256, precision="float32")
    )
    images = torch.cat([generator.synthesize(c) for c in samples.codes.split(256)]).detach()
    classifier = clip_classifier(clip, PAIRS)
    with torch.no_grad():
        embedded, logits = clip.encode_images(images), classifier.logits(images)
    print(
        "| attribute | prompts | accuracy, extreme deciles | AUC, deciles | AUC, halves | rank r |"
    )
    print("|---|---|---|---|---|---|")
    for j, (name, (positive, neutral)) in enumerate(PAIRS.items()):
        truth, said = samples.column(name).numpy(), logits[:, j].numpy()
        low, middle, high = np.quantile(truth, (0.1, 0.5, 0.9))
        extreme = (truth <= low) | (truth >= high)
        accuracy = ((said > 0) == (truth >= high))[extreme].mean()
        auc = roc_auc_score(truth[extreme] >= high, said[extreme])
        halves = roc_auc_score(truth > middle, said)
        figures = f"{accuracy:.3f} | {auc:.3f} | {halves:.3f} | {spearmanr(truth, said)[0]:+.2f}"
        print(f"| {name} | {positive} / {neutral} | {figures} |")
    retrieval(clip, samples, embedded)


def retrieval(clip: ClipModel, samples: Samples, embedded: Float[Tensor, "n e"]) -> None:
    """Print how often an image finds its own caption of four claims in a pool, and back."""
    captions = Captions(list(samples.names), samples.scores)
    rng = np.random.default_rng(0)
    holding = captions.holding(samples.scores)
    made = [captions.caption(row.numpy(), rng, count=4) for row in holding]
    texts = clip.encode_texts([text.replace(UNKNOWN, "odd") for text, _ in made], templates=["{}"])
    truth = captions.truth(holding, [claims for _, claims in made])
    found: dict[str, list[float]] = {}
    for first in range(0, len(embedded) // POOL * POOL, POOL):
        pool = slice(first, first + POOL)
        cosines = embedded[pool] @ texts[pool].T
        alike = (truth[pool, pool] >= HOLDS).float().sum(0).mean()
        found.setdefault("images a caption holds of", []).append(float(alike))
        for way, table in (("image to text", cosines), ("text to image", cosines.T)):
            rank = (table > table.diagonal()[:, None]).sum(1)
            for k in (1, 5):
                found.setdefault(f"{way} R@{k}", []).append(float((rank < k).float().mean()))
    for what, values in found.items():
        print(f"{what}, pool of {POOL}: {np.mean(values):.3f} (of {len(values)} pools)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--labels", type=Path, help="folder of digiface64's faces+pixels scores")
    parser.add_argument("--out", type=Path, default=Path("out/tinyclip"), help="checkpoint and log")
    parser.add_argument("--images", type=Path, help="file to keep the images in")
    parser.add_argument("--rows", type=int, default=65536, help="how many of the samples to take")
    parser.add_argument("--steps", type=int, default=2400)
    parser.add_argument("--batch", type=int, default=128, help="images a step")
    parser.add_argument("--captions", type=int, default=64, help="captions a step")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--export", action="store_true", help="write the zoo's files")
    parser.add_argument("--zoo", type=Path, default=ZOO, help="where to")
    parser.add_argument("--evaluate", action="store_true", help="print the card's figures")
    parser.add_argument("--weights", type=Path, help="evaluate this file, not the zoo's")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    options.images = options.images or options.out / "images.u8"
    logging.basicConfig(
        filename=options.out / "train.log", level=logging.INFO, format="%(asctime)s %(message)s"
    )
    if options.labels:
        Trainer(options).train(Samples.load(options.labels).rows(slice(options.rows)))
    if options.export:
        export(Trainer(options), options.zoo)
    if options.evaluate:
        evaluate(load_clip(options.weights or NAME), count=EVALUATED, seed=EVALUATION_SEED)


if __name__ == "__main__":
    main()
