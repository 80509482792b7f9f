"""How the shapes of a data set vary: pose by Procrustes analysis, what is left of it, and distances between landmarks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scn_tf.types import Array

ROUNDS = 5  # of aligning all shapes with their mean; later ones change nothing that matters


@dataclass(frozen=True)
class Shapes:
    """Variation of the shapes of a sample. Lengths are in the unit of the points.

    Attributes:
        diagonal: median diagonal of the box around the landmarks of an image; 0 if no image has two.
        nearest: median distance of a landmark from its nearest neighbour, over the diagonal.
        closest: 5th percentile of the same.
        rotation: standard deviation of the rotation about each axis, radians.
        scale: standard deviation of the size over its mean.
        residual: root mean square distance of landmarks from the mean shape once the pose is removed, over the diagonal.
        posed: whether enough images show the same landmarks to measure rotation, scale and residual.
        mirrored: the same distance of the mirrored mean shape with exchanged landmarks; None without counterparts.
    """

    diagonal: float = 0.0
    nearest: float = 1.0
    closest: float = 1.0
    rotation: float = 0.0
    scale: float = 0.0
    residual: float = 0.0
    posed: bool = False
    mirrored: float | None = None


def of_points(points: Array, exchange: Sequence[int] | None = None) -> Shapes:
    """Measure shapes.

    Args:
        points: (I, N, d) landmarks (x, y[, z]) of I images in one unit, NaN if absent.
        exchange: (N,) counterparts of the landmarks on the other side; None if there are no pairs.
    """
    several = [one[present] for one in points if (present := _present(one)).sum() > 1]
    diagonal = float(np.median([np.linalg.norm(np.ptp(one, axis=0)) for one in several])) if several else 0.0
    if diagonal <= 0:
        return Shapes()
    nearest = np.concatenate([_nearest(one) for one in several]) / diagonal
    found = Shapes(diagonal=diagonal, nearest=float(np.median(nearest)), closest=float(np.percentile(nearest, 5)))
    # Landmarks that most images show, and images that show most of these.
    shown = np.mean([_present(one) for one in points], axis=0) >= 0.8
    nearly = points[[bool(_present(one)[shown].mean() >= 0.8) for one in points]][:, shown] if shown.any() else points[:0]
    if shown.sum() < 3 or len(nearly) < 3:
        return found
    return _with_pose(found, _completed(nearly), None if exchange is None else _reduced(exchange, shown))


def _completed(points: Array) -> Array:
    """Shapes (I, N, d) whose absent points lie where the mean of the others, turned and scaled onto the shape, has them."""
    present = np.isfinite(points).all(axis=-1)
    if present.all():
        return points
    filled = points.copy()
    mean = points[present.sum(axis=1).argmax()]  # the most complete shape
    for _ in range(ROUNDS):
        aligned = np.full_like(points, np.nan)
        for number, one in enumerate(points):
            both = present[number] & _present(mean)
            own, other = one[both].mean(axis=0), mean[both].mean(axis=0)
            turn = rotation_onto(mean[both] - other, one[both] - own)
            spread, wide = ((one[both] - own) ** 2).sum(), ((mean[both] - other) ** 2).sum()
            size = np.sqrt(spread / wide) if spread > 0 and wide > 0 else 1.0
            aligned[number] = (one - own) @ turn.T / size + other
            absent = ~present[number]
            filled[number, absent] = (mean[absent] - other) @ turn * size + own
        mean = np.nanmean(aligned, axis=0)
    return filled


def _present(points: Array) -> Array:
    return np.isfinite(points).all(axis=-1)


def _nearest(points: Array) -> Array:
    """Distance (N,) of each point from the nearest other."""
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1)
    np.fill_diagonal(distance, np.inf)
    return distance.min(axis=1)


def _reduced(exchange: Sequence[int], shown: Array) -> Array | None:
    """Counterparts among the shown landmarks; None if a counterpart is not shown."""
    numbers = np.cumsum(shown) - 1
    kept = [other for other, own in zip(exchange, shown, strict=True) if own]
    return numbers[kept] if shown[kept].all() else None


def _with_pose(found: Shapes, points: Array, exchange: Array | None) -> Shapes:
    """Add what an alignment of all shapes (I, N, d) with their mean says."""
    centred = points - points.mean(axis=1, keepdims=True)
    sizes = np.sqrt((centred**2).sum(axis=(1, 2)))
    if not (sizes > 0).all():
        return found
    unit = centred / sizes[:, None, None]
    mean = unit[0]
    for _ in range(ROUNDS):
        aligned = np.stack([one @ rotation_onto(one, mean) for one in unit])
        mean = aligned.mean(axis=0)
        mean /= np.linalg.norm(mean)
    rotations = np.stack([rotation_onto(one, mean) for one in unit])
    width = np.linalg.norm(np.ptp(mean, axis=0))
    mirrored = None
    if exchange is not None:
        other = mean[exchange] * np.array([-1.0, *[1.0] * (mean.shape[1] - 1)])
        mirrored = float(_distance(other @ rotation_onto(other, mean), mean) / width)
    residual = float(np.mean([_distance(one, mean) for one in aligned]) / width)
    return Shapes(
        diagonal=found.diagonal,
        nearest=found.nearest,
        closest=found.closest,
        rotation=_spread(rotations),
        scale=float(np.std(sizes) / np.mean(sizes)),
        residual=residual,
        posed=True,
        mirrored=mirrored,
    )


def rotation_onto(points: Array, target: Array) -> Array:
    """Rotation (d, d), without reflection, with the smallest distance of ``points @ rotation`` (N, d) from the target."""
    left, _, right = np.linalg.svd(points.T @ target)
    signs = np.ones(len(left))
    signs[-1] = np.sign(np.linalg.det(left @ right)) or 1.0
    return (left * signs) @ right


def _distance(points: Array, target: Array) -> float:
    """Root mean square distance of points (N, d)."""
    return float(np.sqrt(((points - target) ** 2).sum(axis=-1).mean()))


def _spread(rotations: Array) -> float:
    """Standard deviation about each axis (radians) of rotations (I, d, d), around their mean."""
    dims = rotations.shape[-1]
    left, _, right = np.linalg.svd(rotations.mean(axis=0))
    signs = np.ones(dims)
    signs[-1] = np.sign(np.linalg.det(left @ right)) or 1.0
    trace = np.einsum("iab,ab->i", rotations, (left * signs) @ right)
    cosine = trace / 2 if dims == 2 else (trace - 1) / 2
    angles = np.arccos(np.clip(cosine, -1.0, 1.0))
    return float(np.sqrt((angles**2).mean() / (1 if dims == 2 else 3)))
