"""Geometry of DICOM files: pixel size, orientation and position of single images, frames and slices."""

import math
from collections.abc import Sequence

import numpy as np
import pydicom

from scn_tf.data.images.image import MAX_MM, frame
from scn_tf.errors import ImageError

# PixelSpacing, which is in the patient where it differs from the others; ImagerPixelSpacing; NominalScannedPixelSpacing.
SPACING = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
ROUNDED = 0.02  # by which directions may differ from length 1
TIME = {0x00181063, 0x00181065}  # tags FrameTime and FrameTimeVector
EVEN = 0.02  # how much the distances of neighbouring slices may differ, as a share of their median


def functional_group(data: pydicom.Dataset, number: int, key: str) -> pydicom.Dataset | None:
    """Functional group of a frame, its own or the shared one."""
    own, shared = data.get("PerFrameFunctionalGroupsSequence"), data.get("SharedFunctionalGroupsSequence")
    for groups, index in ((own, number), (shared, 0)):
        if groups and index < len(groups) and groups[index].get(key):
            return groups[index][key][0]
    return None


def pixel_spacing(data: pydicom.Dataset) -> tuple[float, float] | None:
    """Pixel size in mm (x, y) from the first tag that states it, at top level or in the functional groups. None if no tag does."""
    places = [data.get(key) for key in SPACING]
    if (measures := functional_group(data, 0, "PixelMeasuresSequence")) is not None:
        places.insert(0, measures.get("PixelSpacing"))
    for value in places:
        try:
            row, column = map(float, value)  # from row to row first: y, x
        except (TypeError, ValueError):
            continue
        if 0 < row < MAX_MM and 0 < column < MAX_MM:
            return column, row
    return None


def pixel_aspect(data: pydicom.Dataset, spacing: tuple[float, ...] | None, name: str) -> tuple[float, float]:
    """(height, width) of a pixel by PixelAspectRatio, (1, 1) without one. A contradiction to the pixel size is refused."""
    try:
        height, width = map(float, data.get("PixelAspectRatio") or (1, 1))
    except (TypeError, ValueError):
        raise ImageError(f"{name}: states a PixelAspectRatio of {str(data.PixelAspectRatio)[:40]}.") from None
    if not (0 < height < 1e6 and 0 < width < 1e6):
        raise ImageError(f"{name}: states a PixelAspectRatio of {height:g} to {width:g}.")
    if spacing is None:
        return height, width
    if "PixelAspectRatio" in data and not math.isclose(height * spacing[0], width * spacing[1], rel_tol=0.01):
        size = f"{spacing[0]:g} x {spacing[1]:g} mm"
        raise ImageError(f"{name}: its PixelAspectRatio ({height:g} to {width:g}) contradicts its pixel size ({size}).")
    return 1.0, 1.0


def orientation(data: pydicom.Dataset, number: int, name: str) -> np.ndarray:
    """Directions (3, 3) of x, y and the normal of a frame, as columns. The identity if none are stated."""
    group = functional_group(data, number, "PlaneOrientationSequence")
    value = (data if group is None else group).get("ImageOrientationPatient")
    if not value:
        return np.eye(3)
    numbers = np.array([float(one) for one in value])
    if numbers.shape != (6,) or not np.isfinite(numbers).all():
        raise ImageError(f"{name}: states an ImageOrientationPatient of {str(value)[:80]}.")
    lengths = np.linalg.norm(numbers.reshape(2, 3), axis=1)
    # Cosines of few decimals are not quite of length 1.
    x, y = numbers.reshape(2, 3) / np.where(np.abs(lengths - 1) < ROUNDED, lengths, 1.0)[:, None]
    return frame(np.zeros(3), np.ones(3), np.column_stack([x, y, np.cross(x, y)]), name)[:3, :3]


