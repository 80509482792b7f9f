"""Annotations of a data set: choose the format, read the file, check the result."""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from scn_tf.data import endings
from scn_tf.data.annotations.absence import absent_of
from scn_tf.data.annotations.conversion import converted
from scn_tf.data.annotations.order import common_order
from scn_tf.data.annotations.row import DATASET_FRAMES, AnnotationFormat, Annotations, Expected
from scn_tf.errors import DatasetError, DataWarning, MissingExtra
from scn_tf.messages import cut, visible
from scn_tf.presence import known
from scn_tf.registry import Registry
from scn_tf.types import Array

DEFAULT = "scn"
HEAD = 2**16  # bytes by which a format is recognised
ANNOTATIONS = Registry("annotation format", AnnotationFormat, home="scn_tf.data.annotations.formats", group="scn_tf.annotation_formats")


def register_annotation_format(row: AnnotationFormat) -> None:
    """Add a format for this program. Installed packages declare entry points in the group ``scn_tf.annotation_formats`` instead.

    Raises:
        ConfigError: the row is not an :class:`AnnotationFormat`, or its name is taken.
    """
    ANNOTATIONS.register(row)


def format_of(path: Path, name: str | None = None) -> AnnotationFormat:
    """Format of a name. Without a name: the one that recognises the file, else by the longest matching ending, else the default."""
    if name is not None:
        return ANNOTATIONS[name]
    return endings.fitting(recognised(path), path) or endings.fitting(ANNOTATIONS.values(), path) or ANNOTATIONS[DEFAULT]


def read_annotations(path: Path, expected: Expected, *, coordinates: str, name: str | None = None) -> Annotations:
    """Read the annotations of a data set.

    Args:
        path: the file, or the folder of a format that has one file per image.
        expected: what the data set states.
        coordinates: ``"pixel"`` or ``"physical"``, as stated in ``dataset.yaml``.
        name: name of the format; None: chosen by the ending of the path.

    Returns:
        :class:`Annotations` with the landmarks in the order of ``expected``. ``absent`` has every image.

    Raises:
        DatasetError: the file is missing or malformed, or its landmarks or coordinates differ from those of ``dataset.yaml``.
        ConfigError: the format is unknown, or its plug-in cannot be imported.
    """
    row = format_of(path, name)
    if not os.path.exists(path):  # pathlib's raises for a name that is too long
        raise DatasetError(
            f"{path}: no such file; expected the table of the landmarks, here or at the paths of raters or annotations in dataset.yaml."
        )
    found = read_any(path, expected, row)
    if found.frame == "one-based":
        found = converted(found, "pixel", {})
    found = _checked(found, expected, coordinates, row, path)
    _warn_of_placeholders(path, found.points)
    return found


def read_any(path: Path, expected: Expected, row: AnnotationFormat) -> Annotations:
    """Read a file of a format, or of a per-image format also a folder, as they stand: no frame is converted, no order changed.

    Raises:
        DatasetError: the file is missing or malformed, or two files are of one image.
    """
    if not (row.per_image and os.path.isdir(path)):
        return _read(row, path, expected)
    inside = [found for found in sorted(path.iterdir()) if found.name.lower().endswith(row.endings) and found.is_file()]
    if not inside:
        raise DatasetError(f"{path}: expected files of format {row.name} ({', '.join(row.endings)}), found none.")
    return merged([(found, _read(row, found, expected)) for found in inside])


def recognised(path: Path) -> list[AnnotationFormat]:
    """Formats of which a file may be, by its ending and first bytes. Empty: no annotation file; several: it does not tell."""
    name = path.name.lower()
    rows = [row for row in ANNOTATIONS.values() if name.endswith(row.endings)]
    if not rows or not path.is_file():
        return []
    try:
        with open(path, "rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror}).") from None
    return [row for row in rows if row.recognises is None or row.recognises(path, head)]


def merged(parts: Sequence[tuple[Path, Annotations]]) -> Annotations:
    """One set of annotations from several files. Landmarks that a file does not name are not annotated in its images.

    Raises:
        DatasetError: two files are of one image, or they differ in frame, dimension or number of unnamed landmarks.
    """
    first_path, first = parts[0]
    unnamed = first.names is None
    names = common_order(part.names or () for _, part in parts)
    columns = {name: column for column, name in enumerate(names)}
    # An image without objects may have a file without points.
    count = next((len(points) for _, part in parts for points in part.points.values()), 0) if unnamed else len(names)
    found = Annotations({}, {}, None if unnamed else tuple(names), first.frame)
    dims = next((points.shape[1] for _, part in parts for points in part.points.values()), 0)
    for path, part in parts:
        if part.frame != first.frame or (part.names is None) != unnamed:
            raise DatasetError(f"{path}: states another frame of its coordinates, or other names, than {first_path.name}.")
        for image_id, points in part.points.items():
            if image_id in found.points:
                raise DatasetError(f"{path}: a second file for image {cut(visible(image_id), 60)}, after {found.sources[image_id].name}.")
            if points.shape[1] != dims or (unnamed and len(points) != count):
                raise DatasetError(
                    f"{path}: expected {count} landmarks of {dims} coordinates as in {first_path.name}, received {points.shape}."
                )
            own = list(range(count)) if unnamed else [columns[name] for name in part.names or ()]
            if image_id in part.absent:
                found.absent[image_id] = np.zeros(count, bool)
                found.absent[image_id][own] = part.absent[image_id]
            for target, values in ((found.points, points), (found.scores, part.scores.get(image_id))):
                if values is not None:
                    target[image_id] = np.full((count, *values.shape[1:]), np.nan)
                    target[image_id][own] = values
            found.rows[image_id], found.sources[image_id] = part.rows.get(image_id, 1), path
        found.images.update(part.images)
        found.sizes.update(part.sizes)
    return found


