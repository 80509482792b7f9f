"""Annotations of a data set: choose the format, read the file, check the result."""

import os
import warnings
from pathlib import Path

import numpy as np

from scn_tf.data import endings
from scn_tf.data.annotations.row import AnnotationFormat, Annotations, Expected
from scn_tf.errors import DatasetError, DataWarning
from scn_tf.messages import cut, visible
from scn_tf.registry import Registry
from scn_tf.types import Array

DEFAULT = "scn"
ANNOTATIONS = Registry("annotation format", AnnotationFormat, home="scn_tf.data.annotations.formats", group="scn_tf.annotation_formats")


def register_annotation_format(row: AnnotationFormat) -> None:
    """Add a format for this program. Installed packages declare entry points in the group ``scn_tf.annotation_formats`` instead.

    Raises:
        ConfigError: the row is not an :class:`AnnotationFormat`, or its name is taken.
    """
    ANNOTATIONS.register(row)


def format_of(path: Path, name: str | None = None) -> AnnotationFormat:
    """Format of a name; without a name, the one with the longest matching ending, else the default."""
    if name is not None:
        return ANNOTATIONS[name]
    return endings.fitting(ANNOTATIONS.values(), path) or ANNOTATIONS[DEFAULT]


def read_annotations(path: Path, expected: Expected, *, coordinates: str, name: str | None = None) -> Annotations:
    """Read the annotations of a data set.

    Args:
        path: the file, or the folder of a format that has one file per image.
        expected: names and dimension of the landmarks.
        coordinates: ``"pixel"`` or ``"physical"``, as stated in ``dataset.yaml``.
        name: name of the format; None: chosen by the ending of the path.

    Returns:
        :class:`Annotations` with the landmarks in the order of ``expected``.

    Raises:
        DatasetError: the file is missing or malformed, or its landmarks or coordinates differ from those of ``dataset.yaml``.
        ConfigError: the format is unknown, or its plug-in cannot be imported.
    """
    row = format_of(path, name)
    if not os.path.exists(path):  # pathlib's raises for a name that is too long
        raise DatasetError(
            f"{path}: no such file; expected the table of the landmarks, here or at the path of annotations in dataset.yaml."
        )
    found = _checked(_read(row, path, expected), expected, coordinates, row, path)
    _warn_of_placeholders(path, found.points)
    return found


def _read(row: AnnotationFormat, path: Path, expected: Expected) -> Annotations:
    try:
        return row.read(path, expected)
    except (DatasetError, Warning, MemoryError):  # warnings that the program that uses us has turned into errors
        raise
    except Exception as error:  # a plug-in's reader may raise anything
        reason = visible(str(error))[:200]
        raise DatasetError(f"{path}: cannot be read as annotations of format {row.name} ({type(error).__name__}: {reason}).") from None


def _checked(found: Annotations, expected: Expected, coordinates: str, row: AnnotationFormat, path: Path) -> Annotations:
    """Annotations in the order of the data set, with NaN in every coordinate of absent points."""
    if not found.points:
        raise DatasetError(f"{path}: the table is empty.")
    if found.frame not in ("stated", coordinates):
        raise DatasetError(f"{path}: its coordinates are {found.frame}, but dataset.yaml says coordinates: {coordinates}.")
    order = _order(found.names, expected.names, path)
    shape = len(expected.names), expected.dims
    points: dict[str, Array] = {}
    for image_id, values in found.points.items():
        numbers = np.array(values, "float64")
        if numbers.shape != shape:
            raise DatasetError(
                f"{path}, line {found.rows.get(image_id, 1)} ({cut(visible(image_id), 40)}): expected {shape[0]} landmarks of {shape[1]} "
                f"coordinates, received an array {numbers.shape} from the reader of {row.name}."
            )
        numbers = numbers[order]
        # Half a point is no point; an infinite one neither.
        numbers[~np.isfinite(numbers).all(axis=1)] = np.nan
        points[image_id] = numbers
    return Annotations(points, {image_id: found.rows.get(image_id, 1) for image_id in points}, expected.names, found.frame)


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
    """Warn about repeated points such as 0,0 or -1,-1, which other programs write for absent landmarks."""
    points = np.concatenate(list(landmarks.values()))
    suspects = points[(points <= 0).all(axis=1) & (points == points[:, :1]).all(axis=1) & (points == np.rint(points)).all(axis=1)]
    for value, times in zip(*np.unique(suspects[:, 0], return_counts=True), strict=True):
        if times > 1:
            place = ",".join([f"{value:g}"] * points.shape[1])
            warnings.warn(
                f"{path}: {times} landmarks lie at {place}, and count as found there. If they are absent, leave their fields empty.",
                DataWarning,
                stacklevel=4,
            )
