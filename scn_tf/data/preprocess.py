"""Preparation of images for the network: one TensorFlow function for training and serving."""

import numpy as np
import tensorflow as tf

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
    resampled = resample(tf.cast(array, tf.float32), scale, translation, input_shape)
    inside = tf.ones([], tf.bool)
    for axis in range(dims):
        side = tf.cast(tf.shape(array)[axis], tf.float32)
        coordinate = _source_coordinate(input_shape[axis], scale[dims - 1 - axis], translation[dims - 1 - axis])
        within = (coordinate >= 0.0) & (coordinate <= side)
        inside = inside & tf.reshape(within, [-1 if a == axis else 1 for a in range(dims)])
    return _normalise(resampled, inside[..., tf.newaxis])


def resample(array: tf.Tensor, scale: tf.Tensor, translation: tf.Tensor, input_shape: Sizes) -> tf.Tensor:
    """Resample linearly with antialiasing, axis by axis: (*shape, C) -> (*input_shape, C), 0 outside."""
    dims = len(input_shape)
    if dims == 2:
        return _scale_two_axes(array[tf.newaxis], scale[::-1], translation[::-1], input_shape)[0]
    channels = array.shape[-1]
    depth, height, width = tf.unstack(tf.shape(array)[:3])
    del height, width
    slices = _scale_two_axes(array, scale[1::-1], translation[1::-1], input_shape[1:])
    pixels = input_shape[1] * input_shape[2]
    columns = tf.reshape(slices, [1, depth, pixels, channels])
    columns = _scale_two_axes(columns, tf.stack([scale[2], 1.0]), tf.stack([translation[2], 0.0]), (input_shape[0], pixels))
    return tf.reshape(columns, [*input_shape, channels])


def _scale_two_axes(images: tf.Tensor, scale: tf.Tensor, translation: tf.Tensor, shape: Sizes) -> tf.Tensor:
    # The kernel samples input (out + 0.5 - translation) / scale - 0.5, widened when it shrinks.
    return tf.raw_ops.ScaleAndTranslate(
        images=images, size=list(shape), scale=scale, translation=translation, kernel_type="triangle", antialias=True
    )


def _source_coordinate(side: int, scale: tf.Tensor, translation: tf.Tensor) -> tf.Tensor:
    """Continuous array coordinate, 0 at the first border, of every input pixel along one axis."""
    return (tf.range(side, dtype=tf.float32) + 0.5 - translation) / scale


def _normalise(image: tf.Tensor, inside: tf.Tensor) -> tf.Tensor:
    inside = tf.broadcast_to(inside, tf.shape(image))
    count = tf.math.count_nonzero(inside, dtype=tf.int32)
    last = tf.maximum(count - 1, 0)
    # The values of a few ranks are needed: much faster than a sort of all. An image wholly outside the input has none: 0.
    raised, lowered = (tf.reshape(tf.where(inside, sign * image, -np.inf), [-1]) for sign in (1.0, -1.0))

    def largest(values: tf.Tensor, rank: tf.Tensor) -> tf.Tensor:
        found = tf.reduce_min(tf.math.top_k(values, rank + 1, sorted=False).values)
        return tf.where(count > 0, found, 0.0)

    def limits(first: int | tf.Tensor, final: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        low, high = -largest(lowered, first), largest(raised, last - final)
        # Resampling a constant image leaves differences in the last digits: they are no contrast.
        return low, high, high - low > 1e-5 * tf.maximum(tf.abs(low), tf.abs(high))

    inner = limits(*(tf.cast(tf.cast(last, tf.float32) * share, tf.int32) for share in (LOW_PERCENTILE, HIGH_PERCENTILE)))
    outer = limits(0, last)
    low, high, contrast = (tf.where(inner[2], a, b) for a, b in zip(inner, outer, strict=True))
    centred = 2.0 * tf.math.divide_no_nan(image - low, high - low) - 1.0
    normalised = tf.where(contrast, tf.clip_by_value(centred, -LIMIT, LIMIT), tf.zeros_like(image))
    return tf.where(inside, normalised, tf.fill(tf.shape(image), BACKGROUND))
