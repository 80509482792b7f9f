"""Blocks that several networks share: convolutions, heads, pooling, enlargement.

Initial weights, slopes and deviations follow Payer et al. 2019, section 3, and the authors' published code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from scn_tf.environment.backend import keras, layers

if TYPE_CHECKING:
    from scn_tf.types import Sizes

    Apply = Callable[[keras.KerasTensor], keras.KerasTensor]

LEAKY_SLOPE = 0.1
HEAD_STDDEV = 1e-4  # heads start near zero: the product of the two maps does as well


def conv(filters: int, kernel: int | Sizes, dims: int, *, name: str, activation: str | None = "leaky") -> Apply:
    """Convolution of the body: He-normal weights, zero bias, LeakyReLU 0.1. ``kernel``: its side, or its sides in array order."""
    layer = {2: layers.Conv2D, 3: layers.Conv3D}[dims]

    def apply(tensor: keras.KerasTensor) -> keras.KerasTensor:
        # On processors with AVX-512-BF16, oneDNN's gradient of a 3D kernel in bfloat16 reads and writes beyond its memory
        # where a volume has fewer planes than the kernel: NaN, or the process aborts.
        thin = dims == 3 and tensor.shape[1] < (kernel if isinstance(kernel, int) else kernel[0])
        dtype = "float32" if thin else None
        tensor = layer(filters, kernel, padding="same", kernel_initializer="he_normal", dtype=dtype, name=name)(tensor)
        if activation == "leaky":
            tensor = layers.LeakyReLU(negative_slope=LEAKY_SLOPE, name=f"{name}_act")(tensor)
        elif activation is not None:
            tensor = layers.Activation(activation, name=f"{name}_act")(tensor)
        return tensor

    return apply


def along_axes(filters: int, kernel: int, dims: int, *, name: str, axes: range) -> Apply:
    """Linear convolutions along one axis after another.

    Args:
        filters, kernel, dims, name: as of :func:`conv`.
        axes: of the array, 0 for the first of ([D,] H, W).
    """

    def apply(tensor: keras.KerasTensor) -> keras.KerasTensor:
        for axis in axes:
            line = tuple(kernel if other == axis else 1 for other in range(dims))
            tensor = conv(filters, line, dims, name=f"{name}_axis{axis}", activation=None)(tensor)
        return tensor

    return apply


def head(
    num_maps: int, kernel: int | Sizes, dims: int, *, name: str, activation: str | None = None, stddev: float | None = HEAD_STDDEV
) -> keras.Layer:
    """Convolution to one map per landmark. With ``stddev`` None, its weights start He-normal.

    It computes in float32 under every policy. With the 8 significant bits of bfloat16, neighbouring pixels of a peak tie, and the
    maximum may miss the peak.
    """
    layer = {2: layers.Conv2D, 3: layers.Conv3D}[dims]
    return layer(
        num_maps,
        kernel,
        padding="same",
        activation=activation,
        kernel_initializer="he_normal" if stddev is None else keras.initializers.TruncatedNormal(stddev=stddev),
        dtype="float32",
        name=name,
    )


def average_pooling(dims: int, size: int, *, name: str) -> keras.Layer:
    """Mean over blocks of ``size`` pixels along each axis."""
    return {2: layers.AveragePooling2D, 3: layers.AveragePooling3D}[dims](size, name=name)


def linear_upsampling(factor: int = 2, *, name: str, dtype: str | None = None) -> keras.Layer:
    """Apply :class:`scn_tf.models.parts.layers.LinearUpsampling`."""
    from scn_tf.models.parts.layers import LinearUpsampling  # defines Keras layers, so it imports Keras

    return LinearUpsampling(factor, name=name, dtype=dtype)


def cubic_upsampling(factor: int, *, name: str, dtype: str | None = None) -> keras.Layer:
    """Apply :class:`scn_tf.models.parts.layers.CubicUpsampling`."""
    from scn_tf.models.parts.layers import CubicUpsampling

    return CubicUpsampling(factor, name=name, dtype=dtype)


def dropout(rate: float, *, name: str) -> keras.Layer:
    """Apply :class:`scn_tf.models.parts.layers.Dropout`."""
    from scn_tf.models.parts.layers import Dropout

    return Dropout(rate, name=name)


def others_conv(num_maps: int, kernel: int, dims: int, *, name: str) -> keras.Layer:
    """One linear convolution per map over all other maps (Payer et al. 2016, eq. 3), float32."""
    from scn_tf.models.parts.layers import OthersConv2D, OthersConv3D

    return {2: OthersConv2D, 3: OthersConv3D}[dims](num_maps, kernel, padding="same", dtype="float32", name=name)
