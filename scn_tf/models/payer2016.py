"""The first SpatialConfiguration-Net (Payer et al., MICCAI 2016, "Regressing heatmaps for multiple landmark localization using CNNs")."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scn_tf.environment.backend import keras, layers
from scn_tf.models.model import Model, spatial_poolings
from scn_tf.models.parts.blocks import average_pooling, conv, head, linear_upsampling, others_conv

if TYPE_CHECKING:
    from scn_tf.types import Sizes


def build_payer2016(
    image_shape: Sizes, landmarks: int, *, filters: int = 128, spatial_kernel: int = 15, spatial_pooling: int = 8
) -> keras.Model:
    """Build SpatialConfiguration-Net as first published: h = h_LA * h_SC with a linear spatial part.

    Local appearance: three 5x5 convolutions with ReLU and a 5x5 head. Spatial configuration: the local maps at a lower resolution,
    then one wide linear convolution per landmark. It covers the maps of all *other* landmarks, and its result is enlarged linearly.
    The paper states neither dropout nor weight initialisation. This network has no dropout and starts like the later one.

    Args:
        image_shape: ([D,] H, W, C).
        landmarks: number of landmarks N, at least 2.
        filters: channels of the local part.
        spatial_kernel: side of the wide kernel (paper: 15 in 2D).
        spatial_pooling: reduction of resolution in the spatial part (paper: 8).

    Returns:
        Functional ``keras.Model`` from image (B, [D,] H, W, C) to heatmaps (B, [D,] H, W, N).
        Its layers ``local_appearance`` and ``spatial_configuration`` hold the two factors.

    Raises:
        ValueError: there is only one landmark.
    """
    if landmarks < 2:
        raise ValueError("payer2016: expected at least 2 landmarks, since each is located relative to the others; received 1.")
    dims = len(image_shape) - 1
    image = keras.Input(image_shape, name="image")
    tensor = image
    for index in range(1, 4):
        tensor = conv(filters, 5, dims, name=f"la_conv{index}", activation="relu")(tensor)
    local = head(landmarks, 5, dims, name="local_appearance")(tensor)
    tensor = average_pooling(dims, spatial_pooling, name="sc_pool")(local)
    tensor = others_conv(landmarks, spatial_kernel, dims, name="sc_others")(tensor)
    spatial = linear_upsampling(spatial_pooling, dtype="float32", name="spatial_configuration")(tensor)
    heatmaps = layers.Multiply(dtype="float32", name="heatmaps")([local, spatial])
    return keras.Model(image, heatmaps, name="payer2016")


PAYER2016 = Model(
    name="payer2016",
    description="the first SCN, of 2016",
    build=build_payer2016,
    divisor=spatial_poolings,
    defaults=dict(spatial_kernel={2: 15, 3: 7}, spatial_pooling={2: 8, 3: 4}),
    min_landmarks=2,
    rank=3,
)
