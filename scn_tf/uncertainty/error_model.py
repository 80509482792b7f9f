"""The expected error of a point, from what its heatmap shows and how hard its landmark is.

A generalised linear model with a logarithmic link (McCullagh and Nelder 1989, chapter 8)::

    E[r_ij] = exp(offset_j + sum_k weights_k z_ijk)

r_ij is the error of landmark j in image i in network pixels and z_ijk a standardised statistic of its map.
"""

from typing import NamedTuple

import numpy as np

from scn_tf.environment.backend import ops
from scn_tf.types import Array, Tensor

FARTHEST = 4.0  # standard deviations at which a statistic counts at most
STEPS = 50
SMALLEST = 1e-3  # network pixels
LARGEST_SURPRISE = 5.0  # an error counts at most this many times more than expected, so that one point cannot turn the fit
PENALTY = 3.0  # of the weights: as many points in favour of no effect
PENALTY_OF_LANDMARKS = 20.0  # of a landmark's own difficulty, beside what its errors in training images say


class ErrorModel(NamedTuple):
    """Fitted model. ``mean``, ``deviation``, ``weights``: (K,) of the statistics. ``offsets``: (N,) of the landmarks."""

    mean: Array
    deviation: Array
    weights: Array
    offsets: Array


def expected_error(model: ErrorModel, statistics: Tensor) -> Tensor:
    """Expected errors (B, N) in network pixels, from statistics (B, N, K). Their range is that of the calibration images and a bit."""
    standard = ops.clip((statistics - model.mean) / model.deviation, -FARTHEST, FARTHEST)
    return ops.exp(ops.sum(standard * model.weights, axis=-1) + model.offsets)


def fit(errors: Array, statistics: Array, difficulty: Array | None = None) -> ErrorModel:
    """Fit the model by iteratively reweighted least squares, with ridge penalties.

    Args:
        errors: (I, N) network pixels, NaN where nothing is annotated.
        statistics: (I, N, K).
        difficulty: (N,) logarithm of each landmark's error in other images, 0 on average. None: not known.

    Raises:
        ValueError: nothing is annotated.
    """
    known = np.isfinite(errors)
    if not known.any():
        raise ValueError("no annotated landmark")
    images, landmarks, kinds = statistics.shape
    mean, deviation = statistics[known].mean(axis=0), statistics[known].std(axis=0) + 1e-6
    standard = np.clip((statistics - mean) / deviation, -FARTHEST, FARTHEST)
    prior = np.zeros(landmarks) if difficulty is None else difficulty
    own = np.broadcast_to(np.eye(landmarks), (images, landmarks, landmarks))
    columns = [np.ones((images, landmarks, 1)), np.broadcast_to(prior[:, None], (images, landmarks, 1)), standard, own]
    design = np.concatenate(columns, axis=-1)[known]
    penalty = np.array([1e-6, 1e-3, *kinds * [PENALTY], *landmarks * [PENALTY_OF_LANDMARKS]])
    observed = np.maximum(errors[known], SMALLEST)
    found = np.zeros(design.shape[1])
    found[0] = np.log(np.median(observed))
    gram = design.T @ design + np.diag(penalty)
    for _ in range(STEPS):
        linear = np.clip(design @ found, -10.0, 10.0)
        surprise = np.minimum(observed / np.exp(linear) - 1.0, LARGEST_SURPRISE)
        step = np.linalg.solve(gram, design.T @ surprise - penalty * found)
        found = found + step
        if np.abs(step).max() < 1e-6:
            break
    weights, effects = found[2 : 2 + kinds], found[2 + kinds :]
    return ErrorModel(mean, deviation, weights, found[0] + found[1] * prior + effects)
