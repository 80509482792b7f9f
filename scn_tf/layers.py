"""The layers that Keras lacks: upsampling that trains and exports everywhere, fast convolutions on a CPU.

Keras' ``UpSampling2D(interpolation="bicubic")`` has no gradient in bfloat16, no XLA
kernel and no TFLite builtin, and there is no linear or cubic upsampling in 3D at all.
"""

import keras
import numpy as np
from keras import ops


def cubic_matrix(size, factor):
    """Interpolation matrix of Keys' cubic convolution (a = -1/2) for one axis.

    Args:
        size: number of samples along the axis.
        factor: integer enlargement.

    Returns:
        float32 array (size * factor, size). Sample centres follow the half-pixel
        convention; taps outside the axis are dropped and the rest renormalised, so
        the matrix equals ``tf.image.resize(..., "bicubic")`` at the border as well.

    Source: Keys, "Cubic convolution interpolation for digital image processing", 1981, eq. 15.
    """
    centres = (np.arange(size * factor) + 0.5) / factor - 0.5
    distance = np.abs(centres[:, None] - np.arange(size)[None, :])
    near = (1.5 * distance - 2.5) * distance**2 + 1.0
    far = ((-0.5 * distance + 2.5) * distance - 4.0) * distance + 2.0
    weights = np.where(distance <= 1.0, near, np.where(distance < 2.0, far, 0.0))
    return (weights / weights.sum(axis=1, keepdims=True)).astype("float32")


def _check_channels_last(shape, dims):
    if len(shape) != dims + 2:
        raise ValueError(f"Expected a tensor of rank {dims + 2} ([B, {'D, ' * (dims - 2)}H, W, C]), received {shape}.")
    if None in shape[1:-1]:
        raise ValueError(f"Upsampling needs static spatial sizes, received {shape}.")


@keras.saving.register_keras_serializable("scn_tf")
class CubicUpsampling(keras.layers.Layer):
    """Bicubic or tricubic enlargement by an integer factor.

    One small constant matrix an axis, applied as a matrix product: the gradient is
    exact in every precision, XLA compiles it and TFLite has it as a builtin.

    Input shape: (B, [D,] H, W, C). Output shape: (B, [D * factor,] H * factor, W * factor, C).

    Args:
        factor: integer enlargement along every spatial axis.
    """

    def __init__(self, factor, **kwargs):
        super().__init__(**kwargs)
        self.factor = int(factor)

    def build(self, input_shape):
        _check_channels_last(input_shape, len(input_shape) - 2)
        self.matrices = [cubic_matrix(size, self.factor) for size in input_shape[1:-1]]

    def call(self, inputs):
        outputs = inputs
        shape = list(inputs.shape[1:])
        for axis, matrix in enumerate(self.matrices):
            # (B, before, size, after) x (size * factor, size): one product per axis.
            before = int(np.prod(shape[:axis], dtype=int))
            after = int(np.prod(shape[axis + 1 :], dtype=int))
            flat = ops.reshape(outputs, (-1, before, shape[axis], after))
            flat = ops.matmul(ops.cast(matrix, flat.dtype), flat)
            shape[axis] *= self.factor
            outputs = ops.reshape(flat, (-1, *shape))
        return outputs

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *(size * self.factor for size in input_shape[1:-1]), input_shape[-1])

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


@keras.saving.register_keras_serializable("scn_tf")
class LinearUpsampling(keras.layers.Layer):
    """Bilinear or trilinear enlargement by two, half-pixel centres.

    In 3D, two 2D resizes: rows and columns of every slice, then the slices.

    Input shape: (B, [D,] H, W, C). Output shape: (B, [2 D,] 2 H, 2 W, C).
    """

    def build(self, input_shape):
        _check_channels_last(input_shape, len(input_shape) - 2)

    def call(self, inputs):
        *space, channels = inputs.shape[1:]
        if len(space) == 2:
            return _resize(inputs, (2 * space[0], 2 * space[1]))
        depth, height, width = space
        slices = ops.reshape(inputs, (-1, height, width, channels))
        slices = _resize(slices, (2 * height, 2 * width))
        pixels = 4 * height * width
        columns = ops.reshape(slices, (-1, depth, pixels, channels))
        columns = _resize(columns, (2 * depth, pixels))
        return ops.reshape(columns, (-1, 2 * depth, 2 * height, 2 * width, channels))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *(2 * size for size in input_shape[1:-1]), input_shape[-1])


