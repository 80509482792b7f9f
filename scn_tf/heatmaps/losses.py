"""The loss: how far the heatmaps are from their targets, how wide the targets are, how large the weights.

``paper`` scale adds squares over all pixels and landmarks and divides by the batch alone (Payer et al. 2019, eq. 4), which
is why it needs learning rates of 1e-6. ``mean`` scale divides by the number of landmarks and by what a map of zeros
costs as well, so that predicting nothing costs about 1 whatever the kind of loss.
"""

from collections.abc import Callable, Iterable
from typing import TypeAlias

from scn_tf.environment.backend import ops
from scn_tf.heatmaps.gaussians import gaussian_height, render_gaussians
from scn_tf.types import Sizes, Tensor

# Adaptive wing's constants (Wang et al., ICCV 2019, section 4.2); heatmaps from 0 to 1.
WING_ALPHA, WING_OMEGA, WING_EPSILON, WING_THETA = 2.1, 14.0, 1.0, 0.5
HUBER_DELTA = 0.25  # of a target's peak

Peak: TypeAlias = float | Tensor  # height of a target, (N,) or of all


def squares(predicted: Tensor, target: Tensor, peak: Peak) -> Tensor:
    """0.5 (h - g)^2 of every pixel, the paper's."""
    return 0.5 * ops.square(predicted - target)


def huber(predicted: Tensor, target: Tensor, peak: Peak) -> Tensor:
    """Squares up to a quarter of the peak, linear beyond: a pixel far off weighs less."""
    delta = HUBER_DELTA * peak
    distance = ops.abs(predicted - target)
    return ops.where(distance <= delta, 0.5 * ops.square(distance), delta * (distance - 0.5 * delta))


def adaptive_wing(predicted: Tensor, target: Tensor, peak: Peak) -> Tensor:
    """Logarithmic near zero where the target is high, square where it is low (Wang et al., ICCV 2019, eq. 4)."""
    target = ops.clip(target / peak, 0.0, 1.0)
    distance = ops.abs(predicted / peak - target)
    power = WING_ALPHA - target
    ratio = WING_THETA / WING_EPSILON
    slope = WING_OMEGA / (1.0 + ratio**power) * power * ratio ** (power - 1.0) / WING_EPSILON
    offset = WING_THETA * slope - WING_OMEGA * ops.log1p(ratio**power)
    # A power of zero has no gradient below one: the smallest distance is not zero.
    near = WING_OMEGA * ops.log1p(ops.power(ops.maximum(distance, 1e-6) / WING_EPSILON, power))
    return ops.where(distance < WING_THETA, near, slope * distance - offset)


PIXEL_LOSSES: dict[str, Callable[[Tensor, Tensor, Peak], Tensor]] = {"l2": squares, "huber": huber, "adaptive_wing": adaptive_wing}
KINDS = (*PIXEL_LOSSES, "cross_entropy")


def map_losses(predicted: Tensor, target: Tensor, *, kind: str, peak: Peak) -> Tensor:
    """Loss of every map.

    Args:
        predicted, target: (B, [D,] H, W, N).
        kind: one of :data:`KINDS`. ``cross_entropy`` takes a map for the logits of where its landmark is, and the
            target, divided by its sum, for the truth.
        peak: height of a target, ``huber``'s and ``adaptive_wing``'s unit: a number or (N,).

    Returns:
        (B, N), summed over the pixels.
    """
    space = tuple(range(1, len(predicted.shape) - 1))
    if kind == "cross_entropy":
        share = target / ops.maximum(ops.sum(target, axis=space, keepdims=True), 1e-6)
        return ops.logsumexp(predicted, axis=space) - ops.sum(share * predicted, axis=space)
    return ops.sum(PIXEL_LOSSES[kind](predicted, target, peak), axis=space)


def heatmap_loss(predicted: Tensor, target: Tensor, visible: Tensor, *, kind: str = "l2", peak: Peak = 1.0) -> Tensor:
    """Sum of :func:`map_losses` over the visible landmarks, mean over the batch.

    Args:
        predicted, target: (B, [D,] H, W, N).
        visible: (B, N), 1 where annotated and inside the input, else 0; a target must be finite
            even where it is absent.
        kind, peak: see :func:`map_losses`.
    """
    each = map_losses(predicted, target, kind=kind, peak=peak)
    return ops.sum(visible * each) / ops.cast(ops.shape(predicted)[0], "float32")


def cost_of_nothing(kind: str, sigma: float, gamma: float, size: Sizes) -> float:
    """:func:`map_losses` of a map of zeros whose landmark lies in its centre, float.

    Args:
        kind: see :func:`map_losses`.
        sigma, gamma: of the target.
        size: ([D,] H, W) of the map.
    """
    centre = ops.convert_to_tensor([[[0.5 * (length - 1) for length in reversed(size)]]], "float32")
    target = render_gaussians(centre, ops.convert_to_tensor([sigma], "float32"), size, gamma=gamma)
    peak = gaussian_height(sigma, gamma, len(size))
    return float(map_losses(ops.zeros_like(target), target, kind=kind, peak=peak)[0, 0])


def sigma_loss(extents: Tensor, visible: Tensor, *, alpha: float) -> Tensor:
    """alpha * sum of the visible landmarks' extents, mean over the batch.

    Args:
        extents: (N,) of :class:`scn_tf.heatmaps.targets.GaussianTargets`: 0.5 sigma^2, or the product of a landmark's sigmas.
        visible: (B, N).
        alpha: weight of the term.
    """
    return alpha * ops.sum(ops.mean(visible, axis=0) * extents)


def weight_decay(kernels: Iterable[Tensor], *, factor: float) -> Tensor:
    """factor * 0.5 * sum w^2 over the convolution kernels."""
    return factor * 0.5 * sum(ops.sum(ops.square(ops.cast(kernel, "float32"))) for kernel in kernels)
