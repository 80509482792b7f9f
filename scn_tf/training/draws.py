"""Parameters of random changes: one draw per image, without state. :mod:`scn_tf.training.augment` applies them.

Coordinates are (x, y[, z]) in network pixels.
"""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from scn_tf import geometry
from scn_tf.config import AugmentConfig
from scn_tf.types import Sizes

# Beside the nine seeds of the other draws, which stay what they were in versions without these.
MIRROR_STREAM, CROP_STREAM, COVER_STREAM = 9, 10, 11
LEAST_CUT, MOST_CUT = 0.1, 0.5  # of the image's extent along an axis
CORNERS = 0.5  # probability that a further axis is cut, too
LEAST_COVER, MOST_COVER = 0.03, 0.15  # half axes of a covering piece, fractions of the input's sides
FAR = 1e6  # pixels: farther than any border
METAL = (1.0, 2.0)  # its intensity: images span about -1 to 1, and end at 2


class Cover(NamedTuple):
    """Pieces that cover a part of the output of a batch: |x / a|^p + |y / b|^p [+ |z / c|^p] < 1, an ellipse or nearly a box."""

    centre: tf.Tensor  # (B, d) pixels
    axes: tf.Tensor  # (B, d) half axes, pixels; 0: nothing is covered
    power: tf.Tensor  # (B,) 2 for an ellipse
    level: tf.Tensor  # (B,) intensity


class Draw(NamedTuple):
    """Parameters of a batch; input = centre + linear @ (p + u(p) - centre) + translation.

    p is an output pixel, u(p) the elastic displacement there. For a mirrored image, linear and translation include the mirroring of x,
    for a cropped one the place and size of what is left.
    """

    linear: tf.Tensor  # (B, d, d)
    translation: tf.Tensor  # (B, d) pixels
    elastic: tf.Tensor  # (B, grid, ..., grid, d) pixels at control points, array order
    gain: tf.Tensor  # (B,)
    offset: tf.Tensor  # (B,)
    noise: tf.Tensor  # (B,) standard deviation
    blur: tf.Tensor  # (B,) standard deviation, pixels
    mirrored: tf.Tensor  # (B,) bool: left and right are exchanged
    kept: tf.Tensor | None = None  # (B, 2, d) borders of what is left of the input, pixels; None: no image is cropped
    cover: Cover | None = None  # None: no image is covered


def sample(
    config: AugmentConfig,
    batch: int | tf.Tensor,
    shape: Sizes,
    *,
    seed: tf.Tensor | Sequence[int],
    extent: tf.Tensor | None = None,
    zoom: bool = True,
) -> Draw:
    """Draw the parameters of a batch. There is no state: the same seed gives the same draw.

    Args:
        config: :class:`scn_tf.config.AugmentConfig`.
        batch: number of images, may be a tensor.
        shape: (H, W) or (D, H, W).
        seed: (2,) integers.
        extent: (B, d) pixels of the input that each image takes, in its middle; around it the input is padded. None: all of it.
        zoom: whether what is left of a cropped image is enlarged until it fills the input, as in preparation without a spacing.

    Returns:
        :class:`Draw`.
    """
    dims = len(shape)
    sides = tf.constant(shape[::-1], tf.float32)
    seeds = tf.unstack(tf.random.split(seed, 9))

    def uniform(index: int, per_image: Sizes, bound: float) -> tf.Tensor:
        return bound * tf.random.stateless_uniform([batch, *per_image], seeds[index], -1.0, 1.0)

    factor = 1.0 + uniform(0, (1,), config.scale)
    factors = factor * (1.0 + uniform(1, (dims,), config.axis_scale))
    angles = uniform(2, (1 if dims == 2 else 3,), config.rotation)
    grid = (config.elastic_grid,) * dims
    # Pulled back: an image enlarged by f asks for input coordinates shrunk by f.
    linear = geometry.rotations(angles, dims) / factors[:, None, :]
    translation = uniform(3, (dims,), config.translation) * sides
    mirrored = tf.zeros([batch], tf.bool)
    if config.mirror > 0:
        mirrored = tf.random.stateless_uniform([batch], _stream(seed, MIRROR_STREAM)) < config.mirror
        # The image is mirrored first, then moved as if it had been stored so.
        signs = tf.stack([tf.where(mirrored, -1.0, 1.0), *[tf.ones([batch])] * (dims - 1)], axis=-1)
        linear, translation = signs[:, :, None] * linear, signs * translation
    kept = None
    if config.crop > 0:
        shown = tf.minimum(tf.broadcast_to(sides, [batch, dims]) if extent is None else extent, sides)
        kept, factor, shift = _crop(config.crop, shown, sides, _stream(seed, CROP_STREAM))
        # A file that was cropped is prepared first, then mirrored and moved.
        factor = factor if zoom else tf.ones_like(factor)
        linear, translation = linear / factor[:, None, None], translation / factor[:, None] + shift
    return Draw(
        linear=linear,
        translation=translation,
        elastic=uniform(4, (*grid, dims), config.elastic) * sides,
        gain=1.0 + uniform(5, (), config.intensity_scale),
        offset=uniform(6, (), config.intensity_shift),
        noise=tf.abs(uniform(7, (), config.noise)),
        blur=tf.abs(uniform(8, (), config.blur)),
        mirrored=mirrored,
        kept=kept,
        cover=_cover(config.cover, batch, sides, _stream(seed, COVER_STREAM)) if config.cover > 0 else None,
    )


