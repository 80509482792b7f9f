"""Intensities: inverted, clipped, constant, nearly empty, or with a blank part."""

from collections.abc import Iterator

import numpy as np

from scn_tf.doctor.checks.arrangement import of_cause
from scn_tf.doctor.finding import Check, Found
from scn_tf.doctor.inspection import Inspection
from scn_tf.doctor.picture import SIDE, Picture
from scn_tf.presence import known
from scn_tf.types import Array

FEW_VALUES, VALUES_SHARE = 32, 0.3  # different values of an image, and share of the usual number, that show little
NARROW = 0.15  # of the usual range
AT_HIGH = 0.2  # share of pixels with the largest value, beyond what is usual
FLAT_SHARE = 0.4  # of the landmarks, whose surroundings show nothing where they usually do
RARE = 0.1  # share of the images that may have a blank part, beyond which it is how they are made
MIN_IMAGES, ALIKE, COARSE = 6, 0.4, 16  # images that have a usual look, correlation with it, and pixels of a side to compare
MIDDLE = (0.15, 0.85)  # of the range: no background is usually of this grey


def _readable(inspection: Inspection) -> dict[str, Picture]:
    return {image_id: picture for image_id, picture in inspection.pictures.items() if picture.is_read}


def _inverted(inspection: Inspection) -> Iterator[Found]:
    """Images with landmarks are compared around these; the others as a whole, if the images of the set look alike."""
    yield from of_cause("inverted")(inspection)
    pictures = {image_id: picture for image_id, picture in _readable(inspection).items() if picture.high > picture.low}
    others = [image_id for image_id in pictures if image_id not in inspection.ids]
    if not others or len(pictures) < MIN_IMAGES:
        return
    coarse = np.stack([_coarse(picture) for picture in pictures.values()])
    usual = np.median(coarse, axis=0)
    alike = coarse @ (usual / max(float(np.linalg.norm(usual)), 1e-6))
    if np.median(alike) > ALIKE:
        for image_id, value in zip(pictures, alike, strict=True):
            if image_id in others and value < -ALIKE:
                yield Found(f"{inspection.file(image_id)}: bright and dark are exchanged against the other images.", image_id)


def _coarse(picture: Picture) -> Array:
    """An image in few pixels, with zero mean and length 1; 0 around it."""
    shown, size, fit = picture.shown(), known(picture.size), known(picture.fit)
    for axis in range(shown.ndim):
        shown = shown.reshape(*shown.shape[:axis], COARSE, -1, *shown.shape[axis + 1 :]).mean(axis=axis + 1)
    step = SIDE[shown.ndim] / COARSE
    grid = np.stack(np.meshgrid(*[np.abs(np.arange(COARSE) - (COARSE - 1) / 2)] * shown.ndim, indexing="ij")[::-1], axis=-1)
    inside = (grid <= size * fit.scale / step / 2 - 0.5).all(axis=-1)
    values = np.where(inside, shown - shown[inside].mean(), 0.0).ravel() if inside.any() else shown.ravel()
    return values / max(float(np.linalg.norm(values)), 1e-6)


def _constant(inspection: Inspection) -> Iterator[Found]:
    for image_id, picture in _readable(inspection).items():
        if picture.high <= picture.low:
            yield Found(f"{inspection.file(image_id)}: every pixel has the value {picture.low:g}.", image_id)


def _faint(inspection: Inspection) -> Iterator[Found]:
    pictures = {image_id: picture for image_id, picture in _readable(inspection).items() if picture.high > picture.low}
    if len(pictures) < 2:
        return
    usual_values = float(np.median([picture.values for picture in pictures.values()]))
    ranges = {image_id: float(np.ptp(known(picture.inner))) for image_id, picture in pictures.items()}
    for image_id, picture in pictures.items():
        usual_range = float(np.median([ranges[other] for other, one in pictures.items() if one.depth == picture.depth]))
        if picture.values < min(FEW_VALUES, VALUES_SHARE * usual_values):
            yield Found(
                f"{inspection.file(image_id)}: has only {picture.values} different values, others about {usual_values:.0f}.", image_id
            )
        elif ranges[image_id] < NARROW * usual_range:
            yield Found(
                f"{inspection.file(image_id)}: its values span {ranges[image_id]:.4g}, those of others about {usual_range:.4g}.", image_id
            )


