"""Train `styleface64`: a small StyleGAN2 taught the faces of `digiface64`, image by image.

    python tools/train_styleface.py              train, or go on
    python tools/train_styleface.py --export     write directions/zoo

Teacher and student see the same z, scaled to the sphere of radius √100 that StyleGAN's mapping
scales it to anyway. Training has three parts, by the share of images seen:

1. It grows from 16 to 64 pixels. The loss is L1 on a pyramid of both images and on their edges;
   the student's feature maps are also asked to hold the teacher's, up to a linear map (hints:
   Romero et al. 2015, arXiv:1412.6550). Student and teacher begin alike where they can:
   `warm_start` lets w carry all of z and the first layer half of the teacher's.
2. The weight of the hints has fallen to zero: images alone count.
3. Sharpening: a critic that learns to tell student from teacher adds the difference of its
   feature maps and its opinion, also of images of mixed styles, and path-length regularization
   keeps steps in w of even effect. And w is asked to mean something: what a face classifier says
   of the teacher's image is read from w by one linear map; the student's image is asked to show
   the same, and images between two w what is read there.

Two processes of one thread step on the same weights without locks (Hogwild: Recht et al. 2011,
arXiv:1106.5730), which uses both cores at small batches, learning soonest at equal images. Two
runs are therefore alike, not the same. Convolutions are in bf16. Learning rates follow the
equalized learning rate: weights are stored as they act, so a weight's rate is divided by the
root of its fan-in. An exponential mean of the weights is what is exported. All state is written
under a temporary name and renamed every few minutes; the same command resumes. Codes are never
repeated.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import math
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional

from directions import keep_freed_memory
from directions.classifiers.base import logit
from directions.classifiers.faces.classifier import faces
from directions.generators.dcgan import _interleave, _window_convolution, digiface64
from directions.generators.progressive import GAIN, NEGATIVE_SLOPE, pixel_norm
from directions.generators.stylegan.stylegan2 import PlainSynthesis, StyleGAN2, StyleGAN2Config
from directions.generators.stylegan.stylegan2_generator import STYLEFACE64
from directions.images import grid, save_png
from directions.storage.atomic import atomic

WIDTHS = STYLEFACE64.channels
STAGES = ((0.04, 16, 16), (0.12, 32, 16), (1.00, 64, 16))  # until, pixels, batch
HINTS_UNTIL = 0.6
HINT = 1.0
MAPPING_RATE, READER_RATE = 0.1, 0.25  # the mapping's grows to 1 with sharpening
SHARPEN = (0.60, 0.70)  # begins, is whole
CRITIC = (32, 64, 128, 256)
CRITIC_RATE = 1e-3
FEATURES, ADVERSARIAL, PATH, R1 = 1.0, 0.2, 0.003, 1.0
READ = faces().names[:9]  # expressions, gender and age: what w is to tell by a linear map
READING, SHOWING = 3.0, 0.5  # weights of what is read from w, and of images that show it
BETWEEN = 0.5  # how far toward another w
CONST_GAIN = 5.0  # brings the warm start's first activations to a spread of about 1
MIXING, SHOWS, LAZY = 4, 4, 16  # a step of these kinds every n steps
EMA_IMAGES = 20_000
HELD_OUT = 256
MINUTES_BETWEEN_SAVES = 4
ZOO = Path(__file__).parents[1] / "directions" / "zoo"


def config(pixels: int) -> StyleGAN2Config:
    """The student, grown up to that many pixels."""
    blocks = int(math.log2(pixels)) - 1
    return replace(STYLEFACE64, resolution=pixels, channels=WIDTHS[:blocks])


def initialized(pixels: int, *, seed: int) -> Watched:
    """Weights as StyleGAN2 draws them; ToRGB starts at zero, so growing adds nothing at first."""
    network = Watched(config(pixels))
    network.seen = {}
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.startswith("rgbs") and not name.endswith("affine.weight"):
                parameter.zero_()
            elif name == "const" or parameter.ndim > 1:
                scale = 1.0 if name == "const" else parameter[0].numel() ** -0.5
                parameter.normal_(generator=rng).mul_(scale)
            if name.endswith("affine.bias"):
                parameter.fill_(1)
    return network


class Teacher:
    """digiface64's images and feature maps, fast."""

    def __init__(self) -> None:
        self.generator = digiface64()
        first, *rest = self.generator._layers
        self.first = first.folded.permute(0, 2, 3, 1).flatten(1).bfloat16()
        self.bias = first.bias.repeat(16).bfloat16()
        self.rest = [_window_convolution(layer, torch.bfloat16) for layer in rest]

    def codes(self, count: int, *, seed: int, start: int = 0) -> Tensor:
        """Codes of the prior, at the scale the student's mapping gives them."""
        return pixel_norm(self.generator.sample(count, seed=seed, start=start))

    @torch.no_grad()
    def __call__(self, z: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
        """Images [n, 3, 64, 64], and feature maps by their number of pixels."""
        x = torch.addmm(self.bias, z.bfloat16(), self.first)
        x = x.view(len(z), 4, 4, -1).permute(0, 3, 1, 2)
        features = {}
        for weight, bias in self.rest:
            x = functional.relu(x)
            features[x.shape[-1]] = x
            x = _interleave(functional.conv2d(x, weight, bias, padding=1))
        return x.float().tanh().expand(-1, 3, -1, -1), features


def warm_start(network: StyleGAN2, teacher: Teacher, *, seed: int) -> None:
    """Let w carry all of z, and the 4-pixel layer compute half of the teacher's first layer.

    Left to itself the mapping forgets most of z. Here each coordinate of z passes through the
    mapping as a pair of units, ±z, whose leaky ReLUs differ by a multiple of z. The styles of
    the 4-pixel layer are those coordinates, two channels for each: nine shifts each of two random
    pictures span all sixteen pixels, so that any linear map from z to pixels is one convolution
    of them. It is chosen to be the teacher's, for the channels whose activations its second layer
    uses most.
    """
    rng = torch.Generator().manual_seed(seed)
    first, second = teacher.generator._layers[:2]
    d = len(first.folded)
    plus, minus = torch.eye(d), -torch.eye(d)
    back = 1 / ((1 + NEGATIVE_SLOPE) * GAIN)
    width = WIDTHS[0]
    weights = teacher.first.float().view(d, 16, -1)
    activation = weights.square().sum((0, 1))
    used = (activation * second.folded.square().sum((1, 2, 3))).topk(width).indices
    with torch.no_grad():
        for k, dense in enumerate(network.dense):
            dense.bias.zero_()
            dense.weight[: 2 * d] = torch.cat([plus, minus]) if k == 0 else 0
            if k:
                dense.weight[:d, : 2 * d] = back * torch.cat([plus, minus], 1)
                dense.weight[d : 2 * d, : 2 * d] = -back * torch.cat([plus, minus], 1)
        for layer in range(len(network.style_sizes)):
            network.affine(layer).weight.mul_(0.2)
        affine = network.affine(network.style_names.index("b4.conv1"))
        affine.weight.zero_()
        affine.bias[: 2 * d] = 0
        for copy in range(2):
            affine.weight[copy * d : (copy + 1) * d, : 2 * d] = back * torch.cat([plus, minus], 1)
        network.const[: 2 * d] *= CONST_GAIN
        patches = functional.unfold(network.const[: 2 * d, None], 3, padding=1).view(2, d, 9, 16)
        patches = patches.transpose(0, 1).flatten(1, 2)
        wanted = weights[:, :, used].transpose(1, 2)
        kernels = (wanted @ torch.linalg.pinv(patches, rtol=0.03)).view(d, width, 2, 3, 3)
        scale = (width * 9) ** -0.5 / kernels.square().mean().sqrt()
        layer = network.layer("b4.conv1")
        layer.weight.normal_(generator=rng).mul_(0.1 * (width * 9) ** -0.5)
        layer.weight[:, : 2 * d] = scale * kernels.permute(1, 2, 0, 3, 4).flatten(1, 2)
        demodulation = layer.weight.square().sum((1, 2, 3)).rsqrt()
        layer.bias.copy_(scale * demodulation * teacher.generator._layers[0].bias[used])


class Watching(PlainSynthesis):
    """A synthesis that keeps each block's last feature map."""

    seen: dict[int, Tensor]

    def convolve(self, x: Tensor, name: str, *, gain: float) -> Tensor:
        """As the network's own, which it keeps."""
        x = super().convolve(x, name, gain=gain)
        if name.endswith("conv1"):
            self.seen[x.shape[-1]] = x
        return x


class Watched(StyleGAN2):
    """A StyleGAN2 that keeps each block's last feature map."""

    seen: dict[int, Tensor]

    def synthesis(self, styles: Sequence[Tensor], *, noise: str | int) -> Tensor:
        """Images; `seen` has the feature maps afterwards."""
        named = dict(zip(self.style_names, styles, strict=True))
        watching = Watching(self, named, noise=noise)
        watching.seen = self.seen
        return watching.image()


def rates(network: StyleGAN2) -> list[dict[str, object]]:
    """Optimizer groups with the equalized learning rate's effective rates."""
    groups = []
    for name, parameter in network.named_parameters():
        fan_in = parameter[0].numel() if parameter.ndim > 1 and name != "const" else 1
        if parameter.ndim == 0:
            continue
        mapping = name.startswith("dense")
        groups.append({"params": [parameter], "scale": fan_in**-0.5, "mapping": mapping})
    return groups


def loss(made: Tensor, wanted: Tensor) -> Tensor:
    """Mean absolute difference on a pyramid down to 8 pixels, and of the edges of its upper two."""
    total = made.new_zeros(())
    level = 0
    while made.shape[-1] >= 8:
        gap = made - wanted
        total = total + gap.abs().mean()
        if level < 2:
            total = total + (gap[..., 1:] - gap[..., :-1]).abs().mean()
            total = total + (gap[..., 1:, :] - gap[..., :-1, :]).abs().mean()
        made, wanted = (functional.avg_pool2d(x, 2) for x in (made, wanted))
        level += 1
    return total


def hint_loss(seen: dict[int, Tensor], heads: nn.ModuleDict, wanted: dict[int, Tensor]) -> Tensor:
    """Unexplained part of the teacher's feature maps, mean over maps."""
    parts = []
    for size, target in wanted.items():
        if size in seen:
            guess = heads[str(size)](seen[size]).float()
            target = target.float()
            spread = target.var((0, 2, 3), keepdim=True).mean()
            parts.append((guess - target).square().mean() / spread)
    return torch.stack(parts).mean()


def render(network: StyleGAN2, z: Tensor) -> Tensor:
    """Images of z, convolutions in bf16, results in float32."""
    return painted(network, [network.mapping(z, None)] * len(network.style_sizes))


def painted(network: StyleGAN2, ws: list[Tensor]) -> Tensor:
    """Images of one w for each style, convolutions in bf16, results in float32."""
    styles = [network.affine(i)(w) for i, w in enumerate(ws)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return network.synthesis(styles, noise="none").float()


def psnr(made: Tensor, wanted: Tensor) -> float:
    """Peak signal to noise ratio in dB of images in [-1, 1]."""
    return float(10 * torch.log10(4 / (made.clamp(-1, 1) - wanted).square().mean()))


class Critic(nn.Module):
    """A small discriminator of 64-pixel images, whose layers are also a perceptual measure."""

    def __init__(self) -> None:
        super().__init__()
        pairs = itertools.pairwise((3, *CRITIC))
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1) for a, b in pairs)
        self.score = nn.Linear(CRITIC[-1] * 16, 1)

    def forward(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """A score per image, higher for real ones, and the feature maps it came from."""
        maps = []
        x = images
        for layer in self.layers:
            x = functional.leaky_relu(layer(x), 0.2)
            maps.append(x)
        return self.score(x.flatten(1)).flatten(), maps


class Judge:
    """What the face classifier says, in units of its spread over the teacher's faces."""

    def __init__(self, images: Tensor) -> None:
        self.classifier = faces()
        self.fast = self.classifier.inference(precision="bfloat16", names=READ)
        self.kinds = [a for a in self.classifier.attributes if a.name in READ]
        self.mean, self.spread = torch.zeros(()), torch.ones(())
        said = self.of(images)
        self.mean, self.spread = said.mean(0), said.std(0)

    @torch.no_grad()
    def of(self, images: Tensor) -> Tensor:
        """Of images as they are."""
        return (logit(self.fast(images.clamp(-1, 1)).float(), self.kinds) - self.mean) / self.spread

    def through(self, images: Tensor) -> Tensor:
        """The same, with gradients."""
        with torch.autocast("cpu", dtype=torch.bfloat16):
            said = self.classifier.logits_of(images, READ)
        return (said.float() - self.mean) / self.spread


class Student:
    """The network, its mean, its critic and their optimizers, in memory that workers share."""

    def __init__(self, pixels: int, *, seed: int) -> None:
        self.pixels = pixels
        self.network = initialized(pixels, seed=seed).to(memory_format=torch.channels_last)
        self.mean = initialized(pixels, seed=seed).to(memory_format=torch.channels_last)
        sizes = [4 << k for k in range(4)]
        self.heads = nn.ModuleDict(
            {str(r): nn.Conv2d(WIDTHS[k], 512 >> k, 1) for k, r in enumerate(sizes)}
        )
        torch.manual_seed(seed)
        self.reader = nn.Linear(STYLEFACE64.w_dim, len(READ))
        nn.init.zeros_(self.reader.weight)
        self.critic = Critic().to(memory_format=torch.channels_last)
        self.lengths = torch.zeros(())
        groups = rates(self.network)
        for part, scale in ((self.heads, 0.06), (self.reader, READER_RATE)):
            groups.append({"params": list(part.parameters()), "scale": scale, "mapping": False})
        self.optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99), fused=True)
        self.critics = torch.optim.Adam(
            self.critic.parameters(), lr=CRITIC_RATE, betas=(0.0, 0.99), fused=True
        )
        for optimizer in (self.optimizer, self.critics):
            for group in optimizer.param_groups:
                for parameter in group["params"]:
                    optimizer.state[parameter] = {
                        "step": torch.tensor(0.0),
                        "exp_avg": torch.zeros_like(parameter),
                        "exp_avg_sq": torch.zeros_like(parameter),
                    }

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor of the state, by name."""
        named = {"lengths": self.lengths}
        for part in ("network", "mean", "heads", "reader", "critic"):
            for name, parameter in getattr(self, part).named_parameters():
                named[f"{part}.{name}"] = parameter
                optimizer = self.critics if part == "critic" else self.optimizer
                for key, value in optimizer.state.get(parameter, {}).items():
                    named[f"{part}.{name}.{key}"] = value
        return named

    def load(self, saved: dict[str, Tensor]) -> None:
        """Copy what was saved; layers that were not there yet stay as they were drawn."""
        with torch.no_grad():
            for name, tensor in self.tensors().items():
                if name in saved:
                    tensor.copy_(saved[name])

    def share(self) -> dict[str, Tensor]:
        """The tensors, moved to memory that other processes can use."""
        return {name: tensor.detach().share_memory_() for name, tensor in self.tensors().items()}

    def join(self, shared: dict[str, Tensor]) -> None:
        """Use another process's tensors in place of these."""
        for name, tensor in self.tensors().items():
            tensor.data = shared[name]

    def step(
        self, z: Tensor, wanted: Tensor, features: dict[int, Tensor], judge: Judge, plan: Plan
    ) -> tuple[float, float, float]:
        """One step of Adam on one batch; the loss of images, of hints, and of what w tells."""
        w = self.network.mapping(z, None)
        made = painted(self.network, [w] * len(self.network.style_sizes))
        total = picture = loss(made, wanted)
        hinted, read = picture.new_zeros(2)
        if plan.hint:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                hinted = hint_loss(self.network.seen, self.heads, features)
            total = total + plan.hint * hinted
        if plan.sharpen:
            total = total + plan.sharpen * self._sharpness(made, wanted)
            read = (self.reader(w) - judge.of(wanted)).square().mean()
            total = total + plan.sharpen * READING * read
        self._descend(total, plan)
        keep = 0.5 ** (len(z) / plan.remember)
        with torch.no_grad():
            for mean, current in zip(
                self.mean.parameters(), self.network.parameters(), strict=True
            ):
                mean.lerp_(current, 1 - keep)
        return picture.item(), hinted.item(), read.item()

    def _descend(self, total: Tensor, plan: Plan) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = plan.rate * group["scale"] * (plan.mapping if group["mapping"] else 1.0)
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        self.optimizer.step()

    def _sharpness(self, made: Tensor, wanted: Tensor) -> Tensor:
        """Difference of the critic's feature maps and its opinion; the critic learns first."""
        self._teach_critic(made.detach(), wanted)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            score, maps = self.critic(made)
            with torch.no_grad():
                _, targets = self.critic(wanted)
        gaps = [
            (a.float() - b.float()).abs().mean() / b.float().abs().mean()
            for a, b in zip(maps, targets, strict=True)
        ]
        opinion = functional.softplus(-score.float()).mean()
        return FEATURES * torch.stack(gaps).mean() + ADVERSARIAL * opinion

    def _teach_critic(self, made: Tensor, wanted: Tensor) -> None:
        """One step of the critic on images of both; now and then with R1 (arXiv:1801.04406)."""
        self.critic.requires_grad_(True)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            scores, _ = self.critic(torch.cat([made, wanted]))
        fake, real = scores.float().chunk(2)
        total = functional.softplus(fake).mean() + functional.softplus(-real).mean()
        if torch.rand(()) < 1 / LAZY:
            images = wanted.detach().clone().requires_grad_(True)
            score, _ = self.critic(images)
            (slope,) = torch.autograd.grad(score.sum(), images, create_graph=True)
            total = total + LAZY * R1 / 2 * slope.square().sum((1, 2, 3)).mean()
        self.critics.zero_grad(set_to_none=True)
        total.backward()
        self.critics.step()
        self.critic.requires_grad_(False)

    def mix(self, z: Tensor, wanted: Tensor, plan: Plan) -> None:
        """A step on images whose coarse and fine styles come from two codes: the critic judges."""
        w = self.network.mapping(z, None)
        count = len(self.network.style_sizes)
        cut = int(torch.randint(1, count, ()))
        made = painted(self.network, [w] * cut + [w.flip(0)] * (count - cut))
        self._teach_critic(made.detach(), wanted)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            score, _ = self.critic(made)
        opinion = functional.softplus(-score.float()).mean()
        self._descend(plan.sharpen * ADVERSARIAL * opinion, plan)

    def show(self, z: Tensor, wanted: Tensor, judge: Judge, plan: Plan) -> None:
        """A step on what images show: as the teacher's; between two codes, what w tells."""
        w = self.network.mapping(z, None)
        single, first = w.chunk(2)
        between = first.lerp(single, BETWEEN * torch.rand(len(first), 1))
        images = painted(
            self.network, [torch.cat([single, between])] * len(self.network.style_sizes)
        )
        said = judge.of(wanted[: len(single)])
        told = self.reader(between).detach()
        amiss = (judge.through(images) - torch.cat([said, told])).square().mean()
        self._descend(plan.sharpen * SHOWING * amiss, plan)

    def straighten(self, z: Tensor, plan: Plan) -> None:
        """A step of path-length regularization (arXiv:1912.04958): steps in w of even effect."""
        w = self.network.mapping(z, None).detach().requires_grad_(True)
        styles = [self.network.affine(i)(w) for i in range(len(self.network.style_sizes))]
        images = self.network.synthesis(styles, noise="none")
        noise = torch.randn_like(images) / images.shape[-1]
        (slope,) = torch.autograd.grad((images * noise).sum(), w, create_graph=True)
        lengths = slope.square().sum(1).sqrt()
        with torch.no_grad():
            first = bool(self.lengths == 0)
            self.lengths.lerp_(lengths.mean(), 1.0 if first else 0.01)
        penalty = ((lengths - self.lengths) / self.lengths).square().mean()
        self._descend(plan.sharpen * PATH * penalty, plan)


