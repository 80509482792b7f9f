"""What a calibrated model states of its points, drawn on their image: circles, crosses for absent landmarks, a warning about the image."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Ellipse

from scn_tf.types import Array

CIRCLE, ABSENT = "deepskyblue", "orange"
UNLIKE = "unlike the training images: do not trust the points"


class Marks(NamedTuple):
    """Estimates of the N points of one image.

    Attributes:
        radii: (N, d) radius95 in pixels of the image along each of its axes (x, y[, z]), which differ if pixels are not square.
        present: (N,) bool, whether each landmark is in the image. None: not known.
        image_ok: whether the image is like the training images. None: not known.
    """

    radii: Array
    present: Array | None = None
    image_ok: bool | None = None


def of_point(marks: Marks, number: int) -> Marks:
    """Marks of a single point, without the warning about its image."""
    return Marks(marks.radii[number : number + 1], None if marks.present is None else marks.present[number : number + 1])


def draw(axis: Axes, points: Array, marks: Marks, view: Sequence[int] = (0, 1)) -> None:
    """Draw the marks of points, and a warning if the image is unlike the training images.

    Args:
        axis: shows the image in its pixels.
        points: (N, d) pixels of the image; one with NaN is left out.
        marks: of the same points.
        view: axes that the picture shows to the right and downward. A sphere is seen as a circle.
    """
    across, down = view
    present = np.ones(len(points), bool) if marks.present is None else marks.present
    for point, radius, there in zip(points, marks.radii, present, strict=True):
        if np.isfinite(point).all() and there:
            shape = Ellipse((point[across], point[down]), 2 * radius[across], 2 * radius[down], fill=False, color=CIRCLE, linewidth=0.8)
            axis.add_patch(shape)
    away = points[~present & np.isfinite(points).all(axis=1)]
    axis.plot(away[:, across], away[:, down], "s", markerfacecolor="none", markeredgecolor=ABSENT, markersize=8)
    if marks.image_ok is False:
        box = dict(facecolor="black", alpha=0.7, edgecolor="none")
        axis.text(0.5, 0.98, UNLIKE, transform=axis.transAxes, ha="center", va="top", color=ABSENT, fontsize=8, bbox=box, wrap=True)
