"""Shapes of landmarks: robust alignment to the set's median shape, and what the other landmarks say about each one.

A few wrong points or images change little: the alignment weighs points by how well they fit, medians and limits do the rest.
"""

from dataclasses import dataclass

import numpy as np

from scn_tf.types import Array

MIN_IMAGES, MIN_POINTS = 6, 4  # fewer have no usual shape
MAX_LANDMARKS = 600  # whose covariances fit into memory
ROUNDS, STEPS = 5, 8  # of the median shape, and of the weights of one alignment
LIMIT = 4.0  # robust deviations beyond which a point counts as one at this limit, where the usual variation is learned
SHRINKAGE = 0.05  # of the covariance towards independent points, as a share of the mean variance
FOLDS = 8  # an image says nothing about its own prediction
BLOCK = 100  # landmarks that predict each other
SMALL = 3.0  # images by which a usual distance is uncertain: few images predict worse than they seem to
MOST = 10.0  # usual distances that a single landmark can count in a mean
ROUND = 0.2  # of a landmark's variance that counts in every direction
FLOOR = 0.5  # of the median scale of all landmarks: no landmark is known better


@dataclass(frozen=True)
class Pose:
    """Similarity from the reference to points: ``points = scale * reference @ rotation.T + shift``.

    Attributes:
        scale: (I,). rotation: (I, d, d), proper. shift: (I, d).
    """

    scale: Array
    rotation: Array
    shift: Array

    def to_reference(self, points: Array) -> Array:
        """Points (I, N, d) in the frame of the reference."""
        return (points - self.shift[:, None]) @ self.rotation / self.scale[:, None, None]

    def from_reference(self, points: Array) -> Array:
        """Points (I, N, d) of the reference's frame in that of the images."""
        return self.scale[:, None, None] * points @ np.swapaxes(self.rotation, 1, 2) + self.shift[:, None]


def align(reference: Array, points: Array) -> Pose:
    """Similarities from a reference (N, d) to points (I, N, d), NaN where absent. Points that do not fit count little."""
    present = np.isfinite(points).all(axis=2)
    filled = np.where(present[..., None], points, 0.0)
    weights = present.astype(float)
    pose = _fit(reference, filled, weights)
    for _ in range(STEPS):
        away = np.linalg.norm(pose.to_reference(filled) - reference, axis=2)
        usual = np.nan_to_num(_nanmedian(np.where(present, away, np.nan), axis=1))[:, None]
        weights = present / (1.0 + (away / (2.0 * np.maximum(usual, 1e-9))) ** 2)
        pose = _fit(reference, filled, weights)
    return pose


def _fit(reference: Array, points: Array, weights: Array) -> Pose:
    """Weighted Procrustes without reflection, for all images at once."""
    dims = reference.shape[1]
    weights = weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-12)
    middle, centre = weights @ reference, np.einsum("in,ind->id", weights, points)
    own, other = reference - middle[:, None], points - centre[:, None]
    u, singular, v = np.linalg.svd(np.einsum("in,ina,inb->iab", weights, other, own))
    signs = np.ones((len(points), dims))
    signs[:, -1] = np.where(np.linalg.det(u @ v) < 0, -1.0, 1.0)
    rotation = (u * signs[:, None]) @ v
    spread = np.einsum("in,ind->i", weights, own**2)
    scale = np.maximum((singular * signs).sum(axis=1) / np.maximum(spread, 1e-12), 1e-9)
    shift = centre - scale[:, None] * np.einsum("iab,ib->ia", rotation, middle)
    return Pose(scale, rotation, shift)


