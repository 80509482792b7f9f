"""Softmax cross-entropy over each map."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from scn_tf.environment.backend import ops
from scn_tf.heatmaps.losses import Loss

if TYPE_CHECKING:
    from scn_tf.types import Peak, Tensor


def cross_entropy(predicted: Tensor, target: Tensor, peak: Peak) -> Tensor:
    """Cross-entropy (B, N): a map holds the logits of the landmark's position. The true distribution is the target divided by its sum.

    No distribution says "nowhere". An empty target asks for a flat map instead, equally likely everywhere, which costs nothing then.
    """
    space = tuple(range(1, len(predicted.shape) - 1))
    pixels = math.prod(predicted.shape[1:-1])
    total = ops.sum(target, axis=space, keepdims=True)
    share = ops.where(total > 0, target / ops.maximum(total, 1e-6), 1.0 / pixels)
    least = ops.where(ops.squeeze(total, space) > 0, 0.0, math.log(pixels))
    return ops.logsumexp(predicted, axis=space) - ops.sum(share * predicted, axis=space) - least


CROSS_ENTROPY = Loss(
    name="cross_entropy",
    description="softmax cross-entropy over each map",
    map_losses=cross_entropy,
    fixed_sigmas=True,  # as with adaptive_wing
    logits=True,
    decoders=("quadratic", "argmax"),  # the heights of logits mean nothing
    rank=4,
)
