"""The landmark table: one row per image, with its ID and the coordinates of every landmark. There is no header.

Cells of a landmark that was not annotated are empty. Cells of one that is not in the image say ``absent``.
"""

import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scn_tf.data.annotations.absence import WORD, absent_of
from scn_tf.data.annotations.row import AnnotationFormat, Annotations, Expected
from scn_tf.data.images.facts import ImageFacts
from scn_tf.data.text import read_text
from scn_tf.errors import DatasetError
from scn_tf.messages import cut, short, visible
from scn_tf.presence import known
from scn_tf.storage import files
from scn_tf.types import Array

MAX_LINE, MAX_VALUE = 1_000_000, 60  # characters: of a row, and of every value that it should have


class Row(NamedTuple):
    """One row: ID of the image, points (N, d), NaN where there is none, and (N,) bool, the landmarks that are not in the image."""

    image_id: str
    points: Array
    absent: Array


def read(path: Path, expected: Expected) -> Annotations:
    """Read a landmark table.

    Args:
        path: the file, CSV.
        expected: names and dimension of the landmarks.

    Raises:
        DatasetError: the table is malformed; the message names line, ID and landmark.
    """
    expected = stated(path, expected)
    landmarks: dict[str, Array] = {}
    rows: dict[str, int] = {}
    absent: dict[str, Array] = {}
    for line, text in enumerate(read_text(path).split("\n"), start=1):
        found = read_row(text, line, path, expected)
        if found is None:
            continue
        image_id = found.image_id
        if image_id in landmarks:
            raise DatasetError(f"{path}, line {line}: {cut(visible(image_id), 40)} appears twice (first in line {rows[image_id]}).")
        landmarks[image_id], rows[image_id], absent[image_id] = found.points, line, found.absent
    return Annotations(landmarks, rows, absent=absent)


def stated(path: Path, expected: Expected) -> Expected:
    """Names and dimension of the landmarks, none of them None. Without names the first row tells their number.

    Raises:
        DatasetError: the dimension is not known, or the first row has another number of values.
    """
    if expected.dims is None:
        raise DatasetError(f"{path}: a table without a header does not tell whether its points have two or three coordinates.")
    if expected.names is not None:
        return expected
    first = next((line for line in read_text(path).split("\n") if line.strip()), "")
    count, rest = divmod(first[:MAX_LINE].count(","), expected.dims)
    if rest or not count:
        raise DatasetError(
            f"{path}, line 1: expected an ID and {expected.dims} values per landmark, received {count * expected.dims + rest} values."
        )
    return Expected(tuple(map(str, range(count))), expected.dims)


def recognises(path: Path, head: bytes) -> bool:
    """Whether the first row of a file is an ID and numbers, or ``absent``."""
    first = head.decode("utf-8-sig", errors="replace").splitlines()[:1]
    cells = first[0].split(",")[1:] if first else []
    return len(cells) > 1 and all(map(_is_value, cells)) and any(cell.strip() for cell in cells)


