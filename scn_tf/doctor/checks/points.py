"""Places of landmarks: outside, placeholders, two in one place."""

from collections.abc import Iterator

import numpy as np

from scn_tf import geometry
from scn_tf.data import frames
from scn_tf.data.dataset import FEW_OUTSIDE
from scn_tf.data.images import Image
from scn_tf.doctor import surroundings
from scn_tf.doctor.finding import Check, Found
from scn_tf.doctor.inspection import Inspection, placeholders, without_placeholders
from scn_tf.doctor.picture import Picture
from scn_tf.presence import known
from scn_tf.types import Array

NAMED = 3  # landmarks that a message names
USUAL = 0.2  # share of the images in which two landmarks have one place, so that it is no mistake


def _outside(inspection: Inspection, *, far: bool) -> Iterator[Found]:
    """Images with landmarks outside. ``far``: those that a training refuses, else the others."""
    for image_id in inspection.ids:
        if image_id in inspection.causes or inspection.better_frame is not None:
            continue
        picture, own = inspection.pictures[image_id], without_placeholders(inspection.folder.landmarks[image_id])
        size = known(picture.size)
        points = geometry.apply(surroundings.own_frame(picture, inspection.coordinates), own)
        with np.errstate(invalid="ignore"):
            outside = np.flatnonzero(((points < -0.5) | (points > size - 0.5)).any(axis=1))
            beyond = ((points < -size) | (points > 2 * size)).any()
        refused = beyond or len(outside) > max(np.isfinite(points).all(axis=1).sum() / 2, FEW_OUTSIDE)
        if not len(outside) or refused != far:
            continue
        names = [inspection.names[number] for number in outside]
        image = " x ".join(str(int(side)) for side in size)
        place = np.round(points[outside[0]], 1).tolist()
        hint = frames.likely_frame(_empty(picture), own[np.isfinite(own).all(axis=1)], inspection.coordinates)
        message = (
            f"{inspection.line(image_id)}: {_listed(inspection, outside)} outside the image of {image} pixels "
            f"(the first at {place}). {hint}"
        )
        yield Found(message, image_id, names[0] if len(names) == 1 else None)


def _listed(inspection: Inspection, numbers: Array) -> str:
    """``tip lies``, ``tip and base lie``, ``5 landmarks lie``."""
    if len(numbers) > NAMED:
        return f"{len(numbers)} landmarks lie"
    return f"{' and '.join(inspection.landmark(number) for number in numbers.tolist())} {'lies' if len(numbers) == 1 else 'lie'}"


def _empty(picture: Picture) -> Image:
    """An image of the same frame whose pixels take no memory."""
    array = np.broadcast_to(np.float32(0), (*known(picture.size)[::-1].astype(int), 1))
    return Image(array, picture.spacing, picture.physical_from_array, known(picture.file_from_array))


def _placeholders(inspection: Inspection) -> Iterator[Found]:
    for image_id, points in inspection.folder.landmarks.items():
        for number in np.flatnonzero(placeholders(points)).tolist():
            place = ",".join(f"{value:g}" for value in points[number])
            message = f"{inspection.landmark(number)} lies at {place}, and counts as found there."
            yield Found(f"{inspection.line(image_id)}: {message}", image_id, inspection.names[number])


def _same_point(inspection: Inspection) -> Iterator[Found]:
    table = {image_id: without_placeholders(points) for image_id, points in inspection.folder.landmarks.items()}
    pairs: dict[tuple[int, int], list[str]] = {}
    for image_id, points in table.items():
        places: dict[tuple[float, ...], int] = {}
        for number in np.flatnonzero(np.isfinite(points).all(axis=1)).tolist():
            first = places.setdefault(tuple(points[number].tolist()), number)
            if first != number:
                pairs.setdefault((first, number), []).append(image_id)
    for (first, second), ids in pairs.items():
        if len(ids) > max(1, USUAL * len(table)):
            continue
        for image_id in ids:
            names = f"{inspection.landmark(first)} and {inspection.landmark(second)}"
            yield Found(f"{inspection.line(image_id)}: {names} have one place.", image_id, inspection.names[second])


PIXEL_FRAME = "x from the left and y from the top, in pixels of the file"
FAR_OUTSIDE = Check(
    "far_outside", "error", "landmarks lie far outside their image, or most of them outside: training refuses it",
    f"Correct them: {PIXEL_FRAME}. Were they set on a copy of another size?", lambda inspection: _outside(inspection, far=True), rank=13,
)  # fmt: skip
OUTSIDE = Check(
    "outside", "warning", "landmarks lie outside their image: they are trained as absent, but errors count them",
    f"If they are rightly there, write absent in their fields. Else correct them: {PIXEL_FRAME}.",
    lambda inspection: _outside(inspection, far=False), rank=34,
)  # fmt: skip
PLACEHOLDER = Check(
    "placeholder", "warning", "a landmark lies at 0,0 or -1,-1, which other programs write for landmarks without a point",
    "If it is not there, leave its fields empty, or write absent in them if it is not in the image.", _placeholders, rank=34,
)  # fmt: skip
SAME_POINT = Check(
    "same_point", "warning", "two landmarks have exactly the same place in one image",
    "Correct one of them, or leave the fields of the one that is not there empty.", _same_point, rank=40,
)  # fmt: skip
