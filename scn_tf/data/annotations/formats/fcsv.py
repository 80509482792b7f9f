"""Fiducial lists of 3D Slicer (``.fcsv``): one file per image, points in mm.

There is no point if a coordinate is empty or ``nan``, or if a further column states that it is not placed. A hidden point
(``vis`` 0) is one: visibility is a matter of display in 3D Slicer.
"""

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path

from scn_tf.data.annotations.conversion import in_space
from scn_tf.data.annotations.formats.slicer import SIGNS, in_plane
from scn_tf.data.annotations.gathering import check_count, finite, gathered, only_id, present
from scn_tf.data.annotations.identities import of_file
from scn_tf.data.annotations.json_items import shown
from scn_tf.data.annotations.remarks import remark
from scn_tf.data.annotations.row import AnnotationFormat, Annotations, Expected
from scn_tf.data.images.facts import ImageFacts
from scn_tf.data.text import read_text
from scn_tf.errors import DatasetError
from scn_tf.messages import short
from scn_tf.storage import files

ENDINGS = (".fcsv",)
COLUMNS = ("id", "x", "y", "z", "ow", "ox", "oy", "oz", "vis", "sel", "lock", "label", "desc", "associatedNodeID")
OLD_COLUMNS = ("label", "x", "y", "z", "sel", "vis")  # of 3D Slicer 3, whose files state no version
# In the column after the last named one, which recent versions add. 1 is a preview.
UNPLACED, PLACED, MISSING = "0", "2", "3"
VERSION = "Markups fiducial file version"


def read(path: Path, expected: Expected) -> Annotations:
    """Read a fiducial list of any version. Without a coordinate system in its header it is RAS.

    A point without a label gets its number, counted from 1: the IDs of 3D Slicer depend on the scene. As in markups, points that are
    missing or never placed are absent.

    Args:
        path: the file.
        expected: if ``empty`` is "unknown", points that were never placed are not annotated. If ``dims`` is 2, all points must have
            one z, which is left out.

    Raises:
        DatasetError: a line is malformed, the coordinate system is unknown, or a label appears twice.
    """
    header: dict[str, str] = {}
    points: dict[str, list[float]] = {}
    lines: dict[str, int] = {}
    absent: set[str] = set()
    columns: tuple[str, ...] = ()
    for line, text in enumerate(read_text(path).split("\n"), start=1):
        if text.startswith("#"):
            key, _, value = text[1:].partition("=")
            header.setdefault(key.strip(), value.strip())
        elif text.strip():
            columns = columns or _columns(path, header)
            fields = _fields(path, line, text)
            name = dict(zip(columns, fields, strict=False)).get("label", "").strip() or str(len(points) + 1)
            if name in points:
                raise DatasetError(
                    f"{path}, line {line}: the label {shown(name)} appears twice, first in line {lines[name]}. Rename one in 3D Slicer."
                )
            check_count(path, len(points) + 1)
            points[name], lines[name] = _position(path, line, columns, fields), line
            if _state(columns, fields) in ((MISSING,) if expected.empty == "unknown" else (MISSING, UNPLACED)):
                absent.add(name)
    if not points:
        raise DatasetError(f"{path}: the list holds no points.")
    system = header.get("CoordinateSystem", "RAS")
    if system.upper() not in SIGNS:
        raise DatasetError(f"{path}: CoordinateSystem: expected RAS, LPS, 0 or 1, received {short(system, 40)}.")
    signs = SIGNS[system.upper()]
    signed = {name: [sign * value for sign, value in zip(signs, xyz, strict=True)] for name, xyz in points.items()}
    image_id = of_file(path, ENDINGS)
    found = gathered(
        path, {image_id: signed}, dims=3, frame="physical", rows={image_id: next(iter(lines.values()))}, absent={image_id: absent}
    )
    return in_plane(path, found) if expected.dims == 2 else found


def _columns(path: Path, header: Mapping[str, str]) -> tuple[str, ...]:
    """Names of the columns, as the header states them."""
    stated = tuple(name.strip() for name in header.get("columns", "").split(","))
    columns = stated if any(stated) else COLUMNS if VERSION in header else OLD_COLUMNS
    if not {"x", "y", "z"} <= set(columns):
        raise DatasetError(f"{path}: columns: expected x, y and z among them, received {short(','.join(columns), 80)}.")
    return columns


def _fields(path: Path, line: int, text: str) -> list[str]:
    try:
        (fields,) = csv.reader([text])
    except csv.Error as error:
        raise DatasetError(f"{path}, line {line}: cannot be read ({error}).") from None
    return fields


def _position(path: Path, line: int, columns: tuple[str, ...], fields: list[str]) -> list[float]:
    """Coordinates of a point, NaN if it has none."""
    xyz = []
    for axis in "xyz":
        column = columns.index(axis)
        if column >= len(fields):
            raise DatasetError(f"{path}, line {line}: expected the columns {','.join(columns)}, received {len(fields)} values.")
        text = fields[column].strip()
        value = math.nan if text.lower() in ("", "nan") else finite(text)
        if value is None:
            raise DatasetError(f"{path}, line {line}: {axis}: expected a finite number, received {short(text, 40)}.")
        xyz.append(value)
    return xyz if _state(columns, fields) in (PLACED, "") and not any(map(math.isnan, xyz)) else [math.nan] * 3


def _state(columns: tuple[str, ...], fields: list[str]) -> str:
    """Whether a point was placed; ``PLACED`` in files that do not state it."""
    return fields[len(COLUMNS)].strip() if columns == COLUMNS and len(fields) > len(COLUMNS) else PLACED


def write(path: Path, annotations: Annotations, facts: Mapping[str, ImageFacts]) -> None:
    """Write the points of one image in LPS, as 3D Slicer 4.11 and later do. Landmarks without a point are left out.

    Points of a slice lie at its place, those of other 2D images at z 0. Scores and expected errors go to the descriptions.

    Raises:
        DatasetError: there are several images.
        WriteError: the file cannot be written.
    """
    image_id = only_id(path, annotations)
    text = io.StringIO()
    text.write(f"# {VERSION} = 4.11\n# CoordinateSystem = LPS\n# columns = {','.join(COLUMNS)}\n# written by scn_tf\n")
    table = csv.writer(text, lineterminator="\n")
    places = in_space(annotations.points[image_id], facts.get(image_id)).tolist()
    for number, name, _ in present(annotations, image_id):
        description = remark(annotations, image_id, number)
        table.writerow([number + 1, *places[number], 0, 0, 0, 1, 1, 1, 0, " ".join(name.split()), description, ""])
    files.write_text(path, text.getvalue())


FCSV = AnnotationFormat(
    name="fcsv",
    endings=ENDINGS,
    description="fiducial list of 3D Slicer, one file per image: points in mm, RAS or LPS",
    read=read,
    write=write,
    per_image=True,
    writes="physical",
    rank=24,
)
