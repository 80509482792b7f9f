"""A network of 2016 without a spatial part, with heatmaps of reduced resolution (Payer et al., MICCAI 2016)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scn_tf.environment.backend import keras
from scn_tf.models.model import Model, level_poolings
from scn_tf.models.parts.blocks import average_pooling, conv, head, linear_upsampling

if TYPE_CHECKING:
    from scn_tf.types import Sizes


def build_downsampling(image_shape: Sizes, landmarks: int, *, filters: int = 128, levels: int = 3) -> keras.Model:
    """Convolutions and pooling in turn. The heatmaps of the lowest resolution are enlarged linearly.

    Each level has two 5x5 convolutions with ReLU. Average pooling by two separates the levels, and a 5x5 head follows. This is the
    simplest reading of the paper's "Downsampling-Net".

    Args:
        image_shape: ([D,] H, W, C); sides divide by ``2 ** (levels - 1)``.
        landmarks: number of landmarks N.
        filters: channels of every convolution.
        levels: resolutions, the full one included.

    Returns:
        Functional ``keras.Model`` from image (B, [D,] H, W, C) to heatmaps (B, [D,] H, W, N).
    """
    dims = len(image_shape) - 1
    image = keras.Input(image_shape, name="image")
    tensor = image
    for level in range(levels):
        if level > 0:
            tensor = average_pooling(dims, 2, name=f"down_{level}_pool")(tensor)
        for index in (1, 2):
            tensor = conv(filters, 5, dims, name=f"down_{level}_conv{index}", activation="relu")(tensor)
    small = head(landmarks, 5, dims, name="head")(tensor)
    heatmaps = linear_upsampling(2 ** (levels - 1), dtype="float32", name="heatmaps")(small)
    return keras.Model(image, heatmaps, name="downsampling")


DOWNSAMPLING = Model(
    name="downsampling",
    description="network of 2016 without a spatial part, at reduced resolution",
    build=build_downsampling,
    divisor=level_poolings,
    defaults=dict(levels=3),
    rank=4,
)
