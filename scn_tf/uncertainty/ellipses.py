"""Ellipses (ellipsoids in volumes) that contain the truth as often as the circles do, and are smaller: errors along an edge are larger.

The region of landmark j is ``r @ inv(S_j) @ r <= (factor * expected_error ** power) ** 2`` for an error vector r. S_j has the determinant 1
and is the second moment of the landmark's errors, each in units of its expected length. The factor is that of split conformal prediction
for the length ``sqrt(r @ inv(S_j) @ r)`` in place of the error (Johnstone and Cox, COPA 2021; Messoudi et al., COPA 2022).
"""

import numpy as np

from scn_tf.types import Array

ROUND = 10.0  # errors without a direction that are added to those of each landmark
LONGEST = 3.0  # expected lengths that an error counts at most
LARGEST = 0.95  # share of the circles' area that ellipses may have, else there are none


def fit(*relative: Array) -> Array:
    """Shapes of errors, (N, d, d) with the determinant 1.

    Args:
        relative: errors (I, N, d) in units of their expected length, NaN where unknown. Each set counts by its number of errors.
    """
    dims = relative[0].shape[-1]
    moments, counts = zip(*map(_moments, relative), strict=True)
    total, count = np.sum(moments, axis=0), np.sum(counts, axis=0)
    mean = np.trace(total, axis1=1, axis2=2) / np.maximum(count, 1) / dims
    total = total + ROUND * np.where(mean > 0, mean, 1.0)[:, None, None] * np.eye(dims)
    return total / np.linalg.det(total)[:, None, None] ** (1 / dims)


def _moments(relative: Array) -> tuple[Array, Array]:
    """Second moments summed over images (N, d, d), scaled so that each set has the same mean, and numbers of errors (N,)."""
    length = np.linalg.norm(relative, axis=-1, keepdims=True)
    vectors = np.nan_to_num(relative * np.minimum(1.0, LONGEST / np.maximum(length, 1e-9)))
    count = np.isfinite(length[..., 0]).sum(axis=0)
    moments = np.einsum("ina,inb->nab", vectors, vectors)
    mean = np.trace(moments.sum(axis=0)) / max(int(count.sum()), 1)
    return moments / max(mean, 1e-12), count


def lengths(vectors: Array, shapes: Array) -> Array:
    """Lengths (..., N) of error vectors (..., N, d) by shapes (N, d, d)."""
    return np.sqrt(np.einsum("...na,nab,...nb->...n", vectors, np.linalg.inv(shapes), vectors))


def half_axes(regions: Array) -> Array:
    """From the centre to the ends of the half-axes, longest first: (..., d, d), a row per axis, of regions ``r @ inv(A) @ r <= 1``."""
    squares, directions = np.linalg.eigh(regions)
    return np.swapaxes(directions * np.sqrt(squares)[..., None, :], -1, -2)[..., ::-1, :]
