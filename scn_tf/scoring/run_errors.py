"""Errors of one run: read from its ``errors.csv``, or collected row by row from a study's long table."""

import re
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scn_tf.errors import ConfigError
from scn_tf.messages import short
from scn_tf.storage import tables

UNITS = ("mm", "px")
NUMBER = re.compile(r"[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]+)?", re.ASCII)
MAX_POINTS = 6_000_000  # images x landmarks of a run, and rows of a long table


class RunErrors(NamedTuple):
    """Errors of a run.

    ``points``: errors (I, N) over ``ids`` and landmarks in ``unit``, NaN if absent. ``relative``: errors (I, N) in percent of a
    length of the image, None if the run has none. ``source``: name of the run in messages. ``lines``: its rows in the long table,
    empty if it was read from its own file. ``landmarks``: N names.
    """

    ids: list[str]
    points: np.ndarray
    unit: str
    relative: np.ndarray | None
    source: str
    lines: bytes = b""
    landmarks: tuple[str, ...] = ()


class Gathered:
    """Rows of one run, in a compact form."""

    def __init__(self, unit: str, relative: bool) -> None:
        self.unit, self.relative = unit, relative
        self.images: dict[str, int] = {}
        self.landmarks: dict[str, int] = {}
        self._rows, self._columns = array("i"), array("i")
        self._values = (array("d"), array("d")) if relative else (array("d"),)
        self.lines = bytearray()

    def add(self, image: str, landmark: str, values: Sequence[str]) -> None:
        """Add a point. ``values`` are the texts of its error and, if the run has it, of its relative error.

        Raises:
            ValueError: a text is no number, or there are too many points. The message holds only the reason.
        """
        numbers = [number(value) for value in values]
        self._rows.append(self.images.setdefault(image, len(self.images)))
        self._columns.append(self.landmarks.setdefault(landmark, len(self.landmarks)))
        for column, value in zip(self._values, numbers, strict=True):
            column.append(value)
        if len(self.images) * len(self.landmarks) > MAX_POINTS:
            raise ValueError(f"a run with more than {MAX_POINTS:,} points (images x landmarks)")

    def whole(self) -> bool:
        """Whether every image has every landmark exactly once."""
        shape = len(self.images), len(self.landmarks)
        if len(self._rows) != shape[0] * shape[1]:
            return False
        seen = np.zeros(shape, bool)
        seen[np.array(self._rows), np.array(self._columns)] = True
        return bool(seen.all())

    def errors(self, source: str) -> RunErrors:
        """Errors of the run, from all rows."""
        found = np.full((len(self._values), len(self.images), len(self.landmarks)), np.nan)
        for values, column in zip(found, self._values, strict=True):
            values[np.array(self._rows, int), np.array(self._columns, int)] = column
        return RunErrors(
            list(self.images), found[0], self.unit, found[1] if self.relative else None, source, bytes(self.lines), tuple(self.landmarks)
        )


def number(text: str) -> float:
    """Error in a cell, NaN if it is empty.

    Raises:
        ValueError: the cell holds no finite number of at least 0.
    """
    if not text:
        return np.nan
    value = float(text) if NUMBER.fullmatch(text) else np.inf
    if not np.isfinite(value):
        raise ValueError(f"expected an error (a number of at least 0, or nothing), received {short(text, 60)}")
    return value


def read_run(path: str | Path) -> RunErrors:
    """Errors in the ``errors.csv`` of an evaluation.

    Raises:
        ConfigError: the file is malformed; the message names file and line.
    """
    header, rows = _rows(path)
    found = Gathered(header[2].removeprefix("error_"), len(header) > 3)
    for line, (image, landmark, *values) in rows:
        try:
            found.add(image, landmark, values[:2])
        except ValueError as error:
            raise _malformed(path, line, str(error)) from None
    return found.errors(str(path))


def run_rows(path: str | Path) -> tuple[str, list[tuple[str, ...]]]:
    """(unit, rows (image, landmark, error, relative error if known)) of an ``errors.csv``, with every landmark once per image.

    Raises:
        ConfigError: see :func:`read_run`.
    """
    read_run(path)
    header, rows = _rows(path)
    width = min(len(header), 4)
    cells = {(image, landmark): tuple(values[: width - 2]) for _, (image, landmark, *values) in rows}
    images, landmarks = (list(dict.fromkeys(key[part] for key in cells)) for part in (0, 1))
    empty = ("",) * (width - 2)
    whole = [(image, landmark, *cells.get((image, landmark), empty)) for image in images for landmark in landmarks]
    return header[2].removeprefix("error_"), whole


def _rows(path: str | Path) -> tuple[list[str], Iterator[tuple[int, list[str]]]]:
    """(header, numbered rows) of an ``errors.csv``. Rows have as many cells as the header."""
    rows = _numbered(path)
    _, header = next(rows, (1, []))
    if len(header) < 3 or header[2].removeprefix("error_") not in UNITS:
        raise _malformed(path, 1, f"expected the columns id, landmark, error_mm or error_px, received {short(','.join(header), 80)}")
    return header, _checked(path, rows, len(header))


def _checked(path: str | Path, rows: Iterator[tuple[int, list[str]]], width: int) -> Iterator[tuple[int, list[str]]]:
    for line, row in rows:
        if len(row) != width:
            raise _malformed(path, line, f"expected {width} cells, received {len(row)}")
        yield line, row


def _numbered(path: str | Path) -> Iterator[tuple[int, list[str]]]:
    try:
        for line, row in enumerate(tables.read(path), start=1):
            if row:
                yield line, row
    except (tables.csv.Error, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"{path}: cannot be read as a table of errors ({error}); evaluate the run again.") from None


def _malformed(path: str | Path, line: int, reason: str) -> ConfigError:
    return ConfigError(f"{path}, line {line}: {reason}; evaluate the run again.")
