"""Layers that Keras lacks: upsampling and resizing for all precisions, compilers and exports, and a cheap dropout.

Keras' ``UpSampling2D(interpolation="bicubic")`` has no gradient in bfloat16, no XLA kernel and no TFLite builtin. Keras has no
linear or cubic upsampling in 3D.
"""

from typing import Any

import numpy as np

from scn_tf.environment.backend import keras, ops
from scn_tf.types import Array, Shape, Sizes, Tensor


def cubic_matrix(size: int, outputs: int) -> Array:
    """Interpolation matrix of Keys' cubic convolution (a = -1/2) for one axis.

    Args:
        size: number of samples along the axis.
        outputs: number of output samples. For fewer outputs than samples, the kernel is widened against aliasing.

    Returns:
        float32 array (outputs, size). Sample centres follow the half-pixel convention. Taps outside the axis are dropped, and the
        rest is renormalised. The result equals ``tf.image.resize(..., "bicubic", antialias=True)``, also at the border.

    Source: Keys, "Cubic convolution interpolation for digital image processing", 1981, eq. 15.
    """
    factor = outputs / size
    centres = (np.arange(outputs) + 0.5) / factor - 0.5
    distance = np.abs(centres[:, None] - np.arange(size)[None, :]) * min(factor, 1.0)
    near = (1.5 * distance - 2.5) * distance**2 + 1.0
    far = ((-0.5 * distance + 2.5) * distance - 4.0) * distance + 2.0
    weights = np.where(distance <= 1.0, near, np.where(distance < 2.0, far, 0.0))
    return (weights / weights.sum(axis=1, keepdims=True)).astype("float32")


def _space(shape: Shape) -> Sizes:
    """([D,] H, W) of a shape (B, [D,] H, W, C)."""
    space = tuple(side for side in shape[1:-1] if side is not None)
    if len(space) != len(shape) - 2:
        raise ValueError(f"Upsampling needs static spatial sizes, received {shape}.")
    return space


class _Cubic(keras.layers.Layer):
    """Cubic interpolation to :meth:`outputs` samples along each axis.

    Each axis has one small constant matrix, applied as a matrix product. Its gradient is exact in every precision, XLA compiles it,
    and TFLite has it as a builtin.
    """

    def build(self, input_shape: Shape) -> None:
        space = _space(input_shape)
        self.matrices = [cubic_matrix(size, outputs) for size, outputs in zip(space, self.outputs(space), strict=True)]

    def call(self, inputs: Tensor) -> Tensor:
        outputs = inputs
        shape = list(inputs.shape[1:])
        for axis, matrix in enumerate(self.matrices):
            if matrix.shape[0] == matrix.shape[1]:
                continue
            # (B, before, size, after) x (outputs, size): one product per axis.
            before = int(np.prod(shape[:axis], dtype=int))
            after = int(np.prod(shape[axis + 1 :], dtype=int))
            flat = ops.reshape(outputs, (-1, before, shape[axis], after))
            flat = ops.matmul(ops.cast(matrix, flat.dtype), flat)
            shape[axis] = matrix.shape[0]
            outputs = ops.reshape(flat, (-1, *shape))
        return outputs

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], *self.outputs(_space(input_shape)), input_shape[-1])


@keras.saving.register_keras_serializable("scn_tf")
class CubicUpsampling(_Cubic):
    """Bicubic or tricubic enlargement by an integer factor.

    Input shape: (B, [D,] H, W, C). Output shape: (B, [D * factor,] H * factor, W * factor, C).

    Args:
        factor: integer enlargement along every spatial axis.
    """

    def __init__(self, factor: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = int(factor)

    def outputs(self, space: Sizes) -> Sizes:
        return tuple(size * self.factor for size in space)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "factor": self.factor}


