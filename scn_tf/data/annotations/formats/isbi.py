"""Text files of the ISBI 2015 challenge on cephalograms: one file per image, one line ``x,y`` per landmark."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from scn_tf.data.annotations import identities, tables
from scn_tf.data.annotations.assembly import MAX_LANDMARKS
from scn_tf.data.annotations.row import AnnotationFormat, Annotations, Expected
from scn_tf.data.images.facts import ImageFacts
from scn_tf.errors import DatasetError
from scn_tf.messages import short
from scn_tf.storage import files

ENDINGS = (".txt",)
MAX_BYTES, MAX_LINE = 2**20, 200


def read(path: Path, expected: Expected) -> Annotations:
    """Read the landmarks of one image, in pixels and y from the top, as the challenge counts them.

    Lines with one whole number below the landmarks are diagnoses, and are ignored. Any number of landmarks is read. Blanks may
    separate the coordinates.

    Raises:
        DatasetError: a line is malformed, or the number of landmarks is not the expected one.
    """
    points: list[list[float]] = []
    diagnoses = 0
    for line, text in _lines(path):
        cells = [cell.strip() for cell in text.split(",")] if "," in text else text.split()
        if len(cells) == 1 and re.fullmatch(r"\d{1,2}", cells[0]) and points:
            diagnoses += 1
            continue
        if len(cells) != 2 or diagnoses:
            wanted = "a diagnosis" if diagnoses else "x,y of a landmark"
            raise DatasetError(f"{path}, line {line}: expected {wanted}, received {short(text, 60)}.")
        row = tables.Row(line, cells)
        point = [tables.number(path, row, column, axis, ",") for column, axis in enumerate("xy")]
        points.append([np.nan, np.nan] if any(map(np.isnan, point)) else point)
        if len(points) > MAX_LANDMARKS:
            raise DatasetError(f"{path}, line {line}: expected at most {MAX_LANDMARKS:,} landmarks.")
    if expected.names is not None and len(points) != len(expected.names):
        raise DatasetError(f"{path}: expected {len(expected.names)} lines x,y, received {len(points)}. Is the file cut short?")
    if not points:
        raise DatasetError(f"{path}: expected lines x,y, found none.")
    return Annotations({(image_id := identities.of_file(path, ENDINGS)): np.array(points)}, {image_id: 1}, None, "pixel")


def recognises(path: Path, head: bytes) -> bool:
    """Whether the first lines of a file are two numbers each, with one whole number per line below them at most."""
    lines = [line.strip() for line in head.decode("utf-8-sig", errors="replace").splitlines() if line.strip()]
    if len(head) == 2**16:
        lines = lines[:-1]
    number = r"([+-]?\d+(\.\d*)?([eE][+-]?\d+)?|nan|NaN)"
    kinds = "".join(
        "p" if re.fullmatch(rf"{number}(\s*,\s*|\s+){number}", line) else "d" if re.fullmatch(r"\d{1,2}", line) else "?" for line in lines
    )
    return re.fullmatch(r"p+d*", kinds) is not None


def write(path: Path, annotations: Annotations, facts: Mapping[str, ImageFacts]) -> None:
    """Write the landmarks of one image. Missing points are ``nan,nan``, for which the challenge has no rule.

    Raises:
        DatasetError: the points have three dimensions.
        WriteError: the file cannot be written.
    """
    (points,) = annotations.points.values()
    if points.shape[1] != 2:
        raise DatasetError(f"{path}: ISBI text files hold points of 2D images. Choose another format, such as slicer.")
    lacking = np.isnan(points).any(axis=1)
    lines = ["nan,nan" if gone else ",".join(map(_text, point)) for point, gone in zip(points.tolist(), lacking, strict=True)]
    files.write_text(path, "\n".join(lines) + "\n")


def _text(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    for line, text in enumerate(tables.read_text(path, MAX_BYTES).split("\n"), start=1):
        if len(text) > MAX_LINE:
            raise DatasetError(f"{path}, line {line}: expected x,y of a landmark, received {len(text):,} characters.")
        if text.strip():
            yield line, text.strip()


ISBI = AnnotationFormat(
    name="isbi",
    endings=ENDINGS,
    description="ISBI 2015 cephalograms: a line `x,y` per landmark, one file per image",
    read=read,
    write=write,
    per_image=True,
    recognises=recognises,
    writes="pixel",
    rank=62,
)
