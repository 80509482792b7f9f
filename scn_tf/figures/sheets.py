"""Pictures of points on images, for checks before a training and after an evaluation."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from scn_tf.figures import canvas, marks
from scn_tf.figures.canvas import bare, drawable, png
from scn_tf.figures.marks import Marks
from scn_tf.messages import cut, visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_IMAGES = {2: 9, 3: 4}  # of a sheet
MAX_NAMES = 12  # more landmarks have numbers in the pictures, and their names below
MAX_PIXELS = 900  # of a side
CROP = 0.2  # of the longest side: the surroundings of one point


def annotation_sheet(examples: Sequence[dict], ids: Sequence[str], names: Sequence[str]) -> bytes:
    """PNG of the first training images as the network sees them, with their points.

    Args:
        examples: of :mod:`scn_tf.data.pipeline`, as arrays. Volumes are shown by their maximum along z and along y.
        ids: their IDs.
        names: N landmark names.
    """
    dims = examples[0]["landmarks"].shape[-1]
    chosen = list(zip(examples, ids, strict=False))[: MAX_IMAGES[dims]]
    panels = [(example, image_id, view) for example, image_id in chosen for view in _views(dims)]
    figure, axes = _grid(len(panels))
    numbered = len(names) > MAX_NAMES
    for axis, (example, image_id, view) in zip(axes, panels, strict=False):
        shown = example["visible"] > 0
        _show(axis, example["image"], view)
        points = example["landmarks"][:, view]
        axis.plot(*points[shown].T, "+", color="lime", markersize=6)
        for number in np.flatnonzero(shown).tolist():
            _label(axis, str(number) if numbered else names[number], points[number], "yellow")
        title = f"{_name(image_id)}  ({'xyz'[view[0]]} right, {'xyz'[view[1]]} {'up' if view[1] == 2 else 'down'})"
        axis.set_title(title, fontsize=8, parse_math=False)
    if numbered:
        legend = textwrap.wrap("   ".join(f"{number} {_name(name)}" for number, name in enumerate(names)), 150)[:12]
        figure.supxlabel("\n".join(legend), fontsize=6, parse_math=False)
    return png(figure)


def label_sheet(images: np.ndarray, maps: np.ndarray, ids: Sequence[str], *, num_labels: int) -> bytes:
    """PNG of the first training images ([D,] H, W, C) under their label maps ([D,] H, W). Volumes are shown by their middle slice."""
    count = min(len(ids), MAX_IMAGES[2])
    figure, axes = _grid(count)
    for axis, image, labels, image_id in zip(axes, images, maps, ids, strict=False):
        if labels.ndim == 3:
            image, labels = image[len(image) // 2], labels[len(labels) // 2]
        axis.imshow(image[..., 0], cmap="gray")
        axis.imshow(np.ma.masked_equal(labels, 0), cmap="nipy_spectral", vmin=0, vmax=num_labels - 1, alpha=0.5, interpolation="nearest")
        axis.set_title(_name(image_id), fontsize=8, parse_math=False)
    return png(figure)


def compared(
    image: np.ndarray,
    truth: np.ndarray,
    found: np.ndarray,
    names: Sequence[str],
    pixel_size: np.ndarray | None,
    stated: Marks | None = None,
) -> bytes:
    """JPEG of an image at its own proportions with true (green +) and found (red x) points and a line between them.

    Args:
        image: ([D,] H, W, C). A volume is shown by its maximum along z and along y.
        truth: (N, d) pixels of the image, NaN where absent.
        found: (N, d).
        names: N labels; an empty one is not written.
        pixel_size: (d,) mm per pixel; None: square.
        stated: what a calibrated model states of the found points.
    """
    dims = truth.shape[-1]
    size = np.ones(dims) if pixel_size is None else np.asarray(pixel_size, float)
    views = _views(dims)
    sides = np.array(image.shape[-2::-1]) * size
    figure = canvas.figure(*_fitted([sides[list(view)] for view in views], 6.0), dpi=100)
    axes = np.atleast_1d(figure.subplots(1, len(views)))
    figure.subplots_adjust(0.005, 0.005, 0.995, 0.995, 0.01, 0.01)
    for axis, view in zip(axes, views, strict=True):
        _show(axis, image, view, aspect=size[view[1]] / size[view[0]])
        _pairs(axis, truth[:, view], found[:, view], names)
        if stated is not None:
            marks.draw(axis, np.where(np.isfinite(truth), found, np.nan), stated, view)
    return canvas.jpeg(figure, quality=80)


def close_up(
    image: np.ndarray,
    truth: np.ndarray,
    found: np.ndarray,
    number: int,
    names: Sequence[str],
    pixel_size: np.ndarray | None,
    stated: Marks | None = None,
) -> bytes:
    """JPEG of the surroundings of one true and found point; see :func:`compared`. A volume is shown by the slice of the true point."""
    dims = truth.shape[-1]
    size = np.ones(dims) if pixel_size is None else np.asarray(pixel_size, float)
    if dims == 3:
        image = image[int(np.clip(round(float(truth[number, 2])), 0, len(image) - 1))]
    sides = np.array(image.shape[1::-1])
    pair = np.stack([truth[number, :2], found[number, :2]])
    half = max(CROP * (sides * size[:2]).max() / 2, 0.6 * (np.ptp(pair, axis=0) * size[:2]).max()) / size[:2]
    middle = np.clip(pair.mean(axis=0), 0, sides - 1)
    low = np.clip(np.floor(middle - half), 0, sides - 1).astype(int)
    high = np.maximum(np.clip(np.ceil(middle + half) + 1, 1, sides).astype(int), low + 1)
    part = image[low[1] : high[1], low[0] : high[0]]
    figure = canvas.figure(*_fitted([(high - low) * size[:2]], 3.0), dpi=100)
    axis = figure.add_axes((0, 0, 1, 1))
    _show(axis, part, (0, 1), aspect=size[1] / size[0])
    _pairs(axis, pair[:1] - low, pair[1:] - low, [names[number]])
    if stated is not None:
        marks.draw(axis, pair[1:] - low, marks.of_point(stated, number))
    return canvas.jpeg(figure, quality=80)


def _views(dims: int) -> list[list[int]]:
    """Pairs of axes that a picture shows to the right and downward (z upward)."""
    return [[0, 1]] if dims == 2 else [[0, 1], [0, 2]]


def _grid(count: int) -> tuple[Figure, list[Axes]]:
    columns = int(np.ceil(np.sqrt(count)))
    rows = int(np.ceil(count / columns))
    figure = canvas.figure(3.6 * columns, 3.6 * rows, layout="constrained")
    axes = list(np.ravel(figure.subplots(rows, columns)))
    for axis in axes:
        bare(axis)
    return figure, axes


def _show(axis: Axes, image: np.ndarray, view: Sequence[int], aspect: float = 1.0) -> None:
    """Draw ([D,] H, W, C) in grey, with the maximum along the hidden axis. Integer coordinates are centres of pixels."""
    grey = image.mean(axis=-1)
    if grey.ndim == 3:
        grey = grey.max(axis=0 if view[1] == 1 else 1)
    height, width = grey.shape
    step = max(1, int(np.ceil(max(height, width) / MAX_PIXELS)))
    low, high = np.percentile(grey[::step, ::step], (1, 99.5))
    axis.imshow(
        grey[: height // step * step, : width // step * step].reshape(height // step, step, width // step, step).mean(axis=(1, 3)),
        cmap="gray",
        vmin=low,
        vmax=max(high, low + 1e-6),
        aspect=aspect,
        extent=(-0.5, width // step * step - 0.5, height // step * step - 0.5, -0.5),
    )
    axis.set_xlim(-0.5, width - 0.5)
    axis.set_ylim((-0.5, height - 0.5) if view[1] == 2 else (height - 0.5, -0.5))
    bare(axis)


def _pairs(axis: Axes, truth: np.ndarray, found: np.ndarray, names: Sequence[str]) -> None:
    known = np.isfinite(truth).all(axis=1)
    for one, other in zip(truth[known], found[known], strict=True):
        axis.plot(*np.stack([one, other]).T, "-", color="orange", linewidth=1)
    axis.plot(*truth[known].T, "+", color="lime", markersize=7)
    axis.plot(*found[known].T, "x", color="red", markersize=5)
    for number in np.flatnonzero(known).tolist():
        if names[number]:
            _label(axis, names[number], found[number], "yellow")


def _label(axis: Axes, text: str, place: np.ndarray, colour: str) -> None:
    label = axis.annotate(
        _name(text),
        (place[0], place[1]),
        xytext=(3, 3),
        textcoords="offset points",
        color=colour,
        fontsize=6,
        parse_math=False,
        annotation_clip=True,
    )
    canvas.outline(label)


def _name(text: str) -> str:
    """A name for a picture: short and in one line. Its text must not be read as a formula (parse_math=False)."""
    return drawable(cut(visible(str(text)), 40))


def _fitted(sides: Sequence[np.ndarray], longest: float) -> tuple[float, float]:
    """Size (width, height) in inches of panels side by side, from the longest side of one panel. Thin sides have a lower limit."""
    scale = longest / max(max(side) for side in sides)
    return max(sum(side[0] for side in sides) * scale, 0.5), max(max(side[1] for side in sides) * scale, 0.5)
