"""Images of codes and what is read of them, batch by batch."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor

from directions.errors import LatdirError
from directions.generators.base import Generator
from directions.generators.checks import check_images, check_pixels
from directions.scoring.graphs import Replayed
from directions.scoring.rendering import Rendering
from directions.scoring.workers import side_by_side, worker_count

__all__ = ["Renderer"]

Read = TypeVar("Read")

# Batches after which a card is asked whether their images were finite.
LOOK_EVERY = 64

log = logging.getLogger(__name__)


class Renderer:
    """Images of codes of one space, at one precision.

    Args:
        generator: Makes them.
        space: Space of the codes.
        rendering: Nothing in it is left open. The batch is halved where memory is short.
        concurrent: Whether generator and readers may run in several threads at once.
        replays: Whether the batches of a card are replayed from a graph.

    Example:
        >>> from directions.planted.world import planted
        >>> world = planted(factors=2, dim=8)
        >>> renderer = Renderer(world, "z", Rendering(batch_size=2, precision="float32"))
        >>> [len(part) for part in renderer.batches(world.sample(5, seed=0), lambda x: x)]
        [2, 2, 1]
    """

    def __init__(
        self,
        generator: Generator,
        space: str,
        rendering: Rendering,
        *,
        concurrent: bool = False,
        replays: bool = False,
    ) -> None:
        self._generator, self._space, self.rendering = generator, space, rendering
        self._concurrent = concurrent and generator.concurrent and generator.device.type == "cpu"
        self._replays = replays and generator.device.type == "cuda"

    @property
    def batch_size(self) -> int:
        """Images at a time."""
        return self.rendering.batch_size or 1

    @cached_property
    def make(self) -> Callable[[Tensor], Tensor]:
        """Codes to images, without gradients."""
        precision = self.rendering.precision or "float32"
        make = self._generator.inference(precision=precision, space=self._space)
        return Replayed(make) if self._replays else make

    def batches(
        self, codes: Float[Tensor, "n *shape"], read: Callable[[Tensor], Read]
    ) -> Iterator[Read]:
        """What is read of the images of codes, batch by batch, in order.

        Raises:
            LatdirError: Images that are invalid, or no memory for a single one.
        """
        done, finite = 0, list[Tensor]()

        def of(part: Tensor) -> Read:
            images = self.make(part)
            name = self._generator.name
            return read(check_images(images, name=name, count=len(part), later=finite))

        if (workers := self._workers(len(codes))) > 1:
            _ = self.make  # prepared once, before the threads begin
            size = self.batch_size
            parts = [codes[first : first + size] for first in range(0, len(codes), size)]
            try:
                for one in side_by_side(of, parts, workers=workers):
                    done += size
                    yield one
            except torch.OutOfMemoryError:
                log.info(
                    "out of memory with %d batches at the same time: going on in turn", workers
                )
        # No codes make one empty batch, so that its shape is known.
        while done < max(1, len(codes)):
            part = codes[done : done + self.batch_size]
            try:
                made: Read | None = of(part)
            except torch.OutOfMemoryError as error:
                self._halve(len(part), codes.device, error)
                made = None
            if made is None:
                # Outside the handler, whose traceback holds the tensors.
                if codes.is_cuda:
                    torch.cuda.empty_cache()
                continue
            done += max(1, len(part))
            if len(finite) >= LOOK_EVERY or done >= len(codes):
                check_pixels(finite, name=self._generator.name, count=len(codes))
            yield made

    def _workers(self, count: int) -> int:
        """How many batches are computed at the same time."""
        if not self._concurrent:
            return 1
        batch_bytes = 4 * self.batch_size * math.prod(self._generator.image_shape)
        return worker_count(math.ceil(count / self.batch_size), batch_bytes)

    def _halve(self, count: int, device: torch.device, error: Exception) -> None:
        if count <= 1:
            raise LatdirError(
                f"there is not enough memory on {device} for one image of "
                f"{self._generator.name} and its scores: {error}"
            ) from error
        self.rendering = replace(self.rendering, batch_size=count // 2)
        log.warning("out of memory with %d images at a time: going on with %d", count, count // 2)
