"""Tables with a header and one row per image, as spreadsheets, scripts and DeepLabCut write them."""

import itertools
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from scn_tf.data.annotations import assembly, headers, identities, tables
from scn_tf.data.annotations.absence import WORD, absent_of, say_absent
from scn_tf.data.annotations.headers import Layout
from scn_tf.data.annotations.reading import merged
from scn_tf.data.annotations.row import AnnotationFormat, Annotations, Expected
from scn_tf.data.images.facts import ImageFacts
from scn_tf.errors import DatasetError, DataWarning
from scn_tf.messages import cut, short, visible
from scn_tf.storage import files
from scn_tf.storage import tables as written
from scn_tf.types import Array

ENDINGS = (".csv", ".tsv", ".tab", ".txt")
DEEPLABCUT = ("scorer", "individuals", "bodyparts", "coords")  # first cells of the rows of its header
FALSE = ("0", "0.0", "false", "no")


def read(path: Path, expected: Expected) -> Annotations:
    """Read a table, or all tables of a folder.

    Headers may spell a coordinate as ``tip_x``, ``tip.x``, ``tip (x)``, ``x_tip``, ``x1``, ``lm1x`` or ``tipX``. Names may stand in a
    first row and axes in a second. A unit at the end states the frame: ``_px``, ``_mm``, ``_norm``, ``%``, ``_lps``, ``_ras``.

    Raises:
        DatasetError: the table is malformed; the message names line and column.
    """
    if path.is_dir():
        inside = [found for found in sorted(path.iterdir()) if found.name.lower().endswith(ENDINGS) and found.is_file()]
        if not inside:
            raise DatasetError(f"{path}: expected tables ({', '.join(ENDINGS)}), found none.")
        return merged([(found, read(found, expected)) for found in inside])
    table = tables.read_table(path)
    rows = tables.headed_rows(table)
    columns, rows = _header(path, rows)
    names = tuple(columns.landmarks)
    if len(names) > assembly.MAX_LANDMARKS:
        raise DatasetError(f"{path}: expected at most {assembly.MAX_LANDMARKS:,} landmarks, received {len(names):,}.")
    dims = _dims(path, columns)
    try:
        frame, factors = headers.framed(columns.units, dims)
    except ValueError as units:
        raise DatasetError(f"{path}: the headers state different units ({units}). Give all coordinates the same.") from None
    _tell_ignored(path, columns)
    points: dict[str, Array] = {}
    scores: dict[str, Array] = {}
    lines: dict[str, int] = {}
    sizes: dict[str, tuple[int, ...]] = {}
    absent: dict[str, Array] = {}
    for row in rows:
        image = _image(path, row, columns)
        if points and not columns.images:
            raise DatasetError(f"{path}, line 1: no column names the images. Expected one with header image, file or id.")
        if image in points:
            raise DatasetError(f"{path}, line {row.line}: {cut(visible(image), 60)} appears twice (first in line {lines[image]}).")
        values, likely, gone = _points(path, row, columns, dims, table.separator)
        points[image], lines[image] = values * factors, row.line
        if gone.any():
            absent[image] = gone
        if np.isfinite(likely).any():
            scores[image] = likely
        if size := _size(row, columns):
            sizes[image] = size
        if len(points) * values.size > assembly.MAX_COORDINATES:
            raise DatasetError(f"{path}, line {row.line}: expected at most {assembly.MAX_COORDINATES:,} coordinates. Split the table.")
    if not points:
        raise DatasetError(f"{path}: holds no row with points.")
    ids = identities.identities(path, points) if columns.images else {"": identities.of_file(path, ENDINGS)}
    found = Annotations(
        {ids[image]: values for image, values in points.items()},
        {ids[image]: line for image, line in lines.items()},
        names,
        frame,
        {ids[image]: image for image in points} if columns.images else {},
        {ids[image]: size for image, size in sizes.items()},
        {ids[image]: likely for image, likely in scores.items()},
        absent={ids[image]: gone for image, gone in absent.items()},
    )
    return assembly.without_numbers(found, expected)


def recognises(path: Path, head: bytes) -> bool:
    """Whether the first rows of a file are a header with coordinates of named landmarks."""
    first = tables.head_rows(path, head, 3)
    if not first:
        return False
    if first[0][0].lower() == "scorer":
        return True
    if headers.layout(first[0]).landmarks:
        return True
    return len(first) > 1 and _are_axes(first[1]) and bool(_paired(first[0], first[1]).landmarks)


