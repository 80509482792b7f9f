"""Images that show the same: equal files, equal pixels, and copies that were encoded again, resized, brightened or mirrored."""

from typing import NamedTuple

import numpy as np

from scn_tf.doctor.picture import Picture
from scn_tf.presence import known
from scn_tf.types import Array

CELLS = {2: 64, 3: 24}  # of a side of the pattern
ALIKE = 0.86  # correlation of the fine structure of two images that is no coincidence
APART = 0.15  # by which it must exceed what other pairs of the set reach
RING = 2  # cells of the border of an image that are left out: borders look alike
FEW_VALUES = 16  # an image of fewer values shows nothing to compare
BLOCK = 256  # images that are compared at once


class Copy(NamedTuple):
    """Two images that show the same. ``how``: ``file``, ``pixels`` or ``near``. ``mirrored``: left and right exchanged."""

    first: str
    second: str
    how: str
    correlation: float
    mirrored: bool = False


def copies(pictures: list[Picture]) -> list[Copy]:
    """Pairs of images that show the same. Of a group of equal ones, each is paired with the first."""
    found: list[Copy] = []
    taken: set[str] = set()
    for how, key in (("file", "digest"), ("pixels", "pixels")):
        first: dict[str, str] = {}
        for picture in pictures:
            value = getattr(picture, key)
            if not value or picture.image_id in taken:
                continue
            if value in first:
                found.append(Copy(first[value], picture.image_id, how, 1.0))
                taken.add(picture.image_id)
            else:
                first[value] = picture.image_id
    left = [picture for picture in pictures if picture.is_read and picture.values >= FEW_VALUES and picture.image_id not in taken]
    return found + _near(left)


def _near(pictures: list[Picture]) -> list[Copy]:
    if len(pictures) < 2:
        return []
    patterns = np.stack([pattern(picture) for picture in pictures])
    flipped = np.stack([_normal(np.flip(one, axis=-1).ravel()) for one in patterns])
    patterns = patterns.reshape(len(patterns), -1)
    candidates: list[tuple[float, int, int, bool]] = []
    best = np.full(len(patterns), -1.0)  # of each image with any other: what is usual
    for mirrored, others in ((False, patterns), (True, flipped.reshape(len(patterns), -1))):
        for start in range(0, len(patterns), BLOCK):
            correlations = patterns[start : start + BLOCK] @ others.T
            for row, values in enumerate(correlations):
                values[: start + row + 1] = -1.0 if not mirrored else values[: start + row + 1]
                values[start + row] = -1.0
                best[start + row] = max(best[start + row], float(values.max()))
                candidates += [(float(values[n]), start + row, int(n), mirrored) for n in np.flatnonzero(values > ALIKE) if n > start + row]
    usual = float(np.median(best)) if len(best) > 4 else 0.0
    found: dict[tuple[int, int], Copy] = {}
    for correlation, first, second, mirrored in sorted(candidates, reverse=True):
        if correlation > usual + APART and (first, second) not in found:
            names = pictures[first].image_id, pictures[second].image_id
            found[first, second] = Copy(*names, "near", correlation, mirrored)
    return list(found.values())


def pattern(picture: Picture) -> Array:
    """Fine structure of an image, (CELLS, ...) with zero mean and length 1: its small copy without slow changes of brightness."""
    small = picture.shown()
    dims = small.ndim
    cells = CELLS[dims]
    step = small.shape[0] // cells
    side = cells * step
    start = (small.shape[0] - side) // 2
    small = small[(slice(start, start + side),) * dims]
    for axis in range(dims):
        shape = (*small.shape[:axis], cells, step, *small.shape[axis + 1 :])
        small = small.reshape(shape).mean(axis=axis + 1)
    fine = small - _blurred(small)
    half = known(picture.size) * known(picture.fit).scale / step / 2 - RING  # cells from the middle to the border
    for axis in range(dims):
        away = np.abs(np.arange(cells) - (cells - 1) / 2)
        inside = (away <= half[dims - 1 - axis]).reshape([-1 if other == axis else 1 for other in range(dims)])
        fine = np.where(inside, fine, 0.0)
    return _normal(fine.ravel()).reshape(fine.shape)


def _blurred(array: Array) -> Array:
    """Mean over five cells along each axis."""
    for axis in range(array.ndim):
        padded = np.pad(array, [(2, 2) if other == axis else (0, 0) for other in range(array.ndim)], mode="edge")
        count = array.shape[axis]
        array = np.stack([padded.take(range(shift, shift + count), axis=axis) for shift in range(5)]).mean(axis=0)
    return array


def _normal(values: Array) -> Array:
    values = values - values.mean()
    return values / max(float(np.linalg.norm(values)), 1e-6)