def _resize(images, size):
    # The resize kernel computes in float32 whatever it is given.
    return ops.cast(ops.image.resize(images, size, interpolation="bilinear"), images.dtype)


@keras.saving.register_keras_serializable("scn_tf")
class Convolution2D(keras.layers.Conv2D):
    """``Conv2D`` (stride 1, "same", odd kernel) whose gradients are fast on a CPU.

    TensorFlow's gradient kernels run two to five times slower than its forward kernel there
    (``benchmarks/conv_gradient.py``). The gradient with respect to the input is itself a
    convolution, of the output's gradient with the mirrored kernel, so the forward kernel
    computes it; that with respect to a small kernel is one matrix product a tap. Weights
    and values are those of ``Conv2D``.

    Input shape: (B, H, W, C). Output shape: (B, H, W, filters).
    """

    def convolution_op(self, inputs, kernel):
        return _convolution(inputs, kernel)


@keras.saving.register_keras_serializable("scn_tf")
class Convolution3D(keras.layers.Conv3D):
    """``Conv3D`` (stride 1, "same", odd kernel) computed as one 2D convolution.

    The neighbouring slices become channels. TensorFlow's 3D gradient kernels reach a
    tenth of a CPU's speed, the 2D ones half. Weights and values are those of ``Conv3D``.

    Input shape: (B, D, H, W, C). Output shape: (B, D, H, W, filters).
    """

    def convolution_op(self, inputs, kernel):
        taps, *window, channels, filters = kernel.shape
        depth, height, width = inputs.shape[1:4]
        half = taps // 2
        padded = ops.pad(inputs, [[0, 0], [half, half], [0, 0], [0, 0], [0, 0]])
        stacked = ops.concatenate([padded[:, tap : tap + depth] for tap in range(taps)], axis=-1)
        stacked = ops.reshape(stacked, (-1, height, width, taps * channels))
        flat_kernel = ops.reshape(ops.transpose(kernel, (1, 2, 0, 3, 4)), (*window, taps * channels, filters))
        return ops.reshape(_convolution(stacked, flat_kernel), (-1, depth, height, width, filters))


def _convolution(inputs, kernel):
    """2D convolution, stride 1, "same", odd kernel: (B, H, W, C) * (h, w, C, F) -> (B, H, W, F)."""
    if keras.backend.backend() != "tensorflow":
        return ops.conv(inputs, kernel, strides=1, padding="same")
    import tensorflow as tf

    @tf.custom_gradient
    def convolve(inputs, kernel):
        def gradient(upstream):
            mirrored = tf.transpose(kernel[::-1, ::-1], (0, 1, 3, 2))
            to_inputs = tf.nn.conv2d(upstream, mirrored, 1, "SAME")
            return to_inputs, _kernel_gradient(inputs, upstream, kernel.shape)

        return tf.nn.conv2d(inputs, kernel, 1, "SAME"), gradient

    # A tensor, not the variable: custom_gradient treats variables in another way.
    return convolve(inputs, tf.convert_to_tensor(kernel))


MOST_TAPS = 9  # wider kernels work on few pixels here (pooled maps), where TensorFlow's own gradient is as fast


def _kernel_gradient(inputs, upstream, shape):
    """Gradient (h, w, C, F) with respect to the kernel, from inputs (B, H, W, C) and upstream (B, H, W, F).

    Padded to equal rows, the pixels of a whole batch are one line, and a tap is a shift along
    it: its gradient is the product of two slices of memory. The upstream's padding is zero,
    so what a shift carries over from the next row or image does not count.
    """
    import tensorflow as tf

    height, width, channels, filters = shape
    if height * width > MOST_TAPS:
        return tf.raw_ops.Conv2DBackpropFilter(
            input=inputs, filter_sizes=shape, out_backprop=upstream, strides=[1, 1, 1, 1], padding="SAME"
        )
    top, left = height // 2, width // 2
    line = tf.reshape(tf.pad(inputs, [[0, 0], [top, top], [left, left], [0, 0]]), (-1, channels))
    target = tf.reshape(tf.pad(upstream, [[0, 0], [0, 2 * top], [0, 2 * left], [0, 0]]), (-1, filters))
    row = inputs.shape[2] + 2 * left
    length = tf.shape(line)[0] - (2 * top * row + 2 * left)
    shifts = [i * row + j for i in range(height) for j in range(width)]
    taps = [tf.matmul(line[shift : shift + length], target[:length], transpose_a=True) for shift in shifts]
    return tf.reshape(tf.stack(taps), shape)
