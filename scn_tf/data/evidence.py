"""Evidence from training images that points and images share one frame. It is cheap and precedes the training.

In the right frame, the surroundings of a landmark look alike in all images. Points are therefore also tried in other frames (y from
the bottom, x and y exchanged, fractions of the image, RAS, ...). If the surroundings agree much better there, this is the likely
mistake. One-based pixels differ too little to be found.
"""

import itertools
import warnings
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np

from scn_tf import geometry
from scn_tf.errors import DataWarning
from scn_tf.types import Example, PathName

MAX_IMAGES, MAX_LANDMARKS = 60, 40
RADIUS = {2: 6, 3: 3}  # of the surroundings, pixels of the network's input
CONTRAST = 0.1  # standard deviation below which surroundings show next to nothing; images span -1 to 1
MIN_IMAGES, MIN_POINTS = 4, 24  # fewer say nothing
SCALE_IMAGES = 8  # fewer do not tell which scale: there are many
# A mean correlation that another frame must reach, what it must gain, and on which share of the landmarks.
AGREES, GAIN, FACTOR, SHARE = 0.25, 0.15, 1.25, 0.7
CORNER, MIN_LANDMARKS = 0.25, 5  # all points of so many landmarks in this part of each side: no picture of anything
SCALES = (0.5, 0.75, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0)  # of copies of an image
SQUARES = (128, 224, 256, 384, 512, 640, 800, 1000, 1024, 2048)  # sides of copies that are forced into a square

Frame: TypeAlias = tuple[str, tuple[Any, ...]]  # kind of frame, and what of it: axes or a factor


class Surroundings:
    """Surroundings of the landmarks of training images, in the stated frame and in other frames.

    Args:
        coordinates: ``pixel`` or ``physical``, as the data set states.
    """

    def __init__(self, coordinates: str) -> None:
        self.coordinates, self.images = coordinates, 0
        self._patches: dict[Frame | None, list[np.ndarray]] = {}
        self._fractions: list[bool] = []
        self._corners: list[bool] = []

    def add(self, example: Example) -> None:
        """Add one example (see :mod:`scn_tf.data.pipeline`), a dict of arrays."""
        if self.images >= MAX_IMAGES:
            return
        self.images += 1
        image, present = example["image"].mean(axis=-1), example["annotated"] > 0
        chosen = np.unique(np.linspace(0, len(present) - 1, MAX_LANDMARKS).round().astype(int))
        points = example["landmarks"].astype(float)
        pixels = _to_pixels(example, points)[present]
        self._fractions.append(bool(((pixels >= -0.05) & (pixels <= 1.05)).all()) and min(example["size"]) > 10)
        self._corners.append(bool((pixels <= CORNER * example["size"]).all()) and len(points) >= MIN_LANDMARKS)
        for frame, other in ((None, points), *other_frames(example, self.coordinates)):
            found = patches(image, other[chosen], present[chosen], borders(example))
            self._patches.setdefault(frame, []).append(found)

    def agreement(self) -> dict[Frame | None, np.ndarray]:
        """Frame (None: as stated) -> (N,) mean correlation of a landmark's surroundings over pairs of images."""
        return {frame: correlation(np.stack(found)) for frame, found in self._patches.items()}

    def better_frame(self) -> tuple[Frame, float, float] | None:
        """(frame with much better agreement, mean correlation as stated, mean correlation in that frame). None: no evidence."""
        if self.coordinates == "pixel" and self._fractions and all(self._fractions):
            return ("fraction", ()), np.nan, np.nan
        points = self.images * len(self._patches[None][0]) if self.images else 0
        if self.images < MIN_IMAGES or points < MIN_POINTS:
            return None
        found = self.agreement()
        stated = found[None]
        agreement = {frame: other for frame, other in found.items() if frame is not None}
        cornered = self.coordinates == "pixel" and all(self._corners)
        if cornered:  # what lies in the corner may look alike in all images: a scale, the film's edge
            agreement = {frame: other for frame, other in agreement.items() if frame[0] in ("square", "scale", "mm")}
        # Of frames that put the points on the same place, the first counts.
        frame = max(agreement, key=lambda other: round(float(agreement[other].mean()), 3))
        other = agreement[frame]
        means = float(stated.mean()), float(other.mean())
        if self.images < SCALE_IMAGES and frame[0] in ("square", "scale", "mm"):
            frame = ("size", ())
        if cornered:
            return (frame, *means) if means[1] >= max(AGREES, means[0]) else (("corner", ()), np.nan, np.nan)
        known = (stated != 0) | (other != 0)
        gains = means[1] >= max(AGREES, means[0] + GAIN, FACTOR * means[0])
        if not gains or (other > stated)[known].mean() < SHARE:
            return None
        return frame, *means


