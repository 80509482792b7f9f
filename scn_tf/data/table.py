"""The landmark table."""

import csv
import os
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scn_tf.data.description import Description, read_text
from scn_tf.errors import DatasetError, DataWarning
from scn_tf.messages import cut, short, visible
from scn_tf.types import Array

LONGEST_LINE, LONGEST_VALUE = 1_000_000, 60  # characters: of a row, and of every value that it should have


def read_table(path: Path, description: Description) -> tuple[dict[str, Array], dict[str, int]]:
    """Read a landmark table: a row an image, its ID and then the coordinates of every landmark; no header.

    Args:
        path: the file, CSV.
        description: of the data set.

    Returns:
        (ID -> (N, d) float64 in the set's own coordinates, NaN where absent; ID -> line of the file).

    Raises:
        DatasetError: missing or malformed; names line, ID and landmark.
    """
    if not os.path.isfile(path):
        raise DatasetError(f"{path}: no such file; the table of the landmarks lies there, or where annotations in dataset.yaml says.")
    names, dims = description.names, description.dims
    count = len(names)
    landmarks: dict[str, Array] = {}
    rows: dict[str, int] = {}
    for line, text in enumerate(read_text(path).split("\n"), start=1):
        if len(text) > LONGEST_LINE + LONGEST_VALUE * count * dims:  # before it becomes millions of cells
            raise DatasetError(
                f"{path}, line {line}: cannot be read: it has {len(text):,} characters. Expected one row per image, with an ID and "
                f"{count * dims} values."
            )
        try:
            (row,) = csv.reader([text])  # line by line: a quotation mark left open would take all rows that follow
        except csv.Error as error:
            raise DatasetError(f"{path}, line {line}: cannot be read ({error}).{_hint(line, [text], count * dims)}") from None
        if not any(cell.strip() for cell in row):
            continue
        identity, values = row[0].strip(), row[1:]
        shown = cut(visible(identity), 40)
        if len(values) != count * dims:
            raise DatasetError(
                f"{path}, line {line} ({shown}): expected {count * dims} values ({count} landmarks x {dims}, all in one row), "
                f"received {len(values)}.{_hint(line, row, count * dims)}"
            )
        if identity in landmarks:
            raise DatasetError(f"{path}, line {line}: {shown} stands there twice (first in line {rows[identity]}).")
        wrong = next((column for column, value in enumerate(values) if value.strip() and not _is_number(value)), None)
        if wrong is not None:
            name = cut(visible(names[wrong // dims]), 60)
            raise DatasetError(
                f"{path}, line {line} ({shown}): {'xyz'[wrong % dims]} of landmark {name}: expected a number, "
                f"received {short(values[wrong], 60)}.{_hint(line, row, count * dims)}"
            )
        numbers = np.array([float(value) if value.strip() else np.nan for value in values]).reshape(count, dims)
        # Half a point is no point; an infinite one neither.
        numbers[~np.isfinite(numbers).all(axis=1)] = np.nan
        landmarks[identity], rows[identity] = numbers, line
    if not landmarks:
        raise DatasetError(f"{path}: the table is empty.")
    _warn_of_placeholders(path, landmarks)
    return landmarks, rows


def _warn_of_placeholders(path: Path, landmarks: dict[str, Array]) -> None:
    """Warn of points such as 0,0 or -1,-1 that come more than once: other programs write absent landmarks so."""
    points = np.concatenate(list(landmarks.values()))
    suspects = points[(points <= 0).all(axis=1) & (points == points[:, :1]).all(axis=1) & (points == np.rint(points)).all(axis=1)]
    for value, times in zip(*np.unique(suspects[:, 0], return_counts=True), strict=True):
        if times > 1:
            place = ",".join([f"{value:g}"] * points.shape[1])
            warnings.warn(
                f"{path}: {times} landmarks lie at {place}, and count as found there. If they are absent, leave their fields empty.",
                DataWarning,
                stacklevel=4,
            )


def _hint(line: int, row: Sequence[str], expected: int) -> str:
    """What is often wrong with a table whose row does not fit, and the fix, as the end of a message."""
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


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text  # Python reads 1_000 as a number, no other program does
