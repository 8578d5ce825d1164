"""Labels of a user's own: of codes, or of places in the sequences of seeds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from directions.classifiers.base import Attribute, attributes_of
from directions.errors import LatdirError, SamplesError, UnknownNameError
from directions.generators.base import BLOCK, Generator
from discovery.sampling.arrays import (
    columns_of,
    numbers,
    read_table,
    stacked_codes,
    whole_numbers,
)

__all__ = ["OwnLabels", "codes_at", "label_attributes", "of_arrays", "of_frame"]


class OwnLabels(NamedTuple):
    """Labeled codes of a generator.

    Attributes:
        codes: `[n, *shape]`, on the CPU.
        labels: `[n, k]`, float32.
        attributes: The columns.
        space: Name of the codes' space.
        seed: Seed of all codes, if they are of one.
        places: `[n]`, places in that seed's sequence.
    """

    codes: Tensor
    labels: Tensor
    attributes: tuple[Attribute, ...]
    space: str
    seed: int | None
    places: Tensor | None


def of_arrays(
    codes: Any,
    scores: Any,
    names: Any,
    *,
    generator: Any,
    space: str | None,
    seeds: Any,
    index: Any,
    truncation: float,
) -> OwnLabels:
    """Codes and labels as tensors, checked; arguments as of `Samples.from_arrays`.

    Args:
        codes: Codes, or None.
        scores: Labels.
        names: Of the attributes.
        generator: Made the images.
        space: Of the codes.
        seeds: One, or `[n]`, where no codes are given.
        index: `[n]`, places in the seeds' sequences.
        truncation: Of the codes.

    Raises:
        LatdirError: Arguments that do not fit.
    """
    if not isinstance(generator, Generator):
        raise LatdirError(
            "generator is a generator, such as load_generator('digiface64') or wrap(module), "
            f"not {generator!r:.60}"
        )
    labels = numbers(scores, "scores").cpu().float()
    labels = labels[:, None] if labels.ndim == 1 else labels
    if labels.ndim != 2 or not labels.numel():
        raise SamplesError(f"scores have shape [n] or [n, attributes], not {list(labels.shape)}")
    attributes = label_attributes(labels, names)
    name = generator.space(space or generator.default_space()).name
    if (codes is None) == (seeds is None):
        raise SamplesError(
            "give either codes, or the seed that they were drawn with and their index"
        )
    if seeds is None:
        if index is not None:
            raise SamplesError("index is the place in a seed's sequence: give the seed, no codes")
        found = generator.check(numbers(codes, "codes").cpu(), name)
        if len(found) != len(labels):
            raise SamplesError(f"{len(found)} codes and {len(labels)} rows of labels do not fit")
        return OwnLabels(found, labels, attributes, name, None, None)
    single = np.ndim(seeds) == 0
    drawn = whole_numbers([seeds] * len(labels) if single else seeds, "seed")
    if index is None and len(set(drawn.tolist())) > 1:
        raise SamplesError("codes of several seeds need an index")
    places = torch.arange(len(labels)) if index is None else whole_numbers(index, "index")
    if not len(drawn) == len(places) == len(labels):
        raise SamplesError(f"{len(labels)} rows of labels have {len(places)} places in index")
    found = codes_at(generator, drawn, places, space=name, truncation=truncation)
    one = int(drawn[0]) if len(set(drawn.tolist())) == 1 else None
    return OwnLabels(found, labels, attributes, name, one, None if one is None else places)


def of_frame(
    frame: Any,
    *,
    generator: Generator,
    names: Sequence[str] | str | None,
    space: str | None,
    seed: int | None,
    truncation: float,
) -> OwnLabels:
    """Codes and labels of a table; arguments as of `Samples.from_frame`.

    Raises:
        LatdirError: Columns that are missing or hold something else.
    """
    columns = columns_of(read_table(Path(frame)) if isinstance(frame, str | Path) else frame)
    codes, used = stacked_codes(columns)
    wanted = [names] if isinstance(names, str) else names
    if wanted is None:
        wanted = [n for n in columns if n not in used | {"seed", "index"}]
    absent = [n for n in wanted if n not in columns]
    if absent or not wanted:
        what = f"no column {absent[0]!r}" if absent else "no column of labels"
        raise UnknownNameError(f"the table has {what}: it has {', '.join(columns)}")
    labels = torch.stack([numbers(columns[n], f"labels in column {n!r}") for n in wanted], 1)
    if codes is None and "seed" in columns and seed is not None:
        raise SamplesError("the table has a column seed: give no other seed")
    seeds = columns.get("seed", seed)
    if codes is None and seeds is None:
        raise SamplesError(
            "the table names no codes: it needs columns seed and index, or code, or a seed given"
        )
    return of_arrays(
        codes,
        labels,
        [n.removeprefix("score.") for n in wanted],
        generator=generator,
        space=space,
        seeds=seeds if codes is None else None,
        index=columns.get("index") if codes is None else None,
        truncation=truncation,
    )


def label_attributes(labels: Float[Tensor, "n k"], given: Any) -> tuple[Attribute, ...]:
    """Attributes of labels: names of columns of 0 and 1 only become probabilities.

    Raises:
        SamplesError: Another number of names than columns, or a missing label.

    Example:
        >>> labels = torch.tensor([[0.0, 3.0], [1.0, 7.0]])
        >>> [a.kind for a in label_attributes(labels, ["glasses", "rank"])]
        ['probability', 'value']
    """
    attributes = attributes_of(given)
    if len(attributes) != labels.shape[1]:
        raise SamplesError(
            f"{labels.shape[1]} columns of labels and {len(attributes)} names "
            f"({', '.join(a.name for a in attributes)}): give one name for each column"
        )
    missing = labels.isnan().nonzero()
    if len(missing):
        row, column = missing[0].tolist()
        raise SamplesError(
            f"row {row} has no label of {attributes[column].name!r}: leave out rows without "
            "one, or import each attribute by itself"
        )
    binary = ((labels == 0) | (labels == 1)).all(0).tolist()
    named = [isinstance(a, str) for a in ([given] if isinstance(given, str) else given)]
    return tuple(
        Attribute(a.name, "probability", "probability") if one and by_name else a
        for a, one, by_name in zip(attributes, binary, named, strict=True)
    )


def codes_at(
    generator: Generator,
    seeds: Int[Tensor, "n"],
    places: Int[Tensor, "n"],
    *,
    space: str,
    truncation: float = 1.0,
) -> Float[Tensor, "n ..."]:
    """Codes at some places of the sequences of some seeds, on the CPU.

    Example:
        >>> from directions.planted.world import planted
        >>> world, places = planted(), torch.tensor([700, 3])
        >>> codes = codes_at(world, torch.tensor([0, 0]), places, space="z")
        >>> torch.equal(codes, world.sample(701, seed=0)[places])
        True
    """
    codes = torch.empty(len(places), *generator.space(space).shape)
    blocks = torch.stack([seeds, places // BLOCK], 1)
    for seed, block in sorted({(s, b) for s, b in blocks.tolist()}):
        drawn = generator.sample(
            BLOCK, seed=seed, start=block * BLOCK, space=space, truncation=truncation
        )
        mine = (blocks[:, 0] == seed) & (blocks[:, 1] == block)
        codes[mine] = drawn.cpu()[places[mine] % BLOCK]
    return codes
