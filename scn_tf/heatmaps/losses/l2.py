"""The paper's squares (Payer et al. 2019, eq. 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scn_tf.environment.backend import ops
from scn_tf.heatmaps.losses import Loss

if TYPE_CHECKING:
    from scn_tf.types import Peak, Tensor


def squares(predicted: Tensor, target: Tensor, peak: Peak) -> Tensor:
    """The paper's loss (B, N) of maps, 0.5 sum (h - g)^2."""
    difference = predicted - target
    # Halved after the sum: one pass less over the maps, forward and backward.
    return 0.5 * ops.sum(difference * difference, axis=tuple(range(1, len(predicted.shape) - 1)))


L2 = Loss(name="l2", description="the paper's squares", map_losses=squares, rank=1)
