"""Messages of the page to the session, as they are checked where they enter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from directions.errors import LatdirError
from latdir.explorer.state import Mix, Number, SeedNumber, first_fault

__all__ = [
    "Again", "Base", "Drop", "Edit", "Export", "Go", "Keep", "Layers", "Lock", "Measure",
    "Message", "Move", "Open", "Remove", "Search", "Source", "Teaching", "read",
]  # fmt: skip


class Message(BaseModel):
    """A wish of the page.

    Attributes:
        id: Number that the answer repeats.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: int = 0


class Open(Message):
    """Everything that a page shows; `state` restores what it showed before a connection broke."""

    verb: Literal["open"]
    state: Mapping[str, Any] | None = None


class Edit(Message):
    """All amounts that the user set, in sigma; `final` ones become a step of the history."""

    verb: Literal["edit"]
    amounts: Mapping[str, Number]
    final: bool = False


class Source(Message):
    """Another code; what is left out stays as it is."""

    verb: Literal["source"]
    seed: SeedNumber | None = None
    truncation: Annotated[float, Field(ge=0, le=2)] | None = None
    mix: Mix | None = None
    unmixed: bool = False
    final: bool = True


class Drop(Message):
    """A file: a picture of the explorer to restore, or a photograph to find the code of."""

    verb: Literal["drop"]


class Lock(Message):
    """All attributes that must not change."""

    verb: Literal["lock"]
    names: tuple[str, ...]


class Layers(Message):
    """The first and last layer that moves, and how many of their channels; none for all."""

    verb: Literal["layers"]
    range: tuple[int, int] | None
    channels: Annotated[int, Field(ge=1)] | None = None


class Move(Message):
    """Steps back, negative, or forth in the history."""

    verb: Literal["move"]
    by: int


class Go(Message):
    """To a step of the history."""

    verb: Literal["go"]
    number: int


class Keep(Message):
    """The picture onto the shelf."""

    verb: Literal["keep"]


class Again(Message):
    """A picture of the shelf, again."""

    verb: Literal["again"]
    number: int


class Remove(Message):
    """A picture off the shelf."""

    verb: Literal["remove"]
    number: int


class Base(Message):
    """The unedited picture."""

    verb: Literal["base"]


class Search(Message):
    """Sliders by a part of their name."""

    verb: Literal["search"]
    text: str


class Measure(Message):
    """What the directions do, to sort them by it."""

    verb: Literal["measure"]


class Export(Message):
    """A file or text; `name` is the slider of a sweep, by default the whole edit."""

    verb: Literal["export"]
    what: Literal["png", "sweep", "sheet", "bank", "code", "cell"]
    name: str | None = None


class Teaching(Message):
    """A step of a lesson; a started one is named, or goes on with the answers of a file.

    Answers belong to a `question`: the `level` of a strip, the images `clicked` of others.
    """

    verb: Literal["teach"]
    do: Literal["start", "show", "answer", "undo", "check", "save", "bank", "add"]
    name: str | None = None
    question: str = ""
    level: int | None = None
    clicked: tuple[int, ...] | None = None


AnyMessage = (
    Open | Edit | Source | Drop | Lock | Layers | Move | Go | Keep | Again | Remove | Base
    | Search | Measure | Export | Teaching
)  # fmt: skip
READER: TypeAdapter[AnyMessage] = TypeAdapter(Annotated[AnyMessage, Field(discriminator="verb")])


def read(values: object) -> AnyMessage:
    """A message from JSON values.

    Raises:
        LatdirError: They are not a message.

    Example:
        >>> read({"verb": "edit", "amounts": {"smiling": 1}}).amounts
        {'smiling': 1.0}
        >>> read({"verb": "edit", "amounts": {"smiling": "a lot"}})
        Traceback (most recent call last):
        ...
        directions.errors.LatdirError: a message that this session does not know:
        edit.amounts.smiling: Input should be a valid number, unable to parse string as a number
    """
    try:
        return READER.validate_python(values)
    except ValidationError as error:
        raise LatdirError(
            f"a message that this session does not know: {first_fault(error)}"
        ) from error