def position(data: pydicom.Dataset, number: int) -> np.ndarray | None:
    """Position (3,) in mm of the first pixel of a frame; None if it is not stated."""
    group = functional_group(data, number, "PlanePositionSequence")
    try:
        place = np.array([float(one) for one in (data if group is None else group).ImagePositionPatient])
    except (AttributeError, TypeError, ValueError):
        return None
    return place if place.shape == (3,) and np.isfinite(place).all() else None


def stack(places: Sequence[np.ndarray], directions: np.ndarray, names: Sequence[str], name: str) -> tuple[np.ndarray, float]:
    """(order of slices along their normal, distance of neighbours in mm).

    Args:
        places: position (3,) in mm of the first pixel of each slice.
        directions: (3, 3), see :func:`orientation`.
        names: names of the slices, for messages.
        name: name of the volume.

    Raises:
        ImageError: two slices have one position, there are gaps, or slices are shifted against each other.
    """
    points = np.array(places)
    along = points @ directions[:, 2]
    order = np.argsort(along, kind="stable")
    steps = np.diff(along[order])
    median = float(np.median(steps))
    for number, step in enumerate(steps):
        first, second = names[order[number]], names[order[number + 1]]
        if step < 1e-3 * max(median, 1e-3):
            raise ImageError(
                f"{name}: {first} and {second} lie at one place: a copy, another time or another echo; keep one volume per folder."
            )
        if abs(step - median) > EVEN * median:
            raise ImageError(f"{name}: slices are missing or uneven: {first} and {second} are {step:.4g} mm apart, others {median:.4g} mm.")
    shifts = (points[order] - points[order[0]]) @ directions[:, :2]
    if np.abs(shifts).max() > EVEN * max(median, 1e-3) + 0.01:
        raise ImageError(f"{name}: its slices are shifted against each other (tilted gantry); resample it to perpendicular axes.")
    return order, float((along[order[-1]] - along[order[0]]) / (len(order) - 1))


def geometry(data: pydicom.Dataset, count: int, name: str) -> tuple[np.ndarray, tuple[float, ...] | None, np.ndarray | None]:
    """(order of the frames, spacing, frame); see :func:`scn_tf.data.images.dicom.file.read`."""
    plane, unchanged = pixel_spacing(data), np.arange(count)
    directions = orientation(data, 0, name)
    places = [position(data, number) for number in range(count)]
    if count == 1:
        spacing = None if plane is None else (*plane, 1.0)  # a plane has no third side
        place = np.zeros(3) if places[0] is None else places[0]
        return unchanged, spacing, None if spacing is None else frame(place, spacing, directions, name)
    if (pointer := data.get("FrameIncrementPointer")) is not None and {int(tag) for tag in np.atleast_1d(pointer)} & TIME:
        raise ImageError(f"{name}: its {count} frames follow each other in time; save the frame to use as an image of its own.")
    offsets = data.get("GridFrameOffsetVector")
    if offsets is not None and len(offsets) == count and places[0] is not None:  # of a dose
        places = [places[0] + (float(offset) - float(offsets[0])) * directions[:, 2] for offset in offsets]
    elif functional_group(data, 0, "PlanePositionSequence") is None:  # frames in time, or of a kind that states no places
        between = float(data.get("SpacingBetweenSlices") or 0.0)
        spacing = (*plane, between) if plane is not None and 0 < between < MAX_MM else None
        place = np.zeros(3) if places[0] is None else places[0]
        return unchanged, spacing, None if spacing is None else frame(place, spacing, directions, name)
    names = [f"frame {number + 1}" for number in range(count)]
    stated = [place for place in places if place is not None]
    if len(stated) < count:
        raise ImageError(f"{name}: states no place for {names[next(n for n, place in enumerate(places) if place is None)]}.")
    if not all(np.allclose(orientation(data, number, name), directions, atol=1e-3) for number in range(count)):
        raise ImageError(f"{name}: its frames are turned against each other; save those of one orientation by themselves.")
    order, between = stack(stated, directions, names, name)
    spacing = None if plane is None else (*plane, between)
    return order, spacing, None if spacing is None else frame(stated[order[0]], spacing, directions, name)
