"""YOLO pose labels: one text file per image, one line per object, numbers relative to the image's sides."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from scn_tf.data.annotations import identities, tables
from scn_tf.data.annotations.assembly import MAX_LANDMARKS
from scn_tf.data.annotations.row import AnnotationFormat, Annotations, Expected
from scn_tf.data.images.facts import ImageFacts
from scn_tf.errors import DatasetError
from scn_tf.messages import short
from scn_tf.storage import documents, files
from scn_tf.types import Array

ENDINGS = (".txt",)
BOX = 5  # numbers before the keypoints: class, centre and sides of the box
SETTINGS = ("data.yaml", "data.yml", "dataset.yaml")
MAX_BYTES, FARTHEST = 2**20, 3.0  # sides of the image
LIST_OF_CLASSES = "classes.txt"  # which some tools write beside the labels


def read(path: Path, expected: Expected) -> Annotations:
    """Read the keypoints of one image: ``class cx cy w h``, then x and y, and maybe a visibility, of each keypoint.

    ``kpt_shape`` of a ``data.yaml`` in one of the four folders above tells the numbers per keypoint. Without it, their count and values
    do. A keypoint is no point if its visibility is 0, or without visibilities if neither coordinate is positive. Frame: "fraction": the
    numbers times the sides of the image are pixels.

    Raises:
        DatasetError: the file has several objects or no keypoints, or numbers are malformed or far outside the image.
    """
    lines = [(line, text) for line, text in enumerate(tables.read_text(path, MAX_BYTES).split("\n"), start=1) if text.strip()]
    if not lines or path.name.lower() == LIST_OF_CLASSES:
        return Annotations({}, {}, None, "fraction")  # an image without objects
    line, text = lines[0]
    if len(lines) > 1:
        raise DatasetError(f"{path}, line {lines[1][0]}: holds {len(lines)} objects. Expected one per image.")
    cells = text.split()
    row = tables.Row(line, cells)
    values = np.array([tables.number(path, row, column, f"{column + 1}", " ") for column in range(len(cells))])
    shape, names = _stated(path)
    if len(values) <= BOX or not re.fullmatch(r"\d+", cells[0]):
        raise DatasetError(f"{path}, line {line}: expected class cx cy w h and keypoints, received {short(text, 80)}.")
    each = shape[1] if shape else _numbers_per_keypoint(path, values[BOX:], line)
    count = (len(values) - BOX) / each
    wanted = shape[0] if shape else len(expected.names) if expected.names is not None else count
    if count != wanted or not 0 < count <= MAX_LANDMARKS:
        raise DatasetError(
            f"{path}, line {line}: expected {BOX + wanted * each:g} numbers ({wanted:g} keypoints), received {len(values)}. "
            "Is the file cut short?"
        )
    keypoints = values[BOX:].reshape(-1, each)
    points = keypoints[:, :2].copy()
    unseen = keypoints[:, 2] == 0 if each == 3 else (points <= 0).all(axis=1)
    points[unseen | np.isnan(points).any(axis=1)] = np.nan
    if (np.abs(points[np.isfinite(points)]) > FARTHEST).any():
        raise DatasetError(f"{path}, line {line}: expected fractions of the image's sides, received {short(text, 80)}. Are they pixels?")
    return Annotations({(image_id := identities.of_file(path, ENDINGS)): points}, {image_id: line}, names, "fraction")


def recognises(path: Path, head: bytes) -> bool:
    """Whether each line is a class, a box and keypoints, all fractions, separated by blanks."""
    if path.name.lower() == LIST_OF_CLASSES:
        return False
    lines = [line.split() for line in head.decode("utf-8-sig", errors="replace").splitlines() if line.strip()]
    if len(head) == 2**16 and len(lines) > 1:
        lines.pop()
    if not lines:
        return False
    whole = all(re.fullmatch(r"\d+", cells[0]) and len(cells) >= BOX + 2 and all(map(tables.is_number, cells)) for cells in lines)
    return whole and all("," not in cell and 0 <= float(cell) <= 1 for cells in lines for cell in cells[1:BOX])


def write(path: Path, annotations: Annotations, facts: Mapping[str, ImageFacts]) -> None:
    """Write one object of class 0 with a box around its keypoints. Visibility is 2, and 0 for landmarks without a point, which are 0 0.

    Training by Ultralytics needs a ``data.yaml`` with ``kpt_shape: [N, 3]``. It names the folders of its images, so it is not written.

    Raises:
        DatasetError: the points have three dimensions.
        WriteError: the file cannot be written.
    """
    (points,) = annotations.points.values()
    if points.shape[1] != 2:
        raise DatasetError(f"{path}: YOLO files hold points of 2D images. Choose another format, such as slicer.")
    present = np.isfinite(points).all(axis=1)
    if not present.any():
        files.write_text(path, "")
        return
    low, high = points[present].min(axis=0).clip(0, 1), points[present].max(axis=0).clip(0, 1)
    numbers = [0, *((low + high) / 2).tolist(), *(high - low).tolist()]
    for point, seen in zip(points.tolist(), present, strict=True):
        numbers += [*point, 2] if seen else [0, 0, 0]
    files.write_text(path, " ".join(map(repr, numbers)) + "\n")


def _numbers_per_keypoint(path: Path, values: Array, line: int) -> int:
    """2 or 3: if the count allows both, 3 for a third column of visibilities alone."""
    fits = [each for each in (2, 3) if len(values) % each == 0]
    if not fits:
        raise DatasetError(f"{path}, line {line}: expected 2 or 3 numbers per keypoint, received {len(values)}. Is the file cut short?")
    third = values[2::3]
    seen = 3 in fits and bool(np.isin(third, (0, 1, 2)).all())
    return 3 if seen or 2 not in fits else 2


def _stated(path: Path) -> tuple[tuple[int, int] | None, tuple[str, ...] | None]:
    """Number of keypoints, numbers per keypoint, and names of the keypoints as a settings file near the labels states them."""
    folder = path.absolute().parent
    for place in (folder, *list(folder.parents)[:3]):
        for name in SETTINGS:
            if not (place / name).is_file():
                continue
            try:
                values = documents.read_yaml(place / name)
            except documents.DocumentError as error:
                raise DatasetError(f"{place / name}: {error}.") from None
            if not isinstance(values, dict) or "kpt_shape" not in values:
                continue
            shape = values["kpt_shape"]
            if not (isinstance(shape, list) and len(shape) == 2 and all(isinstance(side, int) for side in shape) and shape[1] in (2, 3)):
                raise DatasetError(f"{place / name}: kpt_shape: expected [number of keypoints, 2 or 3], received {short(shape, 60)}.")
            return (shape[0], shape[1]), _names(values.get("kpt_names"), shape[0])
    return None, None


def _names(stated: object, count: int) -> tuple[str, ...] | None:
    """Names of the keypoints of the first class, if they are as many."""
    lists = list(stated.values()) if isinstance(stated, dict) else [stated]
    names = lists[0] if lists else None
    if isinstance(names, list) and len(names) == count and len(set(map(str, names))) == count:
        return tuple(map(str, names))
    return None


YOLO_POSE = AnnotationFormat(
    name="yolo-pose",
    endings=ENDINGS,
    description="YOLO pose labels: `class cx cy w h x1 y1 v1`, one file and one object per image",
    read=read,
    write=write,
    per_image=True,
    recognises=recognises,
    writes="fraction",
    rank=64,
)