def _stream(seed: tf.Tensor | Sequence[int], number: int) -> tf.Tensor:
    """Seed of draws that leave the other ones as they are."""
    return tf.random.experimental.stateless_fold_in(seed, number)


def _uniform(seed: tf.Tensor, batch: int | tf.Tensor, *per_image: int) -> tf.Tensor:
    """Numbers from 0 to 1, (B, *per_image)."""
    return tf.random.stateless_uniform([batch, *per_image], seed)


def _crop(share: float, extent: tf.Tensor, sides: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Borders of what is left of each image (B, 2, d), factor (B,) by which it fills the input, its centre minus the input's (B, d).

    One random axis, and each other one with a probability, is cut at one of its two ends. Images that stay whole have far borders.
    """
    dims, batch = sides.shape[0], tf.shape(extent)[0]
    seeds = tf.unstack(tf.random.split(seed, 5))
    cropped = _uniform(seeds[0], batch) < share
    first = tf.one_hot(tf.cast(_uniform(seeds[1], batch) * dims, tf.int32), dims, on_value=True, off_value=False)
    amount = (LEAST_CUT + (MOST_CUT - LEAST_CUT) * _uniform(seeds[2], batch, dims)) * extent
    cut = tf.where(first | (_uniform(seeds[3], batch, dims) < CORNERS), amount, 0.0)
    lower = _uniform(seeds[4], batch, dims) < 0.5
    centre = (sides - 1.0) / 2.0
    low = centre - extent / 2.0 + tf.where(lower, cut, 0.0)
    high = centre + extent / 2.0 - tf.where(lower, 0.0, cut)
    factor = tf.where(cropped, tf.reduce_min(sides / (high - low), axis=-1), 1.0)
    shift = tf.where(cropped[:, None], (low + high) / 2.0 - centre, 0.0)
    far = tf.where(cropped, 0.0, FAR)[:, None]
    return tf.stack([low - far, high + far], axis=1), factor, shift


def _cover(share: float, batch: int | tf.Tensor, sides: tf.Tensor, seed: tf.Tensor) -> Cover:
    """Pieces of random place, size and shape over a share of the images."""
    dims = sides.shape[0]
    seeds = tf.unstack(tf.random.split(seed, 5))
    axes = (LEAST_COVER + (MOST_COVER - LEAST_COVER) * _uniform(seeds[0], batch, dims)) * sides
    return Cover(
        centre=_uniform(seeds[1], batch, dims) * (sides - 1.0),
        axes=tf.where((_uniform(seeds[2], batch) < share)[:, None], axes, 0.0),
        power=tf.where(_uniform(seeds[3], batch) < 0.5, 2.0, 16.0),
        level=METAL[0] + (METAL[1] - METAL[0]) * _uniform(seeds[4], batch),
    )
