"""Flows whose weights others have published: StyleFlow and PluGeN, to apply as they are.

R. Abdal et al.: StyleFlow, ACM ToG 2021, arXiv:2008.02401: dw/dt = h(w, t, c), with normalizations
before and after, takes codes w of attributes c to z; an edit is f⁻¹(f(w; c); c'). M. Wołczyk et
al.: PluGeN, AAAI 2022, arXiv:2109.09011: additive couplings take w to z, whose first numbers are
the attributes.

Differences from the official code: the equation is solved by Runge-Kutta steps of fixed number, so
that results depend on neither batch nor tolerance; PluGeN's log-determinant, which that code takes
from the last coupling, is 0, as it is for additive ones; nothing is written into the input, and
each row of w+ is mapped by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import leaky_relu, linear

from directions.errors import CheckpointError, SpaceError
from directions.weight_files.contents import read_contents

__all__ = ["PluGeNFlow", "StyleFlow", "load_plugen", "load_styleflow"]

STEPS = 40
EPSILON = 1e-4
SLOPE = 0.1

State = Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class StyleFlow:
    """A continuous flow of codes given attributes.

    Attributes:
        state: Its tensors, by the official names (`chain.0.weight`, …).
        steps: Runge-Kutta steps of the equation.
    """

    state: State
    steps: int = STEPS

    def __post_init__(self) -> None:
        wanted = ["chain.0.running_mean", "chain.1.sqrt_end_time", "chain.2.running_mean"]
        wanted += [f"{self._layer(0)}.{n}.weight" for n in ("_layer", "_hyper_gate", "_hyper_bias")]
        _complete(self.state, wanted, "StyleFlow")

    @property
    def size(self) -> int:
        """Numbers of a code."""
        return len(self.state["chain.0.running_mean"])

    @property
    def conditions(self) -> int:
        """Number of attributes."""
        return self.state[f"{self._layer(0)}._hyper_gate.weight"].shape[1] - 1

    def forward(
        self, w: Float[Tensor, "n *rows d"], c: Float[Tensor, "n k"]
    ) -> tuple[Float[Tensor, "n *rows d"], Float[Tensor, "n *rows"]]:
        """Z = f(w; c), and what log p(w) has less than log N(z).

        Args:
            w: Codes, each with any rows.
            c: Attributes, on the scale that the flow was trained with.
        """
        self._check(w, c)
        w, less = self._normalized(w, 0)
        w, change = self._solved(w, c, backward=False, density=True)
        z, more = self._normalized(w, 2)
        return z, less + more - change

    def inverse(
        self, z: Float[Tensor, "n *rows d"], c: Float[Tensor, "n k"]
    ) -> Float[Tensor, "n *rows d"]:
        """The codes w of attributes c with f(w; c) = z."""
        self._check(z, c)
        for part in (2, 0):
            mean, gain = self._scale(z, part)
            z = (z - self.state[f"chain.{part}.bias"].to(z)) / gain + mean
            if part:
                z, _ = self._solved(z, c, backward=True, density=False)
        return z

    def edit(
        self,
        w: Float[Tensor, "n *rows d"],
        c: Float[Tensor, "n k"],
        target: Float[Tensor, "n k"],
    ) -> Float[Tensor, "n *rows d"]:
        """Codes whose attributes go from `c` to `target`, at the same z."""
        self._check(w, c)
        w, _ = self._normalized(w, 0)
        z, _ = self._solved(w, c, backward=False, density=False)
        return self.inverse(self._normalized(z, 2)[0], target)

    def _check(self, w: Tensor, c: Tensor) -> None:
        if w.shape[-1] != self.size or c.shape != (len(w), self.conditions):
            raise SpaceError(
                f"this StyleFlow takes codes [n, …, {self.size}] and attributes [n, "
                f"{self.conditions}], not {list(w.shape)} and {list(c.shape)}"
            )

    def _scale(self, w: Tensor, part: int) -> tuple[Tensor, Tensor]:
        held = (
            self.state[f"chain.{part}.{n}"].to(w) for n in ("running_mean", "running_var", "weight")
        )
        mean, variance, weight = held
        return mean, weight.exp() * (variance + EPSILON).rsqrt()

    def _normalized(self, w: Tensor, part: int) -> tuple[Tensor, Tensor]:
        mean, gain = self._scale(w, part)
        new = (w - mean) * gain + self.state[f"chain.{part}.bias"].to(w)
        return new, -gain.log().sum().expand(w.shape[:-1])

    @staticmethod
    def _layer(i: int) -> str:
        return f"chain.1.odefunc.diffeq.layers.{i}"

    def _velocity(self, w: Tensor, t: Tensor, c: Tensor, *, density: bool) -> tuple[Tensor, Tensor]:
        """dw/dt, of layers (W x + b) σ(gate(t, c)) + bias(t, c), and its divergence if wanted."""
        known = torch.cat([t.expand(len(c), 1), c], 1)
        known = known.reshape(len(c), *[1] * (w.ndim - 2), -1)
        change = torch.eye(w.shape[-1]).to(w)  # ∂x/∂w
        i = 0
        while f"{self._layer(i)}._layer.weight" in self.state:
            names = ("_layer.weight", "_layer.bias", "_hyper_gate.weight", "_hyper_gate.bias",
                     "_hyper_bias.weight")  # fmt: skip
            W, b, gate, offset, bias = (self.state[f"{self._layer(i)}.{n}"].to(w) for n in names)
            x = torch.tanh(w) if i else w
            scale = linear(known, gate, offset).sigmoid()
            w = linear(x, W, b) * scale + linear(known, bias)
            if density:
                change = (1 - x.square())[..., None] * change if i else change
                change = scale[..., None] * (W @ change)
            i += 1
        volume = change.diagonal(dim1=-2, dim2=-1).sum(-1) if density else w.new_zeros(())
        return w, volume.expand(w.shape[:-1])

    def _solved(
        self, w: Tensor, c: Tensor, *, backward: bool, density: bool
    ) -> tuple[Tensor, Tensor]:
        """The equation's solution after its time, and the integral of the divergence."""
        end = self.state["chain.1.sqrt_end_time"].to(w).square().reshape(())
        c, times = c.to(w), torch.linspace(0, 1, self.steps + 1).to(w) * end
        step = end / self.steps
        times, step = (times.flip(0), -step) if backward else (times, step)

        def rate(w: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
            return self._velocity(w, t, c, density=density)

        volume = w.new_zeros(w.shape[:-1])
        for t in times[:-1]:
            k1, d1 = rate(w, t)
            k2, d2 = rate(w + step / 2 * k1, t + step / 2)
            k3, d3 = rate(w + step / 2 * k2, t + step / 2)
            k4, d4 = rate(w + step * k3, t + step)
            w = w + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
            volume = volume + step / 6 * (d1 + 2 * d2 + 2 * d3 + d4)
        return w, volume


@dataclass(frozen=True, eq=False)
class PluGeNFlow:
    """Additive couplings whose first outputs are attributes.

    Attributes:
        state: Its tensors, by the official names (`coupling_layers.0.a.0.weight`, …).
    """

    state: State

    def __post_init__(self) -> None:
        _complete(self.state, ["coupling_layers.0.a.0.weight"], "PluGeN")
        scaled = [name for name in self.state if ".m." in name]
        if scaled:
            raise CheckpointError(
                f"this PluGeN has couplings that scale ({scaled[0]}), whose official code takes a "
                "wrong determinant: train without `variable`, or use ConditionalFlow"
            )

    @property
    def size(self) -> int:
        """Numbers of a code."""
        return self.state["coupling_layers.0.a.0.weight"].shape[1]

    def forward(self, w: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
        """z, whose first numbers are the attributes; volumes stay."""
        for i in range(self._count()):
            w = w + self._shift(w, i)
        return w

    def inverse(self, z: Float[Tensor, "*n d"]) -> Float[Tensor, "*n d"]:
        """The codes of z."""
        for i in reversed(range(self._count())):
            z = z - self._shift(z, i)
        return z

    def edit(self, w: Float[Tensor, "*n d"], values: Mapping[int, float]) -> Float[Tensor, "*n d"]:
        """Codes whose attributes, by place, have given values, from -1 to 1 as labels had.

        Raises:
            LatdirError: Codes of another size.
        """
        z = self.forward(w).clone()
        for place, value in values.items():
            z[..., place] = value
        return self.inverse(z)

    def _count(self) -> int:
        return len({name.split(".")[1] for name in self.state})

    def _shift(self, x: Tensor, i: int) -> Tensor:
        """What coupling i adds: from even numbers to odd ones for even i, else the reverse."""
        if x.shape[-1] != self.size:
            raise SpaceError(f"this PluGeN takes codes of {self.size} numbers, not {list(x.shape)}")
        kept = (torch.arange(self.size, device=x.device) % 2 == i % 2).to(x)
        prefix = f"coupling_layers.{i}.a"
        y, j = x * kept, 0
        while f"{prefix}.{j}.weight" in self.state:
            y = leaky_relu(y, SLOPE) if j else y
            y = linear(y, *(self.state[f"{prefix}.{j}.{n}"].to(x) for n in ("weight", "bias")))
            j += 2
        return y * (1 - kept)


def load_styleflow(path: str | PathLike[str], *, steps: int = STEPS) -> StyleFlow:
    """StyleFlow's weights, such as the official `modellarge10k.pt`; nothing in it is executed.

    Args:
        path: The file.
        steps: Runge-Kutta steps of the equation.

    Raises:
        LatdirError: No such file, or no weights of a StyleFlow of one block.
    """
    return StyleFlow(_tensors(path, "chain."), steps)


def load_plugen(path: str | PathLike[str]) -> PluGeNFlow:
    """PluGeN's weights of the official code's flow; nothing in the file is executed.

    Args:
        path: The file.

    Raises:
        LatdirError: No such file, or no weights of additive couplings.
    """
    return PluGeNFlow(_tensors(path, "coupling_layers."))


def _tensors(path: str | PathLike[str], prefix: str) -> State:
    """Tensors from a prefix on, whatever module held the flow."""
    state = read_contents(Path(path)).state
    return {name[name.index(prefix) :]: t for name, t in state.items() if prefix in name}


def _complete(state: State, names: list[str], title: str) -> None:
    missing = [name for name in names if name not in state]
    if missing:
        raise CheckpointError(
            f"these are not the weights of a {title}: {missing[0]} is not among them"
        )
