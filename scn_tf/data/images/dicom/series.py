"""DICOM series: the slices of a folder as one volume."""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scn_tf.data.images.image import Stored, check_count, frame
from scn_tf.data.images.readers.dicom import DICOM
from scn_tf.errors import ImageError
from scn_tf.types import known

SHOWN = 4  # names in a message
MAX_SLICES = 2**14


class Content(NamedTuple):
    """DICOM files of a folder.

    Attributes:
        series: SeriesInstanceUID ("" if none is stated) -> files with one slice each.
        numbers: SeriesInstanceUID -> SeriesNumber, "" if none is stated.
        volumes: files with several frames, which are images by themselves.
        damaged: files whose header cannot be read.
        others: files without an image, such as reports.
    """

    series: dict[str, list[Path]]
    numbers: dict[str, str]
    volumes: list[Path]
    damaged: list[Path]
    others: list[Path]


class Slice(NamedTuple):
    """Facts of a slice, from its file."""

    path: Path
    series: str
    size: tuple[int, int, int]  # columns, rows, samples
    spacing: tuple[float, float] | None
    directions: np.ndarray
    place: np.ndarray | None


def dicom_files(folder: Path) -> list[Path]:
    """DICOM files of a folder, in order.

    They are recognised by their first bytes, or by names like those of the others, since some may be cut short.
    """
    files = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".") and path.is_file()]
    begins = {path for path in files if is_dicom(path)}
    patterns = {_pattern(path) for path in begins} - {"DICOMDIR"}
    return [path for path in files if path in begins or _pattern(path) in patterns]


def _pattern(path: Path) -> str:
    """Common pattern of the names of slices: ``IM#.dcm``."""
    return re.sub(r"\d+", "#", path.name)


def content(folder: Path) -> Content:
    """Sort the DICOM files of a folder by series."""
    found = Content({}, {}, [], [], [])
    for path in dicom_files(folder):
        from scn_tf.data.images.dicom import file  # pydicom takes a third of a second, and most folders hold none

        if path.name.upper() == "DICOMDIR":
            continue
        try:
            data = file.open_file(path, headers=True)
            frames = int(data.get("NumberOfFrames") or 1)
            uid, number = str(data.get("SeriesInstanceUID") or ""), str(data.get("SeriesNumber") or "")
            image = bool(data.get("Rows") and data.get("Columns"))
        except (ImageError, TypeError, ValueError, AttributeError):  # reading it will report what is wrong
            found.damaged.append(path)
            continue
        if not image:
            found.others.append(path)
        elif frames > 1:
            found.volumes.append(path)
        else:
            found.series.setdefault(uid, []).append(path)
            found.numbers.setdefault(uid, number)
    return found


def is_series(path: Path) -> bool:
    """Whether a path is a folder with DICOM files in it."""
    try:
        return path.is_dir() and any(is_dicom(inside) for inside in path.iterdir() if inside.is_file())
    except OSError:  # may not be looked into
        return False


def is_dicom(path: Path) -> bool:
    """Whether a file is DICOM, by its ending or first bytes."""
    if path.name.lower().endswith(DICOM.endings):
        return True
    try:
        with open(path, "rb") as content:
            return DICOM.begins(content.read(DICOM.head_size))
    except OSError:
        return False


def read(folder: Path, uid: str | None = None) -> Stored:
    """Read a series of a folder, sorted by the positions of its slices.

    Args:
        folder: folder with the files.
        uid: SeriesInstanceUID of the series. None: the folder must have a single one.

    Raises:
        ImageError: the folder has no series or several, gaps, two slices at one position or slices of different sizes. Also as in
            :func:`scn_tf.data.images.dicom.file.read`.
    """
    from scn_tf.data.images.dicom import file, frames  # pydicom takes a third of a second, which most images do not need

    name = str(folder)
    if uid is None:
        paths = [path for path in dicom_files(folder) if path.name.upper() != "DICOMDIR"]
    else:
        name, paths = f"{folder}, series {uid}", content(folder).series.get(uid, [])
    if not paths:
        raise ImageError(f"{folder}: holds no DICOM files.")
    if len(paths) > MAX_SLICES:
        raise ImageError(f"{folder}: holds more than {MAX_SLICES} DICOM files.")
    if len(paths) == 1:
        return file.read(paths[0])
    slices = [_slice(path) for path in paths]
    first = slices[0]
    _check_alike(slices, name)
    places = [known(one.place) for one in slices]
    order, between = frames.stack(places, first.directions, [one.path.name for one in slices], name)
    columns, rows, samples = first.size
    check_count(columns * rows * samples * len(slices), name, planes=len(slices))
    array: np.ndarray | None = None
    for index, number in enumerate(order):
        pixels = file.read(slices[number].path).array
        if array is None:
            array = np.empty((len(slices), *pixels.shape[1:]), "float32")  # slices have slopes of their own
        array[index] = pixels[0]
    spacing = None if first.spacing is None else (*first.spacing, between)
    matrix = None if spacing is None else frame(places[order[0]], spacing, first.directions, name)
    return Stored(known(array), spacing, matrix)


def _slice(path: Path) -> Slice:
    from scn_tf.data.images.dicom import file, frames  # pydicom takes a third of a second, which most images do not need

    data = file.open_file(path, headers=True)
    if int(data.get("NumberOfFrames") or 1) > 1:
        raise ImageError(f"{path}: holds several frames beside other files of its folder; name it by itself.")
    if not data.get("Rows") or not data.get("Columns"):
        raise ImageError(f"{path}: is a DICOM file without an image; move it out of the folder.")
    size = int(data.Columns), int(data.Rows), int(data.get("SamplesPerPixel", 1) or 1)
    series = str(data.get("SeriesInstanceUID", ""))
    return Slice(path, series, size, frames.pixel_spacing(data), frames.orientation(data, 0, str(path)), frames.position(data, 0))


def _check_alike(slices: list[Slice], name: str) -> None:
    """Refuse slices that do not form one volume. The message names the files that differ."""
    first = slices[len(slices) // 2]  # rather one of the many than the odd one
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
