"""SpatialConfiguration-Net (Payer et al., Medical Image Analysis 54, 2019, section 3).

The heatmap of a landmark is the product of two heatmaps. Local appearance is precise, but also responds to similar structures.
Spatial configuration is coarse, but encodes each landmark's position relative to all others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from scn_tf.environment.backend import keras, layers
from scn_tf.models.model import Model, all_poolings
from scn_tf.models.parts import blocks
from scn_tf.models.parts.blocks import along_axes, average_pooling, conv, cubic_upsampling, head, linear_upsampling

if TYPE_CHECKING:
    from scn_tf.types import Sizes


def build_local_appearance(
    image: keras.KerasTensor,
    landmarks: int,
    *,
    filters: int = 128,
    finest_filters: int | None = None,
    levels: int = 4,
    dropout: float = 0.5,
) -> keras.KerasTensor:
    """Build local appearance heatmaps h_LA: a U-Net with the same width at every level.

    The contracting path has conv - dropout - conv per level, then a "parallel" conv whose output is the skip. The expanding path
    has no convolution: linear upsampling by two is *added* to the skip. Where the finest level is narrower than the others, a linear
    1x1 convolution brings the coarser maps to its width first; this is not in the paper.

    Args:
        image: Keras tensor (B, [D,] H, W, C); sides divide by ``2 ** (levels - 1)``.
        landmarks: number of landmarks N.
        filters: channels of every convolution.
        finest_filters: channels at full resolution; ``filters`` if None.
        levels: resolutions, the full one included.
        dropout: rate between the two convolutions of a level.

    Returns:
        Keras tensor (B, [D,] H, W, N), linear, float32.
    """
    dims = len(image.shape) - 2
    widths = [finest_filters or filters] + [filters] * (levels - 1)
    tensor = conv(widths[0], 3, dims, name="la_stem")(image)
    skips = []
    for level, width in enumerate(widths):
        if level > 0:
            tensor = average_pooling(dims, 2, name=f"la_{level}_pool")(tensor)
        tensor = conv(width, 3, dims, name=f"la_{level}_conv1")(tensor)
        if dropout > 0:
            tensor = blocks.dropout(dropout, name=f"la_{level}_dropout")(tensor)
        tensor = conv(width, 3, dims, name=f"la_{level}_conv2")(tensor)
        skips.append(conv(width, 3, dims, name=f"la_{level}_parallel")(tensor))
    tensor = skips.pop()
    for level in reversed(range(levels - 1)):
        if tensor.shape[-1] != widths[level]:
            tensor = conv(widths[level], 1, dims, name=f"la_{level}_width", activation=None)(tensor)
        tensor = linear_upsampling(name=f"la_{level}_up")(tensor)
        tensor = layers.Add(name=f"la_{level}_add")([tensor, skips[level]])
    return head(landmarks, 3, dims, name="local_appearance")(tensor)


def build_spatial_configuration(
    local: keras.KerasTensor,
    landmarks: int,
    *,
    filters: int = 128,
    kernel: int = 11,
    pooling: int = 16,
    convolution: Literal["full", "separable"] = "full",
) -> keras.KerasTensor:
    """Build spatial configuration heatmaps h_SC from the local appearance heatmaps.

    Average pooling, three wide convolutions and a tanh head at the low resolution are followed by cubic upsampling. The tanh
    precedes the upsampling.

    Args:
        local: Keras tensor (B, [D,] H, W, N); sides divide by ``pooling``.
        landmarks: number of landmarks N.
        filters: channels of the three convolutions.
        kernel: side of all four kernels (paper: 11 in 2D, 7 in 3D).
        pooling: reduction of the resolution (paper: 16 in 2D, 8 in 3D).
        convolution: ``"full"`` (paper), or ``"separable"``: linear convolutions along one axis after another in place of each.

    Returns:
        Keras tensor (B, [D,] H, W, N), float32.
    """
    dims = len(local.shape) - 2
    tensor = average_pooling(dims, pooling, name="sc_pool")(local)
    last: int | Sizes = kernel
    before = range(0)
    if convolution == "separable":
        last, before = (*[1] * (dims - 1), kernel), range(dims - 1)
    for index in range(1, 4):
        tensor = along_axes(filters, kernel, dims, name=f"sc_conv{index}", axes=before)(tensor)
        tensor = conv(filters, last, dims, name=f"sc_conv{index}")(tensor)
    tensor = along_axes(filters, kernel, dims, name="sc_head", axes=before)(tensor)
    tensor = head(landmarks, last, dims, name="sc_head", activation="tanh")(tensor)
    return cubic_upsampling(pooling, dtype="float32", name="spatial_configuration")(tensor)


def build_scn(
    image_shape: Sizes,
    landmarks: int,
    *,
    filters: int = 128,
    finest_filters: int | None = None,
    levels: int = 4,
    dropout: float = 0.5,
    spatial_kernel: int = 11,
    spatial_pooling: int = 16,
    spatial_filters: int | None = None,
    spatial_convolution: Literal["full", "separable"] = "full",
) -> keras.Model:
    """Build the whole network: h = h_LA * h_SC (Payer et al. 2019, eq. 3).

    Args:
        image_shape: ([D,] H, W, C).
        landmarks: number of landmarks N.
        filters, finest_filters, levels, dropout: see :func:`build_local_appearance`.
        spatial_kernel, spatial_pooling, spatial_convolution: see :func:`build_spatial_configuration`.
        spatial_filters: channels of the spatial part; ``filters`` if None.

    Returns:
        Functional ``keras.Model`` from image (B, [D,] H, W, C) to heatmaps (B, [D,] H, W, N).
        Its layers ``local_appearance`` and ``spatial_configuration`` hold the two factors.
    """
    image = keras.Input(image_shape, name="image")
    local = build_local_appearance(image, landmarks, filters=filters, finest_filters=finest_filters, levels=levels, dropout=dropout)
    spatial = build_spatial_configuration(
        local,
        landmarks,
        filters=spatial_filters or filters,
        kernel=spatial_kernel,
        pooling=spatial_pooling,
        convolution=spatial_convolution,
    )
    heatmaps = layers.Multiply(dtype="float32", name="heatmaps")([local, spatial])
    return keras.Model(image, heatmaps, name="scn")


SCN = Model(
    name="scn",
    description="SpatialConfiguration-Net",
    build=build_scn,
    divisor=all_poolings,
    rank=1,
)