def write(path: Path, annotations: Annotations, facts: Mapping[str, ImageFacts]) -> None:
    """Write a table with header ``image,NAME_x,NAME_y,...``. Cells of absent landmarks say so, those of unknown ones are empty.

    Raises:
        DatasetError: y is counted from the bottom, or the names of the landmarks would be read back as others.
        WriteError: the file cannot be written.
    """
    unit = headers.unit_of(annotations.frame, path)
    count, dims = next(iter(annotations.points.values())).shape
    names = annotations.names or tuple(map(str, range(count)))
    header = ["image", *(f"{name}_{axis}{unit}" for name in names for axis in "xyz"[:dims])]
    if tuple(headers.layout([written.original(str(written.cell(cell))) for cell in header]).landmarks) != names:
        raise DatasetError(f"{path}: a header with the names of these landmarks would be read as others. Write csv-long instead.")
    shown = identities.file_names(path, annotations, facts)
    body = ([shown[image_id], *_cells(values, absent_of(annotations, image_id))] for image_id, values in annotations.points.items())
    files.write_text(path, written.write(itertools.chain([header], body)))


def _cells(points: Array, absent: Array) -> Iterator[float | str]:
    for point, gone in zip(points.tolist(), absent, strict=True):
        yield from (WORD if gone else "" if np.isnan(value) else value for value in point)


def _header(path: Path, rows: Iterator[tables.Row]) -> tuple[Layout, Iterator[tables.Row]]:
    """Columns of a table, and its rows below the header."""
    first = next(rows, None)
    if first is None:
        raise DatasetError(f"{path}: the table is empty.")
    cells = _trimmed(first.cells)
    if cells[0].lower() == "scorer":
        return _deeplabcut(path, rows), rows
    columns = headers.layout(cells)
    if columns.landmarks:
        return _complete(path, columns), rows
    second = next(rows, None)
    if second is not None and _are_axes(second.cells):
        columns = _paired(first.cells, second.cells)
        if columns.landmarks:
            return _complete(path, columns), rows
    if columns.half is not None:
        _complete(path, columns)
    if second is not None and any(map(tables.is_number, second.cells)) and sum(not cell for cell in cells) >= len(cells) // 3 > 0:
        fix = "Are cells merged? Give every column its own header, such as tip_x and tip_y."
    elif sum(map(tables.is_number, cells)) > len(cells) // 2:
        fix = "There is no header. Add one, or use format scn."
    else:
        fix = "Spell them as tip_x, tip_y or x1, y1."
    raise DatasetError(f"{path}, line {first.line}: expected columns for x and y of each landmark, received {short(cells, 120)}. {fix}")


def _deeplabcut(path: Path, rows: Iterator[tables.Row]) -> Layout:
    found: dict[str, tables.Row] = {}
    for row in itertools.islice(rows, len(DEEPLABCUT)):
        found[row.cells[0].lower()] = row
        if row.cells[0].lower() == "coords":
            break
    if not {"bodyparts", "coords"} <= found.keys():
        raise DatasetError(f"{path}: expected rows bodyparts and coords below scorer, as DeepLabCut writes them.")
    names, axes = found["bodyparts"].cells, _trimmed(found["coords"].cells)
    if len(names) < len(axes):
        raise DatasetError(f"{path}, line {found['bodyparts'].line}: expected {len(axes)} columns, received {len(names)}.")
    start = next((column for column, cell in enumerate(axes) if column and cell), len(axes))
    if len({*found.get("individuals", found["coords"])[1][start : len(axes)]}) > 1 and "individuals" in found:
        raise DatasetError(f"{path}, line {found['individuals'].line}: has several individuals per image. Expected one.")
    columns = headers.paired([""] * start + names[start : len(axes)], [""] * start + axes[start:])
    columns.images = list(range(start))
    if not columns.landmarks:
        raise DatasetError(f"{path}, line {found['coords'].line}: expected x and y of each body part.")
    return _complete(path, columns)


