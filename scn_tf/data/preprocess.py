"""Preparation of images for the network: one TensorFlow function for training and serving."""

import numpy as np
import tensorflow as tf

from scn_tf.data.images.image import SMALL
from scn_tf.types import Array, Sizes

LOW_PERCENTILE, HIGH_PERCENTILE = 0.01, 0.99
BACKGROUND = -1.0  # value outside the image: that of its dark end
LIMIT = 2.0
GREY_WEIGHTS = (0.299, 0.587, 0.114)  # ITU-R BT.601 luma of red, green, blue


def network_input(array: tf.Tensor | Array, scale: tf.Tensor | Array, translation: tf.Tensor | Array, input_shape: Sizes) -> tf.Tensor:
    """Resample an image to the network's input and normalise its intensities.

    Args:
        array: (H, W, C) or (D, H, W, C), any numeric dtype; C is 1 or the network's channels.
        scale, translation: (d,) float32, (x, y[, z]), see :class:`scn_tf.geometry.Fit`.
        input_shape: static (H, W) or (D, H, W), array order.

    Returns:
        float32 (*input_shape, C): the 1st percentile of the image becomes -1, the 99th +1, clipped to [-2, 2]; -1 outside the
        image. If the percentiles are equal, minimum and maximum replace them. A constant image becomes 0.
    """
    dims = len(input_shape)
    scale, translation = tf.cast(scale, tf.float32), tf.cast(translation, tf.float32)
    array = tf.convert_to_tensor(array)
    resampled = resample(array if array.dtype.name in SMALL else tf.cast(array, tf.float32), scale, translation, input_shape)
    inside = tf.ones([], tf.bool)
    for axis in range(dims):
        side = tf.cast(tf.shape(array)[axis], tf.float32)
        coordinate = _source_coordinate(input_shape[axis], scale[dims - 1 - axis], translation[dims - 1 - axis])
        within = (coordinate >= 0.0) & (coordinate <= side)
        inside = inside & tf.reshape(within, [-1 if a == axis else 1 for a in range(dims)])
    return _normalise(resampled, inside[..., tf.newaxis])


def resample(array: tf.Tensor, scale: tf.Tensor, translation: tf.Tensor, input_shape: Sizes) -> tf.Tensor:
    """Resample linearly with antialiasing, axis by axis: (*shape, C) -> (*input_shape, C), 0 outside."""
    known_channels = array.shape[-1]
    *sides, channels = tf.unstack(tf.shape(array))
    *leading, last = range(len(input_shape))
    for axis in reversed(leading):
        before = tf.reduce_prod(sides[:axis]) if axis else 1
        rows = tf.reshape(array, [before, sides[axis], -1])
        array = _resample_axis(rows, scale[last - axis], translation[last - axis], input_shape[axis])
        sides[axis] = input_shape[axis]
    columns = tf.transpose(tf.reshape(array, [-1, sides[last], channels]), [1, 0, 2])
    columns = _resample_axis(tf.reshape(columns, [1, sides[last], -1]), scale[0], translation[0], input_shape[last])
    array = tf.transpose(tf.reshape(columns, [input_shape[last], -1, channels]), [1, 0, 2])
    return tf.reshape(array, [*input_shape, known_channels])


def _resample_axis(array: tf.Tensor, scale: tf.Tensor, translation: tf.Tensor, side: int) -> tf.Tensor:
    """Resample the middle axis: (B, n, R) -> (B, side, 1, R).

    The op adds vectors along its last axis. Long ones are fast; with a single channel there it takes nine times as long.
    """
    # The kernel samples input (out + 0.5 - translation) / scale - 0.5, widened when it shrinks.
    return tf.raw_ops.ScaleAndTranslate(
        images=tf.expand_dims(array, 2),
        size=[side, 1],
        scale=tf.stack([scale, 1.0]),
        translation=tf.stack([translation, 0.0]),
        kernel_type="triangle",
        antialias=True,
    )


def _source_coordinate(side: int, scale: tf.Tensor, translation: tf.Tensor) -> tf.Tensor:
    """Continuous array coordinate, 0 at the first border, of every input pixel along one axis."""
    return (tf.range(side, dtype=tf.float32) + 0.5 - translation) / scale


def _normalise(image: tf.Tensor, inside: tf.Tensor) -> tf.Tensor:
    inside = tf.broadcast_to(inside, tf.shape(image))
    count = tf.math.count_nonzero(inside, dtype=tf.int32)
    last = tf.maximum(count - 1, 0)
    # The values of a few ranks are needed: much faster than a sort of all. Those outside come last.
    values = tf.reshape(tf.where(inside, image, np.inf), [-1])

    def of_rank(rank: int | tf.Tensor) -> tf.Tensor:
        found = tf.raw_ops.NthElement(input=values, n=rank)
        return tf.where(count > 0, found, 0.0)  # an image wholly outside the input has none

    def limits(first: int | tf.Tensor, final: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        low, high = of_rank(first), of_rank(final)
        # Resampling a constant image leaves differences in the last digits: they are no contrast.
        return low, high, high - low > 1e-5 * tf.maximum(tf.abs(low), tf.abs(high))

    inner = limits(*(tf.cast(tf.cast(last, tf.float32) * share, tf.int32) for share in (LOW_PERCENTILE, HIGH_PERCENTILE)))
    outer = limits(0, last)
    low, high, contrast = (tf.where(inner[2], a, b) for a, b in zip(inner, outer, strict=True))
    centred = 2.0 * tf.math.divide_no_nan(image - low, high - low) - 1.0
    normalised = tf.where(contrast, tf.clip_by_value(centred, -LIMIT, LIMIT), tf.zeros_like(image))
    return tf.where(inside, normalised, tf.fill(tf.shape(image), BACKGROUND))
