"""The localization U-Net of the paper's comparison (Payer et al. 2019, section 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scn_tf.environment.backend import keras, layers
from scn_tf.models.model import Model, level_poolings
from scn_tf.models.parts import blocks
from scn_tf.models.parts.blocks import average_pooling, conv, head, linear_upsampling

if TYPE_CHECKING:
    from scn_tf.types import Sizes


def build_unet(image_shape: Sizes, landmarks: int, *, filters: int = 128, levels: int = 5, dropout: float = 0.0) -> keras.Model:
    """Build a U-Net with the same width at every level, concatenated skips and ReLU.

    Args:
        image_shape: ([D,] H, W, C); sides divide by ``2 ** (levels - 1)``.
        landmarks: number of landmarks N.
        filters: channels of every convolution.
        levels: resolutions, the full one included.
        dropout: rate between the two convolutions of a contracting block.

    Returns:
        Functional ``keras.Model`` from image (B, [D,] H, W, C) to heatmaps (B, [D,] H, W, N).
    """
    image = keras.Input(image_shape, name="image")
    features = unet_features(image, filters=filters, levels=levels, dropout=dropout)
    heatmaps = head(landmarks, 1, len(image_shape) - 1, name="heatmaps")(features)
    return keras.Model(image, heatmaps, name="unet")


def unet_features(image: keras.KerasTensor, *, filters: int, levels: int, dropout: float) -> keras.KerasTensor:
    """The U-Net without its head: Keras tensor (B, [D,] H, W, C) to (B, [D,] H, W, filters)."""
    dims = len(image.shape) - 2

    def block(tensor: keras.KerasTensor, name: str, rate: float = 0.0) -> keras.KerasTensor:
        tensor = conv(filters, 3, dims, name=f"{name}_conv1", activation="relu")(tensor)
        if rate > 0:
            tensor = blocks.dropout(rate, name=f"{name}_dropout")(tensor)
        return conv(filters, 3, dims, name=f"{name}_conv2", activation="relu")(tensor)

    tensor, skips = image, []
    for level in range(levels):
        if level > 0:
            tensor = average_pooling(dims, 2, name=f"down_{level}_pool")(tensor)
        tensor = block(tensor, f"down_{level}", dropout)
        skips.append(tensor)
    tensor = skips.pop()
    for level in reversed(range(levels - 1)):
        tensor = linear_upsampling(name=f"up_{level}")(tensor)
        tensor = layers.Concatenate(name=f"up_{level}_concat")([tensor, skips[level]])
        tensor = block(tensor, f"up_{level}")
    return tensor


UNET = Model(
    name="unet",
    description="localization U-Net",
    build=build_unet,
    divisor=level_poolings,
    defaults=dict(levels=5, dropout=0.0),
    filters_per_landmark=True,
    rank=2,
)
