"""Intervals of measurements, propagated from the errors of their landmarks by random draws.

The true point lies in any direction from the found one with the same probability. Its distance follows a Weibull distribution, which two
numbers fix: its mean is the expected error, and 95 % of it lie within the radius. With shape 2 in the plane it is a normal distribution.
Landmarks are drawn independently of each other. docs/measurements.md says what that means.

Sources: Weibull, Journal of Applied Mechanics 1951 (the distribution); JCGM 101:2008, Supplement 1 to the GUM (propagation by draws).
"""

import functools
import math
from collections.abc import Sequence

import numpy as np

from scn_tf import measurements
from scn_tf.measurements import Measurement
from scn_tf.types import Array
from scn_tf.uncertainty.conformal import LEVEL

DRAWS = 4000
SEED = 0  # of all images alike: the interval of an image depends on no other
SHAPES = np.geomspace(8.0, 0.4, 500)  # from nearly constant distances to tails that are longer than those of any other shape
TAIL = -math.log(1.0 - LEVEL)
RATIOS = np.array([TAIL ** (1.0 / shape) / math.gamma(1.0 + 1.0 / shape) for shape in SHAPES])  # quantile per mean, increasing


def intervals(chosen: Sequence[Measurement], points: Array, expected: Array, radius: Array) -> Array:
    """95 % intervals (M, 2) of M measurements of one image, lower and upper end. NaN where a value does not exist.

    They contain the value of the found points. Those of signed angles may go beyond 180 degrees: 175 to 185 is one interval.

    Args:
        chosen: M measurements.
        points: (N, d) found points in a unit of length, NaN if absent.
        expected: (N,) expected errors in this unit, NaN if unknown.
        radius: (N,) radii that contain the true points with a probability of 95 %.
    """
    used = sorted(frozenset().union(*(one.landmarks for one in chosen)))
    # One block of memory per landmark: the others, which nothing reads, take none.
    drawn = np.empty((len(points), DRAWS, points.shape[-1])).swapaxes(0, 1)
    scale, shape = distribution(expected, radius)
    for number in used:
        distances, directions = _standard(number, points.shape[-1])
        drawn[:, number] = points[number] + (scale[number] * distances ** (1.0 / shape[number]))[:, None] * directions
    found = measurements.compute(chosen, points)
    apart = measurements.differences(chosen, measurements.compute(chosen, drawn), found)
    ends = np.stack([_ends(column) for column in apart.T]) if len(chosen) else np.empty((0, 2))
    return found[:, None] + ends


def distribution(expected: Array, radius: Array) -> tuple[Array, Array]:
    """Scales and shapes (N,) of Weibull distributions with these means and 95 % quantiles.

    The quantile is exact. So is the mean where the radius is 1.22 to 4.65 times as long; else it is that of the nearest such distribution.
    """
    shape = np.interp(radius / expected, RATIOS, SHAPES)
    return radius / TAIL ** (1.0 / shape), shape


@functools.lru_cache(maxsize=256)
def _standard(landmark: int, dims: int) -> tuple[Array, Array]:
    """Draws of a landmark: distances (S,) of scale and shape 1, and directions (S, d)."""
    rng = np.random.default_rng([SEED, landmark])
    directions = rng.standard_normal((DRAWS, dims))
    return rng.standard_exponential(DRAWS), directions / np.linalg.norm(directions, axis=1, keepdims=True)


def _ends(apart: Array) -> tuple[float, float]:
    """Ends of the middle 95 % of differences from the found value, from those that exist."""
    known = apart[np.isfinite(apart)]
    if not known.size:
        return math.nan, math.nan
    low, high = np.quantile(known, [(1.0 - LEVEL) / 2, (1.0 + LEVEL) / 2])
    return min(float(low), 0.0), max(float(high), 0.0)
