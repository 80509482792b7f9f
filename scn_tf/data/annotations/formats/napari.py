"""Tables of napari's points layers: one file per image, axes in the order of the array."""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from scn_tf.data.annotations import headers, identities, tables
from scn_tf.data.annotations.assembly import Points, without_numbers
from scn_tf.data.annotations.row import AnnotationFormat, Annotations, Expected
from scn_tf.data.images.facts import ImageFacts
from scn_tf.errors import DatasetError
from scn_tf.messages import short
from scn_tf.storage import files
from scn_tf.storage import tables as written

ENDINGS = (".csv",)


def read(path: Path, expected: Expected) -> Annotations:
    """Read a points layer: columns ``index``, ``axis-0``, ``axis-1`` and so on; the last axis is x.

    A column ``label``, ``name`` or ``landmark`` names the points. Without one they are in the order of the file. Numbers are pixels of
    the array with integers at pixel centres, as napari counts them for a layer without scale.

    Raises:
        DatasetError: the table is malformed, or is of a shapes layer.
    """
    table = tables.read_table(path)
    rows = tables.rows(table)
    first = next(rows, None)
    header = first.cells if first else []
    spelt = [headers.words(cell) for cell in header]
    if "vertex index" in spelt:
        raise DatasetError(f"{path}: is a shapes layer of napari. Save the points layer instead.")
    axes = [spelt.index(f"axis {axis}") for axis in range(len(spelt)) if f"axis {axis}" in spelt]
    if len(axes) not in (2, 3):
        raise DatasetError(f"{path}, line 1: expected axis-0, axis-1 and at most axis-2, received {short(header, 120)}.")
    label = headers.column_of(header, headers.LANDMARKS, [*axes, *([spelt.index("index")] if "index" in spelt else [])])
    found, image_id = Points(path, len(axes)), identities.of_file(path, ENDINGS)
    for number, row in enumerate(rows):
        if len(row.cells) != len(header):
            raise DatasetError(
                f"{path}, line {row.line}: expected {len(header)} columns, received {len(row.cells)}. Is the file cut short?"
            )
        point = [tables.number(path, row, column, header[column], table.separator) for column in reversed(axes)]
        name = str(number) if label is None else written.original(row.cells[label])
        found.add(image_id, name, point, line=row.line)
    if not found.names:  # no point is present, and a file of unnamed ones does not tell how many there are
        none = {} if label is None else {image_id: np.empty((0, len(axes)))}
        return Annotations(none, dict.fromkeys(none, 1), None if label is None else (), "pixel")
    return without_numbers(found.annotations(expected, "pixel", images=False), expected)


def recognises(path: Path, head: bytes) -> bool:
    """Whether the first row of a file has the axes of napari."""
    first = tables.head_rows(path, head, 1)
    return bool(first) and {"axis 0", "axis 1"} <= set(map(headers.words, first[0]))


def write(path: Path, annotations: Annotations, facts: Mapping[str, ImageFacts]) -> None:
    """Write a points layer with a column ``label``, which napari shows as a feature. Missing points are left out.

    Raises:
        WriteError: the file cannot be written.
    """
    ((_, points),) = annotations.points.items()
    names = annotations.names or tuple(map(str, range(len(points))))
    header = ["index", *(f"axis-{axis}" for axis in range(points.shape[1])), "label"]

    def body() -> Iterator[list]:
        present = ((name, point) for name, point in zip(names, points.tolist(), strict=True) if np.isfinite(point).all())
        for number, (name, point) in enumerate(present):
            yield [float(number), *reversed(point), name]

    files.write_text(path, written.write(itertools.chain([header], body())))


NAPARI = AnnotationFormat(
    name="napari",
    endings=ENDINGS,
    description="napari points layer: `index,axis-0,axis-1` in the order of the array, one file per image",
    read=read,
    write=write,
    per_image=True,
    recognises=recognises,
    writes="pixel",
    rank=63,
)
