"""Heatmaps to landmarks, the inverse of :mod:`scn_tf.heatmaps.gaussians`.

Coordinates (x, y[, z]) in network pixels, integers are pixel centres; maps are (B, [D,] H, W, N).
"""

import itertools
import math
from collections.abc import Callable

from scn_tf.environment.backend import keras, ops
from scn_tf.types import Decode, Sizes, Tensor


def argmax_coordinates(heatmaps: Tensor) -> tuple[Tensor, Tensor]:
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


def quadratic_coordinates(heatmaps: Tensor) -> tuple[Tensor, Tensor]:
    """Sub-pixel maximum: a parabola through the maximum and its two neighbours, per axis.

    The step is guarded: 0 at the border or on a plateau, never beyond half a pixel.

    Args:
        heatmaps: (B, [D,] H, W, N).

    Returns:
        (landmarks (B, N, d) float32, scores (B, N): the maxima).
    """
    size, flat, index, centre = _peaks(heatmaps)
    whole = _unravel(index, size)
    return _moved(whole, _parabola_steps(size, flat, index, whole, lambda value: value)), centre


def gaussian_coordinates(heatmaps: Tensor) -> tuple[Tensor, Tensor]:
    """Sub-pixel maximum: :func:`quadratic_coordinates` on the logarithm, exact where a peak is a Gaussian.

    The second-order step of DARK (Zhang et al., CVPR 2020, eq. 6) along each axis; its smoothing is left out, since
    these heatmaps are smooth.
    """
    size, flat, index, centre = _peaks(heatmaps)
    whole = _unravel(index, size)
    floor = 1e-3 * ops.maximum(centre, 1e-6)  # a neighbour at or below zero has no logarithm
    return _moved(whole, _parabola_steps(size, flat, index, whole, lambda value: ops.log(ops.maximum(value, floor)))), centre


def centroid_coordinates(heatmaps: Tensor) -> tuple[Tensor, Tensor]:
    """Sub-pixel maximum: the centre of mass of the positive values at most ``CENTROID_RADIUS`` pixels from it along each axis."""
    size, flat, index, centre = _peaks(heatmaps)
    whole = _unravel(index, size)
    dims = len(size)
    mass, moments = 0.0, [0.0] * dims
    for offset in itertools.product(range(-CENTROID_RADIUS, CENTROID_RADIUS + 1), repeat=dims):  # array order
        inside, flat_offset = True, 0
        for axis, step in enumerate(offset):
            position = whole[..., dims - 1 - axis] + step
            inside = ops.logical_and(inside, ops.logical_and(position >= 0, position < size[axis]))
            flat_offset += step * math.prod(size[axis + 1 :])
        value = _take(flat, ops.where(inside, index + flat_offset, index))
        weight = ops.where(inside, ops.maximum(value, 0.0), 0.0)
        mass = mass + weight
        moments = [moment + weight * step for moment, step in zip(moments, offset, strict=True)]
    mass = ops.maximum(mass, 1e-12)
    return _moved(whole, [moment / mass for moment in moments]), centre


CENTROID_RADIUS = 2
DECODERS: dict[str, Decode] = {
    "argmax": argmax_coordinates,
    "quadratic": quadratic_coordinates,
    "gaussian": gaussian_coordinates,
    "centroid": centroid_coordinates,
}


def _parabola_steps(size: Sizes, flat: Tensor, index: Tensor, whole: Tensor, scale: Callable[[Tensor], Tensor]) -> list[Tensor]:
    """Steps (B, N) to the top of a parabola through scaled values, one an axis in array order."""
    centre, steps = scale(_take(flat, index)), []
    for axis in range(len(size)):
        stride = math.prod(size[axis + 1 :])
        position = whole[..., len(size) - 1 - axis]
        before = scale(_take(flat, index - stride * ops.cast(position > 0, "int32")))
        after = scale(_take(flat, index + stride * ops.cast(position < size[axis] - 1, "int32")))
        interior = ops.logical_and(position > 0, position < size[axis] - 1)
        curvature = 2.0 * centre - before - after
        curved = ops.logical_and(interior, curvature > 0)
        step = 0.5 * (after - before) / ops.where(curved, curvature, 1.0)
        steps.append(ops.where(curved, ops.clip(step, -0.5, 0.5), 0.0))
    return steps


def _moved(whole: Tensor, steps: list[Tensor]) -> Tensor:
    """Whole pixels (B, N, d) and steps in array order -> (B, N, d) float32."""
    return ops.cast(whole, "float32") + ops.cast(ops.stack(steps[::-1], axis=-1), "float32")


def _peaks(heatmaps: Tensor) -> tuple[list[int], Tensor, Tensor, Tensor]:
    """(size, maps as (B, P, N), index (B, N) of their maxima, maxima (B, N))."""
    *size, landmarks = heatmaps.shape[1:]
    flat = ops.reshape(heatmaps, (-1, math.prod(size), landmarks))
    return size, flat, _argmax(flat), ops.max(flat, axis=1)


def _argmax(flat: Tensor) -> Tensor:
    """(B, P, N) -> (B, N) int32. ``keras.ops.argmax`` adds an operation that TFLite has no builtin for."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.argmax(flat, axis=1, output_type=tf.int32)
    return ops.cast(ops.argmax(flat, axis=1), "int32")


def _unravel(index: Tensor, size: Sizes) -> Tensor:
    """Flat index (B, N) -> (B, N, d) int32 in (x, y[, z]) order."""
    coordinates = []
    for length in reversed(size):
        coordinates.append(index % length)
        index = index // length
    return ops.stack(coordinates, axis=-1)


def _take(flat: Tensor, index: Tensor) -> Tensor:
    """Values of (B, P, N) at index (B, N)."""
    return ops.take_along_axis(flat, index[:, None, :], axis=1)[:, 0]
