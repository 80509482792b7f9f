"""The paper's squares (Payer et al. 2019, eq. 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scn_tf.environment.backend import ops
from scn_tf.heatmaps.losses import Loss, over_pixels

if TYPE_CHECKING:
    from scn_tf.types import Peak, Tensor


def squares(predicted: Tensor, target: Tensor, peak: Peak) -> Tensor:
    """The paper's loss per pixel, 0.5 (h - g)^2."""
    return 0.5 * ops.square(predicted - target)


L2 = Loss(name="l2", description="the paper's squares", map_losses=over_pixels(squares), rank=1)
