"""Sub-pixel by the centre of mass."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

from scn_tf.environment.backend import ops
from scn_tf.heatmaps.decoders import Decoder
from scn_tf.heatmaps.peaks import moved, peaks, take, unravel

if TYPE_CHECKING:
    from scn_tf.types import Tensor


CENTROID_RADIUS = 2  # pixels


def centroid_coordinates(heatmaps: Tensor) -> tuple[Tensor, Tensor]:
    """Sub-pixel maximum: the centre of mass of positive values, within ``CENTROID_RADIUS`` pixels of the maximum along each axis."""
    size, flat, index, centre = peaks(heatmaps)
    whole = unravel(index, size)
    dims = len(size)
    mass, moments = 0.0, [0.0] * dims
    for offset in itertools.product(range(-CENTROID_RADIUS, CENTROID_RADIUS + 1), repeat=dims):  # array order
        inside, flat_offset = True, 0
        for axis, step in enumerate(offset):
            position = whole[..., dims - 1 - axis] + step
            inside = ops.logical_and(inside, ops.logical_and(position >= 0, position < size[axis]))
            flat_offset += step * math.prod(size[axis + 1 :])
        value = take(flat, ops.where(inside, index + flat_offset, index))
        weight = ops.where(inside, ops.maximum(value, 0.0), 0.0)
        mass = mass + weight
        moments = [moment + weight * step for moment, step in zip(moments, offset, strict=True)]
    mass = ops.maximum(mass, 1e-12)
    return moved(whole, [moment / mass for moment in moments]), centre


CENTROID = Decoder(name="centroid", description="sub-pixel by the centre of mass", decode=centroid_coordinates, rank=3)
