"""States as codes and images: the models, and the bytes of a picture."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from jaxtyping import Float
from PIL import Image
from torch import Tensor

from directions.bank import DirectionBank
from directions.direction import Direction
from directions.editing import lerp, move, slerp, strongest_channels
from directions.errors import LatdirError, UnknownNameError
from directions.generators.base import Generator
from directions.generators.checks import check_images
from directions.images.tensors import to_pil
from directions.paths import CurvedPath
from latdir.explorer.state import State, unpacked
from latdir.spaces import common_space

__all__ = ["Studio", "encoded", "png_bytes"]

QUALITY = 88
# WebP takes long for large pictures, and saves little there.
LARGEST_WEBP = 256


@dataclass(frozen=True)
class Studio:
    """A generator with its bank and paths, which make the picture of a state.

    Attributes:
        bank: Directions of one space.
        generator: Makes the images.
        paths: Curved paths of that space, by name.

    Raises:
        LatdirError: The bank or a path belongs to another generator or another space, or a path
            has a direction's name.
    """

    bank: DirectionBank
    generator: Generator
    paths: Mapping[str, CurvedPath] = field(default_factory=dict)
    # The last bank that `moving` made, and for each space the generator prepared for speed.
    _made: dict[Any, DirectionBank] = field(default_factory=dict, init=False)
    _prepared: dict[str, Callable[[Tensor], Tensor]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "generator", self.bank.widened(self.generator))
        for name, path in self.paths.items():
            if path.space != self.space:
                raise LatdirError(
                    f"path {name!r} moves codes of {path.space}, the bank those of {self.space}: "
                    "explore them one after the other"
                )
            if name in self.bank:
                raise LatdirError(f"a path and a direction are both named {name!r}: rename one")

    @cached_property
    def space(self) -> str:
        """The space of the codes that all directions move."""
        return common_space(self.bank, self.generator)

    @cached_property
    def layers(self) -> int:
        """Layers that an edit can be restricted to; 0 where codes have none."""
        layered = self.generator.spaces.get(self._layered)
        return 0 if layered is None or self.paths else layered.shape[0]

    @cached_property
    def channels(self) -> int:
        """Style channels that an edit can be restricted to; 0 where there are none."""
        styles = self.generator.spaces.get("s")
        return styles.size if styles is not None and self.layers else 0

    def moving_space(self, state: State) -> str:
        """The space that a state's codes are moved in: one with the parts that it chooses."""
        if state.channels is not None:
            return "s"
        return self.space if state.layers is None else self._layered

    def moving(self, state: State, names: Iterable[str]) -> DirectionBank:
        """Directions by name, restricted to the state's layers and channels."""
        chosen = tuple(names)
        key = chosen, state.layers, state.channels
        if (known := self._made.get(key)) is not None:
            return known
        bank = self.bank.select(chosen)
        layers = None if state.layers is None else range(state.layers[0], state.layers[1] + 1)
        if state.channels is not None:
            bank = strongest_channels(bank, self.generator, count=state.channels, layers=layers)
        elif layers is not None:
            bank = bank.replaced(d.evolve(layers=tuple(layers)) for d in bank.directions)
        self._made.clear()
        self._made[key] = bank
        return bank

    def check(self, state: State) -> State:
        """Return the state if it can be drawn.

        Raises:
            LatdirError: Unknown sliders, or layers or channels that the codes do not have.
        """
        for name in {**state.amounts, **state.held}:
            if name not in self.paths:
                self.bank[name]
        if (state.layers or state.channels) and not self.layers:
            raise UnknownNameError(
                f"codes of {self.space} have no layers to choose"
                + (" while curved paths are loaded" if self.paths else "")
            )
        if state.layers is not None:
            first, last = state.layers
            if not first <= last < self.layers:
                raise LatdirError(
                    f"layers {first} … {last} are not all there: choose of 0 … {self.layers - 1}"
                )
        if state.channels is not None and not self.channels:
            raise UnknownNameError(f"{self.generator.name} has no style channels to choose")
        return state

    def taught(self, direction: Direction) -> Studio:
        """One with a taught direction in the bank, in place of an older one of its name.

        Raises:
            LatdirError: The bank has a direction of that name that was not taught.
        """
        name, bank = direction.name, self.bank
        if name in self.paths or (name in bank and bank[name].method != direction.method):
            raise LatdirError(
                f"the bank has a direction {name!r} already: teach it under another name"
            )
        kept = [other for other in bank.directions if other.name != name]
        return replace(self, bank=bank.replaced([*kept, direction]))

    def start(self, state: State) -> Float[Tensor, "1 ..."]:
        """The unedited code of a state, in `moving_space`."""
        space = self.moving_space(state)
        if state.photo is not None:
            code = unpacked(state.photo, self.generator.space(self.space).shape)
            code = code.to(self.generator.device)
            return code if space == self.space else self.generator.map(code, self.space, space)
        code = self._drawn(state.seed, space, state.truncation)
        if state.mix is None:
            return code
        other = self._drawn(state.mix.seed, space, state.truncation)
        # Codes of the first space are normal: the arc keeps their length.
        between = slerp if space == self.generator.default_space() else lerp
        return between(code, other, [state.mix.fraction])[0]

    def edited(
        self, state: State, amounts: Mapping[str, float] | None = None
    ) -> Float[Tensor, "1 ..."]:
        """The moved code of a state, in `moving_space`.

        Args:
            state: The state.
            amounts: Amounts in sigma, in place of the state's own.
        """
        given = state.moved if amounts is None else amounts
        straight = {name: amount for name, amount in given.items() if name in self.bank}
        codes = self.start(state)
        if straight:
            codes = move(codes, self.moving(state, straight), straight)
        for name, path in self.paths.items():
            if given.get(name):
                codes = path.shift(codes, given[name])
        return codes

    def images(self, codes: Float[Tensor, "n ..."], state: State) -> Float[Tensor, "n 3 h w"]:
        """Images of codes in a state's `moving_space`.

        Raises:
            LatdirError: The generator made no images.
        """
        space = self.moving_space(state)
        if space not in self._prepared:
            self._prepared[space] = self.generator.inference(space=space)
        made = self._prepared[space](codes)
        return check_images(made, name=self.generator.name, count=len(codes))

    def picture(self, state: State) -> Image.Image:
        """The picture of a state."""
        return to_pil(self.images(self.edited(state), state)[0])

    def unedited(self, state: State) -> Image.Image:
        """The picture before any edit."""
        return to_pil(self.images(self.start(state), state)[0])

    @property
    def _layered(self) -> str:
        return self.space if self.space.endswith("+") else f"{self.space}+"

    def _drawn(self, seed: int, space: str, truncation: float) -> Tensor:
        return self.generator.sample(1, seed=seed, space=space, truncation=truncation)


def encoded(picture: Image.Image, quality: int = QUALITY) -> tuple[str, bytes]:
    """A picture for the screen: its media type and a few kilobytes.

    Example:
        >>> kind, data = encoded(Image.new("RGB", (64, 64)))
        >>> kind, len(data) < 2000
        ('image/webp', True)
    """
    small = max(picture.size) <= LARGEST_WEBP
    kind = "WEBP" if small else "JPEG"
    held = io.BytesIO()
    picture.save(held, kind, quality=quality, **({"method": 0} if small else {}))
    return f"image/{kind.lower()}", held.getvalue()


def png_bytes(picture: Image.Image) -> bytes:
    """A picture as PNG, without loss."""
    held = io.BytesIO()
    picture.save(held, "PNG")
    return held.getvalue()
