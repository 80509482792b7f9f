"""CSV tables, also for spreadsheets: one line per row, and no cell that a spreadsheet would execute."""

import csv
import io
import itertools
import numbers
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from scn_tf.messages import visible
from scn_tf.types import Estimates

# What a spreadsheet takes for the start of a formula; full-width forms count in East Asian versions.
FORMULA = re.compile("'*[=+@\uff1d\uff0b\uff20\uff0d-]")
CALIBRATED = ("expected_error", "radius95", "unit", "present", "image_ok")  # columns of predictions that a calibration fills


def write(rows: Iterable[Sequence]) -> str:
    """CSV text of rows, with line feeds as line ends.

    Numbers stay numbers. A text that a spreadsheet would execute gets a leading apostrophe. Control characters become visible
    escapes, so that each row is one line.
    """
    return _lines([cell(value) for value in row] for row in rows)


def _lines(rows: Iterable[Sequence]) -> str:
    """CSV text of rows of cells."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def write_dicts(rows: Sequence[dict]) -> str:
    """CSV text with a header. Columns are all keys in the order of their first row; missing values are empty."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return write([names, *([row.get(name, "") for name in names] for row in rows)]) if rows else ""


def cell(value: object) -> object:
    """Text of a value in the file."""
    if value is None:
        return ""
    if isinstance(value, numbers.Number):
        return value
    text = visible(str(value))
    return f"'{text}" if FORMULA.match(text) and not _is_number(text) else text


def original(text: str) -> str:
    """Original text of a cell that :func:`cell` wrote. Escapes of control characters stay."""
    return text[1:] if text.startswith("'") and FORMULA.match(text) else text


def read(path: str | Path) -> Iterator[list[str]]:
    """Rows of a CSV file that :func:`write` wrote, with their original texts."""
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.reader(file):
            yield [original(text) for text in row]


def points(ids: Iterable, names: Sequence, landmarks: Iterable, scores: Iterable, estimates: Iterable | None = None) -> str:
    """Table of predictions with one row per point; see :func:`point_lines`.

    Args:
        ids: I names.
        names: N landmark names.
        landmarks: (I, N, d).
        scores: (I, N).
        estimates: of each image, None for those without.
    """
    found = list(landmarks)
    dims = len(found[0][0]) if found and len(found[0]) else 2
    return "".join(point_lines(zip(ids, found, scores, estimates or itertools.repeat(None)), names, dims))  # noqa: B905


def point_lines(images: Iterable[tuple[object, Iterable, Iterable, Estimates | None]], names: Sequence, dims: int) -> Iterator[str]:
    """Header ``id,landmark,x,y[,z],score`` and :data:`CALIBRATED`, then the rows of one image after the other, as text.

    The columns of :data:`CALIBRATED` are empty if the model is not calibrated.

    Args:
        images: (ID, landmarks (N, d), scores (N,), estimates) of each image.
        names: N landmark names.
        dims: d.
    """
    yield _lines([("id", "landmark", *("x", "y", "z")[:dims], "score", *CALIBRATED)])
    names = [cell(name) for name in names]
    for image_id, found, values, estimates in images:
        columns = zip(names, found, values, _cells(estimates, len(names)), strict=True)
        shown = cell(image_id)  # numbers need no such check, which takes more time than the rest
        yield _lines((shown, name, *(f"{c:.4f}" for c in point), f"{score:.5g}", *more) for name, point, score, more in columns)


def _cells(estimates: Estimates | None, count: int) -> Iterable[Sequence[str]]:
    """Cells of :data:`CALIBRATED` for each of the landmarks of an image."""
    if estimates is None:
        return itertools.repeat(("",) * len(CALIBRATED), count)
    shown = ("",) * count if estimates.present is None else [str(int(one)) for one in estimates.present]
    image_ok = "" if estimates.image_ok is None else str(int(estimates.image_ok))
    return [
        (f"{error:.4f}", f"{radius:.4f}", estimates.unit, present, image_ok)
        for error, radius, present in zip(estimates.expected_error, estimates.radius95, shown, strict=True)
    ]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text
