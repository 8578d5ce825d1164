"""How well directions can be told apart in images: RCA, a reconstructor's classification accuracy.

A. Voynov & A. Babenko: Unsupervised Discovery of Interpretable Directions in the GAN Latent Space,
ICML 2020, arXiv:2002.03754. A network sees an image before and after a move along one of K
directions and says which it was; its accuracy on new codes is compared with that of a network
trained in the same way on K random directions.

It measures how distinguishable directions are, not what they mean: directions trained for a high
RCA need not change any attribute with a name, and directions with names may be alike.

Differences from the paper: the network is always a fresh one, of three convolutions at 32 pixels,
trained on a fixed set of moves; moves are in sigma of each direction, so that banks of different
scales can be compared; accuracy is of held-out codes, with its interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate

from analysis.intervals.mean import mean_interval
from directions.arguments import checked, checked_fields
from directions.baselines import random_directions
from directions.direction import Direction
from directions.errors import BankError, LatdirError
from directions.generators.base import Generator
from directions.paths.base import CurvedPath
from directions.progress import tqdm
from directions.scoring.rendering import Rendering
from directions.scoring.scorer import Scorer
from directions.seeds import HELD_OUT_SEED

__all__ = ["Distinguishability", "measure_distinguishability"]

# Moves of each code, so that an unmoved image is made once for several.
MOVES = 4
LEAST = 1 / 12
"""Shortest move, as a share of the longest: 0.5 of 6 in the paper."""
TESTED = 0.25
SIDE, WIDTH = 32, 24
BATCH, RATE = 64, 3e-3


@checked_fields
@dataclass(frozen=True, eq=False)
class Distinguishability:
    """Accuracy of telling K directions apart, beside that for random ones.

    Attributes:
        directions: Their names.
        accuracy: Share of held-out moves whose direction is told.
        low: Lower end of its interval over codes.
        high: Upper end.
        random: The same for K random directions of the same space.
        random_low: Lower end of its interval.
        random_high: Upper end.
        chance: 1 / K.
        half: Accuracy of a network trained on half as many codes: where it is much lower, more
            codes tell more, and accuracies hold for their number of codes only.
        random_half: The same for the random directions.
        confusion: `[k, k]`, share of the moves along the row's direction told as the column's.
        moves: Number of moves trained on.
    """

    directions: tuple[str, ...]
    accuracy: float
    low: float
    high: float
    random: float
    random_low: float
    random_high: float
    chance: float
    half: float
    random_half: float
    confusion: Float[Tensor, "k k"]
    moves: int

    def as_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, ready for JSON."""
        return {**vars(self), "confusion": self.confusion.tolist()} | {
            "directions": list(self.directions)
        }


