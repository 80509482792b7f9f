"""What peaks of ordinary images look like: which landmarks are not there, and which images are of another kind.

Figures of :mod:`scn_tf.uncertainty.peak_statistics` are compared with their medians and spreads over annotated images.
"""

from typing import NamedTuple

import numpy as np

from scn_tf.environment.backend import ops
from scn_tf.types import Array, Tensor
from scn_tf.uncertainty.conformal import quantile

REFUSED = 0.005  # share of landmarks in the image that may be called absent
PULL = 0.5  # of a landmark's own median: absent landmarks have low peaks, whatever the height of theirs
FARTHEST = 8.0  # deviations that count at most
SHARE = 0.5  # of the landmarks, the most ordinary ones, by which an image is judged: the others may be covered or outside
MARGIN = 4.0  # times the median of ordinary images, which the limit is at least: images of other kinds had six times and more
FALSE_ALARMS = 0.01  # share of ordinary images that may be called strange


class Ordinary(NamedTuple):
    """``median`` and ``deviation`` (N, K) of the statistics over annotated images."""

    median: Array
    deviation: Array


def fit(statistics: Array, known: Array) -> Ordinary:
    """Robust medians and deviations.

    Args:
        statistics: (I, N, K).
        known: (I, N) bool, points that count. A landmark without any gets the figures of all.
    """
    shown = np.where(known[..., None], statistics, np.nan)
    every = np.nanmedian(shown, axis=(0, 1))
    seen = np.atleast_1d(known.any(axis=0))
    median = np.stack([np.nanmedian(shown[:, n], axis=0) if seen[n] else every for n in range(len(seen))])
    apart = np.abs(shown - median)
    usual = 1.4826 * np.nanmedian(apart, axis=(0, 1))
    own = np.stack([1.4826 * np.nanmedian(apart[:, n], axis=0) if seen[n] else usual for n in range(len(seen))])
    return Ordinary(median, np.maximum(own, np.maximum(0.5 * usual, 1e-3)))


def presence(ordinary: Ordinary, statistics: Tensor) -> Tensor:
    """Evidence (B, N) that landmarks are in the image: logarithm of the peak's height, relative to what is usual for the landmark."""
    return statistics[..., 0] - PULL * ordinary.median[:, 0]


def strangeness(ordinary: Ordinary, statistics: Tensor) -> Tensor:
    """How far the most ordinary half of an image's peaks is from ordinary, (B,): mean deviation in units of the usual one."""
    apart = ops.abs(statistics - ordinary.median) / ordinary.deviation
    each = ops.mean(ops.minimum(apart, FARTHEST), axis=-1)  # (B, N)
    count = max(1, round(SHARE * each.shape[-1]))
    return -ops.mean(ops.top_k(-each, count)[0], axis=-1)


def lowest_presence(evidence: Array) -> float:
    """Evidence that at most ``REFUSED`` of the landmarks in an image miss, from n of them."""
    found = -quantile(-evidence, 1 - REFUSED)
    return found if np.isfinite(found) else float(evidence.min())


def largest_strangeness(values: Array) -> float:
    """Strangeness that at most ``FALSE_ALARMS`` of ordinary images exceed, from those of n ordinary images.

    A quantile needs 99 of them. With fewer, a quarter more than the largest takes its place.
    """
    found = quantile(values, 1 - FALSE_ALARMS)
    return max(float(MARGIN * np.median(values)), found if np.isfinite(found) else 1.25 * float(values.max()))
