"""TPS files of tpsDig and its relatives: points of several images, with y counted upwards from the last row."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scn_tf.data.annotations import identities, tables
from scn_tf.data.annotations.assembly import MAX_LANDMARKS, Points, without_numbers
from scn_tf.data.annotations.row import AnnotationFormat, Annotations, Expected
from scn_tf.data.images.facts import ImageFacts
from scn_tf.errors import DatasetError
from scn_tf.messages import cut, short, visible
from scn_tf.storage import files, ownership

# POINTS belong to curves and outlines, the others state facts of the image.
FACTS = {"IMAGE", "ID", "SCALE", "COMMENT", "VARIABLES", "RADII", "TEMPLATE", "CAMERA", "SPECIMEN"}
LINES = {"CURVES", "OUTLINES", "CHAINS", "POINTS"}
MAX_LINE = 10_000  # characters


class Specimen(NamedTuple):
    """One block of a file: its line, its points and its facts by keyword."""

    line: int
    points: list[list[float]]
    facts: dict[str, str]


def read(path: Path, expected: Expected) -> Annotations:
    """Read a TPS file.

    The ID is the stem of ``IMAGE``, without it the text of ``ID``. ``SCALE`` changes no coordinate. There is no point if it is ``NA``,
    or if both coordinates are negative. Frame: "bottom"; points in three dimensions (``LM3``) are "stated".

    Raises:
        DatasetError: the file is malformed, has curves or outlines, or its images have different numbers of points.
    """
    specimens = list(_specimens(path))
    if not specimens:
        raise DatasetError(f"{path}: expected lines LM= and points below them, found none.")
    first = specimens[0]
    dims = len(first.points[0]) if first.points else 2
    found = Points(path, dims)
    seen: dict[str, int] = {}
    for one in specimens:
        image = one.facts.get("IMAGE") or one.facts.get("ID")
        if not image:
            raise DatasetError(f"{path}, line {one.line}: expected IMAGE= or ID= below the points of each image.")
        if len(one.points) != len(first.points) or any(len(point) != dims for point in one.points):
            own = len(one.points[0]) if one.points else 0
            raise DatasetError(
                f"{path}, line {one.line}: {cut(visible(image), 60)} has {len(one.points)} points of {own} coordinates. "
                f"Expected {len(first.points)} of {dims} as in line {first.line}; write -1 -1 where there is none."
            )
        if image in seen:
            raise DatasetError(f"{path}, line {one.line}: {cut(visible(image), 60)} appears twice (first in line {seen[image]}).")
        seen[image] = one.line
        for number, point in enumerate(one.points):
            lacking = any(np.isnan(point)) or (dims == 2 and max(point) < 0)
            found.add(image, str(number), [np.nan] * dims if lacking else point, line=one.line)
    return without_numbers(found.annotations(Expected(), "bottom" if dims == 2 else "stated"), expected)


def recognises(path: Path, head: bytes) -> bool:
    """Whether the first line of a file states a number of points."""
    start = head.decode("utf-8-sig", errors="replace").lstrip()[:20].upper().replace(" ", "")
    return start.startswith(("LM=", "LM3="))


def write(path: Path, annotations: Annotations, facts: Mapping[str, ImageFacts]) -> None:
    """Write a TPS file. Missing points are -1 -1.

    Raises:
        DatasetError: the points have three dimensions, or a point has two negative coordinates, which would mean none.
        WriteError: the file cannot be written, or belongs to another program.
    """
    shown = identities.file_names(path, annotations, facts)
    lines = []
    for number, (image_id, points) in enumerate(annotations.points.items()):
        if points.shape[1] != 2:
            raise DatasetError(f"{path}: TPS files hold points of 2D images. Choose another format, such as slicer.")
        lines.append(f"LM={len(points)}")
        for point in points.tolist():
            if max(point) < 0:
                raise DatasetError(
                    f"{path}: a landmark of {cut(visible(image_id), 60)} is left of and below its image, which in TPS means no point."
                )
            lines.append("-1 -1" if np.isnan(point).any() else f"{point[0]!r} {point[1]!r}")
        lines += [f"IMAGE={shown[image_id]}", f"ID={number}", ownership.TPS_COMMENT]
    files.write_text(path, "\n".join(lines) + "\n")


def _specimens(path: Path) -> Iterator[Specimen]:
    """Blocks of a file, each of which starts with a number of points."""
    lines = enumerate(tables.read_text(path).rstrip().split("\n"), start=1)
    current: Specimen | None = None
    for line, text in lines:
        text = text.strip()
        if not text:
            continue
        if len(text) > MAX_LINE:
            raise DatasetError(f"{path}, line {line}: expected at most {MAX_LINE:,} characters, received {len(text):,}.")
        key, equals, value = (part.strip() for part in text.partition("="))
        key = key.upper()
        if key in LINES and (key == "POINTS" or value not in ("", "0")):
            raise DatasetError(
                f"{path}, line {line}: holds {key.lower()}, which have no fixed number of landmarks. Remove them, or save their points as "
                "landmarks in tpsUtil (append tps curve to landmarks)."
            )
        if key in ("LM", "LM3"):
            if current is not None:
                yield current
            count = int(value) if value.isascii() and value.isdigit() and len(value) < 6 else -1
            if not 0 < count <= MAX_LANDMARKS:
                raise DatasetError(
                    f"{path}, line {line}: expected a number of points from 1 to {MAX_LANDMARKS:,}, received {short(value, 40)}."
                )
            dims = 3 if key == "LM3" else 2
            current = Specimen(line, [_point(path, next(lines, None), dims, number, count) for number in range(1, count + 1)], {})
        elif equals and key in FACTS | LINES and current is not None:
            if key in current.facts:
                raise DatasetError(f"{path}, line {line}: {key} appears twice for the image of line {current.line}.")
            current.facts[key] = value
        elif not (equals and key.isidentifier() and current is not None):
            raise DatasetError(f"{path}, line {line}: expected LM= or a line such as IMAGE=, received {short(text, 80)}.")
    if current is not None:
        yield current


def _point(path: Path, numbered: tuple[int, str] | None, dims: int, number: int, count: int) -> list[float]:
    if numbered is None:
        raise DatasetError(f"{path}: ends after {number - 1} of {count} points of its last image. Is the file cut short?")
    line, text = numbered
    cells = text[:MAX_LINE].split()
    if len(cells) != dims:
        raise DatasetError(f"{path}, line {line}: expected {dims} coordinates of point {number} of {count}, received {short(text, 60)}.")
    row = tables.Row(line, cells)
    return [tables.number(path, row, column, axis, " ") for column, axis in enumerate("xyz"[:dims])]


TPS = AnnotationFormat(
    name="tps",
    endings=(".tps",),
    description="tpsDig: several images per file, y from the bottom; `SCALE` is not applied",
    read=read,
    write=write,
    recognises=recognises,
    writes="bottom",
    rank=60,
)
