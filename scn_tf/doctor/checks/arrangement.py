"""Landmarks against those of the other images: another frame or unit, mirrored, exchanged, shifted, displaced."""

from collections.abc import Callable, Iterator

import numpy as np

from scn_tf.data import evidence
from scn_tf.doctor.causes import shifted_rows
from scn_tf.doctor.finding import Check, Found, Severity
from scn_tf.doctor.inspection import Inspection

FRAME_KINDS = {"reverse": "xy_exchanged", "negate": "other_frame", "corner": "unit"}


def of_cause(kind: str) -> Callable[[Inspection], Iterator[Found]]:
    """Findings of images, and of the whole set, whose points have a likely mistake of this kind."""

    def find(inspection: Inspection) -> Iterator[Found]:
        if inspection.better_frame is not None and _frame_kind(inspection.better_frame[0], inspection.coordinates) == kind:
            frame, stated, other = inspection.better_frame
            cause, fix = evidence.explain(frame, inspection.coordinates)
            reached = "" if np.isnan(other) else f" The images agree better there: {other:.2f}, as the points stand {stated:.2f}."
            yield Found(f"{inspection.folder.table_name}: in the whole set, {cause}{reached}", fix=fix)
        for image_id, likely in inspection.causes.items():
            if likely.kind == kind:
                yield Found(f"{inspection.line(image_id)}: {likely.text}", image_id, fix=likely.fix)

    return find


def _frame_kind(frame: evidence.Frame, coordinates: str) -> str:
    kind, detail = frame
    if kind == "flip":
        return "y_from_bottom" if detail == (1,) and coordinates == "pixel" else "points_mirrored" if len(detail) == 1 else "turned"
    return FRAME_KINDS.get(kind, "unit")


def _exchanged(inspection: Inspection) -> Iterator[Found]:
    for image_id, found in inspection.misplaced.items():
        for first, second in found.exchanged:
            both = f"{inspection.landmark(first)} and {inspection.landmark(second)}"
            fix = f"Exchange the coordinates of {both} in this row."
            yield Found(f"{inspection.line(image_id)}: {both} seem to be exchanged.", image_id, inspection.names[first], fix)


def _shifted(inspection: Inspection) -> Iterator[Found]:
    yield from of_cause("names_shifted")(inspection)
    for image_id, found in inspection.misplaced.items():
        if found.shifted:
            first, last = (inspection.landmark(number) for number in (found.shifted[0], found.shifted[-1]))
            message = f"from {first} to {last}, every landmark seems to have the point of its neighbour in the list."
            yield Found(f"{inspection.line(image_id)}: {message}", image_id, inspection.names[found.shifted[0]])


def _foreign(inspection: Inspection) -> Iterator[Found]:
    if (found := shifted_rows(inspection)) is not None:
        shift, stated, other = found
        text = f"every image seems to have the points of the {'next' if shift > 0 else 'previous'} row's image."
        agreement = f"The images agree better if the rows are shifted by one: {other:.2f}, as they stand {stated:.2f}."
        yield Found(f"{inspection.folder.table_name}: {text} {agreement}")
    yield from of_cause("foreign_points")(inspection)


def _displaced(inspection: Inspection) -> Iterator[Found]:
    for image_id, found in inspection.misplaced.items():
        for number, far in found.displaced.items():
            message = f"{inspection.landmark(number)} lies {far:.1f} times the usual distance from where the others place it."
            yield Found(f"{inspection.line(image_id)}: {message}", image_id, inspection.names[number])


def _odd_shape(inspection: Inspection) -> Iterator[Found]:
    yield from of_cause("odd_shape")(inspection)
    for image_id, found in inspection.misplaced.items():
        if found.odd and not (found.displaced or found.exchanged or found.shifted):
            message = f"the arrangement of its landmarks is unlike that of the other images ({found.odd:.1f} times the usual)."
            yield Found(f"{inspection.line(image_id)}: {message}", image_id)


def _caused(kind: str, severity: Severity, meaning: str, fix: str, rank: int) -> Check:
    return Check(kind, severity, meaning, fix, of_cause(kind), rank)


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
FOREIGN = Check(
    "foreign_points", "error", "an image has the points of another one, or all rows are shifted by one",
    "Are two rows exchanged, or all rows shifted? Correct the IDs.", _foreign, rank=16,
)  # fmt: skip
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
