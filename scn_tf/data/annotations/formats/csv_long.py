"""Tables with a header and one row per point."""

import dataclasses
import itertools
import math
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scn_tf.data.annotations import headers, identities, tables
from scn_tf.data.annotations.absence import WORD, absent_of, say_absent
from scn_tf.data.annotations.assembly import Points, without_numbers
from scn_tf.data.annotations.formats.csv_wide import ENDINGS, FALSE
from scn_tf.data.annotations.formats.imagej import is_results
from scn_tf.data.annotations.reading import merged
from scn_tf.data.annotations.row import AnnotationFormat, Annotations, Expected
from scn_tf.data.images.facts import ImageFacts
from scn_tf.errors import DatasetError, DataWarning
from scn_tf.messages import cut, short, visible
from scn_tf.storage import files
from scn_tf.storage import tables as written

UNITS = ("px", "", "lps", "ras", "mm", "fraction", "percent")  # which columns are read if a table states several
UNSURE = ("id", "name", "case", "frame")  # headers that may mean the landmark as well as the image
NOT_OURS = ("axis 0", "vertex index")  # of napari


class Columns(NamedTuple):
    """Columns of a table; None if absent. ``point`` has those of x, y and z."""

    point: list[int]
    unit: str
    image: int | None
    landmark: int | None
    score: int | None
    seen: int | None


def read(path: Path, expected: Expected) -> Annotations:
    """Read a table, or all tables of a folder.

    Columns are x, y and z, the landmark and the image, by their usual names and in any order. A table without a column for the image
    is of the image with its own name. Without one for the landmark, the points of each image are in the same order.

    Raises:
        DatasetError: the table is malformed; the message names line and column.
    """
    if not path.is_dir():
        return without_numbers(_read(path), expected)
    inside = [found for found in sorted(path.iterdir()) if found.name.lower().endswith(ENDINGS) and found.is_file()]
    if not inside:
        raise DatasetError(f"{path}: expected tables ({', '.join(ENDINGS)}), found none.")
    return without_numbers(merged([(found, _read(found)) for found in inside]), expected)


def recognises(path: Path, head: bytes) -> bool:
    """Whether the first row of a file is a header with one column for x and one for y."""
    first = tables.head_rows(path, head, 1)
    return bool(first) and _columns(first[0]) is not None


def write(path: Path, annotations: Annotations, facts: Mapping[str, ImageFacts]) -> None:
    """Write a table with header ``image,landmark,x,y[,z][,score]``. Cells of absent landmarks say so, those of unknown ones are empty.

    Raises:
        DatasetError: y is counted from the bottom.
        WriteError: the file cannot be written.
    """
    unit = headers.unit_of(annotations.frame, path)
    count, dims = next(iter(annotations.points.values())).shape
    names = annotations.names or tuple(map(str, range(count)))
    scores = annotations.scores
    shown = identities.file_names(path, annotations, facts)
    header = ["image", "landmark", *(f"{axis}{unit}" for axis in "xyz"[:dims]), *(["score"] if scores else [])]

    def body() -> Iterator[list]:
        for image_id, values in annotations.points.items():
            likely = scores.get(image_id, np.full(count, np.nan)).tolist()
            for name, point, score, absent in zip(names, values.tolist(), likely, absent_of(annotations, image_id), strict=True):
                place = [WORD if absent else "" if math.isnan(value) else value for value in point]
                yield [shown[image_id], name, *place, *(["" if math.isnan(score) else score] if scores else [])]

    files.write_text(path, written.write(itertools.chain([header], body())))


