"""The landmark table of a data set, row by row. A bad row is a problem, and the others are read."""

import re
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from scn_tf.data import raters
from scn_tf.data.annotations import Annotations, Expected, read_annotations
from scn_tf.data.annotations.formats import scn
from scn_tf.data.annotations.reading import format_of
from scn_tf.data.text import read_text
from scn_tf.doctor.finding import Found
from scn_tf.errors import ConfigError, DatasetError
from scn_tf.messages import cut, visible
from scn_tf.presence import known

if TYPE_CHECKING:
    from scn_tf.doctor.folder import Folder

MAX_ROWS_NAMED = 50
FEW = 3


def read_table(folder: "Folder") -> None:
    """Fill ``landmarks`` and ``rows`` of a folder whose description is known, and report what is wrong."""
    description = known(folder.description)
    path, expected = folder.table, description.expected
    try:
        is_own = format_of(path, description.annotation_format).name == scn.SCN.name
        if is_own:
            _read_rows(folder, read_text(path), expected)
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of placeholders, which have a check of their own
            found = read_annotations(path, expected, coordinates=description.coordinates, name=description.annotation_format)
        folder.landmarks, folder.absent, folder.rows = found.points, found.absent, found.rows
    except (DatasetError, ConfigError) as error:
        folder.report("table", Found(str(error)))


def read_raters(folder: "Folder") -> None:
    """Fill ``raters`` of a folder whose description names some, and ``landmarks``, ``absent`` and ``rows`` with their means."""
    description = known(folder.description)
    for name, place in description.raters.items():
        one = replace(
            folder,
            description=description.model_copy(update={"annotations": place, "raters": {}}),
            landmarks={},
            absent={},
            rows={},
            raters={},
        )
        read_table(one)  # problems are those of the folder
        if one.landmarks:
            folder.raters[name] = Annotations(one.landmarks, one.rows, absent=one.absent)
    found = raters.mean(folder.raters)
    folder.landmarks, folder.absent, folder.rows = found.points, found.absent, found.rows


def _read_rows(folder: "Folder", text: str, expected: Expected) -> None:
    path, bad = folder.table, 0
    written: list[Found] = []  # points that are NaN in words
    for line, row in enumerate(text.split("\n"), start=1):
        try:
            found = scn.read_row(row, line, path, expected)
        except DatasetError as error:
            bad += 1
            if bad <= MAX_ROWS_NAMED:
                first = cut(visible(re.split(r"[,;\t|]", row)[0].strip()), 80)
                folder.report("table", Found(str(error), first if first in folder.files else None))
            continue
        if found is None:
            continue
        image_id, points, absent = found
        name = cut(visible(image_id), 80)
        if image_id in folder.landmarks:
            same = "with the same values" if np.array_equal(points, folder.landmarks[image_id], equal_nan=True) else "with other values"
            message = f"{folder.table_name}, line {line}: {name} has a row already, line {folder.rows[image_id]}, {same}."
            folder.report("row_twice", Found(message, image_id))
            continue
        _report_numbers(folder, image_id, points, line)
        if "nan" in row.lower():
            written += _written_nan(folder, image_id, row, line)
        folder.absent[image_id] = np.isnan(points).all(axis=1) if expected.empty == "absent" else absent
        points[~np.isfinite(points).all(axis=1)] = np.nan
        folder.landmarks[image_id], folder.rows[image_id] = points, line
    if len(written) <= FEW:  # many are how this table writes landmarks without a point
        for problem in written:
            folder.report("non_finite", problem)
    if bad > MAX_ROWS_NAMED:
        folder.report("table", Found(f"{folder.table_name}: {bad - MAX_ROWS_NAMED} further rows cannot be read."))
    if not folder.landmarks and not bad:
        folder.report("table", Found(f"{folder.table_name}: the table is empty."))


def _report_numbers(folder: "Folder", image_id: str, points: np.ndarray, line: int) -> None:
    for name, point in zip(known(folder.description).names, points, strict=True):
        if np.isinf(point).any():
            message = (
                f"{folder.table_name}, line {line}: landmark {cut(visible(name), 60)} has an infinite coordinate, and counts as not "
                "annotated."
            )
            folder.report("non_finite", Found(message, image_id, name))
        elif np.isnan(point).any() and np.isfinite(point).any():
            message = (
                f"{folder.table_name}, line {line}: landmark {cut(visible(name), 60)} lacks a coordinate, and counts as not annotated."
            )
            folder.report("half_point", Found(message, image_id, name))


def _written_nan(folder: "Folder", image_id: str, row: str, line: int) -> list[Found]:
    """Points of a row whose coordinates are all written as NaN."""
    dims, cells = known(folder.description).dims, [cell.strip().lower().lstrip("+-") for cell in row.split(",")[1:]]
    if len(cells) != dims * len(known(folder.description).names):
        return []
    return [
        Found(f"{folder.table_name}, line {line}: landmark {cut(visible(name), 60)} is NaN, and counts as empty.", image_id, name)
        for number, name in enumerate(known(folder.description).names)
        if set(cells[number * dims : number * dims + dims]) == {"nan"}
    ]
