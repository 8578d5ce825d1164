"""Train `styleface64`: a small StyleGAN2 taught the faces of `digiface64`, image by image.

    python tools/train_styleface.py --out out/styleface64              train, or go on
    python tools/train_styleface.py --out out/styleface64 --export       write directions/zoo

Teacher and student see the same z, scaled to the sphere of radius √100 that StyleGAN's mapping
scales it to anyway. The student's loss is L1 on a pyramid of both images and on their edges: no
discriminator, so nothing can diverge. For the first part of training its feature maps are also
asked to hold the teacher's, up to a linear map (hints: Romero et al. 2015, arXiv:1412.6550),
which carries pose and identity to where they are needed much sooner than pixels do; the weight
of the hints falls to zero, and the end of training is free to use the styles as it likes.
Training grows from 16 to 64 pixels, in bf16 where convolutions are, and keeps an exponential
mean of its weights, which is what is exported. Codes are fresh in every batch.

Learning rates follow the equalised learning rate: weights are stored as they act, so a weight's
rate is divided by the root of its fan-in. All state is written beside and renamed every few
minutes; the same command goes on from it.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from directions import keep_freed_memory
from directions.files import atomic
from directions.generators.dcgan import _interleave, _window_convolution, digiface64
from directions.generators.progressive import pixel_norm
from directions.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from directions.images import grid, save_png

WIDTHS = (256, 256, 128, 64, 32)
MAPPING = (256, 256, 256, 256)
STAGES = ((0.04, 16, 16), (0.12, 32, 16), (1.00, 64, 16))  # until, pixels, batch
HINTS_UNTIL = 0.6
HINT = 1.0
MAPPING_RATE = 0.5
EMA_IMAGES = 20_000
HELD_OUT = 256
MINUTES_BETWEEN_SAVES = 4
ZOO = Path(__file__).parents[1] / "directions" / "zoo" / "styleface64"


def config(pixels: int) -> StyleGAN2Config:
    """The student, grown up to that many pixels."""
    blocks = int(math.log2(pixels)) - 1
    return StyleGAN2Config(
        z_dim=100,
        w_dim=256,
        resolution=pixels,
        channels=WIDTHS[:blocks],
        mapping=MAPPING,
        noise=False,
    )


def initialised(pixels: int, *, seed: int) -> Watched:
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


class Watched(StyleGAN2):
    """A StyleGAN2 that keeps each block's last feature map."""

    def _convolve(self, x: Tensor, name: str, *args: Any, **kwargs: Any) -> Tensor:
        x = super()._convolve(x, name, *args, **kwargs)
        if name.endswith("conv1"):
            self.seen[x.shape[-1]] = x
        return x

    seen: dict[int, Tensor]


def rates(network: StyleGAN2, rate: float) -> list[dict[str, object]]:
    """Optimiser groups with the equalised learning rate's effective rates."""
    groups = []
    for name, parameter in network.named_parameters():
        fan_in = parameter[0].numel() if parameter.ndim > 1 and name != "const" else 1
        scale = (MAPPING_RATE if name.startswith("dense") else 1.0) / math.sqrt(fan_in)
        if parameter.ndim == 0:
            continue
        groups.append({"params": [parameter], "lr": rate * scale, "scale": scale})
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
    w = network.mapping(z, None)
    styles = [network.affine(i)(w) for i in range(len(network.style_sizes))]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return network.synthesis(styles, noise="none").float()


def psnr(made: Tensor, wanted: Tensor) -> float:
    """Peak signal to noise ratio in dB of images in [-1, 1]."""
    return float(10 * torch.log10(4 / (made.clamp(-1, 1) - wanted).square().mean()))