@keras.saving.register_keras_serializable("scn_tf")
class CubicResizing(_Cubic):
    """Bicubic or tricubic resampling to any size, antialiased when it shrinks.

    Input shape: (B, [D,] H, W, C). Output shape: (B, *size, C).

    Args:
        size: ([D,] H, W) of the output.
    """

    def __init__(self, size: Sizes, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = tuple(int(side) for side in size)

    def outputs(self, space: Sizes) -> Sizes:
        return self.size

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": list(self.size)}


@keras.saving.register_keras_serializable("scn_tf")
class LinearUpsampling(keras.layers.Layer):
    """Bilinear or trilinear enlargement by an integer factor, half-pixel centres.

    In 3D, two 2D resizes follow each other: rows and columns of every slice, then the slices.

    Input shape: (B, [D,] H, W, C). Output shape: (B, [D * factor,] H * factor, W * factor, C).

    Args:
        factor: integer enlargement along every spatial axis.
    """

    def __init__(self, factor: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = int(factor)

    def build(self, input_shape: Shape) -> None:
        _space(input_shape)  # known sides

    def call(self, inputs: Tensor) -> Tensor:
        *space, channels = inputs.shape[1:]
        larger = [self.factor * side for side in space]
        if len(space) == 2:
            return _resize(inputs, tuple(larger))
        depth, height, width = space
        slices = ops.reshape(inputs, (-1, height, width, channels))
        slices = _resize(slices, (larger[1], larger[2]))
        pixels = larger[1] * larger[2]
        columns = ops.reshape(slices, (-1, depth, pixels, channels))
        columns = _resize(columns, (larger[0], pixels))
        return ops.reshape(columns, (-1, *larger, channels))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return (input_shape[0], *(self.factor * size for size in _space(input_shape)), input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "factor": self.factor}


@keras.saving.register_keras_serializable("scn_tf")
class Dropout(keras.layers.Dropout):
    """Dropout with one random byte per value, in place of four: numbers were a tenth of a training step.

    With TensorFlow, the rate is therefore a multiple of 1/256, at least one. Kept values are divided by the share that is kept.
    Other backends use Keras' own.
    """

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        if not training or self.rate == 0 or self.noise_shape is not None or keras.backend.backend() != "tensorflow":
            return super().call(inputs, training=training)
        import tensorflow as tf

        dropped = min(max(round(256 * self.rate), 1), 255)
        shape = tf.shape(inputs)
        count = tf.size(inputs, tf.int64)
        seed = tf.cast(self.seed_generator.next(), tf.int64)
        words = tf.random.stateless_uniform([(count + 3) // 4], seed, minval=None, maxval=None, dtype=tf.int32)
        numbers = tf.reshape(tf.reshape(tf.bitcast(words, tf.uint8), [-1])[:count], shape)
        return inputs * tf.cast(numbers >= dropped, inputs.dtype) * (256.0 / (256 - dropped))


class _Others(keras.layers.Layer):
    """Convolution from N maps to N maps that excludes each map from its own output: that part of the kernel is always zero."""

    def build(self, input_shape: Shape) -> None:
        if input_shape[-1] != self.filters:
            raise ValueError(f"Expected as many filters as input channels, received {self.filters} and {input_shape[-1]}.")
        super().build(input_shape)
        self.mask = 1.0 - np.eye(self.filters, dtype="float32")

    def convolution_op(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        return super().convolution_op(inputs, kernel * ops.cast(self.mask, kernel.dtype))


@keras.saving.register_keras_serializable("scn_tf")
class OthersConv2D(_Others, keras.layers.Conv2D):
    """2D convolution of every map from all others (Payer et al. 2016, eq. 3). Input and output shape: (B, H, W, N)."""


@keras.saving.register_keras_serializable("scn_tf")
class OthersConv3D(_Others, keras.layers.Conv3D):
    """3D convolution of every map from all others (Payer et al. 2016, eq. 3). Input and output shape: (B, D, H, W, N)."""


def _resize(images: Tensor, size: Sizes) -> Tensor:
    # The kernel computes in float32 whatever it is given. Keras would clip its result to the range of bfloat16, which takes as long again.
    return ops.cast(ops.image.resize(ops.cast(images, "float32"), size, interpolation="bilinear"), images.dtype)
