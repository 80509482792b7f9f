"""Sub-pixel by a parabola."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scn_tf.heatmaps.decoders import Decoder
from scn_tf.heatmaps.peaks import moved, parabola_steps, peaks, unravel

if TYPE_CHECKING:
    from scn_tf.types import Tensor


def quadratic_coordinates(heatmaps: Tensor) -> tuple[Tensor, Tensor]:
    """Sub-pixel maximum: a parabola through the maximum and its two neighbours, per axis.

    The step is 0 at the border or on a plateau, and at most half a pixel.

    Args:
        heatmaps: (B, [D,] H, W, N).

    Returns:
        (landmarks (B, N, d) float32, scores (B, N): the maxima).
    """
    size, flat, index, centre = peaks(heatmaps)
    whole = unravel(index, size)
    return moved(whole, parabola_steps(size, flat, index, whole, lambda value: value)), centre


QUADRATIC = Decoder(name="quadratic", description="sub-pixel by a parabola", decode=quadratic_coordinates, rank=1)