def _read(row: AnnotationFormat, path: Path, expected: Expected) -> Annotations:
    try:
        return row.read(path, expected)
    except (DatasetError, MissingExtra, Warning, MemoryError):  # warnings that the program that uses us has turned into errors
        raise
    except Exception as error:  # a plug-in's reader may raise anything
        reason = visible(str(error))[:200]
        raise DatasetError(f"{path}: cannot be read as annotations of format {row.name} ({type(error).__name__}: {reason}).") from None


def _checked(found: Annotations, expected: Expected, coordinates: str, row: AnnotationFormat, path: Path) -> Annotations:
    """Annotations in the order of the data set, with NaN in every coordinate of what is no point, and a mask of absent landmarks."""
    if not found.points:
        raise DatasetError(f"{path}: the table is empty.")
    if found.frame not in DATASET_FRAMES:
        counted = {"bottom": "pixels counted from the bottom", "fraction": "fractions of the image"}[found.frame]
        raise DatasetError(f"{path}: its coordinates are {counted}. Make a data set of the file with scn-tf init.")
    if found.frame not in ("stated", coordinates):
        raise DatasetError(f"{path}: its coordinates are {found.frame}, but dataset.yaml says coordinates: {coordinates}.")
    names, dims = known(expected.names), known(expected.dims)
    order = _order(found.names, names, path)
    shape = len(names), dims
    points: dict[str, Array] = {}
    absent: dict[str, Array] = {}
    for image_id, values in found.points.items():
        numbers = np.array(values, "float64")
        if numbers.shape != shape:
            raise DatasetError(
                f"{path}, line {found.rows.get(image_id, 1)} ({cut(visible(image_id), 40)}): expected {shape[0]} landmarks of {shape[1]} "
                f"coordinates, received an array {numbers.shape} from the reader of {row.name}."
            )
        numbers = numbers[order]
        # Half a point is a mistake, and says nothing of where the landmark is.
        empty = np.isnan(numbers).all(axis=1)
        absent[image_id] = empty if expected.empty == "absent" else empty & absent_of(found, image_id)[order]
        # Nor is it a point; an infinite one neither.
        numbers[~np.isfinite(numbers).all(axis=1)] = np.nan
        points[image_id] = numbers
    return Annotations(points, {image_id: found.rows.get(image_id, 1) for image_id in points}, names, found.frame, absent=absent)


def _order(found: tuple[str, ...] | None, names: tuple[str, ...], path: Path) -> list[int]:
    """Positions in the file of a data set's landmarks. A set without names takes the file's order."""
    if found is None or (len(found) == len(names) and names == tuple(map(str, range(len(names))))):
        return list(range(len(names)))
    if sorted(found) != sorted(names):
        missing, other = sorted({*names} - {*found}), sorted({*found} - {*names})
        listed = " and ".join(f"{what} {cut(visible(', '.join(some)), 80)}" for what, some in (("lacks", missing), ("has", other)) if some)
        raise DatasetError(f"{path}: expected the landmarks of dataset.yaml; it {listed or 'names one twice'}.")
    return [found.index(name) for name in names]


def _warn_of_placeholders(path: Path, landmarks: dict[str, Array]) -> None:
    """Warn about repeated points such as 0,0 or -1,-1, which other programs write for landmarks without a place."""
    points = np.concatenate(list(landmarks.values()))
    suspects = points[(points <= 0).all(axis=1) & (points == points[:, :1]).all(axis=1) & (points == np.rint(points)).all(axis=1)]
    for value, times in zip(*np.unique(suspects[:, 0], return_counts=True), strict=True):
        if times > 1:
            place = ",".join([f"{value:g}"] * points.shape[1])
            warnings.warn(
                f"{path}: {times} landmarks lie at {place}, and count as found there. If they are not, leave their fields empty, or write "
                "absent in them if they are not in the image.",
                DataWarning,
                stacklevel=4,
            )
