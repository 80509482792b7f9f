"""What a calibrated model states of its points, drawn on their image: circles or ellipses, and signs of doubt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scn_tf.figures import canvas
from scn_tf.types import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CIRCLE, ABSENT = "deepskyblue", "orange"
UNLIKE = "unlike the training images: do not trust the points"


class Marks(NamedTuple):
    """Estimates of the N points of one image.

    Attributes:
        radii: (N, d) radius95 in pixels of the image along each of its axes (x, y[, z]), which differ if pixels are not square.
        present: (N,) bool, whether each landmark is in the image. None: not known.
        image_ok: whether the image is like the training images. None: not known.
        regions: (N, d, d) matrices A of ellipses ``r @ inv(A) @ r <= 1`` in pixels of the image, drawn in place of circles. None: there
            are none.
        misplaced: (N,) bool, whether each point does not lie where the others say. None: not known.
    """

    radii: Array
    present: Array | None = None
    image_ok: bool | None = None
    regions: Array | None = None
    misplaced: Array | None = None


def of_point(marks: Marks, number: int) -> Marks:
    """Marks of a single point, without the warning about its image."""
    own = slice(number, number + 1)
    present, regions, misplaced = (None if values is None else values[own] for values in (marks.present, marks.regions, marks.misplaced))
    return Marks(marks.radii[own], present, regions=regions, misplaced=misplaced)


def draw(axis: Axes, points: Array, marks: Marks, view: Sequence[int] = (0, 1)) -> None:
    """Draw the marks of points, and a warning if the image is unlike the training images.

    Args:
        axis: shows the image in its pixels.
        points: (N, d) pixels of the image; one with NaN is left out.
        marks: of the same points.
        view: axes that the picture shows to the right and downward. A sphere is seen as a circle, an ellipsoid as the ellipse
            around it.
    """
    across, down = view
    regions = marks.radii[:, :, None] ** 2 * np.eye(marks.radii.shape[1]) if marks.regions is None else marks.regions
    present = np.ones(len(points), bool) if marks.present is None else marks.present
    for point, region, there in zip(points, regions, present, strict=True):
        if np.isfinite(point).all() and there:
            squares, directions = np.linalg.eigh(region[np.ix_(view, view)])
            angle = np.degrees(np.arctan2(directions[1, 0], directions[0, 0]))
            sides = 2 * np.sqrt(squares)
            canvas.add_ellipse(axis, point[[across, down]], sides[0], sides[1], angle, color=CIRCLE, linewidth=0.8)
    finite = np.isfinite(points).all(axis=1)
    _draw_symbols(axis, points[finite & ~present][:, view], "s")
    if marks.misplaced is not None:
        _draw_symbols(axis, points[finite & marks.misplaced][:, view], "x")
    if marks.image_ok is False:
        box = dict(facecolor="black", alpha=0.7, edgecolor="none")
        axis.text(0.5, 0.98, UNLIKE, transform=axis.transAxes, ha="center", va="top", color=ABSENT, fontsize=8, bbox=box, wrap=True)


def _draw_symbols(axis: Axes, places: Array, symbol: str) -> None:
    axis.plot(places[:, 0], places[:, 1], symbol, markerfacecolor="none", markeredgecolor=ABSENT, markersize=8)