@checked
def measure_distinguishability(
    generator: Generator,
    paths: Mapping[str, Direction | CurvedPath],
    *,
    amount: float = 3.0,
    count: int = 4096,
    epochs: int = 12,
    seed: int = HELD_OUT_SEED,
    level: float = 0.95,
    rendering: Rendering = Rendering(),
) -> Distinguishability:
    """Train a fresh network to tell directions or paths apart, and another one for random ones.

    Args:
        generator: Makes the images.
        paths: A bank, or directions and curved paths by name, of one space; at least two.
        amount: Longest move, in sigma, either way; moves are uniform from a twelfth of it.
        count: Number of codes; each is moved four times, so that 10 images are made for one, half
            of them along random directions. A quarter of the codes is held out. A network that has
            seen few of them tells less: 30 trained directions of digiface64 are told in 0.88 of the
            moves after 1,024 codes, 0.96 after 4,096.
        epochs: Passes of training over the others.
        seed: Of codes, moves and networks.
        level: Confidence level of the intervals.
        rendering: How images are made.

    Raises:
        LatdirError: Fewer than two directions, of several spaces or of another generator, too few
            codes, or an amount that is not positive.

    Example:
        >>> from directions.planted.world import planted
        >>> world = planted(factors=3, dim=8)
        >>> bank = random_directions(world, n_directions=3)
        >>> found = measure_distinguishability(world, bank, count=64, epochs=2)
        >>> round(found.chance, 3), found.moves
        (0.333, 192)
    """
    names, space = tuple(paths), _space(generator, paths)
    if not amount > 0 or epochs < 1:
        raise LatdirError(f"amount {amount} must be positive and epochs {epochs} at least 1")
    if count < 16:
        raise LatdirError(f"count is {count}: give at least 16 codes; 4,096 give useful figures")
    codes = generator.sample(count, seed=seed, space=space, truncation=rendering.psi)
    layers = next((d.layers for d in paths.values() if isinstance(d, Direction)), None)
    own = next(iter(paths.values())).space
    others = random_directions(
        generator, space=own, n_directions=len(names), seed=seed, spread="prior", layers=layers
    )
    images = 2 * count * (MOVES + 1)
    scorer = Scorer(generator, space=space, embed=_small, rendering=rendering, n=images)
    shape = generator.image_shape[1:] if max(generator.image_shape) <= SIDE else (SIDE, SIDE)
    before = _pictures(scorer, codes, shape)
    held = max(4, round(TESTED * count))
    told = []
    for bank in (paths, others):
        rng = torch.Generator().manual_seed(seed)
        index = torch.randint(len(names), (count, MOVES), generator=rng)
        shift = 2 * torch.rand(count, MOVES, generator=rng) - 1
        shift = amount * shift.sign() * shift.abs().clamp_min(LEAST)
        moved = _moved(codes, [*bank.values()], index, shift).unbind(1)
        bar = tqdm(moved, desc="moves", unit="set", delay=1, disable=not rendering.progress)
        after = torch.stack([_pictures(scorer, part, shape) for part in bar], 1)
        pairs = torch.cat([before[:, None].expand_as(after), after - before[:, None]], 2)
        whole, part = (
            _answers(pairs, index, slice(held, last), len(names), epochs, rng)
            for last in (count, held + (count - held) // 2)
        )
        truth = index[:held]
        # Codes are independent, moves of one code are not.
        shares = [(answer == truth).double().mean(1) for answer in (whole, part)]
        told.append((mean_interval(shares[0], level=level), float(shares[1].mean())))
        if bank is paths:
            guesses = truth, whole
    (found, half), (random, random_half) = told
    table = torch.zeros(len(names), len(names))
    table.index_put_(guesses, torch.tensor(1.0), accumulate=True)
    table /= table.sum(1, keepdim=True).clamp_min(1)
    return Distinguishability(
        names,
        float(found.mean),
        max(0.0, float(found.low)),
        min(1.0, float(found.high)),
        float(random.mean),
        max(0.0, float(random.low)),
        min(1.0, float(random.high)),
        1 / len(names),
        half,
        random_half,
        table,
        MOVES * (count - held),
    )


def _space(generator: Generator, paths: Mapping[str, Direction | CurvedPath]) -> str:
    """The one space whose codes all paths move."""
    if len(paths) < 2:
        raise LatdirError(f"{len(paths)} directions cannot be told apart: give at least two")
    spaces = {}
    for name, path in paths.items():
        if isinstance(path, Direction):
            spaces[name] = path.check(generator).acts_in(generator.spaces)
        else:
            spaces[name] = path.space
            owner = getattr(path, "fingerprint", generator.fingerprint)
            if owner != generator.fingerprint:
                raise BankError(
                    f"path {name!r} was made for another generator ({owner[:12]}…), not for "
                    f"{generator.name} ({generator.fingerprint[:12]}…): load that one"
                )
    if len(set(spaces.values())) > 1:
        raise LatdirError(
            "directions of several spaces are not told apart by one network: "
            + ", ".join(f"{name} moves {space}" for name, space in spaces.items())
        )
    return next(iter(spaces.values()))


def _small(images: Tensor) -> Tensor:
    """Images of no more than 32 pixels, flat."""
    if max(images.shape[2:]) > SIDE:
        images = interpolate(images, size=(SIDE, SIDE), mode="area")
    return images.flatten(1)


def _pictures(scorer: Scorer, codes: Tensor, shape: Sequence[int]) -> Tensor:
    """Small images `[n, 3, h, w]` of codes."""
    flat = scorer.embed(codes)
    return flat.reshape(len(codes), 3, *shape)


def _moved(codes: Tensor, paths: Sequence[Any], index: Tensor, shift: Tensor) -> Tensor:
    """Each code moved along several directions, `[n, moves, *shape]`."""
    moved = codes[:, None].repeat(1, MOVES, *[1] * (codes.ndim - 1))
    for k, path in enumerate(paths):
        rows, move = (index == k).nonzero(as_tuple=True)
        if len(rows):
            moved[rows, move] = path.shift(codes[rows], shift[rows, move])
    return moved


def _answers(
    pairs: Tensor, index: Tensor, rows: slice, k: int, epochs: int, rng: torch.Generator
) -> Tensor:
    """What a network that learned the moves of some codes says of those before, `[n, moves]`."""
    network = _trained(pairs[rows].flatten(0, 1), index[rows].flatten(), k, epochs, rng)
    with torch.inference_mode():
        parts = torch.split(pairs[: rows.start].flatten(0, 1), 256)
        answers = [network(part).argmax(1).cpu() for part in parts]
    return torch.cat(answers).reshape(rows.start, MOVES)


def _trained(
    pairs: Tensor, index: Tensor, k: int, epochs: int, rng: torch.Generator
) -> nn.Sequential:
    """A network that tells the direction, trained by Adam at a falling rate."""
    layers: list[nn.Module] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(rng.initial_seed())
        for inputs, outputs in ((6, WIDTH), (WIDTH, 2 * WIDTH), (2 * WIDTH, 4 * WIDTH)):
            layers += [nn.Conv2d(inputs, outputs, 3, 2, 1), nn.BatchNorm2d(outputs), nn.ReLU()]
        network = nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(k)).to(pairs.device)
        network(pairs[:2])  # the last layer learns how large the images are
    adam = torch.optim.Adam(network.parameters(), lr=RATE)
    total = epochs * max(1, len(pairs) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, total)
    size = min(BATCH, len(pairs))
    for _ in range(epochs):
        order = torch.randperm(len(pairs), generator=rng)
        for rows in torch.split(order[: len(order) // size * size], size):
            rows = rows.to(pairs.device)
            loss = cross_entropy(network(pairs[rows]), index.to(pairs.device)[rows])
            adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()
            schedule.step()
    return network.eval().requires_grad_(False)