class Plan(NamedTuple):
    """What a step weighs, by how much of training has gone."""

    rate: float
    mapping: float
    hint: float
    sharpen: float
    remember: float

    @classmethod
    def at(cls, done: int, images: int, rate: float) -> Plan:
        """The plan after a number of all images."""
        part = min(1.0, done / images)
        warm, cosine = min(1.0, done / 5_000), 0.5 + 0.5 * math.cos(math.pi * part)
        begin, full = SHARPEN
        sharpen = min(1.0, max(0.0, (part - begin) / (full - begin)))
        return cls(
            rate=rate * warm * (0.02 + 0.98 * cosine),
            mapping=MAPPING_RATE + (1 - MAPPING_RATE) * sharpen,
            hint=HINT * max(0.0, 1 - part / HINTS_UNTIL),
            sharpen=sharpen,
            remember=min(EMA_IMAGES, 0.05 * done + 1),
        )


def work(
    shared: dict[str, Tensor],
    running: Tensor,
    counter: Any,
    *,
    pixels: int,
    batch: int,
    until: int,
    images: int,
    rate: float,
    seed: int,
) -> None:
    """One worker: steps on the shared tensors, without locks, until the stage has its images."""
    keep_freed_memory()
    torch.set_num_threads(1)
    torch.manual_seed(counter.value)
    teacher = Teacher()
    judge = Judge(teacher(teacher.codes(8 * HELD_OUT, seed=seed + 2))[0])
    student = Student(pixels, seed=seed)
    student.join(shared)
    student.critic.requires_grad_(False)
    parent = os.getppid()
    for turn in itertools.count():
        if os.getppid() != parent:  # it was killed
            return
        with counter.get_lock():
            done = counter.value
            counter.value += batch
        if done >= until:
            with counter.get_lock():
                counter.value -= batch
            return
        plan = Plan.at(done, images, rate)
        z = teacher.codes(batch, seed=seed, start=done)
        wanted, features = teacher(z)
        target = functional.avg_pool2d(wanted, 64 // pixels)
        losses = torch.tensor(student.step(z, target, features, judge, plan))
        running.lerp_(losses, 1.0 if not running.any() else 0.02)
        if plan.sharpen and turn % MIXING == 0:
            student.mix(z, target, plan)
        if plan.sharpen and turn % SHOWS == SHOWS // 2:
            student.show(z, target, judge, plan)
        if plan.sharpen and turn % LAZY == 0:
            student.straighten(z[: batch // 4], plan)


def train(out: Path, *, images: int, rate: float, seed: int, workers: int) -> None:
    """Train on a total number of images, over all runs."""
    out.mkdir(parents=True, exist_ok=True)
    teacher = Teacher()
    codes = teacher.codes(HELD_OUT, seed=seed + 1)
    check = torch.cat([teacher(z)[0] for z in codes.split(32)])
    saved = load_state(out)
    context = torch.multiprocessing.get_context("spawn")
    counter = context.Value("q", saved["images"])
    seconds = saved["seconds"]
    running = torch.zeros(3).share_memory_()
    while counter.value < images:
        until, pixels, batch = next(stage for stage in STAGES if counter.value < stage[0] * images)
        student = Student(pixels, seed=seed)
        if not saved["tensors"]:
            for part in (student.network, student.mean):
                warm_start(part, teacher, seed=seed)
        student.load(saved["tensors"])
        options = {"pixels": pixels, "batch": batch, "until": round(until * images)}
        options |= {"images": images, "rate": rate, "seed": seed}
        shared = student.share()
        crew = [
            context.Process(target=work, args=(shared, running, counter), kwargs=options)
            for _ in range(workers)
        ]
        for worker in crew:
            worker.start()
        while any(worker.is_alive() for worker in crew):
            began = time.monotonic()
            for worker in crew:
                left = began + 60 * MINUTES_BETWEEN_SAVES - time.monotonic()
                worker.join(max(0.0, left))
            if any(worker.exitcode for worker in crew):
                for worker in crew:
                    worker.terminate()
                raise SystemExit("a worker failed; its error is above")
            seconds += time.monotonic() - began
            saved = {
                "images": counter.value,
                "seconds": seconds,
                "pixels": pixels,
                "tensors": student.tensors(),
            }
            with atomic(out / "state.pt") as temporary:
                torch.save(saved, temporary)
            report(out, student, saved, codes, functional.avg_pool2d(check, 64 // pixels), running)


def load_state(out: Path) -> dict[str, Any]:
    """What the last run left, or a beginning."""
    if (out / "state.pt").exists():
        return torch.load(out / "state.pt", weights_only=True)
    return {"images": 0, "seconds": 0.0, "pixels": 16, "tensors": {}}


def report(
    out: Path,
    student: Student,
    saved: dict[str, Any],
    codes: Tensor,
    wanted: Tensor,
    running: Tensor,
) -> None:
    """One line of the log, and a picture: teacher above, student below."""
    with torch.inference_mode():
        made = torch.cat([render(student.mean, z) for z in codes.split(32)])
    line = {
        "minutes": round(saved["seconds"] / 60, 1),
        "images": saved["images"],
        "pixels": student.pixels,
        "loss": round(float(running[0]), 4),
        "hint": round(float(running[1]), 4),
        "read": round(float(running[2]), 4),
        "psnr": round(psnr(made, wanted), 2),
    }
    with (out / "log.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    large = [
        functional.interpolate(x[:32].clamp(-1, 1), scale_factor=64 // student.pixels)
        for x in (wanted, made)
    ]
    rows = torch.stack([x.unflatten(0, (4, 8)) for x in large], 1).flatten(0, 1)
    save_png(grid(rows), out / "pairs.png")


def export(out: Path) -> None:
    """Put the mean weights, halved, and the mean of w into the zoo, their sha256 into its list."""
    saved = load_state(out)
    student = Student(64, seed=0)
    student.load(saved["tensors"])
    network = student.mean.eval()
    rng = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        w = network.mapping(torch.randn(100_000, 100, generator=rng), None)
        network.w_avg.copy_(w.mean(0))
    data = save(
        {
            key: (value.half() if value.ndim > 1 else value.float()).contiguous()
            for key, value in network.state_dict().items()
            if "noise" not in key
        }
    )
    sha256 = hashlib.sha256(data).hexdigest()
    file = "styleface64/weights.safetensors"
    (ZOO / file).parent.mkdir(exist_ok=True)
    (ZOO / file).write_bytes(data)
    manifest = ZOO / "manifest.json"
    entries = json.loads(manifest.read_text())
    source = {"command": "tools/train_styleface.py", "images": saved["images"]}
    entries["styleface64"] = {"file": file, "sha256": sha256, "source": source}
    manifest.write_text(json.dumps(entries, indent=2) + "\n")
    print(f"{len(data):,} bytes, sha256 {sha256}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out/styleface64"))
    parser.add_argument("--images", type=int, default=480_000, help="to train on in all")
    parser.add_argument("--rate", type=float, default=1e-2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2, help="processes, of one thread each")
    parser.add_argument("--export", action="store_true", help="write the weights into the zoo")
    options = parser.parse_args()
    if options.export:
        export(options.out)
        return
    keep_freed_memory()
    torch.set_num_threads(1)
    train(
        options.out,
        images=options.images,
        rate=options.rate,
        seed=options.seed,
        workers=options.workers,
    )


if __name__ == "__main__":
    main()