@dataclass(frozen=True)
class Shapes:
    """Usual shape of a set.

    Attributes:
        reference: (N, d) median shape, with a mean square of 1.
        spread: (N,) usual distance of a landmark from it.
        covariance: (N * d, N * d) of the landmarks around it, of each fold without the fold's images: (F, N * d, N * d).
        metric: (N, d, d) such that ``r @ metric @ r`` is the square of a distance from what the others predict, in usual distances. A
            landmark along a contour varies more in one direction.
        folds: (I,) fold of each image.
    """

    reference: Array
    spread: Array
    covariances: Array
    metric: Array
    folds: Array

    def misfit(self, points: Array) -> Array:
        """(I,) median over landmarks of the distance from the usual shape, in usual distances; NaN for images with few points."""
        away = np.linalg.norm(align(self.reference, points).to_reference(points) - self.reference, axis=2) / self.spread
        few = np.isfinite(away).sum(axis=1) < MIN_POINTS
        return np.where(few, np.nan, _nanmedian(away, axis=1))

    def surprises(self, points: Array, folds: Array) -> tuple[Array, Array]:
        """How far landmarks lie from what the others predict.

        Args:
            points: (I, N, d), NaN where absent.
            folds: (I,) of the images.

        Returns:
            (I, N) distances in usual distances, NaN where absent, and (I, N, d) predicted points.
        """
        pose = align(self.reference, points)
        away = pose.to_reference(points) - self.reference
        rest = np.stack([_residuals(one, self.covariances[fold]) for one, fold in zip(away, folds, strict=True)])
        predicted = pose.from_reference(pose.to_reference(points) - rest)
        return _distances(rest, self.metric), predicted

    def root(self, points: Array, folds: Array) -> Array:
        """(I,) root mean square of the distances of :meth:`surprises`, each limited; NaN for images with few points."""
        far = np.minimum(self.surprises(points, folds)[0], MOST)
        few = np.isfinite(far).sum(axis=1) < MIN_POINTS
        return np.where(few, np.nan, np.sqrt(np.nansum(far**2, axis=1) / np.maximum(np.isfinite(far).sum(axis=1), 1)))


