"""Scores of codes, computed in checked batches.

Whatever renders codes and looks at the images goes through a `Scorer`, so that all of it runs at
the speed that sampling has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from directions.arguments import returned
from directions.classifiers.base import Classifier, check_classifier, check_finite, names_of
from directions.devices import device_name
from directions.errors import LatdirError, SamplesError
from directions.executors import Local
from directions.fingerprints import Precision
from directions.generators.base import Generator, check_generator
from directions.generators.checks import check_images
from directions.scoring.kept import KeptRows, KeptScores, kept_scores
from directions.scoring.looks import Embedding, Reading, read_all
from directions.scoring.renderer import Renderer
from directions.scoring.rendering import Rendering
from directions.scoring.tuning import MEASURE_FROM, choose

__all__ = ["Scorer"]


class Scorer:
    """Scores and embeddings of codes of one space.

    Args:
        generator: Makes the images.
        classifier: Scores them; None where only embeddings are wanted.
        space: Space of the codes; by default the generator's first.
        names: Attributes wanted, in this order; by default all.
        embed: Images `[n, 3, H, W]` to rows `[n, e]`, such as a face embedding. Its `inference`
            form is taken where it has one.
        rendering: Precision, batch size and compilation. Settings left open are measured for
            runs of 2,048 images or more.
        n: About how many images will be made.

    Attributes:
        names: Names of the attributes.

    Raises:
        LatdirError: An unknown space or attribute; later, images or scores that are not finite.

    Example:
        >>> from directions.planted.world import planted
        >>> world = planted(factors=2, dim=8)
        >>> scorer = Scorer(world, world.classifier(), names=["factor_1"])
        >>> scorer.score(world.sample(5, seed=0)).shape
        torch.Size([5, 1])
    """

    def __init__(
        self,
        generator: Generator,
        classifier: Classifier | None = None,
        *,
        space: str | None = None,
        names: Sequence[str] | None = None,
        embed: Callable[[Tensor], Tensor] | None = None,
        rendering: Rendering = Rendering(),
        n: int = 0,
    ) -> None:
        check_generator(generator)
        if classifier is not None:
            check_classifier(classifier)
        self.space = generator.space(space or generator.default_space()).name
        known = classifier.names if classifier else ()
        self.names = known if names is None else names_of(names)
        if classifier is not None:
            classifier.columns(self.names)
            if not self.names:
                raise LatdirError("attributes is empty: name at least one, or leave it out for all")
        self._generator, self._classifier, self._embedding = generator, classifier, embed
        self._rows: dict[KeptScores, tuple[KeptRows | None, KeptRows | None]] = {}
        readers = [reader for reader in (classifier, embed) if reader is not None]
        self._renderer = Renderer(
            generator,
            self.space,
            self._chosen(rendering, n),
            concurrent=all(getattr(reader, "concurrent", False) for reader in readers),
            replays=n >= MEASURE_FROM,
        )

    @property
    def rendering(self) -> Rendering:
        """The options with nothing left open."""
        return self._renderer.rendering

    @property
    def precision(self) -> Precision:
        """Arithmetic of generator, classifier and embedding."""
        return self.rendering.precision or "float32"

    @property
    def batch_size(self) -> int:
        """Images at a time."""
        return self._renderer.batch_size

    def images(self, codes: Float[Tensor, "n *shape"]) -> Iterator[Float[Tensor, "m 3 h w"]]:
        """Images of codes, batch by batch.

        Raises:
            LatdirError: Images that are invalid, or no memory for a single one.
        """
        return self._renderer.batches(codes, lambda images: images)

    def parts(self, codes: Float[Tensor, "n *shape"]) -> Iterator[Float[Tensor, "m a"]]:
        """Scores of codes as `read` gives them, batch by batch."""
        return self._renderer.batches(codes, self.read)

    def _read_all(self, codes: Tensor, *readings: Reading) -> list[Tensor]:
        hidden = not self.rendering.progress or len(codes) <= self.batch_size
        return read_all(codes, readings, self._renderer.batches, hidden=hidden)

    def score(self, codes: Float[Tensor, "n *shape"]) -> Float[Tensor, "n a"]:
        """Scores, float32, on the CPU.

        Raises:
            LatdirError: One is not finite.
        """
        [made] = self._read_all(codes, self._scores(codes))
        return self._checked(made)

    def embed(self, codes: Float[Tensor, "n *shape"]) -> Float[Tensor, "n e"]:
        """Embeddings, float32, on the generator's device."""
        [made] = self._read_all(codes, self._embeddings(_all(codes)))
        return made.to(self._generator.device)

    def score_and_embed(
        self, codes: Float[Tensor, "n *shape"], embedded: Bool[Tensor, "n"] | None = None
    ) -> tuple[Float[Tensor, "n a"], Float[Tensor, "m e"]]:
        """Scores of codes, and embeddings of all or some of them, from images made once.

        Args:
            codes: `[n, *space.shape]`.
            embedded: Codes whose embeddings are wanted; by default all.

        Raises:
            LatdirError: A score is not finite.
        """
        seen = self._embeddings(_all(codes) if embedded is None else embedded.cpu())
        scores, embeddings = self._read_all(codes, self._scores(codes), seen)
        return self._checked(scores), embeddings.to(self._generator.device)

    def _scores(self, codes: Tensor) -> Reading:
        return Reading(_all(codes), self.read, self._kept[0])

    def _embeddings(self, wanted: Tensor) -> Reading:
        return Reading(wanted, self.embed_images, self._kept[1])

    @property
    def _kept(self) -> tuple[KeptRows | None, KeptRows | None]:
        """Where scores and embeddings are kept, if they are."""
        store = kept_scores()
        if store is None:
            return None, None
        if store not in self._rows:
            made = self._identity | {
                "precision": self.precision,
                "compile": bool(self.rendering.compile),
            }
            judge, embedding = made.pop("classifier"), made.pop("embedding")
            self._rows[store] = (
                store.rows(made | {"classifier": judge}, self.names) if judge else None,
                store.rows(made | {"embedding": embedding}, ["embedding"]) if embedding else None,
            )
        return self._rows[store]

    @cached_property
    def _identity(self) -> dict[str, Any]:
        """What scores and embeddings depend on beside code and arithmetic."""
        judge, generator = self._classifier, self._generator
        return {
            "generator": generator.fingerprint,
            "classifier": judge and judge.fingerprint,
            "embedding": getattr(self._embedding, "fingerprint", None),
            "space": self.space,
            "device": device_name(generator.device),
        }

    def score_images(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n a"]:
        """Scores of images that are made already, as `score` gives them."""
        return self._checked(self.read(images))

    def read(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n a"]:
        """Scores of images on their own device, which may yet be NaN or infinite.

        Raises:
            LatdirError: The classifier returns another shape.
        """
        scores = self._read(images)
        expected = (len(images), len(self.names))
        if tuple(scores.shape) != expected:
            raise SamplesError(
                f"{self._judge.name} gave scores of shape {list(scores.shape)}, not "
                f"{list(expected)}: one row per image, one column per attribute"
            )
        return scores

    def embed_images(self, images: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n e"]:
        """Embeddings of images that are made already, as `embed` gives them."""
        with torch.inference_mode():
            embedded: Tensor = returned(self._describe(images), "the embedding", "n *e")
            return embedded.float()

    def _checked(self, scores: Tensor) -> Tensor:
        scores = scores.float().cpu()
        check_finite(scores, names=self.names, classifier=self._judge.name)
        return scores

    @property
    def _judge(self) -> Classifier:
        if self._classifier is None:
            raise LatdirError("this scorer has no classifier: it gives embeddings only")
        return self._classifier

    @cached_property
    def _read(self) -> Callable[[Tensor], Tensor]:
        return self._reader(self.precision, compile=bool(self.rendering.compile))

    @cached_property
    def _describe(self) -> Callable[[Tensor], Tensor]:
        return self._describer(self.precision)

    def _reader(self, precision: Precision, *, compile: bool = False) -> Callable[[Tensor], Tensor]:
        return self._judge.inference(precision=precision, names=self.names, compile=compile)

    def _describer(self, precision: Precision) -> Callable[[Tensor], Tensor]:
        if self._embedding is None:
            raise LatdirError("this scorer has no embedding: give it embed=…")
        if isinstance(self._embedding, Embedding) and not isinstance(self._embedding, type):
            return self._embedding.inference(precision=precision)
        return self._embedding

    def _pipeline(self, precision: Precision) -> Callable[[Tensor], Tensor]:
        """Codes to all that is wanted of them, side by side, to measure with."""
        make = self._generator.inference(precision=precision, space=self.space)
        reads = [self._reader(precision)] if self._classifier else []
        reads += [self._describer(precision)] if self._embedding else []

        def run(codes: Tensor) -> Tensor:
            images = check_images(make(codes), name=self._generator.name, count=len(codes))
            with torch.inference_mode():
                return torch.cat([read(images).flatten(1).float() for read in reads], 1)

        return run

    def _chosen(self, rendering: Rendering, n: int) -> Rendering:
        compiles = self._classifier is not None and self._classifier.compiles
        store = kept_scores() if n >= MEASURE_FROM else None
        asked = asdict(replace(rendering, progress=True, executor=Local()))
        key = {"rendering": asked, "names": self.names, "n": n if compiles else None}
        key |= {**self._identity, "threads": torch.get_num_threads()} if store else {}
        if store and (known := store.setting(key)):
            return replace(rendering, **known)
        chosen = choose(
            rendering,
            self._pipeline,
            lambda count: self._generator.sample(
                count, seed=0, space=self.space, truncation=rendering.psi
            ),
            n=n,
            compiles=compiles,
        )
        if store:
            settings = ("precision", "batch_size", "compile")
            store.set(key, {name: getattr(chosen, name) for name in settings})
        return chosen


def _all(codes: Tensor) -> Bool[Tensor, "n"]:
    return torch.ones(len(codes), dtype=torch.bool)
