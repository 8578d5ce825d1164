"""Sampling: codes drawn, rendered, scored and stored at the fastest measured settings.

Bits depend on the seed, the models, and the three settings (batch, precision, compile), which are
chosen once and kept with the samples: codes are cut into tiles at multiples of the batch in the
seed's sequence, and a tile is always computed whole. So it changes nothing where a run starts,
ends, or is killed and taken up again.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from directions.arguments import checked, checked_fields
from directions.classifiers.base import (
    Classifier,
    Combined,
    check_classifier,
    names_of,
)
from directions.devices import device_name
from directions.errors import LatdirError, SamplesError, whole_number
from directions.generators.base import Generator, check_generator
from directions.generators.checks import check_seed
from directions.scoring.rendering import Rendering
from directions.scoring.scorer import Scorer
from discovery.sampling.places import place_of
from discovery.sampling.prior_file import write_prior
from discovery.sampling.run import Interrupted, Run
from discovery.sampling.samples import Samples
from discovery.sampling.shard_format import AttributeEntry, Header, Settings
from discovery.sampling.store import Memory, Store, opened

__all__ = ["Auto", "Interrupted", "sample"]

log = logging.getLogger(__name__)


@checked_fields
@dataclass(frozen=True)
class Auto:
    """Draw in growing rounds until directions are well determined.

    Attributes:
        cone: Degrees; rounds end when the bootstrap cone of each attribute's least-squares
            direction, in which 95 % of bootstrap directions fall, is narrower.
        max_samples: Number of samples at which they end anyway.

    Raises:
        LatdirError: One is not positive.
    """

    cone: float = 10.0
    max_samples: int = 200_000

    def __post_init__(self) -> None:
        if self.max_samples < 1 or not 0 < self.cone < math.inf:
            raise LatdirError(
                f"max_samples {self.max_samples} and cone {self.cone} must be positive and finite"
            )


@checked
def sample(
    generator: Generator,
    classifiers: Classifier | Sequence[Classifier],
    count: int | Auto,
    *,
    seed: int,
    out: str | Path | None = None,
    attributes: Sequence[str] | None = None,
    space: str | None = None,
    start: int = 0,
    sheets: int = 0,
    rendering: Rendering = Rendering(),
) -> Samples:
    """Draw codes, make their images, score them.

    With `out`, rows are stored as they come. A run killed at any moment resumes when
    called again, and ends bit-identical to an uninterrupted one; a larger count resumes as well.
    An interrupted run raises `Interrupted`, whose `samples` are those that were made.

    Args:
        generator: Makes the images.
        classifiers: One, or several side by side; on the generator's device.
        count: Number of samples; or `Auto(…)`, as many as directions need, which is logged
            and kept in the notes of the samples.
        seed: Of the codes, 0 … 2**64 - 1.
        out: Folder for Parquet shards and a manifest, or its address in an object store, such as
            `s3://bucket/labels`; the samples returned hold none of its rows. Without it, in memory
            only.
        attributes: Names of those wanted, in this order; by default all.
        space: Space of the codes; by default the generator's own first.
        start: Place of the first code in the seed's sequence.
        sheets: Save contact sheets of this many first images in `out/_sheets`, 64 per sheet.
        rendering: Rendering options; those left open are measured, on runs of 2,048 or more. Its
            `executor` labels shards in several processes or on a cluster, with the same bits;
            this process alone writes.

    Returns:
        That many rows, on the CPU.

    Raises:
        LatdirError: An unknown attribute or space, another run's folder, a broken shard, images
            that are invalid, scores that are not finite.
        Interrupted: Ctrl-C, or the stop button of a notebook.

    Example:
        >>> from directions.planted.world import planted
        >>> generator = planted()
        >>> samples = sample(generator, generator.classifier(), 100, seed=0)
        >>> samples.scores.shape
        torch.Size([100, 4])
    """
    check_generator(generator)
    if isinstance(classifiers, list | tuple):
        classifier: Classifier = Combined(*classifiers)
    else:
        classifier = check_classifier(classifiers)
    names = classifier.names if attributes is None else names_of(attributes)
    columns = classifier.columns(names)
    if not columns:
        raise LatdirError(f"name at least one attribute: there are {', '.join(classifier.names)}")
    if not isinstance(count, Auto):
        count = whole_number(count, "count")
        if count < 1:
            raise LatdirError(f"count {count} must be at least 1, or Auto(…)")
    folder = None if out is None else place_of(out).local
    if sheets and folder is None:
        raise LatdirError("contact sheets need a folder: give out=… of this machine")
    check_seed(seed, start, 0 if isinstance(count, Auto) else count)
    seed, start = int(seed), int(start)
    named = generator.space(space or generator.default_space())
    header = Header(
        generator=generator.name,
        fingerprint=generator.fingerprint,
        classifier=classifier.name,
        classifier_fingerprint=classifier.fingerprint,
        attributes=tuple(AttributeEntry(**asdict(classifier.attributes[c])) for c in columns),
        space=named.name,
        shape=named.shape,
        seed=seed,
        start=start,
        truncation=rendering.psi,
        wanted=0,
        notes={"device": device_name(generator.device)},
    )
    with _store(out, header) as store:
        scorer = Scorer(
            generator,
            classifier,
            space=named.name,
            names=names,
            rendering=_agreed(rendering, store.header.rendering, out),
            n=count.max_samples if isinstance(count, Auto) else count,
        )
        begun, here = store.header.notes.get("device"), header.notes["device"]
        if begun not in (None, here):
            log.warning("%s was begun on %s: scores from %s differ by rounding", out, begun, here)
        if store.header.settings is None:
            store.describe(settings=Settings.of(scorer.rendering))
        prior = generator.truncated_prior(named.name, store.header.truncation)
        if out is not None:
            write_prior(place_of(out), prior)
        run = Run(generator, classifier, scorer, store, prior)
        if isinstance(count, Auto):
            samples = run.until_narrow(count.cone, count.max_samples)
        else:
            samples = run.reach(count)
        if sheets and folder is not None:
            run.draw_sheets(folder, min(sheets, len(samples)))
    return samples


def _agreed(asked: Rendering, there: Rendering, out: object) -> Rendering:
    """The requested settings, completed by those of an existing folder."""
    agreed = {}
    for name in ("batch_size", "precision", "compile"):
        wanted, begun = getattr(asked, name), getattr(there, name)
        if None not in (wanted, begun) and wanted != begun:
            raise SamplesError(
                f"{out} was begun with {name} {begun!r}, which its scores' bits depend on: "
                f"leave {name} out, or give another folder than for {wanted!r}"
            )
        agreed[name] = begun if wanted is None else wanted
    return replace(asked, **agreed)


@contextmanager
def _store(out: str | Path | None, header: Header) -> Iterator[Store]:
    if out is None:
        yield Memory(header)
    else:
        with opened(out, header) as folder:
            yield folder
