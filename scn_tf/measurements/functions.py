"""Functions of measurements: one row each, with what it takes and gives. Points are arrays (..., d) in one unit of length.

* Angles are degrees. ``angle`` has no sign: 0 to 180. ``signed_angle`` is -180 to 180, positive clockwise as the image is seen.
* ``signed_distance`` is positive to the right of the line as the image is seen, for who goes from its first to its second point.
* ``projection`` is positive in the direction of the line.
* Where a value does not exist (a line through one point only, parallel lines, a division by 0) it is NaN.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from scn_tf.types import Array

MANY = 1000  # more arguments than an expression can hold


class Kind(NamedTuple):
    """Kind of a value: a point, or a quantity with powers of length and of angle. A quantity without both is a plain number."""

    length: int = 0
    angle: int = 0
    point: bool = False

    @property
    def title(self) -> str:
        """Words for messages."""
        if self.point:
            return "a point"
        return {NUMBER: "a number without unit", LENGTH: "a length", ANGLE: "an angle"}.get(self, f"a value in {self.unit('mm')}")

    def unit(self, length: str) -> str:
        """Unit of a quantity, empty for a plain number.

        Args:
            length: unit of lengths, ``mm`` or ``px``.
        """
        parts = [f"{name}^{power}" if power != 1 else name for name, power in ((length, self.length), ("degrees", self.angle)) if power]
        return "*".join(parts)


POINT, NUMBER, LENGTH, ANGLE = Kind(point=True), Kind(), Kind(length=1), Kind(angle=1)


@dataclass(frozen=True)
class Function:
    """One function.

    Attributes:
        usage: as it is written, for messages and the table in docs/data.md.
        apply: function of the arguments' arrays.
        result: kind of the result; None: that of the arguments.
        counts: permitted numbers of arguments.
        points: whether the arguments are points. Otherwise they are quantities of one kind.
        flat: whether it has a meaning in 2D alone.
    """

    usage: str
    apply: Callable[..., Array]
    result: Kind | None
    counts: range | tuple[int, ...]
    points: bool = True
    flat: bool = False


def _distance(*points: Array) -> Array:
    if len(points) == 2:
        return _length(points[1] - points[0])
    point, start, end = points
    return _length(point - _foot(point, start, end))


def _signed_distance(point: Array, start: Array, end: Array) -> Array:
    return _cross(_unit(end - start), point - start)


def _directions(points: tuple[Array, ...]) -> tuple[Array, Array]:
    """Two directions: from the second point to its neighbours, or along two lines."""
    if len(points) == 3:
        return points[0] - points[1], points[2] - points[1]
    return points[1] - points[0], points[3] - points[2]


def _angle(*points: Array) -> Array:
    first, second = map(_unit, _directions(points))
    # Exact near 0 and 180 degrees, where an arc cosine is not.
    return np.degrees(2.0 * np.arctan2(_length(first - second), _length(first + second)))


def _signed_angle(*points: Array) -> Array:
    first, second = map(_unit, _directions(points))
    return np.degrees(np.arctan2(_cross(first, second), _dot(first, second)))


def _projection(*points: Array) -> Array:
    if len(points) == 3:
        point, start, end = points
        return _dot(point - start, _unit(end - start))
    start, end = points[2:]
    return _dot(points[1] - points[0], _unit(end - start))


def _foot(point: Array, start: Array, end: Array) -> Array:
    along = _unit(end - start)
    return start + _dot(point - start, along)[..., None] * along


def _intersection(first: Array, second: Array, third: Array, fourth: Array) -> Array:
    one, other = second - first, fourth - third
    area = _cross(one, other)
    parallel = np.abs(area) <= 1e-12 * _length(one) * _length(other)
    share = _cross(third - first, other) / np.where(parallel, np.nan, area)
    return first + share[..., None] * one


def _centroid(*points: Array) -> Array:
    return np.mean(points, axis=0)


def _area(*points: Array) -> Array:
    """Area of a polygon; in 3D the size of its vector area, which is its area if it is flat."""
    sides = [point - points[0] for point in points[1:]]
    if sides[0].shape[-1] == 2:
        return 0.5 * np.abs(sum(_cross(one, other) for one, other in itertools.pairwise(sides)))
    return 0.5 * _length(np.sum([np.cross(one, other) for one, other in itertools.pairwise(sides)], axis=0))


def _length(vectors: Array) -> Array:
    return np.sqrt(_dot(vectors, vectors))


def _dot(first: Array, second: Array) -> Array:
    return np.sum(first * second, axis=-1)


def _cross(first: Array, second: Array) -> Array:
    return first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0]


def _unit(vectors: Array) -> Array:
    return vectors / _length(vectors)[..., None]


FUNCTIONS = {
    "distance": Function("distance(A, B), or distance(P, A, B) of P to the line AB", _distance, LENGTH, (2, 3)),
    "signed_distance": Function("signed_distance(P, A, B)", _signed_distance, LENGTH, (3,), flat=True),
    "angle": Function("angle(A, B, C) at B, or angle(A, B, C, D) between the lines AB and CD", _angle, ANGLE, (3, 4)),
    "signed_angle": Function("signed_angle(A, B, C), or signed_angle(A, B, C, D)", _signed_angle, ANGLE, (3, 4), flat=True),
    "projection": Function("projection(P, A, B), or projection(P, Q, A, B) on the line AB", _projection, LENGTH, (3, 4)),
    "area": Function("area(A, B, C, ...)", _area, Kind(length=2), range(3, MANY)),
    "midpoint": Function("midpoint(A, B)", _centroid, POINT, (2,)),
    "centroid": Function("centroid(A, B, ...)", _centroid, POINT, range(2, MANY)),
    "foot": Function("foot(P, A, B)", _foot, POINT, (3,)),
    "intersection": Function("intersection(A, B, C, D)", _intersection, POINT, (4,), flat=True),
    "ratio": Function("ratio(value, value)", np.divide, NUMBER, (2,), points=False),
    "abs": Function("abs(value)", np.abs, None, (1,), points=False),
    "mean": Function("mean(value, value, ...)", _centroid, None, range(2, MANY), points=False),
    "min": Function("min(value, value, ...)", lambda *values: np.min(values, axis=0), None, range(2, MANY), points=False),
    "max": Function("max(value, value, ...)", lambda *values: np.max(values, axis=0), None, range(2, MANY), points=False),
}
