"""Figures: landmarks on images, heatmaps, error curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from scn_tf.environment.backend import keras
from scn_tf.figures import canvas, marks
from scn_tf.figures.canvas import drawable
from scn_tf.figures.marks import Marks
from scn_tf.messages import cut, visible
from scn_tf.types import Array, Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Of the last training size, the one before it, ...
LINES = ("-", "--", "-.", ":", (0, (7, 3)), (0, (5, 1, 1, 1, 1, 1)), (0, (1, 4)), (0, (9, 2, 3, 2)))


def heatmap_parts(network: keras.Model) -> dict[str, Tensor]:
    """Outputs to draw, by title: local, spatial and product for SCN, else only the heatmaps."""
    names = {layer.name for layer in network.layers}
    parts = {}
    if {"local_appearance", "spatial_configuration"} <= names:
        parts["local appearance"] = network.get_layer("local_appearance").output
        parts["spatial configuration"] = network.get_layer("spatial_configuration").output
    parts["heatmaps"] = network.output
    return parts


def flatten_volume(array: Array) -> Array:
    """Maximum over the first axis: (D, H, W, C) -> (H, W, C). An array (H, W, C) stays."""
    return array.max(axis=0) if array.ndim == 4 else array


def validation_figure(image: Array, *, truth: Array, visible: Array, predicted: Array, heatmaps: Mapping[str, Array]) -> Array:
    """One row: the image with true (green +) and predicted (red x) landmarks, then the heatmaps.

    Args:
        image: ([D,] H, W, C); volumes are shown as maximum projections along z.
        truth, predicted: (N, d) pixels of the image.
        visible: (N,) bool.
        heatmaps: title -> ([D,] H, W, N).

    Returns:
        uint8 (height, width, 3).
    """
    figure = canvas.figure(4 * (1 + len(heatmaps)), 4, layout="constrained")
    axes = figure.subplots(1, 1 + len(heatmaps))
    axes = np.atleast_1d(axes)
    axes[0].imshow(flatten_volume(image)[..., 0], cmap="gray")
    axes[0].plot(*truth[visible, :2].T, "+", color="lime")
    axes[0].plot(*predicted[:, :2].T, "x", color="red", markersize=4)
    axes[0].set_title("true + predicted x")
    for axis, (title, maps) in zip(axes[1:], heatmaps.items(), strict=True):
        shown = flatten_volume(maps)
        # Each landmark's map counts alike, whatever its height.
        axis.imshow((shown / np.maximum(np.abs(shown).max(axis=(0, 1)), 1e-6)).max(axis=-1), cmap="magma")
        axis.set_title(title)
    for axis in axes:
        axis.set_axis_off()
    return canvas.pixels(figure)


def target_ellipses(covariances: Array) -> tuple[Array, Array, Array]:
    """Outlines of Gaussians at one standard deviation, seen along z: widths (N,), heights (N,) and angles (N,) in degrees.

    Args:
        covariances: (N, d, d), (x, y[, z]).
    """
    variances, axes = np.linalg.eigh(covariances[:, :2, :2])  # ascending
    angles = np.degrees(np.arctan2(axes[:, 1, 1], axes[:, 0, 1]))
    return 2 * np.sqrt(variances[:, 1]), 2 * np.sqrt(variances[:, 0]), angles


def targets_figure(image: Array, landmarks: Array, covariances: Array) -> Array:
    """Target Gaussians as ellipses on a mean image: uint8 (h, w, 3).

    Args:
        image: ([D,] H, W, C), mean over images.
        landmarks: (N, d) mean positions, pixels.
        covariances: (N, d, d) pixels squared.
    """
    figure = canvas.figure(6, 6, layout="constrained")
    axis = figure.subplots()
    axis.imshow(flatten_volume(image)[..., 0], cmap="gray")
    for point, *shape in zip(landmarks[:, :2], *target_ellipses(covariances), strict=True):
        width, height, angle = shape
        canvas.add_ellipse(axis, point, width, height, angle, color="cyan")
    axis.set_title("targets at one sigma, on the mean image")
    axis.set_axis_off()
    return canvas.pixels(figure)


def label_figure(image: Array, truth: Array, found: Array, *, count: int) -> Array:
    """Image, true and found label map side by side: uint8 (h, w, 3).

    Args:
        image: ([D,] H, W, C); the middle slice of a volume is shown.
        truth, found: label maps ([D,] H, W).
        count: number of labels.
    """
    shown = [image[..., 0], truth, found]
    if truth.ndim == 3:
        shown = [array[len(truth) // 2] for array in shown]
    figure = canvas.figure(12, 4, layout="constrained")
    for axis, array, title in zip(figure.subplots(1, 3), shown, ("image", "true labels", "found labels"), strict=True):
        labels = {} if title == "image" else dict(vmin=0, vmax=count - 1, interpolation="nearest")
        axis.imshow(array, cmap="nipy_spectral" if labels else "gray", **labels)
        axis.set_title(title)
        axis.set_axis_off()
    return canvas.pixels(figure)


def overlay_figure(image: Array, landmarks: Array, names: Sequence[str], stated: Marks | None = None) -> Array:
    """Predicted landmarks with their names on an image: uint8 (h, w, 3).

    Args:
        image: ([D,] H, W, C); volumes are shown as maximum projections along z.
        landmarks: (N, d) pixels of the image.
        names: of the landmarks.
        stated: what a calibrated model states of them.
    """
    shown = flatten_volume(image)[..., 0]
    height, width = shown.shape
    figure = canvas.figure(8 * width / max(width, height), 8 * height / max(width, height), dpi=120)
    axis = figure.add_axes((0, 0, 1, 1))
    low, high = np.percentile(shown, (1, 99))
    axis.imshow(shown, cmap="gray", vmin=low, vmax=max(high, low + 1e-6))
    axis.plot(*landmarks[:, :2].T, "x", color="red", markersize=5)
    if stated is not None:
        marks.draw(axis, landmarks, stated)
    for name, (x, y) in zip(names, landmarks[:, :2], strict=True):
        label = axis.annotate(
            drawable(cut(visible(name), 40)),
            (x, y),
            xytext=(3, 3),
            textcoords="offset points",
            color="yellow",
            fontsize=6,
            parse_math=False,
        )
        canvas.outline(label)
    axis.set_xlim(-0.5, width - 0.5)
    axis.set_ylim(height - 0.5, -0.5)
    canvas.bare(axis)
    return canvas.pixels(figure)


def error_curve(errors: Array, *, unit: str, label: str) -> Figure:
    """Cumulative distribution of point errors (P,) as a figure."""
    figure = canvas.figure(6, 4, layout="constrained")
    axis = figure.subplots()
    ordered = np.sort(errors)
    axis.step(ordered, 100.0 * np.arange(1, len(ordered) + 1) / max(len(ordered), 1), where="post", label=_plain(label))
    axis.set(xlabel=f"point-to-point error ({unit})", ylabel="points (%)", ylim=(0, 101), xlim=(0, None))
    axis.grid(alpha=0.3)
    axis.legend(loc="lower right")
    return figure


def image_error_curves(errors: Mapping[tuple[str, str], Array], *, unit: str, systems: Sequence[str]) -> Figure:
    """Cumulative distributions of the image-specific error, with one colour per system and one line style per training size.

    If errors differ by large factors, the axis of errors is logarithmic, so that every curve is visible.

    Args:
        errors: (system, size) -> (values,).
        unit: of the errors.
        systems: names of all systems, so that each has the same colour in every figure.
    """
    figure = canvas.figure(9, 4.5, layout="constrained")
    axis = figure.subplots()
    sizes = list(dict.fromkeys(size for _, size in errors))
    largest = [np.percentile(values, 95) for values in errors.values()]
    logarithmic = max(largest) > 4 * min(largest)
    for (system, size), values in errors.items():
        ordered = np.sort(values)
        share = 100.0 * np.arange(1, len(ordered) + 1) / len(ordered)
        style: dict[str, Any] = dict(
            color=f"C{systems.index(system) % 10}", linestyle=LINES[(len(sizes) - 1 - sizes.index(size)) % len(LINES)]
        )
        axis.step(ordered, share, where="post", label=_plain(f"{system}, {size}: {values.mean():.2f} {unit}"), **style)
    axis.set(xlabel=f"image-specific point-to-point error ({unit})", ylabel="images (%)", ylim=(0, 101))
    if logarithmic:
        axis.set_xscale("log")
    else:
        axis.set_xlim(0, 1.1 * max(largest))
    axis.grid(alpha=0.3)
    axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8, title="system, training images: mean")
    return figure


def _plain(text: str) -> str:
    """Escape a name, so that Matplotlib does not read it as a formula."""
    return drawable(text).replace("$", r"\$")


def encode_png(array: Array) -> bytes:
    """PNG bytes of an image uint8 (height, width, 3)."""
    return tf.io.encode_png(array).numpy()
