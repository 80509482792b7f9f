"""Images and points of a split, aligned to their mean shape: where a model errs, and in which direction.

Everything is in pixels of the network's input, whose proportions are those of the body.
"""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from scn_tf.types import Array, Sizes

ROUNDS = 5  # of the mean shape
MAX_KEPT = {2: 40, 3: 12}  # images in the mean image
MAX_BYTES = 64 << 20  # of these images, one byte per pixel
LOW, HIGH = -2.0, 2.0  # intensities of network inputs
MAX_SIDE = {2: 512, 3: 128}  # pixels of the mean image


class Similarity(NamedTuple):
    """Rotation, scale and translation: ``matrix`` (d, d) and ``offset`` (d,), with mean = matrix @ image + offset."""

    matrix: Array
    offset: Array

    def apply(self, points: Array) -> Array:
        """Map points (..., d)."""
        return points @ self.matrix.T + self.offset


class Sample:
    """Keeps a few network inputs of a split, drawn by a seed, for the mean image. Each pixel becomes one byte.

    Args:
        count: number of images in the split.
        size: ([D,] H, W) of the network's input.
        seed: of the draw.
    """

    def __init__(self, count: int, size: Sizes, *, seed: int = 0) -> None:
        most = min(MAX_KEPT[len(size)], MAX_BYTES // math.prod(size))
        self._chosen = set(np.random.default_rng(seed).permutation(count)[:most].tolist())
        self.images: dict[int, Array] = {}

    def add(self, number: int, image: Array) -> None:
        """Keep image ``number``, ([D,] H, W, C), if it is drawn."""
        if number in self._chosen:
            grey = (np.mean(image, axis=-1) - LOW) / (HIGH - LOW)
            self.images[number] = np.rint(255 * np.clip(grey, 0, 1)).astype("uint8")


def mean_shape(points: Array) -> tuple[Array, list[Similarity]]:
    """Mean shape (N, d) of points (I, N, d), NaN if absent, and the similarity that aligns each image to it.

    The mean keeps the mean place, size and rotation of the images. An image with too few points is only moved.
    """
    mean = _over_images(points)
    first = mean
    for _ in range(ROUNDS):
        fits = [similarity(one, mean) for one in points]
        mean = _over_images(np.stack([fit.apply(one) for fit, one in zip(fits, points, strict=True)]))
        # Each round shrinks the mean a little.
        mean = similarity(mean, first).apply(mean)
    return mean, [similarity(one, mean) for one in points]


def similarity(points: Array, target: Array) -> Similarity:
    """Similarity that maps points (N, d) to a target (N, d) with the least squares (Umeyama 1991). Points with NaN do not count.

    With fewer points than a rotation needs, it is a translation.
    """
    dims = points.shape[-1]
    known = np.isfinite(points).all(axis=1) & np.isfinite(target).all(axis=1)
    if not known.any():
        return Similarity(np.eye(dims), np.zeros(dims))
    own, other = points[known], target[known]
    centre, aim = own.mean(axis=0), other.mean(axis=0)
    spread = np.sum((own - centre) ** 2)
    if known.sum() < dims + 1 or not spread > 0:
        return Similarity(np.eye(dims), aim - centre)
    left, sizes, right = np.linalg.svd((other - aim).T @ (own - centre))
    signs = np.ones(dims)
    signs[-1] = np.sign(np.linalg.det(left @ right)) or 1.0  # a rotation, not a reflection
    scale = max(float(np.sum(sizes * signs) / spread), 1e-3)
    matrix = scale * (left * signs) @ right
    return Similarity(matrix, aim - matrix @ centre)


def mean_image(images: dict[int, Array], fits: Sequence[Similarity], size: Sizes) -> Array:
    """Mean ([D,] H, W) of the images of a :class:`Sample` in the frame of the mean shape, 0 to 1; large inputs at a coarser grid.

    Args:
        images: number -> ([D,] H, W), of :class:`Sample`.
        fits: of all images, see :func:`mean_shape`.
        size: ([D,] H, W) of the network's input.
    """
    step = grid_step(size)
    axes = [np.arange((step - 1) / 2, side, step) for side in size]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)[..., ::-1]  # (x, y[, z])
    total = np.zeros(grid.shape[:-1], "float32")
    for number, image in images.items():
        inverse = np.linalg.inv(fits[number].matrix)
        total += sampled(image, (grid - fits[number].offset) @ inverse.T)
    return total / (255.0 * max(len(images), 1))


def grid_step(size: Sizes) -> int:
    """Pixels of the network's input for each pixel of the mean image."""
    return int(np.ceil(max(size) / MAX_SIDE[len(size)]))


def sampled(image: Array, points: Array) -> Array:
    """Values (...) of an image ([D,] H, W) at points (..., d), between pixels linear, 0 outside."""
    places = points[..., ::-1]  # in the order of the array's axes
    below = np.floor(places).astype(int)
    share = places - below
    result = np.zeros(points.shape[:-1])
    for corner in itertools.product((0, 1), repeat=image.ndim):
        place = below + corner
        inside = np.all((place >= 0) & (place < image.shape), axis=-1)
        weight = np.prod(np.where(corner, share, 1 - share), axis=-1)
        clipped = np.clip(place, 0, np.array(image.shape) - 1)
        result += np.where(inside, weight * image[tuple(np.moveaxis(clipped, -1, 0))], 0.0)
    return result


def error_vectors(found: Array, truth: Array, fits: Sequence[Similarity]) -> Array:
    """Errors (I, N, d), found minus true point, in the frame of the mean shape; NaN where one is absent."""
    return np.stack([(one - other) @ fit.matrix.T for one, other, fit in zip(found, truth, fits, strict=True)])


def _over_images(points: Array) -> Array:
    """Mean over images (I, N, d) of the points that are known; NaN for a landmark that none has."""
    known = np.isfinite(points)
    return np.where(known, points, 0.0).sum(axis=0) / np.where(known.any(axis=0), known.sum(axis=0), np.nan)
