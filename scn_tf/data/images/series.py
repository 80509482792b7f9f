"""DICOM series: the slices of a folder as one volume."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from scn_tf.data.images.image import ImageError, Stored, check_count, frame

SHOWN = 4  # names in a message
MOST_SLICES = 2**14


class Slice(NamedTuple):
    """What a file states of its slice."""

    path: Path
    series: str
    size: tuple[int, int, int]  # columns, rows, samples
    spacing: tuple[float, float] | None
    directions: np.ndarray
    place: np.ndarray | None


def dicom_files(folder: Path) -> list[Path]:
    """The files of a folder that begin as DICOM files do, in order."""
    found = []
    for path in sorted(folder.iterdir()):
        if path.is_file() and not path.name.startswith(".") and _begins_as_dicom(path):
            found.append(path)
    return found


def is_series(path: Path) -> bool:
    """Whether a path is a folder with DICOM files in it."""
    return path.is_dir() and any(map(_begins_as_dicom, (inside for inside in path.iterdir() if inside.is_file())))


def _begins_as_dicom(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def read(folder: Path) -> Stored:
    """:class:`Stored` of the one series of a folder, sorted by the places of its slices.

    Raises:
        ImageError: no series, several of them, gaps, two slices at one place, slices of different sizes; or see
            :func:`scn_tf.data.images.dicom.read`.
    """
    from scn_tf.data.images import dicom, dicom_frames  # pydicom takes a third of a second, which most images do not need

    name = str(folder)
    paths = [path for path in dicom_files(folder) if path.name.upper() != "DICOMDIR"]
    if not paths:
        raise ImageError(f"{folder}: holds no DICOM files.")
    if len(paths) > MOST_SLICES:
        raise ImageError(f"{folder}: holds more than {MOST_SLICES} DICOM files.")
    if len(paths) == 1:
        return dicom.read(paths[0])
    slices = [_slice(path) for path in paths]
    first = slices[0]
    _check_alike(slices, name)
    order, between = dicom_frames.stack([one.place for one in slices], first.directions, [one.path.name for one in slices], name)
    columns, rows, samples = first.size
    check_count(columns * rows * samples * len(slices), name, planes=len(slices))
    arrays = [dicom.read(slices[number].path).array for number in order]
    spacing = None if first.spacing is None else (*first.spacing, between)
    matrix = None if spacing is None else frame(slices[order[0]].place, spacing, first.directions, name)
    return Stored(np.concatenate(arrays), spacing, matrix)


def _slice(path: Path) -> Slice:
    from scn_tf.data.images import dicom, dicom_frames  # pydicom takes a third of a second, which most images do not need

    data = dicom.open_file(path, headers=True)
    if int(data.get("NumberOfFrames") or 1) > 1:
        raise ImageError(f"{path}: holds several frames beside other files of its folder; name it by itself.")
    if not data.get("Rows") or not data.get("Columns"):
        raise ImageError(f"{path}: is a DICOM file without an image; move it out of the folder.")
    size = int(data.Columns), int(data.Rows), int(data.get("SamplesPerPixel", 1) or 1)
    series = str(data.get("SeriesInstanceUID", ""))
    return Slice(
        path, series, size, dicom_frames.pixel_spacing(data), dicom_frames.orientation(data, 0, str(path)), dicom_frames.position(data, 0)
    )


def _check_alike(slices: list[Slice], name: str) -> None:
    """Refuse slices that do not make one volume, by the names of the files that differ."""
    first = slices[0]
    by_series: dict[str, list[str]] = {}
    for one in slices:
        by_series.setdefault(one.series, []).append(one.path.name)
    if len(by_series) > 1:
        listed = "; ".join(f"{series or 'no series'}: {_listed(names)}" for series, names in list(by_series.items())[:SHOWN])
        raise ImageError(f"{name}: holds {len(by_series)} DICOM series ({listed}); put each into a folder of its own.")
    differing = [
        ("size", [one for one in slices if one.size != first.size]),
        ("pixel size", [one for one in slices if not _equal(one.spacing, first.spacing)]),
        ("orientation", [one for one in slices if not np.allclose(one.directions, first.directions, atol=1e-3)]),
    ]
    for what, others in differing:
        if others:
            raise ImageError(
                f"{name}: {_listed([one.path.name for one in others])} differ in {what} from {first.path.name}; "
                "put each set of slices into a folder of its own."
            )
    if without := [one.path.name for one in slices if one.place is None]:
        raise ImageError(f"{name}: {_listed(without)} state no place (ImagePositionPatient), so their order is not known.")


def _equal(first: tuple[float, float] | None, second: tuple[float, float] | None) -> bool:
    return first is second or (first is not None and second is not None and np.allclose(first, second, rtol=1e-3))


def _listed(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} others" if len(names) > SHOWN else "")
