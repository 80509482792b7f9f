"""Landmarks: outside, placeholders, in another frame or unit, mirrored, exchanged, shifted, displaced."""

from collections.abc import Callable, Iterator

import numpy as np

from scn_tf import geometry
from scn_tf.data import evidence, frames
from scn_tf.data.dataset import FEW_OUTSIDE
from scn_tf.data.images import Image
from scn_tf.doctor import surroundings
from scn_tf.doctor.finding import Check, Found, Severity
from scn_tf.doctor.folder import shown
from scn_tf.doctor.inspection import Inspection, placeholders, without_placeholders
from scn_tf.doctor.picture import Picture
from scn_tf.messages import cut
from scn_tf.presence import known
from scn_tf.types import Array

USUAL = 0.2  # share of the images in which two landmarks have one place, so that it is no mistake
FRAME_KINDS = {"reverse": "xy_exchanged", "negate": "other_frame", "corner": "unit"}


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
            refused = ((points < -size) | (points > 2 * size)).any() or len(outside) > max(np.isfinite(points).all(axis=1).sum() / 2, FEW_OUTSIDE)
        if not len(outside) or refused != far:
            continue
        names = [inspection.names[number] for number in outside]
        image = " x ".join(str(int(side)) for side in size)
        place = np.round(points[outside[0]], 1).tolist()
        hint = frames.likely_frame(_empty(picture), own[np.isfinite(own).all(axis=1)], inspection.coordinates)
        message = (
            f"{inspection.line(image_id)}: {cut(shown(', '.join(names)), 120)} outside the image of {image} pixels "
            f"(the first at {place}). {hint}"
        )
        yield Found(message, image_id, names[0] if len(names) == 1 else None)


def _empty(picture: Picture) -> Image:
    """An image of the same frame whose pixels take no memory."""
    array = np.broadcast_to(np.float32(0), (*known(picture.size)[::-1].astype(int), 1))
    return Image(array, picture.spacing, picture.physical_from_array, known(picture.file_from_array))


def _placeholders(inspection: Inspection) -> Iterator[Found]:
    for image_id, points in inspection.folder.landmarks.items():
        for number in np.flatnonzero(placeholders(points)):
            place = ",".join(f"{value:g}" for value in points[number])
            name = inspection.names[number]
            yield Found(f"{inspection.line(image_id)}: {shown(name)} lies at {place}, and counts as found there.", image_id, name)


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
            names = f"{shown(inspection.names[first])} and {shown(inspection.names[second])}"
            yield Found(f"{inspection.line(image_id)}: {names} have one place.", image_id, inspection.names[second])


def _of_cause(kind: str) -> Callable[[Inspection], Iterator[Found]]:
    """Findings of images, and of the whole set, whose points have a likely mistake of this kind."""

    def find(inspection: Inspection) -> Iterator[Found]:
        if inspection.better_frame is not None and _frame_kind(inspection.better_frame[0], inspection.coordinates) == kind:
            frame, stated, other = inspection.better_frame
            cause, fix = evidence.explain(frame, inspection.coordinates)
            reached = "" if np.isnan(other) else f" The surroundings of the landmarks agree better there: {other:.2f}, as they stand {stated:.2f}."
            yield Found(f"{inspection.folder.table}: in the whole set, {cause}{reached}", fix=fix)
        for image_id, cause in inspection.causes.items():
            if cause.kind == kind:
                yield Found(f"{inspection.line(image_id)}: {cause.text}", image_id, fix=cause.fix)

    return find


def _frame_kind(frame: evidence.Frame, coordinates: str) -> str:
    kind, detail = frame
    if kind == "flip":
        return "y_from_bottom" if detail == (1,) and coordinates == "pixel" else "points_mirrored" if len(detail) == 1 else "turned"
    return FRAME_KINDS.get(kind, "unit")


def _exchanged(inspection: Inspection) -> Iterator[Found]:
    for image_id, found in inspection.misplaced.items():
        for first, second in found.exchanged:
            one, other = inspection.names[first], inspection.names[second]
            message = f"{inspection.line(image_id)}: {shown(one)} and {shown(other)} seem to be exchanged."
            yield Found(message, image_id, one, f"Exchange the coordinates of {shown(one)} and {shown(other)} in this row.")


def _shifted(inspection: Inspection) -> Iterator[Found]:
    yield from _of_cause("names_shifted")(inspection)
    for image_id, found in inspection.misplaced.items():
        if found.shifted:
            first, last = (shown(inspection.names[number]) for number in (found.shifted[0], found.shifted[-1]))
            message = f"{inspection.line(image_id)}: from {first} to {last}, every landmark seems to have the point of its neighbour in the list."
            yield Found(message, image_id, inspection.names[found.shifted[0]])