def warn_of_frame(surroundings: Surroundings, table: PathName) -> None:
    """Warn (:class:`DataWarning`) with the likely cause and the fix if the points seem to belong to another frame.

    Args:
        surroundings: of the training images.
        table: path of the landmark table, for the message.
    """
    found = surroundings.better_frame()
    if found is None:
        return
    frame, stated, other = found
    cause, fix = explain(frame, surroundings.coordinates)
    measured = "" if np.isnan(other) else f" The images agree better about the landmarks there ({other:.2f}, as they stand {stated:.2f})."
    warnings.warn(f"{table}: {cause}{measured} {fix} Look at annotations.png of the run.", DataWarning, stacklevel=3)


def explain(frame: Frame, coordinates: str) -> tuple[str, str]:
    """(likely cause, fix) of points in another frame than stated, as two sentences."""
    kind, detail = frame
    axes = " and ".join("xyz"[axis] for axis in detail) if kind in ("flip", "reverse", "negate") else ""
    sides = {0: "width", 1: "height", 2: "depth"}
    if kind == "flip" and coordinates == "pixel":
        causes = {(1,): "y seems to be counted from the bottom.", (0,): "x seems to be counted from the right, or the images are mirrored."}
        fixes = " and ".join(f"{'xyz'[axis]} by {sides[axis]} - 1 - {'xyz'[axis]}" for axis in detail)
        return causes.get(detail, f"{axes} seem to be counted from the other end."), f"Replace {fixes} in the table."
    if kind == "negate" and detail == (0, 1):
        return "the points seem to be RAS, not LPS.", "Negate x and y in the table."
    if kind in ("flip", "negate"):
        return f"{axes} of the points seem to be mirrored.", f"Negate {axes} in the table, in the frame of the image's header (LPS, mm)."
    if kind == "reverse":
        cause = "the order of the coordinates seems to be reversed" + (f", with {axes} counted from the other end." if detail else ".")
        return cause, "Write x first, counted from the left, then y, counted from the top."
    if kind == "fraction":
        return (
            "the points seem to be fractions of the image (0 to 1), not pixels.",
            "Multiply x by the width and y by the height, then subtract 0.5.",
        )
    if kind == "mm":
        return "the points seem to be in mm, not in pixels.", "Divide them by the pixel size, or write coordinates: physical."
    if kind == "index":
        return "the points seem to be pixels, not mm.", "Write coordinates: pixel in dataset.yaml."
    if kind == "size":
        cause = "the points seem to be of another unit, or set on a copy of another size."
        return cause, "Are they percent, mm, or pixels of a smaller or larger copy? Compare their largest values with the images' sizes."
    if kind == "corner":
        return "all points lie in one corner of the images.", "Are they fractions, percent, mm, or pixels of a smaller copy?"
    if kind == "square" and detail == (100,):
        return "the points seem to be percent of the image, not pixels.", "Multiply x by the width / 100 and y by the height / 100."
    if kind == "square":
        (side,) = detail
        return (
            f"the points seem to be set on a copy of {side} x {side} pixels.",
            f"Multiply x by the width / {side} and y by the height / {side}.",
        )
    return "the points seem to be set on a copy of another size.", f"Multiply them by {detail[0]:g}."


