"""Landmarks to Gaussian heatmaps and heatmaps to landmarks: two inverses.

Coordinates (x, y[, z]) in network pixels, integers are pixel centres; maps are (B, [D,] H, W, N).
"""

import math

import keras
from keras import ops


def render_gaussians(landmarks, sigmas, size, *, gamma):
    """Target heatmaps (Payer et al. 2019, eq. 1).

    g_i(x) = gamma / ((2 pi)^(d/2) sigma_i^d) * exp(-|x - x_i|^2 / (2 sigma_i^2))

    Args:
        landmarks: (B, N, d) network pixels, (x, y[, z]).
        sigmas: (N,) network pixels, positive; the gradient flows into them.
        size: (H, W) or (D, H, W).
        gamma: scale of the maps.

    Returns:
        (B, *size, N).
    """
    dims = len(size)
    dtype = landmarks.dtype
    exponent = 0.0
    for axis, length in enumerate(size):
        position = ops.cast(ops.arange(length), dtype)
        offset = position[None, :, None] - landmarks[:, None, :, dims - 1 - axis]  # (B, length, N)
        squared = ops.square(offset) / (2.0 * ops.square(sigmas))
        exponent = exponent + ops.reshape(squared, (-1, *(length if a == axis else 1 for a in range(dims)), landmarks.shape[1]))
    height = gamma / ((2.0 * math.pi) ** (dims / 2) * sigmas**dims)
    return height * ops.exp(-exponent)


def argmax_coordinates(heatmaps):
    """Whole-pixel maximum of every map, the paper's prediction.

    One argmax over the flattened map: separate maxima of rows and columns could, under
    ties, return a point that is no maximum.

    Args:
        heatmaps: (B, [D,] H, W, N).

    Returns:
        (landmarks (B, N, d) float32, scores (B, N): the maxima).
    """
    size, _, index, scores = _peaks(heatmaps)
    return ops.cast(_unravel(index, size), "float32"), scores


def quadratic_coordinates(heatmaps):
    """Sub-pixel maximum: a parabola through the maximum and its two neighbours, per axis.

    The step is guarded: 0 at the border or on a plateau, never beyond half a pixel.

    Args:
        heatmaps: (B, [D,] H, W, N).

    Returns:
        (landmarks (B, N, d) float32, scores (B, N): the maxima).
    """
    size, flat, index, centre = _peaks(heatmaps)
    whole = _unravel(index, size)
    steps = []
    for axis in range(len(size)):  # array order
        stride = math.prod(size[axis + 1 :])
        position = whole[..., len(size) - 1 - axis]
        before = _take(flat, index - stride * ops.cast(position > 0, "int32"))
        after = _take(flat, index + stride * ops.cast(position < size[axis] - 1, "int32"))
        interior = ops.logical_and(position > 0, position < size[axis] - 1)
        curvature = 2.0 * centre - before - after
        curved = ops.logical_and(interior, curvature > 0)
        step = 0.5 * (after - before) / ops.where(curved, curvature, 1.0)
        steps.append(ops.where(curved, ops.clip(step, -0.5, 0.5), 0.0))
    return ops.cast(whole, "float32") + ops.cast(ops.stack(steps[::-1], axis=-1), "float32"), centre


DECODERS = {"argmax": argmax_coordinates, "quadratic": quadratic_coordinates}


def _peaks(heatmaps):
    """(size, maps as (B, P, N), index (B, N) of their maxima, maxima (B, N))."""
    *size, landmarks = heatmaps.shape[1:]
    flat = ops.reshape(heatmaps, (-1, math.prod(size), landmarks))
    return size, flat, _argmax(flat), ops.max(flat, axis=1)


def _argmax(flat):
    """(B, P, N) -> (B, N) int32. ``keras.ops.argmax`` adds an operation that TFLite has no builtin for."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.argmax(flat, axis=1, output_type=tf.int32)
    return ops.cast(ops.argmax(flat, axis=1), "int32")


def _unravel(index, size):
    """Flat index (B, N) -> (B, N, d) int32 in (x, y[, z]) order."""
    coordinates = []
    for length in reversed(size):
        coordinates.append(index % length)
        index = index // length
    return ops.stack(coordinates, axis=-1)


def _take(flat, index):
    """Values of (B, P, N) at index (B, N)."""
    return ops.take_along_axis(flat, index[:, None, :], axis=1)[:, 0]