def _displaced(inspection: Inspection) -> Iterator[Found]:
    for image_id, found in inspection.misplaced.items():
        for number, far in found.displaced.items():
            name = inspection.names[number]
            message = f"{inspection.line(image_id)}: {shown(name)} lies {far:.1f} times the usual distance from where the others place it."
            yield Found(message, image_id, name)


def _odd_shape(inspection: Inspection) -> Iterator[Found]:
    yield from _of_cause("odd_shape")(inspection)
    for image_id, found in inspection.misplaced.items():
        if found.odd and not (found.displaced or found.exchanged or found.shifted):
            message = f"{inspection.line(image_id)}: the arrangement of its landmarks is unlike that of the other images ({found.odd:.1f} times the usual)."
            yield Found(message, image_id)


def _caused(kind: str, severity: Severity, meaning: str, fix: str, rank: int) -> Check:
    return Check(kind, severity, meaning, fix, _of_cause(kind), rank)


PIXEL_FRAME = "x from the left and y from the top, in pixels of the file"
FAR_OUTSIDE = Check(
    "far_outside", "error", "landmarks lie far outside their image, or most of them outside: training refuses it",
    f"Correct them: {PIXEL_FRAME}. Were they set on a copy of another size?", lambda inspection: _outside(inspection, far=True), rank=13,
)  # fmt: skip
OUTSIDE = Check(
    "outside", "warning", "landmarks lie outside their image: they are not trained, but errors count them",
    f"If they are absent, leave their fields empty. Else correct them: {PIXEL_FRAME}.",
    lambda inspection: _outside(inspection, far=False), rank=34,
)  # fmt: skip
Y_UP = _caused("y_from_bottom", "error", "y is counted from the bottom", "Replace y by height - 1 - y.", 14)
EXCHANGED_AXES = _caused("xy_exchanged", "error", "x and y are exchanged, or the points belong to a turned image",
                         "Write x first, counted from the left, then y, counted from the top.", 14)  # fmt: skip
MIRRORED_POINTS = _caused("points_mirrored", "error", "the points are mirrored, and the image is not", "Replace x by width - 1 - x.", 14)
MIRRORED_IMAGE = _caused("image_mirrored", "error", "the image is mirrored or turned, and its points are not",
                         "Take the original image, or mirror the points like the image: x becomes width - 1 - x.", 14)  # fmt: skip
MIRRORED = _caused("mirrored", "warning", "image and points are mirrored against the other images, as a right hand among left ones",
                   "Mirror image and points, or set flip_pairs and train with mirrored images.", 35)  # fmt: skip
SIDES = _caused("sides_exchanged", "error", "the names of left and right landmarks are exchanged", "Exchange them in this row.", 15)
TURNED = _caused("turned", "warning", "points are turned against those of the other images",
                 "Was the image turned after it was annotated? Take the image that was annotated.", 36)  # fmt: skip
UNIT = _caused("unit", "error", "points are in another unit: mm for pixels, fractions, or pixels of a copy of another size",
               "Convert them to pixels of this file, or write coordinates: physical for mm of the image's header.", 15)  # fmt: skip
FRAME = _caused("other_frame", "error", "points are in another frame, such as RAS for LPS", "Convert them as the message says.", 15)
FOREIGN = _caused("foreign_points", "error", "an image has the points of another one", "Are two rows exchanged, or all rows shifted? Correct the IDs.", 16)
OFF = _caused("points_off", "warning", "points stand on other structures than in the other images",
              "Look at the picture. Was the image cropped, replaced, or edited after it was annotated?", 37)  # fmt: skip
SHIFTED = Check(
    "names_shifted", "error", "the list of landmarks is shifted: every name has the point of its neighbour",
    "Is a landmark missing or added in this row? Move the coordinates to their names.", _shifted, rank=17,
)  # fmt: skip
EXCHANGED = Check(
    "names_exchanged", "error", "two landmarks have each other's point",
    "Exchange their coordinates in this row.", _exchanged, rank=18,
)  # fmt: skip
DISPLACED = Check(
    "displaced", "warning", "a landmark is not where the other landmarks, and the image, place it",
    "Look at the picture, and correct the point. An unusual anatomy is no mistake.", _displaced, rank=38,
)  # fmt: skip
ODD_SHAPE = Check(
    "odd_shape", "warning", "the arrangement of the landmarks is unlike that of the other images",
    "Look at the picture. If the points are right, nothing needs to be done.", _odd_shape, rank=39,
)  # fmt: skip
PLACEHOLDER = Check(
    "placeholder", "warning", "a landmark lies at 0,0 or -1,-1, which other programs write for absent ones",
    "If it is absent, leave its fields empty.", _placeholders, rank=34,
)  # fmt: skip
SAME_POINT = Check(
    "same_point", "warning", "two landmarks have exactly the same place in one image",
    "Correct one of them, or leave the fields of the absent one empty.", _same_point, rank=40,
)  # fmt: skip
