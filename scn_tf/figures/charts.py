"""Charts of an evaluation: curves of errors, box plots per landmark, error ellipses on the mean image, heatmaps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scn_tf.figures import canvas
from scn_tf.figures.canvas import bare, drawable, png
from scn_tf.figures.pictures import LINES
from scn_tf.messages import cut, visible
from scn_tf.types import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_BOXES, MAX_ELLIPSES = 60, 300
MAX_DOTS = 4000
MAX_NUMBERED = 80  # more landmarks than that have no numbers on the mean image
INSIDE = 2.4477  # standard deviations of an ellipse that holds 95 % of a normal distribution in the plane
MAGNIFIED = (1, 2, 5, 10)
LEAST = 0.02  # of the picture's side: ellipses smaller than that are drawn larger
VIEWS = {2: ((0, 1),), 3: ((0, 1), (0, 2), (1, 2))}  # axes that a picture shows to the right and downward (z upward)


def error_curves(curves: Mapping[str, Array], *, unit: str, what: str = "points") -> bytes:
    """PNG of cumulative distributions of errors, label -> (P,), in one figure. Errors above the largest 99th percentile are cut off.

    Args:
        curves: errors by label.
        unit: of the errors.
        what: what is counted.
    """
    figure, axis = _figure(6.4, 4.2)
    for number, (label, errors) in enumerate(curves.items()):
        ordered = np.sort(errors)
        share = 100.0 * np.arange(1, len(ordered) + 1) / max(len(ordered), 1)
        axis.step(ordered, share, where="post", label=name_of(label), color=f"C{number % 10}", linestyle=LINES[number // 10 % len(LINES)])
    longest = max(float(np.percentile(errors, 99)) for errors in curves.values())
    axis.set(xlabel=f"error ({unit})", ylabel=f"{what} (%)", ylim=(0, 101), xlim=(0, 1.05 * longest or 1.0))
    axis.grid(alpha=0.3)
    axis.legend(loc="lower right", fontsize=8)
    return png(figure)


def box_plots(names: Sequence[str], errors: Array, unit: str) -> tuple[bytes, int] | None:
    """PNG with one box per landmark, worst median first, and the number of landmarks in it; None without errors.

    Boxes hold the middle half of the errors, whiskers 5 to 95 %, dots what is beyond.

    Args:
        names: N landmark names.
        errors: (I, N), NaN if absent.
        unit: of the errors.
    """
    columns = [(name, column[np.isfinite(column)]) for name, column in zip(names, errors.T, strict=True)]
    columns = [(name, values) for name, values in columns if values.size]
    if not columns:
        return None
    columns.sort(key=lambda pair: -np.median(pair[1]))
    shown = columns[:MAX_BOXES]
    figure, axis = _figure(6.4, 1.0 + 0.2 * len(shown))
    for place, (_, values) in enumerate(shown):
        low, first, middle, third, high = np.percentile(values, (5, 25, 50, 75, 95))
        beyond = np.sort(values[(values < low) | (values > high)])[-50:]
        axis.hlines(place, low, high, color="0.4", linewidth=1)
        axis.barh(place, third - first, left=first, height=0.6, color="#9ecae1", edgecolor="0.3", linewidth=0.8)
        axis.vlines(middle, place - 0.3, place + 0.3, color="#c03000", linewidth=1.5)
        axis.plot(beyond, np.full(len(beyond), place), ".", color="0.4", markersize=3)
    axis.set_yticks(range(len(shown)), [name_of(name) for name, _ in shown])
    axis.set_ylim(-0.8, len(shown) - 0.2)
    axis.invert_yaxis()
    axis.tick_params(axis="y", labelsize=7)
    everything = np.concatenate([values for _, values in shown])
    if everything.max() > 15 * max(np.median(everything), 1e-9) and np.percentile(everything, 1) > 0:
        axis.set_xscale("log")
    else:
        axis.set_xlim(0, None)
    axis.set_xlabel(f"error ({unit})")
    axis.grid(axis="x", alpha=0.3)
    return png(figure), len(shown)


def reliability(parts: Sequence[Mapping[str, float]], unit: str) -> bytes:
    """PNG of the reliability curve: mean error against mean expected error of some parts of the points.

    Args:
        parts: each with ``expected_error`` and ``error``.
        unit: of both.
    """
    expected, errors = (np.array([part[name] for part in parts]) for name in ("expected_error", "error"))
    largest = 1.1 * max(expected.max(), errors.max())
    figure, axis = _figure(4.8, 4.4)
    axis.plot([0, largest], [0, largest], "-", color="0.6", linewidth=1)
    axis.plot(expected, errors, "o-", color="C0", markersize=5)
    axis.set(xlabel=f"expected error ({unit})", ylabel=f"mean error ({unit})", xlim=(0, largest), ylim=(0, largest))
    axis.grid(alpha=0.3)
    return png(figure)


def errors_and_radii(errors: Array, radii: Array, unit: str, *, seed: int = 0) -> bytes:
    """PNG with a dot per point: its error against the radius that should contain the true point. Some are drawn if there are many.

    Args:
        errors, radii: (P,).
        unit: of both.
        seed: of the draw.
    """
    if len(errors) > MAX_DOTS:
        drawn = np.random.default_rng(seed).permutation(len(errors))[:MAX_DOTS]
        errors, radii = errors[drawn], radii[drawn]
    outside = errors > radii
    ends = np.array([radii.min(), radii.max()])
    figure, axis = _figure(4.8, 4.4)
    axis.plot(ends, ends, "-", color="0.6", linewidth=1)
    for which, colour in ((~outside, "C0"), (outside, "C3")):
        axis.plot(radii[which], errors[which], ".", color=colour, markersize=4, alpha=0.6)
    axis.set(
        xlabel=f"95 % radius ({unit})", ylabel=f"error ({unit})", xlim=(0, 1.05 * ends[1]), ylim=(0, 1.05 * max(errors.max(), ends[1]))
    )
    axis.grid(alpha=0.3)
    return png(figure)


class Differences(NamedTuple):
    """One panel of a Bland-Altman picture.

    Fields:

    - ``mean``, ``difference``: (P,) of two methods.
    - ``limits``: of agreement of these; None if there are too few.
    - ``beside``: limits of other methods, to compare.
    """

    mean: Array
    difference: Array
    limits: Sequence[float] | None
    beside: Sequence[float] | None


def bland_altman(panels: Mapping[str, Differences], unit: str, *, seed: int = 0) -> bytes:
    """PNG of differences against means, a panel per axis (Bland and Altman 1986). Some dots are drawn if there are many.

    Args:
        panels: name of the axis -> what it shows.
        unit: of all values.
        seed: of the draw.
    """
    figure = canvas.figure(4.4 * len(panels), 3.8, layout="constrained")
    rows = figure.subplots(1, len(panels), squeeze=False, sharey=True)
    for axis, (name, panel) in zip(rows[0], panels.items(), strict=True):
        drawn = np.random.default_rng(seed).permutation(len(panel.mean))[:MAX_DOTS]
        axis.plot(panel.mean[drawn], panel.difference[drawn], ".", color="C0", markersize=4, alpha=0.6)
        if panel.limits is not None:
            for value in (*panel.limits, np.mean(panel.limits)):
                axis.axhline(value, color="C3", linewidth=1)
        for value in panel.beside or ():
            axis.axhline(value, color="0.3", linewidth=1, linestyle="--")
        axis.set(xlabel=f"mean of both along {name} ({unit})", ylabel=f"difference along {name} ({unit})")
        axis.tick_params(labelleft=True)
        axis.grid(alpha=0.3)
    return png(figure)


def error_ellipses(image: Array, step: int, places: Array, errors: Array) -> tuple[bytes, int, list[int]]:
    """JPEG of the mean image with an ellipse around each landmark that holds about 95 % of the found points.

    Args:
        image: mean image ([D,] H, W), 0 to 1. A volume is shown by its means along z, y and x.
        step: network pixels for each of its pixels.
        places: (N, d) mean positions, network pixels, NaN if unknown.
        errors: (I, N, d) found minus true point, network pixels, NaN if unknown.

    Returns:
        (picture, factor by which errors are drawn larger, numbers of the landmarks with an ellipse).
    """
    dims = places.shape[-1]
    moments = _moments(errors)
    factor = _factor([spread for _, spread in moments.values()], step * max(image.shape))
    views = VIEWS[dims]
    heights = [_seen(image, view).shape for view in views]
    width, height = (6.4, 6.4 * heights[0][0] / heights[0][1]) if dims == 2 else (9.6, 3.6)
    figure = canvas.figure(width, height, dpi=110)
    axes = np.atleast_1d(figure.subplots(1, len(views)))
    figure.subplots_adjust(0.005, 0.005, 0.995, 0.995, 0.01, 0.01)
    for axis, view in zip(axes, views, strict=True):
        seen = _seen(image, view)
        rows, columns = seen.shape
        extent = (-0.5, columns * step - 0.5, rows * step - 0.5, -0.5)
        axis.imshow(seen, cmap="gray", extent=extent, vmin=np.percentile(seen, 1), vmax=max(np.percentile(seen, 99.7), 1e-6))
        for number, (offset, spread) in moments.items():
            _ellipse(axis, places[number, list(view)], offset[list(view)] * factor, spread[np.ix_(view, view)] * factor**2)
            if len(moments) <= MAX_NUMBERED:
                label = axis.annotate(str(number), places[number, list(view)], xytext=(4, 4), textcoords="offset points", fontsize=6)
                label.set_color("yellow")
                canvas.outline(label)
        known = np.isfinite(places).all(axis=1)
        axis.plot(*places[known][:, list(view)].T, "+", color="lime", markersize=4)
        axis.set_xlim(extent[0], extent[1])
        axis.set_ylim((extent[3], extent[2]) if view[1] == 2 else (extent[2], extent[3]))
        bare(axis)
    return canvas.jpeg(figure, quality=78), factor, list(moments)


def heatmap_strip(maps: Mapping[str, Array], truth: Array, found: Array, marked: Sequence[int]) -> bytes:
    """JPEG of heatmaps side by side with the marked true (+) and found (x) points.

    Args:
        maps: title -> (H, W), up to 1.
        truth, found: (N, d) pixels of the maps.
        marked: numbers of the landmarks to mark.
    """
    shapes = [values.shape for values in maps.values()]
    height = 2.3 * shapes[0][0] / shapes[0][1]
    figure = canvas.figure(2.3 * len(maps), height + 0.22, dpi=100)
    axes = np.atleast_1d(figure.subplots(1, len(maps)))
    figure.subplots_adjust(0.003, 0.003, 0.997, height / (height + 0.22), 0.015, 0)
    for axis, (title, values) in zip(axes, maps.items(), strict=True):
        axis.imshow(values, cmap="magma", vmin=0, vmax=1)
        axis.plot(*truth[marked, :2].T, "+", color="lime", markersize=6)
        axis.plot(*found[marked, :2].T, "x", color="cyan", markersize=4)
        axis.text(0.5, 1.01, title, transform=axis.transAxes, fontsize=8, ha="center")
        axis.set_xlim(-0.5, values.shape[1] - 0.5)
        axis.set_ylim(values.shape[0] - 0.5, -0.5)
        bare(axis)
    return canvas.jpeg(figure, quality=78)


def name_of(text: str) -> str:
    """A name in a chart: short, in one line, not read as a formula."""
    return drawable(cut(visible(str(text)), 40)).replace("$", r"\$")


def _moments(errors: Array) -> dict[int, tuple[Array, Array]]:
    """Mean (d,) and covariance (d, d) of the errors of each landmark with at least three. Of many landmarks, those that err most."""
    found = {}
    for number in range(errors.shape[1]):
        own = errors[:, number][np.isfinite(errors[:, number]).all(axis=1)]
        if len(own) > 2:
            found[number] = own.mean(axis=0), np.cov(own.T)
    worst = sorted(found, key=lambda number: -float(np.mean(found[number][0] ** 2) + np.trace(found[number][1])))
    return {number: found[number] for number in sorted(worst[:MAX_ELLIPSES])}


def _factor(spreads: Sequence[Array], side: float) -> int:
    """Magnification that makes a typical ellipse visible."""
    if not spreads:
        return 1
    typical = INSIDE * np.median([np.sqrt(np.trace(spread) / len(spread)) for spread in spreads])
    return next((factor for factor in MAGNIFIED if factor * typical >= LEAST * side), MAGNIFIED[-1])


def _ellipse(axis: Axes, place: Array, offset: Array, spread: Array) -> None:
    variances, directions = np.linalg.eigh(spread)
    width, height = 2 * INSIDE * np.sqrt(np.maximum(variances[::-1], 0))
    angle = np.degrees(np.arctan2(directions[1, 1], directions[0, 1]))
    canvas.add_ellipse(axis, place + offset, width, height, angle, color="red", linewidth=1)
    axis.plot(*np.stack([place, place + offset]).T, "-", color="orange", linewidth=1)


def _seen(image: Array, view: tuple[int, int]) -> Array:
    """An image as a view shows it; of a volume the mean along the hidden axis."""
    if image.ndim == 2:
        return image
    hidden = ({0, 1, 2} - set(view)).pop()
    return image.mean(axis=2 - hidden)


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = canvas.figure(width, height, layout="constrained")
    return figure, figure.subplots()
