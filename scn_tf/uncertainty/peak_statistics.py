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
    flat = ops.cast(flat, "float32") / height[:, None, :]
    above = ops.relu(flat - CUT)
    centred = _coordinates(size)  # (P, d), zero in the middle: sums of squares then lose no digits
    columns = np.concatenate([np.ones((len(centred), 1)), centred, (centred**2).sum(axis=1, keepdims=True)], axis=1)
    moments = ops.matmul(ops.transpose(above, (0, 2, 1)), columns.astype("float32"))  # (B, N, 1 + d + 1)
    mass = ops.maximum(moments[..., 0], 1e-3)
    peak = ops.cast(unravel(index, size), "float32") - _middle(size)
    about_peak = moments[..., -1] - 2.0 * ops.sum(peak * moments[..., 1:-1], axis=-1) + ops.sum(peak * peak, axis=-1) * mass
    spread = ops.maximum(about_peak / mass, 0.0)
    return ops.stack([ops.log(height), ops.log(mass), ops.log(spread + CUT)], axis=-1)


def _middle(size: Sizes) -> Array:
    return (np.array(size[::-1], "float32") - 1.0) / 2.0


def _coordinates(size: Sizes) -> Array:
    """(P, d) float64: x, y[, z] of all pixels in array order, from the middle of the map."""
    axes = [np.arange(length) - (length - 1) / 2.0 for length in size]
    grid = np.meshgrid(*axes, indexing="ij")
    return np.stack([axis.reshape(math.prod(size)) for axis in reversed(grid)], axis=-1)
