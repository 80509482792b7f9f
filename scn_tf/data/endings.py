"""Choice of a format by the ending of a file name, among rows with ``endings``."""

from collections.abc import Iterable
from pathlib import Path
from typing import Protocol, TypeVar


class HasEndings(Protocol):
    """Attributes of a format's row."""

    @property
    def endings(self) -> tuple[str, ...]: ...


Row = TypeVar("Row", bound=HasEndings)


def check(endings: tuple[str, ...]) -> None:
    """Raise ValueError for endings that can never match: those with capitals or without a dot."""
    for ending in endings:
        if not ending.startswith(".") or ending != ending.lower():
            raise ValueError(f"endings: expected lower case with a dot, such as '.csv', received {ending!r}.")


def fitting(rows: Iterable[Row], path: Path) -> Row | None:
    """The row with the longest matching ending of a path, the first of equal ones. None if no ending matches."""
    name = path.name.lower()
    found = [(len(ending), row) for row in rows for ending in row.endings if name.endswith(ending)]
    return max(found, key=lambda pair: pair[0])[1] if found else None
