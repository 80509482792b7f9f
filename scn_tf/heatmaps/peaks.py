"""Maxima of heatmaps and sub-pixel steps, shared by the decoders.

Maps are (B, [D,] H, W, N); *flat* maps are (B, P, N), P pixels in array order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from scn_tf.environment.backend import keras, ops

if TYPE_CHECKING:
    from scn_tf.types import Sizes, Tensor


def parabola_steps(size: Sizes, flat: Tensor, index: Tensor, whole: Tensor, scale: Callable[[Tensor], Tensor]) -> list[Tensor]:
    """Steps (B, N) to the top of a parabola through scaled values, one per axis in array order."""
    centre, steps = scale(take(flat, index)), []
    for axis in range(len(size)):
        stride = math.prod(size[axis + 1 :])
        position = whole[..., len(size) - 1 - axis]
        before = scale(take(flat, index - stride * ops.cast(position > 0, "int32")))
        after = scale(take(flat, index + stride * ops.cast(position < size[axis] - 1, "int32")))
        interior = ops.logical_and(position > 0, position < size[axis] - 1)
        curvature = 2.0 * centre - before - after
        curved = ops.logical_and(interior, curvature > 0)
        step = 0.5 * (after - before) / ops.where(curved, curvature, 1.0)
        steps.append(ops.where(curved, ops.clip(step, -0.5, 0.5), 0.0))
    return steps


def moved(whole: Tensor, steps: list[Tensor]) -> Tensor:
    """Add steps in array order to whole pixels (B, N, d): (B, N, d) float32."""
    return ops.cast(whole, "float32") + ops.cast(ops.stack(steps[::-1], axis=-1), "float32")


def peaks(heatmaps: Tensor) -> tuple[list[int], Tensor, Tensor, Tensor]:
    """(size, maps as (B, P, N), index (B, N) of their maxima, maxima (B, N)). Of equal maxima the first one counts.

    The maximum of every row comes first, then that of the rows, then its place in its row. So maps are read once, along channels. One
    argmax over all pixels takes several times as long in every runtime.
    """
    *size, landmarks = heatmaps.shape[1:]
    rows, length = math.prod(size[:-1]), size[-1]
    flat = ops.reshape(heatmaps, (-1, rows * length, landmarks))
    highest = ops.max(ops.reshape(heatmaps, (-1, rows, length, landmarks)), axis=2)  # (B, R, N)
    start = _argmax(highest) * length  # (B, N)
    row = take(flat, start[:, None] + ops.arange(length, dtype="int32")[:, None])  # (B, L, N)
    return size, flat, start + _argmax(row), ops.max(highest, axis=1)  # of all rows: a NaN anywhere must show


def _argmax(values: Tensor) -> Tensor:
    """(B, P, N) -> (B, N) int32. ``keras.ops.argmax`` adds an operation that TFLite has no builtin for."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.argmax(values, axis=1, output_type=tf.int32)
    return ops.cast(ops.argmax(values, axis=1), "int32")


def unravel(index: Tensor, size: Sizes) -> Tensor:
    """Flat index (B, N) -> (B, N, d) int32 in (x, y[, z]) order."""
    coordinates = []
    for length in reversed(size):
        coordinates.append(index % length)
        index = index // length
    return ops.stack(coordinates, axis=-1)


def take(flat: Tensor, index: Tensor) -> Tensor:
    """Values of (B, P, N) at indices (B, ..., N).

    All maps become one long row first. ``keras.ops.take_along_axis`` copies and transposes them.
    """
    batch, pixels, landmarks = ops.shape(flat)
    first = ops.reshape(ops.arange(batch, dtype="int32") * pixels, (-1, *[1] * (len(index.shape) - 1)))
    places = (first + index) * landmarks + ops.arange(landmarks, dtype="int32")
    return ops.take(ops.reshape(flat, (-1,)), places)
