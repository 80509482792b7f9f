"""Whole pixels: the paper's prediction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scn_tf.environment.backend import ops
from scn_tf.heatmaps.decoders import Decoder
from scn_tf.heatmaps.peaks import peaks, unravel

if TYPE_CHECKING:
    from scn_tf.types import Tensor


def argmax_coordinates(heatmaps: Tensor) -> tuple[Tensor, Tensor]:
    """Whole-pixel maximum of every map, the paper's prediction.

    One argmax runs over the flattened map. With ties, separate maxima of rows and columns could give a point that is no maximum.

    Args:
        heatmaps: (B, [D,] H, W, N).

    Returns:
        (landmarks (B, N, d) float32, scores (B, N): the maxima).
    """
    size, _, index, scores = peaks(heatmaps)
    return ops.cast(unravel(index, size), "float32"), scores


ARGMAX = Decoder(name="argmax", description="the paper's whole pixel", decode=argmax_coordinates, rank=4)