def learn(points: Array) -> Shapes | None:
    """Usual shape of points (I, N, d), NaN where absent; None if images or landmarks are too few, or landmarks too many."""
    count = np.isfinite(points).all(axis=2).sum(axis=1)
    if not MIN_POINTS <= points.shape[1] <= MAX_LANDMARKS or (count >= max(MIN_POINTS, points.shape[1] // 2)).sum() < MIN_IMAGES:
        return None
    reference = _median_shape(points)
    aligned = align(reference, points).to_reference(points)
    aligned[count < MIN_POINTS] = np.nan
    away = aligned - reference
    distance = np.linalg.norm(away, axis=2)
    spread = _floored(_nanmedian(distance, axis=0))
    limited = away * np.minimum(1.0, LIMIT * spread / np.maximum(distance, 1e-12))[..., None]
    # A landmark that few images have varies as much in these as another one in all.
    seen = np.isfinite(distance).sum(axis=0)
    limited = np.nan_to_num(limited) * np.sqrt(len(points) / np.maximum(seen, 1))[:, None]
    folds = np.arange(len(points)) % FOLDS
    covariances = np.stack([_covariance(limited[folds != fold]) for fold in range(FOLDS)])
    rest = np.stack([_residuals(one, covariances[fold]) for one, fold in zip(away, folds, strict=True)])
    return Shapes(reference, spread, covariances, _metric(rest), folds)


def _metric(rest: Array) -> Array:
    """Metric (N, d, d) of distances from predicted places, by the residuals (I, N, d) of a set.

    It is 0 for landmarks that few images have: nothing is usual for them.
    """
    dims = rest.shape[2]
    length = np.linalg.norm(rest, axis=2)
    scale = _floored(_nanmedian(length, axis=0))
    limited = np.nan_to_num(rest * np.minimum(1.0, LIMIT * scale / np.maximum(length, 1e-12))[..., None])
    seen = np.isfinite(length).sum(axis=0)
    covariance = np.einsum("ina,inb->nab", limited, limited) / np.maximum(seen, 1)[:, None, None]
    variance = np.maximum(np.trace(covariance, axis1=1, axis2=2) / dims, 1e-12)
    metric = np.linalg.inv(covariance + ROUND * variance[:, None, None] * np.eye(dims))
    # No landmark is known much better than the others, in lengths too.
    usual = np.maximum(_nanmedian(_distances(rest, metric), axis=0), 1e-9) * (1.0 + SMALL / np.maximum(seen, 1))
    known = np.maximum(_nanmedian(length, axis=0) / scale, 1e-9)
    factor = np.where(seen >= MIN_IMAGES, np.minimum(np.nan_to_num(known), 1.0) / np.nan_to_num(usual, nan=1.0), 0.0)
    return metric * factor[:, None, None] ** 2


def _distances(rest: Array, metric: Array) -> Array:
    """Lengths (I, N) of residuals (I, N, d) by a metric (N, d, d); NaN where absent."""
    return np.sqrt(np.einsum("ina,nab,inb->in", rest, metric, rest))


def _median_shape(points: Array) -> Array:
    whole = np.isfinite(points).all(axis=2).sum(axis=1)
    complete = points[whole == whole.max()]
    centred = complete - np.nanmean(complete, axis=1, keepdims=True)
    # The first shape: that which is nearest to all others, so that a wrong one does not lead.
    reference = _scaled(np.nan_to_num(centred[0]))
    if len(complete) > 2:
        some = np.nan_to_num(complete[:: max(1, len(complete) // 24)])
        references = [_scaled(one - one.mean(axis=0)) for one in some]
        costs = [np.median(np.linalg.norm(align(one, some).to_reference(some) - one, axis=2)) for one in references]
        reference = references[int(np.argmin(costs))]
    for _ in range(ROUNDS):
        median = _nanmedian(align(reference, points).to_reference(points), axis=0)
        reference = _scaled(np.where(np.isfinite(median), median, reference))
    return reference


def _scaled(shape: Array) -> Array:
    shape = shape - shape.mean(axis=0)
    return shape / max(float(np.sqrt((shape**2).mean())), 1e-12)


def _covariance(away: Array) -> Array:
    flat = away.reshape(len(away), -1)
    found = flat.T @ flat / max(len(flat), 1)
    return found + SHRINKAGE * max(float(np.trace(found)) / len(found), 1e-12) * np.eye(len(found))


def _residuals(away: Array, covariance: Array) -> Array:
    """Points (N, d) minus what the others predict; NaN where absent."""
    dims = away.shape[1]
    rest = np.full(away.shape, np.nan)
    present = np.flatnonzero(np.isfinite(away).all(axis=1))
    for start in range(0, len(present), BLOCK):
        block = present[start : start + BLOCK]
        index = (block[:, None] * dims + np.arange(dims)).ravel()
        precision = np.linalg.inv(covariance[np.ix_(index, index)])
        gradient = (precision @ away[block].ravel()).reshape(-1, dims)
        own = np.stack([precision[k : k + dims, k : k + dims] for k in range(0, len(index), dims)]) if len(block) else precision
        rest[block] = np.linalg.solve(own, gradient[..., None])[..., 0] if len(block) else rest[block]
    return rest


def _floored(scale: Array) -> Array:
    known = scale[np.isfinite(scale)]
    usual = float(np.median(known)) if len(known) else 1.0
    return np.maximum(np.where(np.isfinite(scale), scale, usual), max(FLOOR * usual, 1e-6))


def _nanmedian(values: Array, axis: int) -> Array:
    """Median without NaN, which is NaN where all are. It is much faster than NumPy's for few values."""
    ordered = np.moveaxis(np.sort(values, axis=axis), axis, 0)  # NaN last
    count = np.isfinite(ordered).sum(axis=0)
    low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, len(ordered) - 1)
    return (np.take_along_axis(ordered, low[None], 0)[0] + np.take_along_axis(ordered, high[None], 0)[0]) / 2.0
