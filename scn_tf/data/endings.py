"""Which format a file's name means, among rows that have ``endings``."""

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol, TypeVar


class HasEndings(Protocol):
    """What a row of a format has."""

    @property
    def endings(self) -> tuple[str, ...]: ...


Row = TypeVar("Row", bound=HasEndings)


def check(endings: tuple[str, ...]) -> None:
    """Raise ValueError for endings that no file name is compared with: capitals, no dot."""
    for ending in endings:
        if not ending.startswith(".") or ending != ending.lower():
            raise ValueError(f"endings: expected lower case with a dot, such as '.csv', received {ending!r}.")


def fitting(rows: Iterable[Row], path: Path) -> Row | None:
    """The row with the longest ending of a path's name, the first of equals; None if it has none of theirs."""
    name = path.name.lower()
    found = [(len(ending), row) for row in rows for ending in row.endings if name.endswith(ending)]
    return max(found, key=lambda pair: pair[0])[1] if found else None