def _complete(path: Path, columns: Layout) -> Layout:
    """Columns without a half or repeated coordinate, and with those of the image's name."""
    for name, own in columns.landmarks.items():
        twice = next((what for what in own if what.endswith("again")), None)
        if twice is not None:
            raise DatasetError(f"{path}, line 1: landmark {cut(visible(name), 60)} has two columns for {twice.split()[0]}. Remove one.")
    if columns.half is not None:
        name, column = columns.half
        raise DatasetError(
            f"{path}, line 1: column {cut(visible(columns.headers[column]), 60)} is the only one of landmark {cut(visible(name), 60)}. "
            "Expected x and y."
        )
    taken = {column for own in columns.landmarks.values() for column in own.values()}
    if not columns.images and 0 not in taken:
        columns.images = [0]
        columns.other = [header for header in columns.other if header != columns.headers[0]]
    return columns


def _dims(path: Path, columns: Layout) -> int:
    deep = sum("z" in own for own in columns.landmarks.values())
    if deep and deep < len(columns.landmarks):
        name = next(name for name, own in columns.landmarks.items() if "z" not in own)
        raise DatasetError(f"{path}, line 1: landmark {cut(visible(name), 60)} has no column for z, but others have.")
    return 3 if deep else 2


def _tell_ignored(path: Path, columns: Layout) -> None:
    if columns.other:
        listed = cut(visible(", ".join(columns.other)), 120)
        warnings.warn(f"{path}: columns without coordinates are ignored: {listed}.", DataWarning, stacklevel=4)


def _image(path: Path, row: tables.Row, columns: Layout) -> str:
    """Name of a row's image, after a check of the number of cells."""
    if len(_trimmed(row.cells)) > len(columns.headers) or len(row.cells) < len(columns.headers):
        raise DatasetError(
            f"{path}, line {row.line}: expected {len(columns.headers)} columns as in the header, received {len(row.cells)}. "
            "Is the file cut short?"
        )
    if not columns.images:
        return ""
    image = "/".join(written.original(cell) for column in columns.images if (cell := row.cells[column]))
    if not image:
        raise DatasetError(f"{path}, line {row.line}: the name of the image is missing.")
    return image


def _points(path: Path, row: tables.Row, columns: Layout, dims: int, separator: str) -> tuple[Array, Array, Array]:
    """Points (N, d) and scores (N,) of a row, and which landmarks (N,) are absent."""
    count = len(columns.landmarks)
    values, scores, absent = np.full((count, dims), np.nan), np.full(count, np.nan), np.zeros(count, bool)
    for number, (name, own) in enumerate(columns.landmarks.items()):
        for axis, what in enumerate("xyz"[:dims]):
            values[number, axis] = tables.number(path, row, own[what], columns.headers[own[what]], separator)
        absent[number] = say_absent([row.cells[own[what]] for what in "xyz"[:dims]], path, row.line, name)
        if "seen" in own and row.cells[own["seen"]].lower() in FALSE:
            values[number] = np.nan
        half = np.isnan(values[number])
        if half.any() and not half.all():
            raise DatasetError(
                f"{path}, line {row.line}: landmark {cut(visible(name), 60)} has only some of its coordinates. Fill or empty all of them."
            )
        if "score" in own:
            scores[number] = tables.number(path, row, own["score"], columns.headers[own["score"]], separator)
    return values, scores, absent


def _size(row: tables.Row, columns: Layout) -> tuple[int, int] | None:
    if columns.width is None or columns.height is None:
        return None
    sides = [row.cells[column] for column in (columns.width, columns.height)]
    return (int(sides[0]), int(sides[1])) if all(side.isascii() and side.isdigit() and 0 < len(side) < 7 for side in sides) else None


def _are_axes(cells: list[str]) -> bool:
    """Whether a row below the names holds axes, such as x, y, x, y."""
    found = [headers.axis(cell) is not None for cell in cells if cell]
    return sum(found) >= 2 and sum(found) * 2 >= len(found)


def _paired(names: list[str], axes: list[str]) -> Layout:
    width = max(len(_trimmed(names)), len(_trimmed(axes)))
    return headers.paired(*((cells + [""] * width)[:width] for cells in (names, axes)))


def _trimmed(cells: list[str]) -> list[str]:
    """Cells without empty ones at the end, of which spreadsheets write many. At least one stays."""
    last = max((column for column, cell in enumerate(cells) if cell), default=0)
    return cells[: last + 1]


CSV_WIDE = AnnotationFormat(
    name="csv-wide",
    endings=ENDINGS,
    description="one row per image with a header such as `image,tip_x,tip_y`, also of DeepLabCut",
    read=read,
    write=write,
    recognises=recognises,
    rank=10,
)
