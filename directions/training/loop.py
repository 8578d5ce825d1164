"""The training loop of everything that learns: Adam, checkpoints, and an end where it diverges.

What a step draws depends on the seed and its number alone, so that a run which was killed and goes
on from its checkpoint is the run that was not, to the last bit.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from directions.errors import LatdirError
from directions.progress import tqdm
from directions.storage.atomic import made_folder
from directions.storage.container import FileFormat, plain, read_tensors, write_tensors

__all__ = ["Checkpoint", "Fit", "constant", "falling", "fit", "step_rng"]

log = logging.getLogger(__name__)

FORMAT = FileFormat(
    "latdir.training", "training", LatdirError, "delete it: training starts again without it"
)
# Seconds between checkpoints, and parts of a run whose mean losses are compared.
EVERY = 20.0
PARTS = 16
# Training has diverged where the mean loss of a part exceeds that of the first by so many times
# its size, or 1 if that is more.
EXPLODED = 10.0


class Fit(NamedTuple):
    """How a training went.

    Attributes:
        steps: Steps taken, fewer than wanted where it diverged.
        kept: The step whose weights are kept, the last unless it diverged.
        first: Mean loss of the first part of the steps.
        last: Mean loss of the part that ends with the step kept.
    """

    steps: int
    kept: int
    first: float
    last: float


@dataclass(frozen=True)
class Checkpoint:
    """A file that keeps a run, and what identifies the run.

    Attributes:
        path: The file; none keeps nothing.
        run: Everything that decides the run's outcome, as JSON values.
    """

    path: str | PathLike[str] | None
    run: Mapping[str, Any]

    def read(self) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
        """Numbers and tensors of the run so far, if there is a file.

        Raises:
            LatdirError: A file of another run, or a broken one.
        """
        if self.path is None or not Path(self.path).exists():
            return None
        manifest, tensors = read_tensors(self.path, FORMAT)
        theirs, ours = manifest.get("run", {}), plain(self.run)
        for name in sorted({*theirs, *ours}):
            if theirs.get(name) != ours.get(name):
                raise LatdirError(
                    f"{self.path} keeps a training with {name} {theirs.get(name)!r}, and this one "
                    f"has {ours.get(name)!r}: give another file, or delete that one"
                )
        return manifest["numbers"], tensors

    def write(self, numbers: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Replace the file, if there is to be one, by the run as it is now."""
        if self.path is not None:
            made_folder(Path(self.path).parent)
            manifest = {"run": plain(self.run), "numbers": dict(numbers)}
            write_tensors(self.path, tensors, manifest, format=FORMAT)


def step_rng(seed: int, step: int) -> torch.Generator:
    """The random numbers of one step.

    Example:
        >>> draw = lambda: torch.rand(2, generator=step_rng(0, 7))
        >>> bool((draw() == draw()).all())
        True
    """
    state = np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]) >> 1)


def constant(done: float) -> float:
    """The rate of all of a run."""
    return 1.0


def falling(done: float) -> float:
    """A rate that rises over a twentieth of the run and falls to zero as a cosine.

    Args:
        done: Share of the run that is over, 0 … 1.
    """
    return min(1.0, (done + 1e-3) / 0.05) * (1 + math.cos(math.pi * done)) / 2


def fit(
    learned: nn.Module,
    loss: Callable[[int], Tensor],
    adam: torch.optim.Optimizer,
    *,
    steps: int,
    checkpoint: Checkpoint,
    schedule: Callable[[float], float] = constant,
    longest: float | None = None,
    judged: Callable[[], float] | None = None,
    title: str = "training",
    status: Callable[[], str] = str,
) -> Fit:
    """Minimize a loss, from the checkpoint on where there is one.

    Args:
        learned: Everything that is trained; in the end its weights are those kept.
        loss: Of a step by number, from 0.
        adam: Optimizer of its weights.
        steps: Number of steps.
        checkpoint: Where the run is kept.
        schedule: Factor of the rate, by the share of steps done.
        longest: Gradients longer than this are shortened to it.
        judged: Loss of data held out, by which the best weights are kept, those before training
            among them; by default the last weights are.
        title: Of the progress bar.
        status: What the bar says beside it.

    Returns:
        How it went. A run that diverges is stopped with a warning, and the best weights before
        are kept.

    Raises:
        LatdirError: The first loss is not finite.
    """
    rates = [group["lr"] for group in adam.param_groups]
    weights = [w for group in adam.param_groups for w in group["params"]]
    run = _Run(learned, adam, steps, judged)
    run.resume(checkpoint.read())
    begun, saved = run.step, time.monotonic()
    learned.train()
    with torch.enable_grad():
        bar = tqdm(range(begun, steps), desc=title, unit="step", delay=1, leave=False)
        for step in bar:
            for group, rate in zip(adam.param_groups, rates, strict=True):
                group["lr"] = rate * schedule(step / steps)
            adam.zero_grad()
            now = loss(step)
            if not run.step and not now.isfinite():
                raise LatdirError(
                    f"{title}: the first step's loss is {now.item():g}: images, scores or codes "
                    "are not finite, or beyond all scale"
                )
            torch.autograd.backward(now, inputs=weights)
            if longest is not None:
                nn.utils.clip_grad_norm_(weights, longest)
            bar.set_postfix_str(status(), refresh=False)
            if run.diverged(float(now.detach())):
                log.warning(
                    "training diverged at step %d of %d: the weights of step %d are kept; a lower "
                    "rate than %g avoids it",
                    step + 1,
                    steps,
                    run.kept,
                    rates[0],
                )
                return run.ended(best=True)
            if checkpoint.path and (time.monotonic() - saved > EVERY or run.step == steps):
                checkpoint.write(run.numbers(), run.tensors())
                saved = time.monotonic()
    return run.ended(best=judged is not None)


