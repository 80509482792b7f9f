"""Turning of a volume's axes to LPS inside an exported graph: the counterpart of :func:`scn_tf.data.images.image.turned`."""

import tensorflow as tf

from scn_tf.data.arrays import SKEW


def checked(direction: tf.Tensor) -> tf.Tensor:
    """Check direction cosines (B, 9), and return them as (B, 3, 3) with the axes x, y, z as columns."""
    matrices = tf.reshape(tf.debugging.check_numerics(direction, "direction: expected finite numbers"), [-1, 3, 3])
    skew = tf.abs(tf.matmul(matrices, matrices, transpose_a=True) - tf.eye(3))
    orthonormal = tf.debugging.Assert(
        tf.reduce_all(skew <= SKEW),
        ["direction: expected nine direction cosines, row by row, columns of length 1 at right angles, received", direction],
    )
    with tf.control_dependencies([orthonormal]):
        return tf.identity(matrices)


def nearest_axes(matrices: tf.Tensor) -> tf.Tensor:
    """Round directions (B, 3, 3) to the nearest axes: 1, 0 and -1. Rows are x, y, z of LPS, columns those of the volume.

    The choice is that of ITK: first the largest cosine, the last of equal ones; then the largest of the other rows and columns.
    """
    left, chosen = tf.abs(matrices), tf.zeros_like(matrices)
    for _ in range(3):
        flat = tf.reshape(left, [-1, 9])
        place = 8 - tf.argmax(tf.reverse(flat, [1]), axis=1, output_type=tf.int32)
        row, column = tf.one_hot(place // 3, 3)[:, :, tf.newaxis], tf.one_hot(place % 3, 3)[:, tf.newaxis]
        chosen += row * column
        left = tf.where((row > 0) | (column > 0), -1.0, left)
    return chosen * tf.where(matrices > 0, 1.0, -1.0)


def turned(volume: tf.Tensor, axes: tf.Tensor) -> tf.Tensor:
    """Turn a volume (D, H, W, C) to LPS order; ``axes`` (3, 3) are those of :func:`nearest_axes`."""
    source = 2 - tf.argmax(tf.abs(axes), axis=1, output_type=tf.int32)  # dimension of the volume for x, y, z
    turned = tf.transpose(volume, tf.concat([source[::-1], [3]], axis=0))
    flipped = tf.boolean_mask(tf.constant([2, 1, 0]), tf.reduce_sum(axes, axis=1) < 0)
    return tf.ensure_shape(tf.reverse(turned, flipped), [None, None, None, volume.shape[-1]])


def turned_back(landmarks: tf.Tensor, axes: tf.Tensor, sizes: tf.Tensor) -> tf.Tensor:
    """Convert landmarks (B, N, 3) of volumes in LPS order to voxels of the volumes as given.

    Args:
        landmarks: x y z.
        axes: (B, 3, 3) of :func:`nearest_axes`.
        sizes: (3,) voxels of the volumes as given, x y z.
    """
    last = tf.where(tf.reduce_sum(axes, axis=1) < 0, sizes - 1.0, 0.0)
    return tf.matmul(landmarks, axes) + last[:, tf.newaxis]
