"""Confidence intervals and paired tests over images.

Images are drawn with repetition, each with all its points: points of one image are not independent. Intervals tell what other images
would have given, not what other trainings would. Everything is seeded, and needs little memory for any number of images.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from scn_tf.types import Array

RESAMPLINGS = 10_000
MEDIANS = 1_000  # resamplings of a median, which costs more
CHUNK = 4_000_000  # numbers in memory at a time
EXACT_IMAGES = 13  # up to so many, a test goes through all signs
TIE = 1e-9  # relative: sums of the same numbers in another order

Interval = tuple[float, float]


def interval(values: Array, *, seed: int = 0) -> Interval:
    """95 % bootstrap interval of the mean of per-image values (I,), percentile method; NaN for a single image."""
    if len(values) < 2:
        return np.nan, np.nan
    return _percentiles(np.concatenate([values[drawn].mean(axis=1) for drawn in _draws(len(values), seed)]))


def pooled_intervals(sums: Array, counts: Array, *, seed: int = 0) -> list[Interval]:
    """95 % bootstrap intervals of K means over the points of all images, such as a mean error and shares of points.

    Args:
        sums: (I, K) sums over the points of each image.
        counts: (I,) number of points of each image.
        seed: of the draws.

    Returns:
        (low, high) of each mean; NaN for a single image.
    """
    if len(sums) < 2:
        return [(np.nan, np.nan)] * sums.shape[1]
    means: list[list[Array]] = [[] for _ in range(sums.shape[1])]
    for drawn in _draws(len(sums), seed):
        points = counts[drawn].sum(axis=1)
        for column, values in zip(means, sums.T, strict=True):
            column.append(values[drawn].sum(axis=1)[points > 0] / points[points > 0])
    return [_percentiles(np.concatenate(column)) for column in means]


def median_interval(errors: Array, *, seed: int = 0) -> Interval:
    """95 % bootstrap interval of the median over the points of all images.

    Args:
        errors: (I, N), NaN if absent.
        seed: of the draws.
    """
    owner, _ = np.nonzero(np.isfinite(errors))
    values = errors[np.isfinite(errors)]
    order = np.argsort(values, kind="stable")
    owner, values = owner[order], values[order]
    resamplings = int(np.clip(1e8 // len(values), 200, MEDIANS))
    medians = []
    for drawn in _draws(len(errors), seed, resamplings, width=len(values)):
        times = np.stack([np.bincount(row, minlength=len(errors)) for row in drawn])
        reached = np.cumsum(times[:, owner], axis=1)
        total = reached[:, -1:]
        medians.append(values[np.argmax(2 * reached >= total, axis=1)][total[:, 0] > 0])
    return _percentiles(np.concatenate(medians))


def common(first: Array, second: Array) -> tuple[Array, Array]:
    """Errors (..., I, N) of two systems with only the points that both have. Images without such a point are left out."""
    both = np.isfinite(first) & np.isfinite(second)
    kept = both.any(axis=-1).reshape(-1, both.shape[-2]).all(axis=0)
    return np.where(both, first, np.nan)[..., kept, :], np.where(both, second, np.nan)[..., kept, :]


def sign_flip(differences: Array, *, seed: int = 0) -> float:
    """Two-sided p-value of a paired permutation test: could the mean of per-image differences (I,) as well have the other sign?

    With few images all signs are tried, else ``RESAMPLINGS`` random ones.
    """
    count = len(differences)
    observed = abs(differences.sum()) - TIE * np.abs(differences).sum()
    if count <= EXACT_IMAGES:
        signs = 1 - 2 * (np.arange(2**count)[:, None] >> np.arange(count) & 1)
        return float((np.abs(signs @ differences) >= observed).mean())
    rng, rows, hits = np.random.default_rng(seed), max(1, CHUNK // count), 0
    for start in range(0, RESAMPLINGS, rows):
        signs = rng.integers(0, 2, (min(rows, RESAMPLINGS - start), count), dtype=np.int8) * np.int8(2) - np.int8(1)
        hits += int((np.abs(signs @ differences) >= observed).sum())
    return (1 + hits) / (1 + RESAMPLINGS)


def holm(values: Sequence[float]) -> list[float]:
    """P-values of several tests after Holm's correction, in the given order."""
    order = np.argsort(values, kind="stable")
    adjusted, largest = [0.0] * len(values), 0.0
    for rank, number in enumerate(order.tolist()):
        largest = max(largest, min(1.0, (len(values) - rank) * values[number]))
        adjusted[number] = largest
    return adjusted


def _draws(count: int, seed: int, resamplings: int = RESAMPLINGS, *, width: int = 0) -> Iterator[Array]:
    """Numbers (R, count) of drawn images, some resamplings at a time. ``width``: numbers that the caller holds for each resampling."""
    rng, rows = np.random.default_rng(seed), max(1, CHUNK // max(count, width, 1))
    for start in range(0, resamplings, rows):
        yield rng.integers(0, count, (min(rows, resamplings - start), count))


def _percentiles(values: Array) -> Interval:
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)
