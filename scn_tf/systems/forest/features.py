"""Features of a forest at a pixel: differences of two box means, near and far, small and large."""

from typing import NamedTuple

import numpy as np

from scn_tf.types import Array


class Features(NamedTuple):
    """K features with two boxes each: ``offsets`` int (K, 2, d) (x, y[, z]) and ``radii`` int (K, 2)."""

    offsets: np.ndarray
    radii: np.ndarray


def draw_features(count: int, dims: int, reach: float, rng: np.random.Generator) -> Features:
    """Draw random features around a pixel.

    The first box lies up to ``reach`` away, more often near. The second is another such box or, for half of the features, the
    pixel's own neighbourhood. Box sizes grow with distance: far boxes tell the pixel's position in the image, near ones its
    appearance.

    Args:
        count: K.
        dims: 2 or 3.
        reach: largest distance of a box along an axis, pixels.
        rng: ``numpy.random.Generator``.
    """
    share = rng.uniform(0, 1, (count, 2, 1)) ** 2
    share[count // 2 :, 1] = 0.0
    offsets = np.round(rng.uniform(-1, 1, (count, 2, dims)) * share * reach).astype("int32")
    radii = np.floor(rng.uniform(0, 1, (count, 2)) * (1 + share[..., 0] * reach / 4) + 0.5).astype("int32")
    return Features(offsets, radii)


def integral(image: Array) -> Array:
    """Sums over all preceding pixels: ([D,] H, W) -> float64 with every side one longer."""
    table = np.pad(np.asarray(image, "float64"), [(1, 0)] * np.ndim(image))
    for axis in range(table.ndim):
        table = np.cumsum(table, axis=axis)
    return table


def measure(table: Array, points: Array, features: Features) -> Array:
    """Values of all features at given pixels.

    Args:
        table: of :func:`integral`.
        points: int (P, d) pixels (x, y[, z]).
        features: :class:`Features`.

    Returns:
        float32 (P, K). A box is cut at the image's border. A box beyond the border is moved to it.
    """
    size = np.array(table.shape[::-1]) - 1
    # (P, K, 2, d)
    centres = np.clip(points[:, None, None, :] + features.offsets, 0, size - 1)
    low = np.maximum(centres - features.radii[..., None], 0)
    high = np.minimum(centres + features.radii[..., None] + 1, size)
    strides = np.cumprod([1, *table.shape[:0:-1]])  # of x, y, z in the flat table
    flat, dims = table.ravel(), table.ndim
    total = 0.0
    for corner in range(2**dims):
        ends = [high[..., axis] if corner >> axis & 1 else low[..., axis] for axis in range(dims)]
        sign = (-1) ** (dims - corner.bit_count())
        total = total + sign * flat[sum(end * stride for end, stride in zip(ends, strides, strict=True))]
    means = total / np.prod(high - low, axis=-1)
    return (means[..., 0] - means[..., 1]).astype("float32")
