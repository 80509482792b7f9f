"""The landmark table."""

import csv
import warnings

import numpy as np

from scn_tf.data.description import read_text
from scn_tf.data.errors import DatasetError, DataWarning


def read_table(path, description):
    """Read a landmark table: a row an image, its ID and then the coordinates of every landmark; no header.

    Args:
        path: the file, CSV.
        description: :class:`scn_tf.data.description.Description`.

    Returns:
        (ID -> (N, d) float64 in the set's own coordinates, NaN where absent; ID -> line of the file).

    Raises:
        DatasetError: missing or malformed; names line, ID and landmark.
    """
    if not path.is_file():
        raise DatasetError(f"{path}: no such file; the table of the landmarks lies there, or where annotations in dataset.yaml says.")
    names, dims = description.names, description.dims
    count, landmarks, rows = len(names), {}, {}
    for line, text in enumerate(read_text(path).splitlines(), start=1):
        try:
            (row,) = csv.reader([text])  # line by line: a quotation mark left open would take all rows that follow
        except csv.Error as error:
            raise DatasetError(f"{path}, line {line}: cannot be read ({error}).{_hint(line, [text])}") from None
        if not any(cell.strip() for cell in row):
            continue
        identity, values = row[0].strip(), row[1:]
        if len(values) != count * dims:
            raise DatasetError(
                f"{path}, line {line} ({identity[:40]}): expected {count * dims} values ({count} landmarks x {dims}, all in one row), "
                f"received {len(values)}.{_hint(line, row)}"
            )
        if identity in landmarks:
            raise DatasetError(f"{path}, line {line}: {identity} stands there twice (first in line {rows[identity]}).")
        wrong = next((column for column, value in enumerate(values) if value.strip() and not _is_number(value)), None)
        if wrong is not None:
            raise DatasetError(
                f"{path}, line {line} ({identity}): {'xyz'[wrong % dims]} of landmark {names[wrong // dims]}: expected a number, "
                f"received {values[wrong]!r}.{_hint(line, row)}"
            )
        numbers = np.array([float(value) if value.strip() else np.nan for value in values]).reshape(count, dims)
        # Half a point is no point; an infinite one neither.
        numbers[~np.isfinite(numbers).all(axis=1)] = np.nan
        landmarks[identity], rows[identity] = numbers, line
    if not landmarks:
        raise DatasetError(f"{path}: the table is empty.")
    _warn_of_placeholders(path, landmarks)
    return landmarks, rows


def _warn_of_placeholders(path, landmarks):
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


def _hint(line, row):
    """What is often wrong with a table whose row does not fit, as the end of a message."""
    if row[0].count('"') % 2 or "," in row[0]:
        return " Is a quotation mark left open?"
    if any(mark in row[0] for mark in ";\t"):
        return " Columns must be separated by commas."
    if line == 1 and "".join(row[1:]).strip() and not any(map(_is_number, row[1:])):
        return " Is it a header? Remove it: the table has none."
    return ""


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True
