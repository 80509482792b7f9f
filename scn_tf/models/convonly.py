"""A network of 2016 without a spatial part or pooling (Payer et al., MICCAI 2016)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scn_tf.environment.backend import keras
from scn_tf.models.model import Model, no_pooling
from scn_tf.models.parts.blocks import conv, head

if TYPE_CHECKING:
    from scn_tf.types import Sizes


def build_convonly(image_shape: Sizes, landmarks: int, *, filters: int = 128, spatial_kernel: int = 11) -> keras.Model:
    """Six wide convolutions at full resolution and a head: the simplest reading of the paper's "ConvOnly-Net".

    Without pooling, only wide kernels cover enough of the image. A step takes more than ten times as long as with the other networks.

    Args:
        image_shape: ([D,] H, W, C).
        landmarks: number of landmarks N.
        filters: channels of every convolution.
        spatial_kernel: side of all kernels.

    Returns:
        Functional ``keras.Model`` from image (B, [D,] H, W, C) to heatmaps (B, [D,] H, W, N).
    """
    dims = len(image_shape) - 1
    image = keras.Input(image_shape, name="image")
    tensor = image
    for index in range(1, 7):
        tensor = conv(filters, spatial_kernel, dims, name=f"conv{index}", activation="relu")(tensor)
    heatmaps = head(landmarks, spatial_kernel, dims, name="heatmaps")(tensor)
    return keras.Model(image, heatmaps, name="convonly")


CONVONLY = Model(
    name="convonly",
    description="network of 2016 without a spatial part or pooling",
    build=build_convonly,
    divisor=no_pooling,
    rank=5,
)
