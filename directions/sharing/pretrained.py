"""Banks as folders that a model hub shows: the bank, a card for people, a picture.

    faces/
      bank.safetensors   the bank, as `DirectionBank.save` writes it
      README.md          what it is for, by whose labels, effects with intervals, warnings
      preview.webp       one image moved along each direction

The card is written from the bank and from measured effects. A push is one commit of the whole
folder, which stays on disk, so that a push that fails can be repeated.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from directions.arguments import checked
from directions.direction import Direction
from directions.errors import BankError, LatdirError, require
from directions.storage.atomic import atomic, made_folder
from directions.weight_files.downloads import fetched

if TYPE_CHECKING:
    from directions.generators.base import Generator

__all__ = ["Measured", "Picture", "Pretrained"]

BANK, CARD, PREVIEW = "bank.safetensors", "README.md", "preview.webp"
WIDE_CONE = 45.0
MEANING = (
    'Attributes are what a classifier says of an image. "male", "age" or "smiling" here mean the '
    "output of a network that was trained on somebody's labels of photographs; they say nothing "
    "about any person, and another network may disagree."
)
B = TypeVar("B", bound="Pretrained")


@runtime_checkable
class Measured(Protocol):
    """Effects to be written into a card, such as `analysis.measure_effects` returns."""

    @property
    def labelers(self) -> str:
        """By whose labels."""

    def columns(self) -> dict[str, list[Any]]:
        """`direction`, `attribute`, `target`, `per_sigma`, `low`, `high`, `in_sd`, `unit`."""


@runtime_checkable
class Picture(Protocol):
    """An image that can be saved, such as `directions.edit_grid` returns."""

    def save(self, fp: Any, format: str | None = None, **params: Any) -> None:
        """Write it in a format."""


class Pretrained:
    """What a bank can do with such folders and with a hub."""

    generator: str
    fingerprint: str
    directions: tuple[Direction, ...]
    provenance: Mapping[str, Any]

    def save(self, path: str | Path) -> Path:
        """Write the bank file."""
        raise NotImplementedError

    @classmethod
    def load(cls: type[B], path: str | Path, generator: Generator | None = None) -> B:
        """Read a bank file."""
        raise NotImplementedError

    @checked
    def save_pretrained(
        self,
        folder: str | Path,
        *,
        license: str = "mit",
        effects: Measured | None = None,
        preview: Picture | None = None,
        warnings: Sequence[str] = (),
    ) -> Path:
        """Write a folder that a model hub shows.

        Args:
            folder: Made where it is not there; its three files are replaced.
            license: Of the bank, in the hub's spelling, such as `mit` or `cc-by-nc-4.0`: that of
                the generator's weights allows what is allowed.
            effects: Measured on held-out codes; their table goes into the card.
            preview: Such as `ld.edit_grid(generator, code, bank)`.
            warnings: Lines for the card, such as `map(str, evaluation.remarks)`.

        Returns:
            The folder.

        Raises:
            LatdirError: The folder cannot be written.
        """
        folder = made_folder(folder)
        self.save(folder / BANK)
        if preview is not None:
            with atomic(folder / PREVIEW) as file:
                preview.save(file, format="WEBP", quality=90)
        lines = self._card(license, effects, (folder / PREVIEW).is_file(), list(warnings))
        with atomic(folder / CARD) as file:
            file.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return folder

    @classmethod
    @checked
    def from_pretrained(
        cls: type[B],
        name: str | Path,
        *,
        revision: str | None = None,
        generator: Generator | None = None,
    ) -> B:
        """Read a bank from a folder, or from a model hub.

        Args:
            name: A folder that `save_pretrained` wrote, or `user/repository` of a hub (the
                environment's `HF_ENDPOINT`, by default huggingface.co).
            revision: Branch, tag or commit; by default the newest.
            generator: When given, the bank is refused unless it belongs to it.

        Raises:
            LatdirError: No such folder or repository, a broken bank, one of another generator, or
                `huggingface_hub` is missing.
        """
        if Path(name).is_dir():
            return cls.load(Path(name) / BANK, generator)
        if Path(name).suffix == ".safetensors" or str(name).count("/") != 1:
            raise BankError(
                f"there is no folder {name}, and a hub's banks are named 'user/repository'; a file "
                "is read by DirectionBank.load"
            )
        hub = require("huggingface_hub", "hub")
        path = fetched(
            lambda online: hub.hf_hub_download(
                str(name), BANK, revision=revision, local_files_only=not online
            ),
            what=f"the files of {name}" + (f" at {revision}" if revision else ""),
            host=_host(),
            remedy="check the name and the revision, or copy the repository's "
            f"{BANK} here and read it with DirectionBank.load",
        )
        return cls.load(path, generator)

    @checked
    def push_to_hub(
        self,
        name: str,
        *,
        folder: str | Path,
        private: bool = False,
        revision: str | None = None,
        message: str = "Direction bank",
    ) -> str:
        """Upload a folder that `save_pretrained` wrote of this bank, as one commit.

        Args:
            name: `user/repository`; made where it is not there.
            folder: The folder; written without effects and preview where it is not there.
            private: Whether a new repository is visible to its owner only.
            revision: Branch; by default the main one.
            message: Of the commit.

        Returns:
            The address of the commit.

        Raises:
            LatdirError: The folder holds another bank, the upload failed (the folder stays as it
                is, and the same call tries again), or `huggingface_hub` is missing.
        """
        hub = require("huggingface_hub", "hub")
        folder = Path(folder)
        if not (folder / BANK).is_file():
            self.save_pretrained(folder)
        kept = type(self).load(folder / BANK)
        if kept.fingerprint != self.fingerprint or [_key(d) for d in kept.directions] != [
            _key(d) for d in self.directions
        ]:
            raise BankError(
                f"{folder} holds another bank: call save_pretrained({str(folder)!r}) first"
            )
        api = hub.HfApi()
        try:
            api.create_repo(name, private=private, exist_ok=True)
            commit = api.upload_folder(
                repo_id=name,
                folder_path=folder,
                revision=revision,
                commit_message=message,
                allow_patterns=[BANK, CARD, PREVIEW],
            )
        except Exception as error:
            said = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise LatdirError(
                f"{name} was not uploaded ({said}): nothing is lost, {folder} holds all of it; log "
                "in with `hf auth login` if that is what is missing, and repeat the call"
            ) from error
        return str(commit.commit_url)

    def _card(
        self, license: str, effects: Measured | None, preview: bool, warnings: list[str]
    ) -> list[str]:
        labeler = str(self.provenance.get("classifier", "")) or "see each direction"
        spaces = ", ".join(dict.fromkeys(d.space for d in self.directions)) or "none"
        lines = [
            "---", f"license: {json.dumps(license)}", "library_name: latdir", "tags:",
            "- latent-directions", "- generative-models", "---", "",
            f"# Directions of {self.generator}", "",
            *(["![One image moved along each direction](preview.webp)", ""] if preview else []),
            "```python", "import latdir as ld", "",
            f"generator = ld.load_generator({self.generator!r})  # or yours, of this fingerprint",
            'bank = ld.DirectionBank.from_pretrained("user/repository", generator=generator)',
            "```", "",
            "| | |", "|---|---|",
            f"| generator | {self.generator} |",
            f"| fingerprint | `{self.fingerprint}`: refused by any other generator |",
            f"| space | {spaces} |",
            f"| labels by | {labeler} |",
            f"| license | {license} |", "",
            MEANING, "",
            "## Directions", "",
            "| direction | space | method | sigma | one sigma changes | cone | labels by |",
            "|---|---|---|---:|---|---:|---|",
            *(_row(d, labeler) for d in self.directions), "",
        ]  # fmt: skip
        if effects is not None:
            lines += _effects(effects)
        noted = [w for d in self.directions for w in _warnings(d)] + warnings
        if effects is None:
            noted.insert(0, "No effects were measured for this card.")
        lines += ["## Warnings", "", *(f"- {line}" for line in noted)] if noted else []
        return lines


def _row(direction: Direction, labeler: str) -> str:
    scale, cone = direction.calibration, direction.evidence.get("cone_degrees")
    cells = (
        direction.name,
        direction.space,
        direction.method,
        f"{direction.sigma:.3g}",
        f"{scale.attribute} {scale.per_sigma:+.3g} {scale.unit}" if scale else "not calibrated",
        f"{cone:.0f}°" if isinstance(cone, int | float) else "–",
        str(direction.evidence.get("labeled_by", labeler)),
    )
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


def _effects(effects: Measured) -> list[str]:
    found = effects.columns()
    rows = zip(
        *(found[k] for k in ("direction", "attribute", "target", "per_sigma", "low", "high",
                             "unit", "in_sd")),
        strict=True,
    )  # fmt: skip
    return [
        "## Effects per sigma, on held-out codes", "",
        f"By the labels of {effects.labelers}; 95 % intervals in brackets; the attribute a "
        "direction is meant to move in bold.", "",
        "| direction | attribute | change per sigma | in standard deviations |",
        "|---|---|---|---:|",
        *(
            f"| {d} | {'**' + a + '**' if aimed else a} | {_number(m)} "
            f"[{_number(low)}, {_number(high)}] {unit} | {_number(sd)} |"
            for d, a, aimed, m, low, high, unit, sd in rows
        ), "",
    ]  # fmt: skip


def _warnings(direction: Direction) -> list[str]:
    cone = direction.evidence.get("cone_degrees")
    if isinstance(cone, int | float) and cone > WIDE_CONE:
        return [
            f"{direction.name}: the cone is {cone:.0f}° wide: more labels would give another "
            "direction."
        ]
    return []


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:+.3f}"


def _key(direction: Direction) -> tuple[Any, ...]:
    return direction.name, direction.space, direction.sigma, direction.vector.float().tolist()


def _host() -> str:
    address = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    return address.partition("://")[2].rstrip("/") or address