class Student:
    """The network, its mean, its optimiser, and how far they have come."""

    def __init__(self, out: Path, *, rate: float, seed: int) -> None:
        self.out, self.rate, self.seed = out, rate, seed
        self.seconds, self.images = 0.0, 0
        self.state = out / "state.pt"
        self.pixels = STAGES[0][1]
        saved = torch.load(self.state, weights_only=True) if self.state.exists() else None
        if saved:
            self.pixels = saved["pixels"]
        self._build()
        if saved:
            self.network.load_state_dict(saved["network"])
            self.mean.load_state_dict(saved["mean"])
            self.heads.load_state_dict(saved["heads"])
            self.optimiser.load_state_dict(saved["optimiser"])
            self.seconds, self.images = saved["seconds"], saved["images"]

    def _build(self) -> None:
        self.network = initialised(self.pixels, seed=self.seed)
        self.network.to(memory_format=torch.channels_last)
        self.mean = initialised(self.pixels, seed=self.seed)
        sizes = [4 << k for k in range(4)]
        self.heads = nn.ModuleDict(
            {str(r): nn.Conv2d(WIDTHS[k], 512 >> k, 1) for k, r in enumerate(sizes)}
        )
        groups = rates(self.network, self.rate)
        for head in self.heads.values():
            groups.append({"params": list(head.parameters()), "scale": 0.06})
        self.optimiser = torch.optim.Adam(groups, lr=self.rate, betas=(0.9, 0.99))

    def grow(self, pixels: int) -> None:
        """Add blocks up to that many pixels; what was learnt stays."""
        learnt, mean = self.network.state_dict(), self.mean.state_dict()
        heads = self.heads.state_dict()
        self.pixels = pixels
        self._build()
        self.heads.load_state_dict(heads)
        self.network.load_state_dict(learnt, strict=False)
        self.mean.load_state_dict(mean, strict=False)

    def step(
        self, z: Tensor, wanted: Tensor, features: dict[int, Tensor], *, rate: float, hint: float
    ) -> tuple[float, float]:
        """One step of Adam on one batch; the image loss and the hint loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group["scale"]
        picture = loss(render(self.network, z), wanted)
        hinted = picture.new_zeros(())
        if hint:
            with torch.autocast("cpu", dtype=torch.bfloat16):
                hinted = hint_loss(self.network.seen, self.heads, features)
        value = picture + hint * hinted
        self.optimiser.zero_grad(set_to_none=True)
        value.backward()
        self.optimiser.step()
        self.images += len(z)
        keep = 0.5 ** (len(z) / min(EMA_IMAGES, 0.05 * self.images + 1))
        with torch.no_grad():
            for mean, current in zip(
                self.mean.parameters(), self.network.parameters(), strict=True
            ):
                mean.lerp_(current, 1 - keep)
        return picture.item(), hinted.item()

    def save(self) -> None:
        """Write everything that going on needs."""
        with atomic(self.state) as temporary:
            torch.save(
                {
                    "pixels": self.pixels,
                    "network": self.network.state_dict(),
                    "mean": self.mean.state_dict(),
                    "heads": self.heads.state_dict(),
                    "optimiser": self.optimiser.state_dict(),
                    "seconds": self.seconds,
                    "images": self.images,
                },
                temporary,
            )


def train(out: Path, *, images: int, rate: float, seed: int) -> None:
    """Train on so many images in all, over all runs."""
    out.mkdir(parents=True, exist_ok=True)
    teacher = Teacher()
    check_codes = teacher.codes(HELD_OUT, seed=seed + 1)
    check = torch.cat([teacher(z)[0] for z in check_codes.split(32)])
    student = Student(out, rate=rate, seed=seed)
    saved = time.monotonic()
    running = None
    while student.images < images:
        began = time.monotonic()
        part = student.images / images
        pixels, batch = next((p, b) for until, p, b in STAGES if part < until)
        if pixels != student.pixels:
            student.grow(pixels)
        z = teacher.codes(batch, seed=seed, start=student.images)
        wanted, features = teacher(z)
        warm = min(1.0, student.images / 5_000)
        losses = student.step(
            z,
            functional.avg_pool2d(wanted, 64 // pixels),
            features,
            rate=rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * part))),
            hint=HINT * max(0.0, 1 - part / HINTS_UNTIL),
        )
        now = torch.tensor(losses)
        running = now if running is None else running.lerp(now, 0.02)
        student.seconds += time.monotonic() - began
        last = student.images >= images
        if time.monotonic() - saved > 60 * MINUTES_BETWEEN_SAVES or last:
            saved = time.monotonic()
            shrunk = functional.avg_pool2d(check, 64 // student.pixels)
            report(student, check_codes, shrunk, running.tolist())
            student.save()


def report(student: Student, codes: Tensor, wanted: Tensor, running: list[float]) -> None:
    """One line of the log, and a picture: teacher above, student below."""
    with torch.inference_mode():
        made = torch.cat([render(student.mean, z) for z in codes.split(32)])
    line = {
        "minutes": round(student.seconds / 60, 1),
        "images": student.images,
        "pixels": student.pixels,
        "loss": round(running[0], 4),
        "hint": round(running[1], 4),
        "psnr": round(psnr(made, wanted), 2),
    }
    with (student.out / "log.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    large = [
        functional.interpolate(x[:32].clamp(-1, 1), scale_factor=64 // student.pixels)
        for x in (wanted, made)
    ]
    rows = torch.stack([x.unflatten(0, (4, 8)) for x in large], 1).flatten(0, 1)
    save_png(grid(rows), student.out / "pairs.png")


def export(out: Path) -> None:
    """Write the mean weights in half precision into the zoo, with w's mean over 100,000 codes."""
    student = Student(out, rate=1.0, seed=0)
    network = student.mean.eval()
    rng = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        w = network.mapping(torch.randn(100_000, 100, generator=rng), None)
    network.w_avg.copy_(w.mean(0))
    ZOO.mkdir(exist_ok=True)
    state = {
        key: (value.half() if value.ndim > 1 else value.float()).contiguous()
        for key, value in network.state_dict().items()
        if "noise" not in key
    }
    save_file(state, ZOO / "weights.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("out/styleface64"))
    parser.add_argument("--images", type=int, default=1_000_000, help="to train on in all")
    parser.add_argument("--rate", type=float, default=4e-2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--export", action="store_true", help="write the weights into the zoo")
    options = parser.parse_args()
    if options.export:
        export(options.out)
        return
    keep_freed_memory()
    torch.set_num_threads(1)
    train(options.out, images=options.images, rate=options.rate, seed=options.seed)


if __name__ == "__main__":
    main()
