"""Points that do not lie where the other points of their image say: what a model stores of the usual shape, and its use.

The shape is that of :mod:`scn_tf.shapes`, learned from training points, with the largest modes of its variation in place of all.
"""

from typing import Annotated, Self

import numpy as np
import pydantic

from scn_tf.shapes import MIN_POINTS, Shapes, learn
from scn_tf.types import Array
from scn_tf.uncertainty.conformal import quantile

MODES = 10  # which tell a moved point from an unusual image as well as all do
ORDINARY = 0.99  # share of found points whose distance is surely usual
MARGIN = 1.25  # times that distance, beyond which a point is named
MOST = 0.2  # of the points of an image that are named; if more lie far away, the others say little

Numbers = tuple[float, ...]


class Places(pydantic.BaseModel):
    """Usual places of N landmarks in network pixels but for position, size and rotation.

    Fields:

    * ``reference``: (N, d) usual shape.
    * ``modes``: (M, N * d) of its variation, each as long as its standard deviation. ``noise``: variance in all other directions.
    * ``metric``: (N, d * d), see :class:`scn_tf.shapes.Shapes`.
    * ``limit``: distance from the expected place, in usual distances, beyond which a point is named.
    """

    model_config = pydantic.ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)

    reference: tuple[Numbers, ...]
    modes: tuple[Numbers, ...]
    noise: Annotated[float, pydantic.Field(gt=0)]
    metric: tuple[Numbers, ...]
    limit: Annotated[float, pydantic.Field(gt=0)]

    @pydantic.model_validator(mode="after")
    def _whole(self) -> Self:
        landmarks, dims = len(self.reference), len(self.reference[0]) if self.reference else 0
        sizes = {(len(row), dims) for row in self.reference} | {(len(row), landmarks * dims) for row in self.modes}
        sizes |= {(len(row), dims**2) for row in self.metric}
        if dims not in (2, 3) or len(self.metric) != landmarks or any(size != expected for size, expected in sizes):
            raise ValueError("calibration: places: lists of different lengths")
        return self

    @property
    def shapes(self) -> Shapes:
        """The usual shape, for :meth:`scn_tf.shapes.Shapes.surprises` with fold 0."""
        reference = np.array(self.reference)
        landmarks, dims = reference.shape
        modes = np.array(self.modes).reshape(-1, landmarks * dims)
        covariance = modes.T @ modes + self.noise * np.eye(landmarks * dims)
        metric = np.array(self.metric).reshape(landmarks, dims, dims)
        return Shapes(reference, np.ones(landmarks), covariance[None], metric, np.zeros(1, int))


def fit(training: Array, found: Array) -> Places | None:
    """Learn the usual shape.

    Args:
        training: (I, N, d) true points in network pixels, NaN where unknown.
        found: (J, N, d) points found in other images, NaN where unknown.

    Returns:
        None if images, landmarks or points are too few.
    """
    usual = learn(training.astype(float))
    if usual is None:
        return None
    values, vectors = np.linalg.eigh(usual.covariances.mean(axis=0))
    rest = max(1, len(values) - MODES)  # directions; few landmarks have less than MODES
    noise = float(values[:rest].mean())
    modes = (vectors[:, rest:] * np.sqrt(np.maximum(values[rest:] - noise, 0.0))).T
    rows = [tuple(map(_numbers, table)) for table in (usual.reference, modes, usual.metric.reshape(len(usual.reference), -1))]
    places = Places(reference=rows[0], modes=rows[1], noise=noise, metric=rows[2], limit=1.0)
    far = np.concatenate([_distances(places.shapes, one) for one in found.astype(float)])
    far = far[np.isfinite(far)]
    if not far.size or far.max() <= 0:
        return None
    bound = quantile(far, ORDINARY)
    return places.model_copy(update={"limit": MARGIN * float(bound if np.isfinite(bound) else far.max())})


def misplaced(places: Places, points: Array) -> Array:
    """Which points of an image do not lie where the others say, (N,) bool. If they are many, none is: the image as a whole is then unusual.

    The farthest point is taken out first, since it leads the others astray.

    Args:
        places: of the model.
        points: (N, d) network pixels, NaN where absent.
    """
    shapes, points = places.shapes, np.asarray(points, float)
    most = max(1.0, MOST * np.isfinite(points).all(axis=1).sum())
    named = np.zeros(len(points), bool)
    while named.sum() <= most:
        far = np.nan_to_num(_distances(shapes, np.where(named[:, None], np.nan, points)))
        worst = int(far.argmax())
        if far[worst] <= places.limit:
            return named
        named[worst] = True
    return np.zeros(len(points), bool)


def _distances(shapes: Shapes, points: Array) -> Array:
    """(N,) distances of points (N, d) from where the others expect them, in usual distances. NaN where absent, or if points are few."""
    if np.isfinite(points).all(axis=1).sum() < MIN_POINTS:
        return np.full(len(points), np.nan)
    return shapes.surprises(points[None], np.zeros(1, int))[0][0]


def _numbers(values: Array) -> Numbers:
    return tuple(float(f"{value:.6g}") for value in values)