def other_frames(example: Example, coordinates: str) -> Iterator[tuple[Frame, np.ndarray]]:
    """Commonly confused frames, with the points (N, d) in network pixels for each of them."""
    points = example["landmarks"].astype(float)
    dims = points.shape[-1]
    subsets = [axes for count in range(1, dims + 1) for axes in itertools.combinations(range(dims), count)]
    if coordinates == "physical":
        own_from_input = example["own_from_input"].astype(float)
        own = geometry.apply(own_from_input, points)
        for axes in sorted(subsets, key=lambda axes: axes != (0, 1)):
            yield ("negate", axes), geometry.apply(np.linalg.inv(own_from_input), _changed(own, axes, -own))
        yield ("index", ()), _to_input(example, own)
    pixels, last = _to_pixels(example, points), example["size"].astype(float) - 1
    for axes in subsets:
        yield ("flip", axes), _to_input(example, _changed(pixels, axes, last - pixels))
    for axes in [(), *subsets]:
        yield ("reverse", axes), _to_input(example, _changed(pixels[:, ::-1], axes, last - pixels[:, ::-1]))
    if coordinates == "pixel":
        if np.isfinite(example["spacing"]).all():
            yield ("mm", ()), _to_input(example, pixels / example["spacing"])
        for factor in SCALES:
            yield ("scale", (factor,)), _to_input(example, (pixels + 0.5) * factor - 0.5)
        for side in (100, *SQUARES):
            yield ("square", (side,)), _to_input(example, (pixels + 0.5) * (last + 1) / side - 0.5)


def _changed(points: np.ndarray, axes: tuple[int, ...], by: np.ndarray) -> np.ndarray:
    """Points (N, d) with some coordinates replaced by those of ``by``."""
    changed = points.copy()
    changed[:, axes] = by[:, axes]
    return changed


def _to_pixels(example: Example, points: np.ndarray) -> np.ndarray:
    """Network pixels (N, d) to pixels of the image, axes as loaded."""
    return (points - first_pixel(example)) * example["file_per_pixel"].astype(float)


def _to_input(example: Example, pixels: np.ndarray) -> np.ndarray:
    return pixels / example["file_per_pixel"].astype(float) + first_pixel(example)


def first_pixel(example: Example) -> np.ndarray:
    """Position (d,) in the input of the centre of an image's first pixel. Images are centred."""
    last = np.array(example["image"].shape[-2::-1]) - 1.0
    return (last - (example["size"].astype(float) - 1) / example["file_per_pixel"]) / 2


def borders(example: Example) -> tuple[np.ndarray, np.ndarray]:
    """First and last pixel of the input, (d,) in array order, that show the image."""
    side = np.array(example["image"].shape[-2::-1])
    low = np.clip(np.ceil(first_pixel(example)), 0, side - 1)
    return low[::-1].astype(int), (side - 1 - low)[::-1].astype(int)


def patches(image: np.ndarray, points: np.ndarray, present: np.ndarray, borders: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Surroundings (N, P) of points (N, d) in an image ([D,] H, W), with zero mean and length 1.

    Patches with little contrast, as in the background, are shorter. Patches across the image's border are 0, since the border looks
    alike in all images.
    """
    radius = RADIUS[image.ndim]
    centres = np.round(np.clip(points[:, ::-1], -1e6, 1e6)).astype(int)
    inside = present & ((centres - radius >= borders[0]) & (centres + radius <= borders[1])).all(axis=1)
    centres = np.where(inside[:, None], centres, 0)
    offsets = np.stack(np.meshgrid(*[np.arange(-radius, radius + 1)] * image.ndim, indexing="ij"), axis=-1).reshape(-1, image.ndim)
    index = np.clip(centres[:, None] + offsets, 0, np.array(image.shape) - 1)
    values = image[tuple(np.moveaxis(index, -1, 0))]
    values = values - values.mean(axis=1, keepdims=True)
    length = np.linalg.norm(values, axis=1, keepdims=True)
    faint = CONTRAST * np.sqrt(values.shape[1])
    return np.where(inside[:, None], values / np.maximum(length, faint), 0.0).astype("float32")


def correlation(found: np.ndarray) -> np.ndarray:
    """Mean correlation (N,) of patches (I, N, P) over pairs of images. A pair without a patch counts as zero."""
    count = len(found)
    return ((found.sum(axis=0) ** 2).sum(axis=-1) - (found**2).sum(axis=(0, 2))) / max(count * (count - 1), 1)
