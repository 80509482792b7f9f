"""Huber's loss."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scn_tf.environment.backend import ops
from scn_tf.heatmaps.losses import Loss, over_pixels

if TYPE_CHECKING:
    from scn_tf.types import Peak, Tensor


HUBER_DELTA = 0.25  # of a target's peak


def huber(predicted: Tensor, target: Tensor, peak: Peak) -> Tensor:
    """Loss per pixel: square up to a quarter of the peak, linear beyond. Large deviations weigh less."""
    delta = HUBER_DELTA * peak
    distance = ops.abs(predicted - target)
    return ops.where(distance <= delta, 0.5 * ops.square(distance), delta * (distance - 0.5 * delta))


HUBER = Loss(name="huber", description="Huber's", map_losses=over_pixels(huber), rank=2)