class _Run:
    """Where a training stands, with its best weights so far.

    Args:
        learned: Everything that is trained.
        adam: Its optimizer.
        steps: Number of steps.
        judged: Loss of data held out, if weights are judged by it.
    """

    NUMBERS = ("step", "sum", "first", "last", "best", "kept")

    def __init__(
        self,
        learned: nn.Module,
        adam: torch.optim.Optimizer,
        steps: int,
        judged: Callable[[], float] | None,
    ) -> None:
        self.learned, self.adam, self.steps, self.judged = learned, adam, steps, judged
        self.part = max(1, steps // PARTS)
        self.step, self.kept = 0, 0
        self.sum, self.first, self.last = 0.0, 0.0, 0.0
        self.best, self.weights = self._value(0.0), _state(learned)

    def diverged(self, loss: float) -> bool:
        """Take a step of a loss, unless it is not finite; whether the loss has exploded."""
        if not math.isfinite(loss):
            return True
        self.adam.step()
        self.sum += loss
        self.step += 1
        since = (self.step - 1) % self.part + 1
        if since < self.part and self.step < self.steps:
            return False
        self.last, self.sum = self.sum / since, 0.0
        if self.step <= self.part:
            self.first = self.last
        value = self._value(self.last)
        if value < self.best or (self.judged is None and not self.kept):
            self.best, self.kept, self.weights = value, self.step, _state(self.learned)
        return not value < math.inf or self.last - self.first > EXPLODED * max(1.0, abs(self.first))

    @torch.no_grad()
    def _value(self, loss: float) -> float:
        """What the weights are kept by: of data held out if there are any, or the loss."""
        return loss if self.judged is None else self.judged()

    def ended(self, *, best: bool) -> Fit:
        """Freeze the weights: the best, or the last ones."""
        if best:
            self.learned.load_state_dict(self.weights)
        self.learned.eval().requires_grad_(False)
        if best and self.judged is None:
            return Fit(self.step, self.kept, self.first, self.best)
        return Fit(self.step, self.kept if best else self.step, self.first, self.last)

    def numbers(self) -> dict[str, Any]:
        """What a checkpoint keeps beside tensors."""
        return {name: getattr(self, name) for name in self.NUMBERS}

    def tensors(self) -> dict[str, Tensor]:
        """The weights, the best ones, and the optimizer's state."""
        held = {f"learned.{name}": t for name, t in self.learned.state_dict().items()}
        held |= {f"best.{name}": t for name, t in self.weights.items()}
        for i, state in self.adam.state_dict()["state"].items():
            held |= {f"adam.{i}.{name}": torch.as_tensor(t) for name, t in state.items()}
        return held

    def resume(self, kept: tuple[Mapping[str, Any], Mapping[str, Tensor]] | None) -> None:
        """Go on from a checkpoint, if there is one."""
        if kept is None:
            return
        numbers, tensors = kept
        for name in self.NUMBERS:
            setattr(self, name, numbers[name])
        self.weights = _under(tensors, "best")
        self.learned.load_state_dict(_under(tensors, "learned"))
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _under(tensors, "adam").items():
            i, _, entry = name.partition(".")
            state.setdefault(int(i), {})[entry] = tensor
        self.adam.load_state_dict({**self.adam.state_dict(), "state": state})


def _state(learned: nn.Module) -> dict[str, Tensor]:
    return {name: t.detach().clone() for name, t in learned.state_dict().items()}


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with a prefix, without it."""
    start = f"{prefix}."
    return {name[len(start) :]: t for name, t in tensors.items() if name.startswith(start)}
