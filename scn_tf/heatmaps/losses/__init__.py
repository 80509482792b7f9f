"""The loss: distance of heatmaps from targets, widths of targets, and size of weights.

``paper`` scale adds squares over all pixels and landmarks and divides by the batch size only (Payer et al. 2019, eq. 4). It
therefore needs learning rates near 1e-6. ``mean`` scale also divides by the number of landmarks and by the loss of a map of zeros.
Predicting nothing then costs about 1 with every loss. Each kind has one file and one row.
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
        name: value of ``train.loss``.
        description: a few words for help texts and tables.
        map_losses: function (predicted (B, [D,] H, W, N), target of that shape, peak) -> (B, N), summed over the pixels. ``peak``:
            height of a target, a number or (N,).
        fixed_sigmas: whether the widths of the targets must be fixed (``heatmap.sigma_mode``).
        logits: whether the network's maps are logits, which have no peak height.
        empty_targets: whether a target of zeros, of a landmark that is not in the image, is one to train towards. False: such
            landmarks are ignored.
        decoders: names of the decoders that suit its maps; None: all.
        rank: place in lists.
    """

    name: str
    description: str
    map_losses: Callable[[Tensor, Tensor, Peak], Tensor]
    fixed_sigmas: bool = False
    logits: bool = False
    empty_targets: bool = True
    decoders: tuple[str, ...] | None = None
    rank: int = 100


LOSSES: Registry[Loss] = Registry("loss", Loss, home="scn_tf.heatmaps.losses", group="scn_tf.losses")


def register_loss(loss: Loss) -> None:
    """Add a value of ``train.loss``. Installed packages declare an entry point instead (docs/extending.md).

    Raises:
        ConfigError: the row is not a :class:`Loss`, or its name is taken.
    """
    LOSSES.register(loss)


def over_pixels(pixel_loss: Callable[[Tensor, Tensor, Peak], Tensor]) -> Callable[[Tensor, Tensor, Peak], Tensor]:
    """Build ``map_losses`` from the loss of one pixel."""

    def map_losses(predicted: Tensor, target: Tensor, peak: Peak) -> Tensor:
        return ops.sum(pixel_loss(predicted, target, peak), axis=tuple(range(1, len(predicted.shape) - 1)))

    return map_losses


def map_losses(predicted: Tensor, target: Tensor, *, kind: str, peak: Peak) -> Tensor:
    """Loss (B, N) of every map; see :class:`Loss`."""
    return LOSSES[kind].map_losses(predicted, target, peak)


def heatmap_loss(predicted: Tensor, target: Tensor, visible: Tensor, absent: Tensor, *, kind: str = "l2", peak: Peak = 1.0) -> Tensor:
    """Sum of :func:`map_losses` over the visible and the absent landmarks, mean over the batch. Targets of absent ones become empty.

    Args:
        predicted, target: (B, [D,] H, W, N). Targets must be finite, also those of landmarks that are not visible.
        visible: (B, N), 1 if annotated and inside the input, else 0.
        absent: (B, N), 1 if known not to be in the input, else 0. Landmarks that are neither count nothing.
        kind, peak: see :func:`map_losses`.
    """
    shown = ops.reshape(visible, (-1, *[1] * (len(predicted.shape) - 2), visible.shape[-1]))
    each = map_losses(predicted, shown * target, kind=kind, peak=peak)
    counted = visible + absent if LOSSES[kind].empty_targets else visible
    return ops.sum(counted * each) / ops.cast(ops.shape(predicted)[0], "float32")


def cost_of_nothing(kind: str, sigma: float, gamma: float, size: Sizes) -> float:
    """Loss (:func:`map_losses`) of a map of zeros whose landmark lies in its centre, a float.

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
