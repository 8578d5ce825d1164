"""Check of held-out codes: a bank is not measured on codes it was found with."""

from __future__ import annotations

import logging

from directions.bank import DirectionBank
from directions.classifiers.base import Classifier
from directions.classifiers.panel import parts_of
from directions.errors import BankError, LatdirError, described, whole_number
from directions.generators.base import Generator
from directions.generators.checks import check_seed

__all__ = ["check_held_out", "warn_of_known_judge"]

log = logging.getLogger(__name__)


def check_held_out(generator: Generator, bank: DirectionBank, *, count: int, seed: int) -> None:
    """Refuse a bank that is empty or of another generator, codes it was found with, or too few.

    Raises:
        LatdirError: One of these.
    """
    if not isinstance(bank, DirectionBank):
        raise BankError(
            f"bank is {described(bank)}, not a bank of directions: write DirectionBank((direction, "
            "…), generator=generator.name, fingerprint=generator.fingerprint)"
        )
    bank.check(generator)
    check_seed(seed)
    if not len(bank):
        raise BankError("the bank is empty: there is nothing to measure")
    if whole_number(count, "count") < 2:
        raise LatdirError(f"count {count} must be at least 2: 256 codes give useful figures")
    if bank.provenance.get("seed") == seed:
        raise LatdirError(
            f"the bank was found with codes of seed {seed}: measured on the same codes it would "
            "look better than it is; choose another seed"
        )


def warn_of_known_judge(judge: Classifier, bank: DirectionBank) -> None:
    """Warn of a judge that a bank was found with, or conditioned by: it agrees with itself.

    Args:
        judge: The second labeler.
        bank: What it is to judge.
    """
    known = set(str(bank.provenance.get("classifier", "")).split("+"))
    for direction in bank.directions:
        for labeler in direction.evidence.get("disentangled", {}).get("labelers", ()):
            known |= set(labeler.split("+"))
    if found := sorted(known & {judge.name, *(part.name for part in parts_of(judge))}):
        log.warning(
            "the judge %s is what this bank was found with or conditioned by (%s): its opinion is "
            "not independent, take a labeler that had no part",
            judge.name,
            ", ".join(found),
        )
