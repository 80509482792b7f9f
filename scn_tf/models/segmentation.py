"""SpatialConfiguration-Net for label maps (Payer et al., STACOM 2018: "Multi-label whole heart segmentation")."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scn_tf.environment.backend import keras, layers
from scn_tf.models.model import Model, all_poolings
from scn_tf.models.parts.blocks import average_pooling, conv, head, linear_upsampling
from scn_tf.models.unet import unet_features

if TYPE_CHECKING:
    from scn_tf.types import Sizes


def build_scn_segmentation(
    image_shape: Sizes,
    labels: int,
    *,
    filters: int = 64,
    levels: int = 4,
    dropout: float = 0.0,
    spatial_kernel: int = 5,
    spatial_pooling: int = 8,
) -> keras.Model:
    """Build one map per label: local appearance (U-Net, tanh) times spatial configuration.

    Spatial configuration: the local maps at a lower resolution, four convolutions, linear enlargement. The last of the four
    convolutions is linear. Details that the paper omits follow the landmark networks.

    Args:
        image_shape: ([D,] H, W, C); sides divide by ``2 ** (levels - 1)`` and ``spatial_pooling``.
        labels: number of labels, background included.
        filters, levels, dropout: of the U-Net.
        spatial_kernel, spatial_pooling: of the spatial part (paper: 5 and 8).

    Returns:
        Functional ``keras.Model`` from image (B, [D,] H, W, C) to maps (B, [D,] H, W, labels): logits or heatmaps, by the loss.
    """
    dims = len(image_shape) - 1
    image = keras.Input(image_shape, name="image")
    features = unet_features(image, filters=filters, levels=levels, dropout=dropout)
    local = head(labels, 3, dims, name="local_appearance", activation="tanh", stddev=None)(features)
    tensor = average_pooling(dims, spatial_pooling, name="sc_pool")(local)
    for index in range(1, 4):
        tensor = conv(filters, spatial_kernel, dims, name=f"sc_conv{index}")(tensor)
    tensor = head(labels, spatial_kernel, dims, name="sc_head", stddev=None)(tensor)
    spatial = linear_upsampling(spatial_pooling, dtype="float32", name="spatial_configuration")(tensor)
    product = layers.Multiply(dtype="float32", name="heatmaps")([local, spatial])
    return keras.Model(image, product, name="segmentation")


SEGMENTATION = Model(
    name="segmentation",
    description="SCN for label maps",
    build=build_scn_segmentation,
    divisor=all_poolings,
    defaults=dict(spatial_kernel=5, spatial_pooling=8),
    maps="labels",
    system="label_map",
    rank=8,
)
