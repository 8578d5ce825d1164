"""Padding of convolutions as unknowns beside a code.

Bai, Xu, Xia, Zhu, Zhu, Yang, Yu, Shen 2022, "High-fidelity GAN Inversion with Padding Space"
(PadInv), arXiv:2203.11105: features next to the border of an image come from the zeros that
convolutions are padded with, so that a generator learns where things are from them, and an image
whose parts lie elsewhere, or whose borders are its own, wants other numbers there. As in the
official code the first four convolutions of unchanged size are padded by numbers of the image, as
they act, after modulation, and the constant that the network begins with is of the image too. An
encoder predicts them there; here they are found as any other code is. Styles stay free for edits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from directions.arguments import checked
from directions.errors import LatdirError, whole_number
from directions.generators.base import Generator
from directions.generators.stylegan.generator import StyleGenerator
from directions.inversion.unknowns.base import Joint

__all__ = ["Paddings"]

# Codes whose features say how much numbers at the border vary.
SAMPLES, BATCH = 64, 16
CONST = "const"

Pad = Callable[[int, Tensor], Tensor | None]


class Paddings(Joint):
    """A generator whose first convolutions are padded by numbers of the code.

    Parts are `code`, of the inner space; `const` where the network begins with a constant, what is
    added to it; and `padding.0`, `padding.1`, …: `[c, p]`, the numbers around the features that
    enter a convolution, row by row.

    Args:
        generator: One with convolutions that are padded by zeros, such as a StyleGAN.
        count: Convolutions, from the first on, that are padded so.
        space: Of the code; by default w+ where the generator has it, else its first.

    Raises:
        LatdirError: No such space, or fewer such convolutions.

    Example:
        >>> from directions import load_generator
        >>> world = Paddings(load_generator("styleface64"), count=2)
        >>> {name: shape for name, shape in world.shapes.items() if name != "code"}
        {'const': (256, 4, 4), 'padding.0': (256, 20), 'padding.1': (256, 36)}
        >>> codes = world.inner.sample(1, seed=0, space="w+")
        >>> plain = world.synthesize(world.around(codes))
        >>> torch.allclose(plain, world.inner.synthesize(codes, "w+"), atol=1e-4)
        True
    """

    @checked
    def __init__(self, generator: Generator, *, count: int = 4, space: str | None = None) -> None:
        whole_number(count, "count", least=1)
        self.code_space = generator.space(space or generator.default_space("w+")).name
        seen: dict[int, list[Tensor]] = {}

        def watch(number: int, x: Tensor) -> None:
            seen.setdefault(number, []).append(x.detach())

        few = generator.sample(SAMPLES, seed=0, space=self.code_space)
        for part in torch.split(few, BATCH):
            with torch.no_grad(), _Padded(watch):
                generator.synthesize(part, self.code_space)
        if len(seen) < count:
            raise LatdirError(
                f"{generator.name} has {len(seen)} convolutions of unchanged size that are padded "
                f"with zeros, not {count}: "
                + ("give count=" + str(len(seen)) if seen else "fit FeatureOffsets instead")
            )
        features = {f"padding.{k}": torch.cat(seen[k]) for k in range(count)}
        shapes = {"code": generator.space(self.code_space).shape}
        self._spread = {k: x.std((0, 2, 3)).clamp_min(1e-3) for k, x in features.items()}
        const = _constant(generator)
        if const is not None:
            shapes[CONST] = tuple(const.shape)
            self._spread[CONST] = const.std((1, 2)).clamp_min(1e-3)
        for name, x in features.items():
            shapes[name] = (x.shape[1], len(_ring(x)))
        config = {"count": count, "space": self.code_space}
        super().__init__(generator, shapes, title="paddings", config=config)

    def around(self, codes: Float[Tensor, "n ..."]) -> Float[Tensor, "n d"]:
        """The inner generator's codes, padded with zeros, such as to start from."""
        return self.joined({"code": codes, **self._none(codes)})

    def edited(
        self, codes: Float[Tensor, "n d"], moved: Float[Tensor, "n ..."]
    ) -> Float[Tensor, "n d"]:
        """Joint codes whose inner ones were edited; their paddings stay.

        Args:
            codes: Joint codes, before.
            moved: `[n, *space.shape]`, the inner codes after the edit.
        """
        return self.joined({**self.parts(codes), "code": moved})

    def drawn(self, count: int, *, seed: int) -> dict[str, Tensor]:
        """Codes of the prior, padded with zeros: the generator's own images."""
        codes = self.inner.sample(count, seed=seed, space=self.code_space)
        return {"code": codes, **self._none(codes)}

    def moments(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Those of the code, and zeros that vary as the features beside them do."""
        prior = self.inner.prior(self.code_space)
        made = {"code": (prior.mean, prior.deviations)}
        for name, spread in self._spread.items():
            shape = self.shapes[name]
            wide = spread.reshape(-1, *[1] * (len(shape) - 1)).expand(shape)
            made[name] = (torch.zeros(shape), wide)
        return made

    def made(self, parts: Mapping[str, Tensor]) -> Float[Tensor, "n 3 h w"]:
        """Images of codes with their paddings."""
        inner = self.inner
        if CONST in parts:
            const = cast(Tensor, _constant(inner))
            inner = inner.with_weights({CONST: const.to(parts[CONST]) + parts[CONST]})

        def pad(number: int, x: Tensor) -> Tensor | None:
            border = parts.get(f"padding.{number}")
            return None if border is None else _padded(x, border)

        with _Padded(pad):
            return inner.synthesize(parts["code"], self.code_space)

    def _none(self, codes: Tensor) -> dict[str, Tensor]:
        return {n: codes.new_zeros(len(codes), *s) for n, s in self.shapes.items() if n != "code"}


class _Padded(TorchFunctionMode):
    """Convolutions of unchanged size whose inputs are padded by a function of their number."""

    def __init__(self, pad: Pad) -> None:
        super().__init__()
        self._pad, self._calls = pad, 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        if func is torch.conv2d and len(args) < 5:
            given |= dict(zip(("bias", "stride", "padding"), args[2:], strict=False))
            x, weight = args[:2]
            if weight.shape[2:] == (3, 3) and given.get("padding") in (1, (1, 1), [1, 1]):
                wider = self._pad(self._calls, x)
                self._calls += 1
                if wider is not None:
                    return func(wider, weight, **{**given, "padding": 0})
        return func(*args, **(kwargs or {}))


def _constant(generator: Generator) -> Tensor | None:
    return generator.weights.get(CONST) if isinstance(generator, StyleGenerator) else None


def _ring(x: Tensor) -> Tensor:
    """Places around features, in those padded by one, row by row."""
    inside = torch.zeros(x.shape[2] + 2, x.shape[3] + 2, dtype=torch.bool)
    inside[1:-1, 1:-1] = True
    return (~inside).flatten().nonzero()[:, 0].to(x.device)


def _padded(x: Float[Tensor, "n c h w"], border: Float[Tensor, "n c p"]) -> Tensor:
    wider = functional.pad(x, (1, 1, 1, 1))
    places = _ring(x)
    around = border.new_zeros(*border.shape[:2], wider[0, 0].numel())
    made: Tensor = wider + around.index_copy(2, places, border).reshape(wider.shape)
    return made
