"""Landmarks to Gaussian heatmaps.

Coordinates are (x, y[, z]) in network pixels; integers are pixel centres. Maps are (B, [D,] H, W, N).
"""

import math
from typing import TypeVar

from scn_tf.environment.backend import ops
from scn_tf.types import Sizes, Tensor

Number = TypeVar("Number", float, Tensor)


def render_gaussians(landmarks: Tensor, sigmas: Tensor, size: Sizes, *, gamma: float) -> Tensor:
    """Target heatmaps (Payer et al. 2019, eq. 1).

    g_i(x) = gamma / ((2 pi)^(d/2) sigma_i^d) * exp(-|x - x_i|^2 / (2 sigma_i^2))

    Args:
        landmarks: (B, N, d) network pixels, (x, y[, z]).
        sigmas: (N,) network pixels, positive. Gradients reach them.
        size: (H, W) or (D, H, W).
        gamma: scale of the maps.

    Returns:
        (B, *size, N).
    """
    dims, landmark_count = len(size), landmarks.shape[1]
    maps = gaussian_height(sigmas, gamma, dims)
    # A product of one factor per axis: exponentials of D + H + W numbers, not of D * H * W.
    for axis, length in enumerate(size):
        position = ops.cast(ops.arange(length), landmarks.dtype)
        offset = position[None, :, None] - landmarks[:, None, :, dims - 1 - axis]  # (B, length, N)
        factor = ops.exp(-ops.square(offset) / (2.0 * ops.square(sigmas)))
        maps = maps * ops.reshape(factor, (-1, *(length if a == axis else 1 for a in range(dims)), landmark_count))
    return maps


def gaussian_height(sigmas: Number, gamma: float, dims: int) -> Number:
    """Peak gamma / ((2 pi)^(d/2) sigma^d) of a target, for numbers or tensors."""
    return gamma / ((2.0 * math.pi) ** (dims / 2) * sigmas**dims)


def render_oriented_gaussians(landmarks: Tensor, sigmas: Tensor, rotations: Tensor, size: Sizes, *, gamma: float) -> Tensor:
    """Target heatmaps with a width along each of their d axes (Thaler et al., MELBA 2021, eq. 3).

    g_i(x) = gamma / ((2 pi)^(d/2) prod_k sigma_ik) * exp(-(x - x_i)^T S_i^-1 (x - x_i) / 2), S_i = R_i diag(sigma_i^2) R_i^T

    Args:
        landmarks: (B, N, d) network pixels, (x, y[, z]).
        sigmas: (N, d) network pixels, positive.
        rotations: (N, d, d) matrices whose columns are the axes that the sigmas belong to.
        size: (H, W) or (D, H, W).
        gamma: scale of the maps.

    Returns:
        (B, *size, N).
    """
    dims = len(size)
    # Offsets along each own axis: a sum over the coordinates, each of which varies along one side alone.
    exponent = 0.0
    for own in range(dims):
        distance = 0.0
        for axis, length in enumerate(size):
            coordinate = dims - 1 - axis
            offset = ops.cast(ops.arange(length), landmarks.dtype)[None, :, None] - landmarks[:, None, :, coordinate]
            along = offset * rotations[:, coordinate, own] / sigmas[:, own]
            distance = distance + ops.reshape(along, (-1, *(length if a == axis else 1 for a in range(dims)), landmarks.shape[1]))
        exponent = exponent + 0.5 * ops.square(distance)
    height = gamma / ((2.0 * math.pi) ** (dims / 2) * ops.prod(sigmas, axis=-1))
    return height * ops.exp(-exponent)