def read_row(text: str, line: int, path: Path, expected: Expected) -> Row | None:
    """One row of a table; None if it is blank.

    Args:
        text: the row.
        line: its number in the file, for messages.
        path: see :func:`read`.
        expected: names and dimension, not None.

    Raises:
        DatasetError: the row is malformed; the message names line, ID and landmark.
    """
    names, dims = known(expected.names), known(expected.dims)
    count = len(names)
    if len(text) > MAX_LINE + MAX_VALUE * count * dims:  # before it becomes millions of cells
        raise DatasetError(
            f"{path}, line {line}: cannot be read: it has {len(text):,} characters. Expected one row per image, with an ID and "
            f"{count * dims} values."
        )
    try:
        (row,) = csv.reader([text])  # line by line: a quotation mark left open would take all rows that follow
    except csv.Error as error:
        raise DatasetError(f"{path}, line {line}: cannot be read ({error}).{_hint(line, [text], count * dims)}") from None
    if not any(cell.strip() for cell in row):
        return None
    image_id, values = row[0].strip(), row[1:]
    shown = cut(visible(image_id), 40)
    if len(values) != count * dims:
        raise DatasetError(
            f"{path}, line {line} ({shown}): expected {count * dims} values ({count} landmarks x {dims}, all in one row), "
            f"received {len(values)}.{_hint(line, row, count * dims)}"
        )
    wrong = next((column for column, value in enumerate(values) if not _is_value(value)), None)
    if wrong is not None:
        name = cut(visible(names[wrong // dims]), 60)
        raise DatasetError(
            f"{path}, line {line} ({shown}): {'xyz'[wrong % dims]} of landmark {name}: expected a number or absent, "
            f"received {short(values[wrong], 60)}.{_hint(line, row, count * dims)}"
        )
    points = np.array([float(value) if value.strip() and not _is_word(value) else np.nan for value in values]).reshape(count, dims)
    cells = np.array(list(map(_is_word, values))).reshape(count, dims).sum(axis=1)
    if (half := np.flatnonzero((cells > 0) & (cells < dims))).size:
        name = cut(visible(names[half[0]]), 60)
        raise DatasetError(
            f"{path}, line {line} ({shown}): landmark {name} is {WORD} in some of its cells. Write it in all {dims} or in none."
        )
    return Row(image_id, points, cells == dims)


def write(path: Path, annotations: Annotations, facts: Mapping[str, ImageFacts]) -> None:
    """Write a landmark table. Cells of absent landmarks say so, those of unknown ones stay empty.

    Raises:
        WriteError: the file cannot be written.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for image_id, points in annotations.points.items():
        pairs = zip(points.tolist(), absent_of(annotations, image_id), strict=True)
        cells = (WORD if absent else "" if np.isnan(value) else value for point, absent in pairs for value in point)
        writer.writerow([image_id, *cells])
    files.write_text(path, text.getvalue())


def _hint(line: int, row: Sequence[str], expected: int) -> str:
    """End of a message about an invalid row: a common cause and its fix."""
    text = ",".join(row)
    separator = next((mark for mark in ";\t|" if mark in text), None)
    if separator is not None:
        seen = {";": "semicolons", "\t": "tabs", "|": "bars"}[separator]
        decimal = " Numbers have a decimal comma; write a decimal point." if re.search(r"\d,\d", text) else ""
        return f" Columns must be separated by commas. These are separated by {seen}.{decimal}"
    if row[0].count('"') % 2 or "," in row[0]:
        return " Is a quotation mark left open?"
    values = row[1:]
    if any(re.fullmatch(r"\s*[+-]?\d+,\d+\s*", value) for value in values):
        return " Numbers have a decimal comma. Write a decimal point."
    # Whole numbers have none, so a row may have less than twice as many cells.
    if 1.5 * expected < len(values) <= 2 * expected and all(value.strip().lstrip("+-").isdigit() for value in values):
        return " Numbers seem to have a decimal comma, which separates columns here. Write a decimal point."
    if len(row) == 1 and len(row[0].split()) == expected + 1:
        return " Columns must be separated by commas. These are separated by blanks."
    if line == 1 and "".join(values).strip() and not any(map(_is_number, values)):
        return " Is it a header? Remove it: the table has none."
    return ""


def _is_word(text: str) -> bool:
    """Whether a cell says that its landmark is not in the image."""
    return text.strip().lower() == WORD


def _is_value(text: str) -> bool:
    return not text.strip() or _is_word(text) or _is_number(text)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text  # Python reads 1_000 as a number, no other program does


SCN = AnnotationFormat(
    name="scn",
    endings=(".csv", ".txt"),
    description="one row per image without a header: ID, then x, y (and z) of each landmark",
    read=read,
    write=write,
    recognises=recognises,
    rank=0,
)
