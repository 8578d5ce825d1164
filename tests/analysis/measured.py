"""Banks of planted truth, and curves written by hand."""

import torch

from analysis.edits.curves import Curves, Source
from directions import Direction, DirectionBank
from directions.classifiers.base import Attribute, Classifier


def true_bank(generator, *, names=None):
    """The directions a planted generator was made with."""
    prior = generator.prior()
    made = [
        Direction.from_vector(name, vector, space="z", sigma=prior.sigma(vector))
        for name, vector in zip(generator.names, generator.truth, strict=True)
        if names is None or name in names
    ]
    return DirectionBank(tuple(made), generator.name, generator.fingerprint)


def bank_of(generator, **vectors):
    """A bank of any vectors of z."""
    prior = generator.prior()
    made = [
        Direction.from_vector(n, torch.as_tensor(v), space="z", sigma=prior.sigma(v / v.norm()))
        for n, v in vectors.items()
    ]
    return DirectionBank(tuple(made), generator.name, generator.fingerprint)


def curves(scores, amounts, *, attributes, directions=None, targets=None, **rest):
    """Curves of given scores `[k, t, n, a]`."""
    scores = torch.as_tensor(scores, dtype=torch.float32)
    attributes = tuple(a if isinstance(a, Attribute) else Attribute(a) for a in attributes)
    directions = tuple(directions or (f"d{k}" for k in range(len(scores))))
    source = Source("toy", "0" * 64, "hand", "1" * 64, 5, scores.shape[2])
    return Curves(
        directions,
        attributes,
        torch.tensor([float(a) for a in amounts]),
        scores,
        ("z",) * len(directions),
        source,
        targets or {},
        **rest,
    )


class Altered(Classifier):
    """A classifier whose scores go through a function, under other attributes if need be."""

    def __init__(self, base, function, attributes=None):
        self.name, self.base, self.function = "altered", base, function
        self.attributes = attributes or base.attributes

    @property
    def fingerprint(self):
        return "a" * 64

    def __call__(self, images):
        return self.function(self.base(images))
