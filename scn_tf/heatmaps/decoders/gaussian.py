"""Sub-pixel by a parabola through logarithms (DARK)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scn_tf.environment.backend import ops
from scn_tf.heatmaps.decoders import Decoder
from scn_tf.heatmaps.peaks import moved, parabola_steps, peaks, unravel

if TYPE_CHECKING:
    from scn_tf.types import Tensor


def gaussian_coordinates(heatmaps: Tensor) -> tuple[Tensor, Tensor]:
    """Sub-pixel maximum: a parabola through the logarithms, exact where a peak is a Gaussian.

    This is the second-order step of DARK (Zhang et al., CVPR 2020, eq. 6) along each axis. Its smoothing is omitted, since these
    heatmaps are smooth.
    """
    size, flat, index, centre = peaks(heatmaps)
    whole = unravel(index, size)
    floor = 1e-3 * ops.maximum(centre, 1e-6)  # a neighbour at or below zero has no logarithm
    return moved(whole, parabola_steps(size, flat, index, whole, lambda value: ops.log(ops.maximum(value, floor)))), centre


GAUSSIAN = Decoder(name="gaussian", description="sub-pixel by a parabola through logarithms (DARK)", decode=gaussian_coordinates, rank=2)
