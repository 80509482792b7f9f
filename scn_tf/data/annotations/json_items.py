"""Values of a JSON annotation file with their places in it, so that every message names the place."""

import math
from pathlib import Path
from typing import NamedTuple

from scn_tf.errors import DatasetError
from scn_tf.messages import cut, short, visible
from scn_tf.storage import documents, json_documents


class Item(NamedTuple):
    """A value of a JSON file.

    Attributes:
        path: the file.
        value: any JSON value. Untrusted.
        place: such as ``images[3].file_name``; empty for the whole document.
    """

    path: Path
    value: object
    place: str = ""

    def wrong(self, expected: str) -> DatasetError:
        """Error that says what was expected at this place."""
        received = "nothing" if self.value is None else short(self.value, 60)
        return DatasetError(f"{self.path}: {self.place or 'the document'}: expected {expected}, received {received}.")

    def get(self, key: str) -> "Item":
        """Value of a key of an object. Its value is None if the object lacks the key."""
        place = f"{self.place}.{key}" if self.place else key
        return Item(self.path, self.object().get(key), place)

    def object(self) -> dict[str, object]:
        """This value, which must be an object."""
        if not isinstance(self.value, dict):
            raise self.wrong("an object {...}")
        return self.value

    def entries(self) -> list[tuple[str, "Item"]]:
        """Keys and values of an object. The keys may be any text, so places show them shortened."""
        front = f"{self.place}." if self.place else ""
        return [(key, Item(self.path, value, f"{front}{shown(key)}")) for key, value in self.object().items()]

    def items(self, *, optional: bool = False) -> list["Item"]:
        """Values of a list. If ``optional``, a missing list counts as empty."""
        if optional and self.value is None:
            return []
        if not isinstance(self.value, list):
            raise self.wrong("a list [...]")
        return [Item(self.path, value, f"{self.place}[{number}]") for number, value in enumerate(self.value)]

    def text(self, *, default: str | None = None) -> str:
        """This value, which must be a text. A missing one becomes ``default``, if given."""
        if self.value is None and default is not None:
            return default
        if not isinstance(self.value, str):
            raise self.wrong("a text")
        return self.value

    def number(self) -> float:
        """This value, which must be a finite number."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            raise self.wrong("a number")
        try:
            value = float(self.value)
        except OverflowError:
            value = math.inf
        if not math.isfinite(value):
            raise self.wrong("a finite number")
        return value

    def numbers(self, count: int) -> list[float]:
        """Values of a list of ``count`` finite numbers."""
        items = self.items()
        if len(items) != count:
            raise self.wrong(f"{count} numbers")
        return [item.number() for item in items]

    def size(self) -> int | None:
        """This value as a side of an image in pixels; None if it is missing."""
        if self.value is None:
            return None
        value = self.number()
        if value < 1 or value != int(value) or value > 2**31:
            raise self.wrong("a size in pixels")
        return int(value)


def read_document(path: Path) -> Item:
    """Read a JSON annotation file.

    Raises:
        DatasetError: the file is unreadable, no JSON, or exceeds a limit.
    """
    try:
        return Item(path, json_documents.read_json(path))
    except documents.DocumentError as error:
        text = str(error)
        raise DatasetError(f"{path}, {text}." if text.startswith("line ") else f"{path}: {text}.") from None


def shown(name: str) -> str:
    """A name from a file, for messages."""
    return cut(visible(name), 60)
