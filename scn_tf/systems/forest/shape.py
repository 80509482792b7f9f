"""A PCA model of relative landmark positions, and the choice of candidates that agrees with it."""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from scn_tf.types import Array

KEPT = 0.98  # share of the variance that the modes explain
LIMIT = 3.0  # standard deviations that a mode may move
ROUNDS = 10

Transform: TypeAlias = tuple[Array, Array]  # scale * rotation (d, d), shift (d,)


class ShapeModel(NamedTuple):
    """``mean`` (N, d), ``modes`` (M, N * d) orthonormal, ``deviations`` (M,), ``residual``: rms distance of points to it, pixels."""

    mean: np.ndarray
    modes: np.ndarray
    deviations: np.ndarray
    residual: float


def learn(shapes: Array) -> ShapeModel:
    """Learn a :class:`ShapeModel` from complete landmark sets (I, N, d), aligned to their mean by similarity transforms."""
    mean = shapes[0] - shapes[0].mean(axis=0)
    for _ in range(5):
        aligned = np.stack([apply(alignment(shape, mean), shape) for shape in shapes])
        fresh = aligned.mean(axis=0)
        mean = apply(alignment(fresh, mean), fresh)
    centred = (aligned - mean).reshape(len(shapes), -1)
    _, singular, modes = np.linalg.svd(centred, full_matrices=False)
    variances = singular**2 / max(1, len(shapes) - 1)
    count = int(np.searchsorted(np.cumsum(variances) / max(variances.sum(), 1e-12), KEPT)) + 1
    modes, deviations = modes[:count], np.sqrt(variances[:count])
    rest = centred - centred @ modes.T @ modes
    residual = np.sqrt((rest.reshape(len(shapes), *mean.shape) ** 2).sum(axis=-1).mean())
    return ShapeModel(mean, modes, deviations, float(max(residual, 1.0)))


def alignment(points: Array, reference: Array, weights: Array | None = None) -> Transform:
    """Least-squares similarity transform (scale * rotation (d, d), shift (d,)) from points to a reference (Umeyama 1991, eq. 40-42)."""
    weights = np.ones(len(points)) if weights is None else weights
    weights = weights / weights.sum()
    centre, target = weights @ points, weights @ reference
    spread, aim = points - centre, reference - target
    left, singular, right = np.linalg.svd((aim * weights[:, None]).T @ spread)
    flip = np.ones(points.shape[1])
    flip[-1] = np.sign(np.linalg.det(left) * np.linalg.det(right)) or 1.0
    variance = weights @ (spread**2).sum(axis=1)
    scale = (singular * flip).sum() / max(variance, 1e-12)
    # Points that are all at one place have no size and no direction: they are only shifted.
    matrix = scale * left @ np.diag(flip) @ right if variance > 1e-12 and scale > 0 else np.eye(points.shape[1])
    return matrix, target - matrix @ centre


def apply(transform: Transform, points: Array) -> Array:
    """Transform points (..., d) by an :func:`alignment`."""
    matrix, shift = transform
    return points @ matrix.T + shift


def regularise(model: ShapeModel, points: Array, weights: Array) -> Array:
    """Shape of the model nearest to points (N, d), in their own frame. ``weights`` (N,) are the confidences of the points."""
    matrix, shift = alignment(points, model.mean, weights)
    offsets = (apply((matrix, shift), points) - model.mean).ravel()
    root = np.sqrt(np.repeat(weights / weights.max(), points.shape[1]))
    # Ridge: without it, few believed points would bend the modes at will.
    ridge = np.diag((model.residual / np.maximum(model.deviations, 1e-6)) ** 2)
    design = model.modes.T * root[:, None]
    factors = np.linalg.solve(design.T @ design + ridge, design.T @ (offsets * root))
    factors = np.clip(factors, -LIMIT * model.deviations, LIMIT * model.deviations)
    shape = model.mean + (factors @ model.modes).reshape(model.mean.shape)
    return np.linalg.solve(matrix, (shape - shift).T).T


def choose(model: ShapeModel, candidates: Sequence[Array], heights: Sequence[Array]) -> Array:
    """Choose for every landmark a candidate that is high and agrees with the others.

    Two steps alternate. The first finds the shape nearest to the chosen points. The second chooses for every landmark the candidate
    with the largest log height - distance^2 / (2 s^2). The distance is to the shape; s shrinks from a quarter of the shape's size
    to the model's residual.

    Args:
        model: :class:`ShapeModel`.
        candidates: N arrays (K, d).
        heights: N arrays (K,), positive.

    Returns:
        (N, d).
    """
    chosen = np.stack([points[0] for points in candidates])
    believed = np.array([values[0] / values.sum() for values in heights])
    width = 0.25 * np.ptp(model.mean, axis=0).max()
    for _ in range(ROUNDS):
        shape = regularise(model, chosen, believed)
        width = max(0.5 * width, 2.0 * model.residual)
        picks = []
        for points, values, place in zip(candidates, heights, shape, strict=True):
            squared = ((points - place) ** 2).sum(axis=1)
            picks.append(int(np.argmax(np.log(values) - squared / (2 * width**2))))
        before, chosen = chosen, np.stack([points[pick] for points, pick in zip(candidates, picks, strict=True)])
        distance = np.linalg.norm(chosen - shape, axis=1)
        believed = np.exp(-0.5 * (distance / width) ** 2) + 1e-3
        if width <= 2.0 * model.residual and (before == chosen).all():
            break
    return chosen
