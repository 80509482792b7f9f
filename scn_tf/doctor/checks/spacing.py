"""Pixel sizes: absent, mixed, contradictory or implausible."""

from collections import Counter
from collections.abc import Iterator

import numpy as np

from scn_tf import geometry, shapes
from scn_tf.doctor.finding import Check, Found
from scn_tf.doctor.inspection import Inspection
from scn_tf.doctor.surroundings import own_frame
from scn_tf.presence import known
from scn_tf.types import Array

SAME = 0.02  # relative difference of two pixel sizes that are one
MOST_ODD = 0.2  # share of the images that are called odd ones
LARGEST, SMALLEST = 1800.0, 0.05  # mm of a side of an image: pictures of a standing person reach 1750
SCALED, DEVIATIONS = 0.25, 7.0  # logarithm of a factor, and robust deviations, of the size of a shape in mm
RULE = 0.5  # logarithm of a factor between the distance by spacing_mm and the known one


def _headers(inspection: Inspection) -> dict[str, Array | None]:
    return {image_id: picture.spacing for image_id, picture in inspection.pictures.items() if picture.is_read}


def _stated(inspection: Inspection) -> Array | None:
    spacing = inspection.folder.description.spacing_mm if inspection.folder.description else None
    return None if spacing is None else np.asarray(spacing, float)


def _missing(inspection: Inspection) -> Iterator[Found]:
    headers, description = _headers(inspection), inspection.folder.description
    if not headers or description is None or description.spacing_mm or description.normalization:
        return
    without = [image_id for image_id, spacing in headers.items() if spacing is None]
    if len(without) == len(headers):
        yield Found("no image states a pixel size, and neither does dataset.yaml: errors are in pixels.")


def _mixed(inspection: Inspection) -> Iterator[Found]:
    headers = _headers(inspection)
    description = inspection.folder.description
    if description is None or description.spacing_mm or (description.normalization and description.normalization.distance_mm):
        return
    without = [image_id for image_id, spacing in headers.items() if spacing is None]
    if not without or len(without) == len(headers):
        return
    few, what = (without, "states no pixel size, others do") if 2 * len(without) <= len(headers) else (
        [image_id for image_id in headers if image_id not in without], "states a pixel size, others do not")  # fmt: skip
    for image_id in few:
        yield Found(f"{inspection.file(image_id)}: {what}.", image_id)


def _odd(inspection: Inspection) -> dict[str, str]:
    """ID -> message, of images whose header states another pixel size than nearly all others, or one that their shape contradicts."""
    headers = {image_id: spacing for image_id, spacing in _headers(inspection).items() if spacing is not None}
    if len(headers) < 4:
        return {}
    rounded = {image_id: tuple(np.round(np.log(spacing) / SAME).astype(int)) for image_id, spacing in headers.items()}
    usual, count = Counter(rounded.values()).most_common(1)[0]
    found = {}
    example = next(spacing for image_id, spacing in headers.items() if rounded[image_id] == usual)
    if count >= (1 - MOST_ODD) * len(headers):
        for image_id, spacing in headers.items():
            if not np.allclose(spacing, example, rtol=SAME):
                found[image_id] = f"its header states pixels of {_text(spacing)} mm; nearly all others state {_text(example)} mm."
    if _stated(inspection) is None:
        for image_id, factor in _sizes(inspection).items():
            times = f"{factor:.2g} times larger" if factor > 1 else f"{1 / factor:.2g} times smaller"
            found.setdefault(image_id, f"by its pixel size, its landmarks span {times} than usual, in pixels they do not.")
    return found


def _sizes(inspection: Inspection) -> dict[str, float]:
    """ID -> factor, of images whose shape is of unusual size in mm, but not in pixels."""
    usual = inspection.shapes
    if usual is None:
        return {}
    points, rows = [], []
    for image_id in inspection.ids:
        spacing = inspection.pictures[image_id].spacing
        if spacing is None or np.ptp(spacing) > SAME * spacing.min():
            return {}
        pixels = geometry.apply(own_frame(inspection.pictures[image_id], inspection.coordinates), inspection.folder.landmarks[image_id])
        points.append(pixels)
        rows.append(float(spacing[0]))
    scale, spacings = np.log(shapes.align(usual.reference, np.stack(points)).scale), np.log(rows)
    deviations = []
    for values in (scale + spacings, scale):
        away = values - np.median(values)
        deviations.append(away / max(SCALED, DEVIATIONS * 1.4826 * float(np.median(np.abs(away)))))
    in_mm, in_pixels = np.abs(deviations[0]), np.abs(deviations[1])
    away = scale + spacings - np.median(scale + spacings)
    odd = (in_mm > 1) & (in_pixels < 0.5)
    return {image_id: float(np.exp(away[number])) for number, image_id in enumerate(inspection.ids) if odd[number]}


def _odd_spacing(inspection: Inspection) -> Iterator[Found]:
    for image_id, message in _odd(inspection).items():
        yield Found(f"{inspection.file(image_id)}: {message}", image_id)


