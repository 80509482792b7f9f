"""The loss: how far the heatmaps are from their targets, how wide the targets are, how large the weights.

``paper`` scale adds squares over all pixels and landmarks and divides by the batch alone (Payer et al. 2019, eq. 4), which
is why it needs learning rates of 1e-6. ``mean`` scale divides by the number of landmarks and by what a map of zeros
costs as well, so that predicting nothing costs about 1 whatever the kind of loss. One file and one row per kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scn_tf.environment.backend import ops
from scn_tf.registry import Registry

if TYPE_CHECKING:
    from scn_tf.types import Peak, Sizes, Tensor


@dataclass(frozen=True, kw_only=True)
class Loss:
    """One value of ``train.loss``.

    Args:
        name: the value.
        description: a few words for help texts and tables.
        map_losses: function (predicted (B, [D,] H, W, N), target of that shape, peak) -> (B, N), summed over the pixels. ``peak``:
            height of a target, a number or (N,).
        fixed_sigmas: whether it cannot learn the widths of its targets (``heatmap.sigma_mode``).
        logits: whether the network's maps are logits, which have no height.
        decoders: names of the decoders that its maps can have; None: all.
        rank: place in lists.
    """

    name: str
    description: str
    map_losses: Callable[[Tensor, Tensor, Peak], Tensor]
    fixed_sigmas: bool = False
    logits: bool = False
    decoders: tuple[str, ...] | None = None
    rank: int = 100


LOSSES: Registry[Loss] = Registry("loss", Loss, home="scn_tf.heatmaps.losses", group="scn_tf.losses")


def register_loss(loss: Loss) -> None:
    """Add a value of ``train.loss``; packages offer theirs by an entry point instead (docs/extending.md).

    Raises:
        ConfigError: it is no :class:`Loss`, or its name is taken.
    """
    LOSSES.register(loss)


def over_pixels(pixel_loss: Callable[[Tensor, Tensor, Peak], Tensor]) -> Callable[[Tensor, Tensor, Peak], Tensor]:
    """``map_losses`` that sums a loss of every pixel."""

    def map_losses(predicted: Tensor, target: Tensor, peak: Peak) -> Tensor:
        return ops.sum(pixel_loss(predicted, target, peak), axis=tuple(range(1, len(predicted.shape) - 1)))

    return map_losses


def map_losses(predicted: Tensor, target: Tensor, *, kind: str, peak: Peak) -> Tensor:
    """Loss (B, N) of every map; see :class:`Loss`."""
    return LOSSES[kind].map_losses(predicted, target, peak)


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
    from scn_tf.heatmaps.gaussians import gaussian_height, render_gaussians

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
