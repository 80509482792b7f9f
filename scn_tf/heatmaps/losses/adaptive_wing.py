"""Adaptive wing loss (Wang et al., ICCV 2019)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scn_tf.environment.backend import ops
from scn_tf.heatmaps.losses import Loss, over_pixels

if TYPE_CHECKING:
    from scn_tf.types import Peak, Tensor


# Constants of section 4.2; heatmaps from 0 to 1.
WING_ALPHA, WING_OMEGA, WING_EPSILON, WING_THETA = 2.1, 14.0, 1.0, 0.5


def adaptive_wing(predicted: Tensor, target: Tensor, peak: Peak) -> Tensor:
    """Loss per pixel: logarithmic near zero for high targets, square for low ones (Wang et al., ICCV 2019, eq. 4)."""
    target = ops.clip(target / peak, 0.0, 1.0)
    distance = ops.abs(predicted / peak - target)
    power = WING_ALPHA - target
    ratio = WING_THETA / WING_EPSILON
    slope = WING_OMEGA / (1.0 + ratio**power) * power * ratio ** (power - 1.0) / WING_EPSILON
    offset = WING_THETA * slope - WING_OMEGA * ops.log1p(ratio**power)
    # A power of zero has no gradient below one: the smallest distance is not zero.
    near = WING_OMEGA * ops.log1p(ops.power(ops.maximum(distance, 1e-6) / WING_EPSILON, power))
    return ops.where(distance < WING_THETA, near, slope * distance - offset)


ADAPTIVE_WING = Loss(
    name="adaptive_wing",
    description="adaptive wing",
    map_losses=over_pixels(adaptive_wing),
    fixed_sigmas=True,  # a narrower target always costs less: it has fewer pixels, and no height that grows with it
    rank=3,
)