def _read(path: Path) -> Annotations:
    table = tables.read_table(path)
    rows = tables.headed_rows(table)
    first = next(rows, None)
    if first is None:
        raise DatasetError(f"{path}: the table is empty.")
    cells = first.cells
    while len(cells) > 1 and not cells[-1]:  # as spreadsheets write them
        cells.pop()
    columns = _columns(cells)
    if columns is None:
        raise DatasetError(
            f"{path}, line {first.line}: expected a header with columns x and y, and image and landmark, received {short(cells, 120)}."
        )
    _tell_ignored(path, cells, columns)
    dims = len(columns.point)
    frame, factors = headers.framed({columns.unit}, dims)
    found = Points(path, dims)
    own = identities.of_file(path, ENDINGS)
    orders: dict[str, int] = {}
    for row in rows:
        if len(row.cells) < len(cells) or any(row.cells[len(cells) :]):
            raise DatasetError(
                f"{path}, line {row.line}: expected {len(cells)} columns as in the header, received {len(row.cells)}. "
                "Is the file cut short?"
            )
        image = own if columns.image is None else written.original(row.cells[columns.image])
        if not image:
            raise DatasetError(f"{path}, line {row.line}: the name of the image is missing. Are cells merged? Write it in every row.")
        orders[image] = orders.get(image, -1) + 1
        name = str(orders[image]) if columns.landmark is None else written.original(row.cells[columns.landmark])
        point = [tables.number(path, row, column, cells[column], table.separator) for column in columns.point]
        if columns.seen is not None and row.cells[columns.seen].lower() in FALSE:
            point = [math.nan] * dims
        if any(map(math.isnan, point[:2])) and not all(map(math.isnan, point)):
            raise DatasetError(
                f"{path}, line {row.line}: landmark {cut(visible(name), 60)} has only some of its coordinates. Fill or empty all of them."
            )
        score = math.nan if columns.score is None else tables.number(path, row, columns.score, cells[columns.score], table.separator)
        values = [value * factor for value, factor in zip(point, factors, strict=True)]
        absent = say_absent([row.cells[column] for column in columns.point[:2]], path, row.line, name)
        found.add(image, name, values, line=row.line, score=score, absent=absent)
    if columns.landmark is None:
        _check_order(path, cells, columns, orders)
    return _flat(path, found.annotations(Expected(tuple(found.names)), frame, images=columns.image is not None))


def _columns(header: list[str]) -> Columns | None:
    """Columns of a header; None if it has no x and y of its own, or is another program's."""
    spelt = [headers.words(cell) for cell in header]
    if set(spelt) & set(NOT_OURS) or is_results(header) or headers.repeats_axes(header):
        return None
    by_unit: dict[str, dict[str, int]] = {}
    for column, cell in enumerate(header):
        if known := headers.axis(cell):
            own = by_unit.setdefault(known[1], {})
            if known[0] in own or f"{cell}.1" in header:  # a table with one row per image
                return None
            own[known[0]] = column
    whole = [unit for unit in UNITS if {"x", "y"} <= by_unit.get(unit, {}).keys()]
    if not whole:
        return None
    point = [by_unit[whole[0]][axis] for axis in "xyz" if axis in by_unit[whole[0]]]
    landmark = headers.column_of(header, headers.LANDMARKS, point)
    taken = [*point, *([] if landmark is None else [landmark])]
    image = headers.column_of(header, headers.IMAGES, taken)
    return Columns(point, whole[0], image, landmark, *(headers.column_of(header, known, taken) for known in (headers.SCORES, headers.SEEN)))


def _check_order(path: Path, header: list[str], columns: Columns, orders: Mapping[str, int]) -> None:
    """Refuse points without names whose order or meaning is not certain."""
    if len(set(orders.values())) > 1:
        image, count = min(orders.items(), key=lambda item: item[1])
        raise DatasetError(
            f"{path}: no column names the landmarks, and image {cut(visible(image), 60)} has {count + 1} points, fewer than others. "
            "Add a column landmark."
        )
    alone = len(orders) > 1 and not any(orders.values())
    if alone and columns.image is not None and headers.words(header[columns.image]) in UNSURE:
        raise DatasetError(
            f"{path}, line 1: column {cut(visible(header[columns.image]), 40)} may name images or landmarks. Call it image or landmark."
        )


def _flat(path: Path, found: Annotations) -> Annotations:
    """Points without their z, if no row of the table has one."""
    if next(iter(found.points.values())).shape[1] < 3:
        return found
    deep = np.concatenate([values for values in found.points.values()])
    lacking = np.isfinite(deep[:, 0]) & np.isnan(deep[:, 2])
    if not lacking.any():
        return found
    if np.isfinite(deep[:, 2]).any():
        raise DatasetError(f"{path}: some points have z and others have none. Fill the column, or remove it.")
    return dataclasses.replace(found, points={image_id: values[:, :2] for image_id, values in found.points.items()})


def _tell_ignored(path: Path, header: list[str], columns: Columns) -> None:
    used = {*columns.point, columns.image, columns.landmark, columns.score, columns.seen}
    predicted = {"expected error", "radius95", "unit", "image ok"}  # of our own tables
    other = [cell for column, cell in enumerate(header) if column not in used and cell and headers.words(cell) not in predicted]
    if other:
        warnings.warn(f"{path}: columns without coordinates are ignored: {cut(visible(', '.join(other)), 120)}.", DataWarning, stacklevel=4)


CSV_LONG = AnnotationFormat(
    name="csv-long",
    endings=ENDINGS,
    description="one row per point with a header such as `image,landmark,x,y`; also predictions, and one file per image",
    read=read,
    write=write,
    recognises=recognises,
    rank=11,
)
