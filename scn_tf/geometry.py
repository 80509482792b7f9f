"""The coordinate convention of the project, and the fit of an image to the network's input.

* Coordinates are (x, y[, z]); arrays are indexed [z,] y, x.
* An integer coordinate is the *centre* of a pixel: the image covers [-0.5, size - 0.5].
* ``b_from_a`` is a homogeneous (d + 1, d + 1) matrix that maps points of frame a to frame b. Products follow the names:
  ``input_from_file = input_from_array @ array_from_file``.

Frames: ``file`` is pixels of the file as stored. ``array`` is pixels as loaded, with the axes of a volume turned to LPS.
``physical`` is mm (LPS). ``input`` is pixels of the network's input.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from scn_tf.environment.backend import ops
from scn_tf.types import Array, Sizes, Tensor, Vector

Number = TypeVar("Number", float, Tensor)


@dataclass(frozen=True)
class Fit:
    """Position of an image in the network's input; per axis ``input + 0.5 = (array + 0.5) * scale + translation``.

    Attributes:
        scale: (d,) input pixels per array pixel, (x, y[, z]).
        translation: (d,) input pixels.
    """

    scale: np.ndarray
    translation: np.ndarray

    @property
    def input_from_array(self) -> Array:
        """Homogeneous matrix (d + 1, d + 1)."""
        matrix = np.diag([*self.scale, 1.0])
        # The half pixels appear because integers are centres but scaling is about the border.
        matrix[:-1, -1] = 0.5 * self.scale + self.translation - 0.5
        return matrix


def fit_to_input(array_size: Vector, pixel_size: Vector, input_size: Sizes, *, spacing: float | None = None) -> Fit:
    """Centre an image in the network's input, keeping its physical aspect ratio.

    Args:
        array_size: (d,) pixels of the array, (x, y[, z]).
        pixel_size: (d,) extent of a pixel in any unit, mm if ``spacing`` is given.
        input_size: (d,) pixels of the network's input, (x, y[, z]).
        spacing: mm per input pixel; None enlarges or shrinks the image to fill the input.

    Returns:
        :class:`Fit`.
    """
    scale, translation = fit_axes(array_size, pixel_size, input_size, spacing=spacing)
    return Fit(scale=np.asarray(scale, dtype=float), translation=np.asarray(translation, dtype=float))


def fit_axes(
    array_size: Sequence[Number] | Array,
    pixel_size: Sequence[Number] | Array,
    input_size: Sizes,
    *,
    spacing: float | None = None,
    minimum: Callable[[Number, Number], Number] = min,
) -> tuple[list[Number], list[Number]]:
    """Arithmetic of :func:`fit_to_input` on lists of numbers or, with ``tf.minimum``, of scalar tensors."""
    if spacing is None:
        ratios = [length / (n * pixel) for n, pixel, length in zip(array_size, pixel_size, input_size, strict=True)]
        per_unit = functools.reduce(minimum, ratios)
    else:
        per_unit = 1.0 / spacing
    scale = [per_unit * pixel for pixel in pixel_size]
    translation = [(length - n * s) / 2.0 for n, s, length in zip(array_size, scale, input_size, strict=True)]
    return scale, translation


def length_of_input_pixel(scale: Tensor, pixel_size: Tensor) -> Tensor:
    """Length (...) of a network pixel, which :func:`fit_axes` makes the same along all axes.

    Args:
        scale: (..., d) of a :class:`Fit`.
        pixel_size: (..., d) extent of a pixel of the array; its unit is that of the result.
    """
    return pixel_size[..., 0] / scale[..., 0]


def apply(matrix: Array, points: Array) -> Array:
    """Map points (..., d) by a homogeneous matrix (d + 1, d + 1). NaN stays NaN."""
    matrix, points = np.asarray(matrix, dtype=float), np.asarray(points, dtype=float)
    return points @ matrix[:-1, :-1].T + matrix[:-1, -1]


def physical_from_index(origin: Vector, spacing: Vector, direction: Vector) -> Array:
    """Homogeneous matrix from pixel indices to mm of an ITK header.

    Args:
        origin: (d,) mm of the centre of pixel 0.
        spacing: (d,) mm per pixel.
        direction: (d * d,) row-major direction cosines.
    """
    dims = len(origin)
    matrix = np.eye(dims + 1)
    matrix[:dims, :dims] = np.asarray(direction, dtype=float).reshape(dims, dims) * np.asarray(spacing, dtype=float)
    matrix[:dims, -1] = origin
    return matrix


def rotations(angles: Tensor, dims: int) -> Tensor:
    """Rotation matrices (B, d, d) from angles in radians, (B, 1) in 2D, (B, 3) about x, y, z in 3D: Keras tensors."""
    cos, sin = ops.cos(angles), ops.sin(angles)
    if dims == 2:
        rows = [cos[:, 0], -sin[:, 0], sin[:, 0], cos[:, 0]]
        return ops.reshape(ops.stack(rows, axis=-1), (-1, 2, 2))
    zero, one = ops.zeros_like(cos[:, 0]), ops.ones_like(cos[:, 0])
    (cx, cy, cz), (sx, sy, sz) = ops.unstack(cos, 3, axis=1), ops.unstack(sin, 3, axis=1)

    def matrix(*entries: Tensor) -> Tensor:
        return ops.reshape(ops.stack(entries, axis=-1), (-1, 3, 3))

    about_x = matrix(one, zero, zero, zero, cx, -sx, zero, sx, cx)
    about_y = matrix(cy, zero, sy, zero, one, zero, -sy, zero, cy)
    about_z = matrix(cz, -sz, zero, sz, cz, zero, zero, zero, one)
    return ops.matmul(about_z, ops.matmul(about_y, about_x))


def inside(landmarks: Tensor, shape: Sizes) -> Tensor:
    """Whether points (..., d) lie on an image of ``shape`` ([D,] H, W), including the borders of the outer pixels."""
    limit = ops.convert_to_tensor(shape[::-1], dtype="float32") - 0.5
    return ops.all(ops.logical_and(landmarks >= -0.5, landmarks <= limit), axis=-1)
