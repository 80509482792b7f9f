"""Points files of the iBUG 300-W challenge: one file per image, pixels counted from 1."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from scn_tf.data.annotations import identities, tables
from scn_tf.data.annotations.gathering import MAX_LANDMARKS, flat, only_id
from scn_tf.data.annotations.row import AnnotationFormat, Annotations, Expected
from scn_tf.data.images.facts import ImageFacts
from scn_tf.errors import DatasetError
from scn_tf.messages import short
from scn_tf.storage import files

ENDINGS = (".pts",)
VERSION = "1"
MAX_BYTES, MAX_LINE = 2**21, 200  # of a file; characters


def read(path: Path, expected: Expected) -> Annotations:
    """Read the points of one image: ``version: 1``, ``n_points: N``, and N lines ``x y`` between braces.

    The challenge counts the first pixel as 1, as MATLAB does, so the frame is "one-based". Points have no names. There is no point if
    its coordinates are ``nan``.

    Raises:
        DatasetError: a line is malformed, the number of points is another than stated or expected, or the file is cut short.
    """
    lines = _lines(path)
    count = _stated_count(path, lines)
    if expected.names is not None and count != len(expected.names):
        raise DatasetError(f"{path}: expected {len(expected.names)} points, received n_points: {count}.")
    points: list[list[float]] = []
    for line, text in lines:
        if text == "}":
            break
        cells = text.split()
        if len(cells) != 2:
            raise DatasetError(f"{path}, line {line}: expected x y of point {len(points) + 1} of {count}, received {short(text, 60)}.")
        point = [tables.number(path, tables.Row(line, cells), column, axis, " ") for column, axis in enumerate("xy")]
        points.append([np.nan, np.nan] if any(map(np.isnan, point)) else point)
        if len(points) > count:
            raise DatasetError(f"{path}, line {line}: expected {count} points as n_points states, received more.")
    else:
        raise DatasetError(f"{path}: ends after {len(points)} of {count} points, without a last line }}. Is the file cut short?")
    if len(points) != count:
        raise DatasetError(f"{path}, line {line}: expected {count} points as n_points states, received {len(points)}.")
    for line, text in lines:
        raise DatasetError(f"{path}, line {line}: expected nothing below the points, received {short(text, 60)}.")
    image_id = identities.of_file(path, ENDINGS)
    return Annotations({image_id: np.array(points)}, {image_id: 1}, None, "one-based")


def recognises(path: Path, head: bytes) -> bool:
    """Whether a file begins with a version or a number of points. Point clouds with the same ending do not."""
    return re.match(rb"(\xef\xbb\xbf)?\s*(version|n_points)\s*:", head) is not None


def write(path: Path, annotations: Annotations, facts: Mapping[str, ImageFacts]) -> None:
    """Write the points of one image. Missing ones are ``nan nan``, for which the challenge has no rule.

    Raises:
        DatasetError: there are several images, or their points have three coordinates.
        WriteError: the file cannot be written.
    """
    points = annotations.points[only_id(path, flat(path, annotations, "pts"))]
    lines = ["nan nan" if not np.isfinite(point).all() else f"{point[0]!r} {point[1]!r}" for point in points.tolist()]
    files.write_text(path, "\n".join([f"version: {VERSION}", f"n_points: {len(points)}", "{", *lines, "}"]) + "\n")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    for line, text in enumerate(tables.read_text(path, MAX_BYTES).split("\n"), start=1):
        if len(text) > MAX_LINE:
            raise DatasetError(f"{path}, line {line}: expected at most {MAX_LINE} characters, received {len(text):,}.")
        if text.strip():
            yield line, text.strip()


def _stated_count(path: Path, lines: Iterator[tuple[int, str]]) -> int:
    """Number of points that the lines above the points state. The brace is read, too."""
    stated: dict[str, str] = {}
    for line, text in lines:
        if text == "{":
            break
        key, colon, value = (part.strip() for part in text.partition(":"))
        if not colon or key not in ("version", "n_points") or key in stated:
            raise DatasetError(f"{path}, line {line}: expected version:, n_points: and {{, once each, received {short(text, 60)}.")
        if key == "version" and value != VERSION:
            raise DatasetError(f"{path}, line {line}: expected version: {VERSION}, received {short(value, 40)}.")
        if key == "n_points" and not (value.isascii() and value.isdigit() and len(value) < 6 and 0 < int(value) <= MAX_LANDMARKS):
            raise DatasetError(f"{path}, line {line}: expected n_points: from 1 to {MAX_LANDMARKS:,}, received {short(value, 40)}.")
        stated[key] = value
    else:
        raise DatasetError(f"{path}: expected a line {{ above the points, found none. Is the file cut short?")
    missing = next((key for key in ("version", "n_points") if key not in stated), None)
    if missing is not None:
        raise DatasetError(f"{path}, line {line}: expected a line {missing}: above it, found none.")
    return int(stated["n_points"])


PTS = AnnotationFormat(
    name="pts",
    endings=ENDINGS,
    description="iBUG 300-W: `version: 1`, `n_points: N`, N lines `x y` in braces, one file per image, counted from 1",
    read=read,
    write=write,
    per_image=True,
    recognises=recognises,
    writes="one-based",
    rank=66,
)
