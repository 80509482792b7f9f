"""From votes to landmarks, coarse to fine. The last votes are smoothed to heatmaps for the usual decoder."""

from typing import NamedTuple

import numpy as np

from scn_tf.environment.extras import needs_extra
from scn_tf.systems.forest.features import Features, measure
from scn_tf.systems.forest.trees import Forest, answers
from scn_tf.types import Array, Sizes

BLUR = 0.15  # of a stage's reach: standard deviation of the smoothed votes
FIRST_POINTS, NEAR_POINTS = 1600, 900  # pixels that vote in an image or region


class Stage(NamedTuple):
    """One stage from coarse to fine.

    Attributes:
        reach: distance of voting pixels from the point found so far. 0 for the first stage, in which the whole image votes.
        features: :class:`Features`.
        forests: one for all landmarks (first stage), then one per landmark.
    """

    reach: float
    features: Features
    forests: tuple[Forest, ...]


def first_votes(stage: Stage, table: Array, num_landmarks: int) -> tuple[Array, Array]:
    """Votes of a grid over the whole image for all landmarks: positions (V, N, d) and weights (V, N)."""
    size = np.array(table.shape[::-1]) - 1
    points = _grid(np.zeros(len(size), int), size - 1, FIRST_POINTS)
    offsets = answers(stage.forests[0], measure(table, points, stage.features))  # (T, P, N * d)
    offsets = offsets.reshape(*offsets.shape[:2], num_landmarks, len(size))
    positions = points[None, :, None] + offsets
    # A pixel far away knows little: the error of its vote grows with the distance.
    weights = np.exp(-np.linalg.norm(offsets, axis=-1) / (0.1 * size.max()))
    return positions.reshape(-1, num_landmarks, len(size)), weights.reshape(-1, num_landmarks)


def near_votes(stage: Stage, landmark: int, table: Array, centre: Array) -> Array:
    """Votes of the pixels around a point for one landmark: positions (V, d)."""
    size = np.array(table.shape[::-1]) - 1
    reach = int(np.ceil(stage.reach))
    centre = np.clip(np.round(centre).astype(int), 0, size - 1)
    points = _grid(np.maximum(centre - reach, 0), np.minimum(centre + reach, size - 1), NEAR_POINTS)
    offsets = answers(stage.forests[landmark], measure(table, points, stage.features))
    return (points[None] + offsets).reshape(-1, len(size))


def vote_map(positions: Array, weights: Array, shape: Sizes, blur: float) -> Array:
    """Smoothed votes of one landmark.

    Args:
        positions: (V, d) pixels. Votes outside the image are ignored.
        weights: (V,).
        shape: ([D,] H, W).
        blur: standard deviation, pixels.

    Returns:
        float32 ([D,] H, W), which sums to the weight of the votes.
    """
    with needs_extra("random forests", "scikit-learn"):  # which brings SciPy
        from scipy import ndimage

    edges = [np.arange(length + 1) - 0.5 for length in shape]
    counts, _ = np.histogramdd(positions[:, ::-1], bins=edges, weights=weights)
    return ndimage.gaussian_filter(counts.astype("float32"), blur, mode="constant", truncate=3.0)


def peaks(votes: Array, count: int, distance: float) -> tuple[Array, Array]:
    """The ``count`` highest maxima of a map ([D,] H, W), at least ``distance`` pixels apart: points (K, d), heights (K,)."""
    votes = votes.copy()
    found, heights = [], []
    index = np.indices(votes.shape)
    for _ in range(count):
        place = np.unravel_index(votes.argmax(), votes.shape)
        if votes[place] <= 0:
            break
        found.append(place[::-1])
        heights.append(votes[place])
        votes[sum((i - p) ** 2 for i, p in zip(index, place, strict=True)) < distance**2] = 0.0
    return np.array(found, float).reshape(-1, votes.ndim), np.array(heights)


def _grid(low: Array, high: Array, count: int) -> Array:
    """Points (P, d) of a regular grid between two corners, both (d,) ints; at most about ``count``."""
    step = max(1, int(np.ceil((np.prod(high - low + 1.0) / count) ** (1 / len(low)))))
    axes = [np.arange(a, b + 1, step) for a, b in zip(low, high, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