def _contradicts(inspection: Inspection) -> Iterator[Found]:
    stated, description = _stated(inspection), inspection.folder.description
    if stated is None or description is None:
        return
    odd = _odd(inspection)
    headers = {i: spacing for i, spacing in _headers(inspection).items() if spacing is not None and i not in odd}
    different = [image_id for image_id in headers if not np.allclose(headers[image_id], known(inspection.pixel_size(image_id)), rtol=SAME)]
    if different:
        first = headers[different[0]]
        where = f"the headers of {len(different)} of {len(inspection.pictures)} images"
        yield Found(f"dataset.yaml states spacing_mm {_text(stated)}, {where} state other pixels (the first: {_text(first)} mm).")
    rule = description.normalization
    if rule is not None and rule.distance_mm is not None and inspection.coordinates == "pixel":
        pair = list(rule.landmarks)
        lengths = [
            np.linalg.norm((inspection.folder.landmarks[i][pair[0]] - inspection.folder.landmarks[i][pair[1]]) * stated)
            for i in inspection.ids
        ]
        positive = [length for length in lengths if length > 0]
        if positive and abs(np.log(np.median(positive) / rule.distance_mm)) > RULE:
            yield Found(
                f"dataset.yaml: by spacing_mm the landmarks of normalization are {np.median(positive):.3g} mm apart, but distance_mm is "
                f"{rule.distance_mm:g}."
            )


def _varies(inspection: Inspection) -> Iterator[Found]:
    if _stated(inspection) is not None:
        return
    odd = _odd(inspection)
    values = np.array([s for i, s in _headers(inspection).items() if s is not None and i not in odd])
    if len(values) > 1 and (values.max(axis=0) / values.min(axis=0)).max() > 1 + 3 * SAME:
        low, high = _text(values.min(axis=0)), _text(values.max(axis=0))
        yield Found(f"pixels are of different sizes, from {low} to {high} mm: errors are in mm of each image.")


def _implausible(inspection: Inspection) -> Iterator[Found]:
    for image_id, picture in inspection.pictures.items():
        size = inspection.pixel_size(image_id) if picture.is_read else None
        if size is None or picture.size is None:
            continue
        sides = picture.size * size
        if sides.max() > LARGEST or sides.max() < SMALLEST:
            message = f"its sides would be {' x '.join(f'{side:.4g}' for side in sides)} mm. Is the pixel size in micrometres, cm or m?"
            if _stated(inspection) is not None:
                yield Found(f"dataset.yaml: spacing_mm: of an image of {'x'.join(str(int(s)) for s in picture.size)} pixels, {message}")
                return
            yield Found(f"{inspection.file(image_id)}: {message}", image_id)


def _without_frame(inspection: Inspection) -> Iterator[Found]:
    if inspection.coordinates != "physical":
        return
    without = [i for i, picture in inspection.pictures.items() if picture.is_read and picture.physical_from_array is None]
    if without and len(without) == sum(picture.is_read for picture in inspection.pictures.values()):
        yield Found("dataset.yaml: coordinates: physical, but no image states a frame or pixel size.")
        return
    for image_id in without:
        yield Found(f"{inspection.file(image_id)}: states no frame, so it has no mm.", image_id)


def _without_rule(inspection: Inspection) -> Iterator[Found]:
    """Images whose mm depend on two landmarks without points, or in one place."""
    description = inspection.folder.description
    if description is None or description.normalization is None or description.normalization.distance_mm is None or description.spacing_mm:
        return
    first, second = description.normalization.landmarks
    for image_id, points in inspection.folder.landmarks.items():
        if np.isfinite(points).any() and not np.linalg.norm(points[first] - points[second]) > 0:
            both = f"{inspection.landmark(first)} and {inspection.landmark(second)}"
            yield Found(
                f"{inspection.line(image_id)}: {both} have no points or one place, and normalization needs their distance.", image_id
            )


def _text(spacing: Array) -> str:
    return " x ".join(f"{value:.4g}" for value in spacing)


WITHOUT_FRAME = Check(
    "frame_missing", "error", "coordinates are physical, but an image states no frame",
    "Write coordinates: pixel in dataset.yaml, or take a format that states a frame (DICOM, MetaImage, NIfTI, NRRD).", _without_frame,
    rank=12,
)  # fmt: skip
WITHOUT_RULE = Check(
    "normalization_missing", "warning", "an image has no mm, since a landmark of normalization has no point",
    "Annotate both landmarks, or use the image for training alone: evaluations need mm.", _without_rule, rank=48,
)  # fmt: skip
MIXED = Check(
    "spacing_mixed", "error", "some images state a pixel size and others do not, so errors would be mm and pixels in one mean",
    "If all pixels are of one size, write spacing_mm in dataset.yaml. Else take one format that states it for all.", _mixed, rank=12,
)  # fmt: skip
ODD = Check(
    "spacing_odd", "warning", "the header of an image states another pixel size than its landmarks or the other images suggest",
    "Compare it with the original. Correct the header, or write spacing_mm in dataset.yaml if all pixels are of one size.", _odd_spacing,
    rank=45,
)  # fmt: skip
CONTRADICTS = Check(
    "spacing_contradicts", "warning", "spacing_mm of dataset.yaml differs from the headers, or from the known distance of two landmarks",
    "Correct spacing_mm, or remove it if the headers are right.", _contradicts, rank=46,
)  # fmt: skip
IMPLAUSIBLE = Check(
    "spacing_implausible", "warning", "by its pixel size, an image would be of an impossible size",
    "Write the pixel size in mm.", _implausible, rank=47,
)  # fmt: skip
MISSING = Check(
    "spacing_missing", "note", "no pixel size is known, so errors are in pixels",
    "Write spacing_mm, or normalization with distance_mm, in dataset.yaml, if you know it.", _missing, rank=91,
)  # fmt: skip
VARIES = Check(
    "spacing_varies", "note", "pixels are of different sizes in different images",
    "If that is right, nothing needs to be done.", _varies, rank=92,
)  # fmt: skip
