"""What heatmaps show of their landmarks, besides the position: height, extent and spread of each peak."""

import math

import numpy as np

from scn_tf.environment.backend import ops
from scn_tf.heatmaps.peaks import peaks, unravel
from scn_tf.types import Array, Sizes, Tensor

NAMES = ("height", "mass", "spread")
CUT = 0.1  # values below this share of the maximum do not count
LOWEST = 1e-6  # height that a maximum counts at least: an empty map has no logarithm


def peak_statistics(heatmaps: Tensor) -> Tensor:
    """Logarithms of three figures per landmark. They need one pass over the maps and only operations that TFLite has.

    With values v relative to the map's maximum and w = max(v - ``CUT``, 0):

    * height: the maximum
    * mass: sum of w, in pixels
    * spread: mean squared distance from the maximum, weighted by w, in pixels. A second peak makes it large

    Args:
        heatmaps: (B, [D,] H, W, N).

    Returns:
        (B, N, 3) float32.
    """
    size, flat, index, scores = peaks(heatmaps)
    height = ops.maximum(ops.cast(scores, "float32"), LOWEST)  # (B, N)
    above = ops.relu(ops.cast(flat, "float32") - CUT * height[:, None, :])  # w times the height, which is divided out of few numbers
    whole, first, second = _moments(above, size)
    mass = ops.maximum(whole / height, 1e-3)
    peak = ops.cast(unravel(index, size), "float32") - _middle(size)
    about_peak = second / height - 2.0 * ops.sum(peak * first, axis=-1) / height + ops.sum(peak * peak, axis=-1) * mass
    spread = ops.maximum(about_peak / mass, 0.0)
    return ops.stack([ops.log(height), ops.log(mass), ops.log(spread + CUT)], axis=-1)


def _moments(flat: Tensor, size: Sizes) -> tuple[Tensor, Tensor, Tensor]:
    """Sums of (B, P, N) over the pixels: of the values (B, N), times x, y[, z] (B, N, d), times x² + y²[ + z²] (B, N).

    Coordinates are from the middle of the map: sums of squares then lose no digits. The rows of pixels are summed first. The tables of
    coordinates, which every export stores, are then as short as a row and as the number of rows.
    """
    *outer, width = size
    rows, landmarks = math.prod(outer), flat.shape[-1]
    along, across = _powers([width]), _powers(outer)  # (3, W), (d + 1, rows)
    of_rows = ops.matmul(along[None, None], ops.reshape(flat, (-1, rows, width, landmarks)))  # (B, rows, 3, N)
    sums = ops.matmul(across[None], ops.reshape(of_rows, (-1, rows, 3 * landmarks)))  # (B, d + 1, 3 N)
    sums = ops.reshape(sums, (-1, len(size) + 1, 3, landmarks))
    first = ops.stack([sums[:, 0, 1], *(sums[:, axis, 0] for axis in range(1, len(size)))], axis=-1)
    return sums[:, 0, 0], first, sums[:, 0, 2] + sums[:, -1, 0]


def _middle(size: Sizes) -> Array:
    return (np.array(size[::-1], "float32") - 1.0) / 2.0


def _powers(size: Sizes) -> Array:
    """(d + 2, P) float32 of all pixels in array order: 1, then x, y[, z] from the middle, then the sum of their squares."""
    axes = [np.arange(length) - (length - 1) / 2.0 for length in size]
    grid = np.stack([axis.reshape(-1) for axis in reversed(np.meshgrid(*axes, indexing="ij"))])
    return np.concatenate([np.ones_like(grid[:1]), grid, (grid**2).sum(axis=0, keepdims=True)]).astype("float32")
