"""The official StyleGAN2 by its definition: slow, sample by sample, from a state dict."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


def _normed(x: Tensor) -> Tensor:
    return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


def _resampled(x: Tensor, kernel: Tensor, *, before: int, after: int) -> Tensor:
    """Zeros between the pixels, padding, and a true convolution of gain 4."""
    n, c, h, w = x.shape
    wide = torch.zeros(n, c, h * 2, w * 2)
    wide[:, :, ::2, ::2] = x
    wide = functional.pad(wide, (before, after, before, after))
    flipped = (kernel * 4).flip(0, 1)[None, None].expand(c, 1, -1, -1)
    return functional.conv2d(wide, flipped, groups=c)


@dataclass
class Original:
    """A generator under NVIDIA's names."""

    state: dict[str, Tensor]
    architecture: str = "skip"
    clamp: float | None = None

    def mapping(self, z: Tensor, label: Tensor | None, *, rate: float = 0.01) -> Tensor:
        state, x = self.state, _normed(z)
        if "mapping.embed.weight" in state:
            weight = state["mapping.embed.weight"]
            embedded = label @ weight.T / math.sqrt(weight.shape[1]) + state["mapping.embed.bias"]
            x = torch.cat([x, _normed(embedded)], 1)
        elif "mapping.label_weight" in state:
            x = _normed(torch.cat([z, label @ state["mapping.label_weight"]], 1))
        for i in range(len([k for k in state if k.startswith("mapping.fc")]) // 2):
            weight, bias = state[f"mapping.fc{i}.weight"], state[f"mapping.fc{i}.bias"]
            x = x @ weight.T * (rate / math.sqrt(weight.shape[1])) + bias * rate
            x = functional.leaky_relu(x, 0.2) * math.sqrt(2)
        return x

    def images(self, ws: Tensor) -> Tensor:
        return torch.cat([self._image(w) for w in ws])

    def _image(self, w: Tensor) -> Tensor:
        state, slot, image = self.state, 0, None
        sizes = sorted(int(k.split(".")[1][1:]) for k in state if k.endswith("conv1.weight"))
        x = state["synthesis.b4.const"][None]
        for r in sizes:
            b = f"synthesis.b{r}"
            residual = self.architecture == "resnet" and r > 4
            gain, shortcut = 1.0, torch.zeros(())
            if residual:
                gain, weight = math.sqrt(0.5), state[f"{b}.skip.weight"]
                thin = functional.conv2d(x, weight / math.sqrt(weight.shape[1]))
                shortcut = self._doubled(thin, b) * gain
            if r > 4:
                x = self._layer(x, b, "conv0", w[slot], 1.0)
                slot += 1
            x = self._layer(x, b, "conv1", w[slot], gain) + shortcut
            slot += 1
            image = None if image is None else self._doubled(image, b)
            if f"{b}.torgb.weight" in state:
                weight = state[f"{b}.torgb.weight"]
                s = self._style(f"{b}.torgb", w[slot]) / math.sqrt(weight.shape[1])
                rgb = functional.conv2d(x * s[:, None, None], weight)
                rgb = self._bounded(rgb + state[f"{b}.torgb.bias"][:, None, None], 1.0)
                image = rgb if image is None else image + rgb
        assert image is not None
        return image

    def _bounded(self, x: Tensor, gain: float) -> Tensor:
        return x if self.clamp is None else x.clamp(-self.clamp * gain, self.clamp * gain)

    def _style(self, name: str, w: Tensor) -> Tensor:
        weight = self.state[f"{name}.affine.weight"]
        return weight @ w / math.sqrt(weight.shape[1]) + self.state[f"{name}.affine.bias"]

    def _fir(self, block: str) -> Tensor:
        fir = self.state[f"{block}.resample_filter"]
        return torch.outer(fir, fir) if fir.ndim == 1 else fir

    def _doubled(self, x: Tensor, block: str) -> Tensor:
        fir = self._fir(block)
        t = len(fir)
        return _resampled(x, fir, before=(t + 1) // 2, after=(t - 2) // 2)

    def _layer(self, x: Tensor, block: str, part: str, w: Tensor, gain: float) -> Tensor:
        name = f"{block}.{part}"
        weight = self.state[f"{name}.weight"] * self._style(name, w)[:, None, None]
        weight = weight * (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).rsqrt()
        if part == "conv0":
            fir = self._fir(block)
            t = len(fir)
            x = _resampled(x, fir, before=1 + (t + 1) // 2, after=1 + (t - 2) // 2)
            x = functional.conv2d(x, weight.flip(2, 3))
        else:
            x = functional.conv2d(x, weight, padding=1)
        if f"{name}.noise_const" in self.state:
            x = x + self.state[f"{name}.noise_const"] * self.state[f"{name}.noise_strength"]
        x = functional.leaky_relu(x + self.state[f"{name}.bias"][:, None, None], 0.2)
        return self._bounded(x * math.sqrt(2) * gain, gain)