def _clipped(inspection: Inspection) -> Iterator[Found]:
    pictures = {image_id: picture for image_id, picture in _readable(inspection).items() if picture.high > picture.low}
    if not pictures:
        return
    blank = {image_id for image_id, picture in pictures.items() if _blank_band(picture)}
    usual_high = float(np.percentile([picture.at_high for picture in pictures.values()], 90))
    flat = _flat(inspection)
    for image_id, picture in pictures.items():
        if image_id in blank:
            continue
        if picture.at_high > AT_HIGH + 2 * usual_high:
            yield Found(
                f"{inspection.file(image_id)}: {100 * picture.at_high:.0f} % of its pixels have the largest value, {picture.high:g}.",
                image_id,
            )
        elif flat.get(image_id, 0.0) > FLAT_SHARE:
            yield Found(
                f"{inspection.file(image_id)}: {100 * flat[image_id]:.0f} % of its landmarks stand in areas of one value.", image_id
            )


def _flat(inspection: Inspection) -> dict[str, float]:
    """ID -> share of the landmarks whose surroundings show nothing, of those that usually show something."""
    templates = inspection.templates
    if templates is None:
        return {}
    contrast = np.linalg.norm(templates.patches, axis=2)
    shows = np.median(contrast, axis=0) > 0.9
    if not shows.any():
        return {}
    present = np.isfinite(inspection.points).all(axis=2)[:, shows]
    inside = (contrast > 0)[:, shows]  # patches across the border are 0
    faint = (contrast[:, shows] < 0.3) & present & inside
    return dict(zip(inspection.ids, (faint.sum(axis=1) / np.maximum(present.sum(axis=1), 1)).tolist(), strict=True))


def _blank_band(picture: Picture) -> str:
    """Border of an image that has one middle grey; empty if there is none."""
    for side, share, level in picture.bands:
        if MIDDLE[0] < level < MIDDLE[1] and share < 1:
            return f"{100 * share:.0f} % at the {side}"
    return ""


def _blank(inspection: Inspection) -> Iterator[Found]:
    pictures = _readable(inspection)
    covered = {
        image_id: text for image_id, picture in pictures.items() if (text := _blank_band(picture) or _under_points(inspection, image_id))
    }
    if len(covered) > max(1, RARE * len(pictures)):
        return
    for image_id, text in covered.items():
        yield Found(
            f"{inspection.file(image_id)}: has one value in {text} of the image: a file that was cut short and saved again?", image_id
        )


def _under_points(inspection: Inspection, image_id: str) -> str:
    """Border of one value that covers landmarks; empty if there is none."""
    if image_id not in inspection.ids:
        return ""
    number = inspection.ids.index(image_id)
    one, points = inspection.examples[number], inspection.points[number]
    picture = inspection.pictures[image_id]
    middle = (np.array(one["image"].shape[-2::-1]) - 1) / 2
    place = (points - middle) * one["file_per_pixel"] / one["size"] + 0.5  # 0 to 1
    where = {"top": place[:, 1], "bottom": 1 - place[:, 1], "left": place[:, 0], "right": 1 - place[:, 0]}
    for side, share, _ in picture.bands:
        if share < 1 and (where[side] < share - 0.01).sum() > 1:
            return f"{100 * share:.0f} % at the {side}, under landmarks,"
    return ""


CONSTANT = Check(
    "constant", "error", "every pixel of an image has the same value",
    "Export the image again. If it is lost, remove its row and its line in the splits.", _constant, rank=19,
)  # fmt: skip
INVERTED = Check(
    "inverted", "warning", "bright and dark are exchanged against the other images, as with MONOCHROME1",
    "Invert the pixels of this file, or export it again as MONOCHROME2.", _inverted, rank=41,
)  # fmt: skip
FAINT = Check(
    "low_contrast", "warning", "an image has few different values, or a much narrower range than the others",
    "Export it again from its original with its full range.", _faint, rank=42,
)  # fmt: skip
CLIPPED = Check(
    "clipped", "warning", "many pixels have the largest value, or landmarks stand in areas of one value: parts of the image are lost",
    "Export it again with a wider window of brightness.", _clipped, rank=43,
)  # fmt: skip
BLANK = Check(
    "blank_area", "warning", "a part of an image at its border has one value, as after a transfer that was cut short",
    "Copy the file again from its source.", _blank, rank=44,
)  # fmt: skip
