"""The three other networks of Payer et al., MICCAI 2016 ("Regressing heatmaps for multiple landmark localization using CNNs").

The first SpatialConfiguration-Net, and two networks without a spatial part: one that gives up resolution, one that never does.
"""

from scn_tf.environment.backend import keras, layers
from scn_tf.models.layers import LinearUpsampling, OthersConv2D, OthersConv3D
from scn_tf.models.scn import average_pooling, conv, head
from scn_tf.types import Sizes


def build_payer2016(
    image_shape: Sizes, landmarks: int, *, filters: int = 128, spatial_kernel: int = 15, spatial_pooling: int = 8
) -> keras.Model:
    """SpatialConfiguration-Net as first published: h = h_LA * h_SC with a linear spatial part.

    Local appearance: three 5x5 convolutions with ReLU and a 5x5 head. Spatial configuration: the local maps at a lower
    resolution; the map of a landmark is one wide linear convolution over the maps of all *other* landmarks, enlarged
    linearly. Dropout and weight initialisation are not known; none, and those of the later network, are taken.

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
        ValueError: one landmark, which has no others.
    """
    if landmarks < 2:
        raise ValueError("payer2016: expected at least 2 landmarks, each is placed by the others; received 1.")
    dims = len(image_shape) - 1
    image = keras.Input(image_shape, name="image")
    tensor = image
    for index in range(1, 4):
        tensor = conv(filters, 5, dims, name=f"la_conv{index}", activation="relu")(tensor)
    local = head(landmarks, 5, dims, name="local_appearance")(tensor)
    tensor = average_pooling(dims, spatial_pooling, name="sc_pool")(local)
    others = {2: OthersConv2D, 3: OthersConv3D}[dims]
    tensor = others(landmarks, spatial_kernel, padding="same", dtype="float32", name="sc_others")(tensor)
    spatial = LinearUpsampling(spatial_pooling, dtype="float32", name="spatial_configuration")(tensor)
    heatmaps = layers.Multiply(dtype="float32", name="heatmaps")([local, spatial])
    return keras.Model(image, heatmaps, name="payer2016")


def build_downsampling(image_shape: Sizes, landmarks: int, *, filters: int = 128, levels: int = 3) -> keras.Model:
    """Convolutions and pooling in turn; the heatmaps of the lowest resolution are enlarged linearly.

    Two 5x5 convolutions with ReLU a level, average pooling by two between levels, a 5x5 head: the simplest reading of the
    paper's "Downsampling-Net".

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
    heatmaps = LinearUpsampling(2 ** (levels - 1), dtype="float32", name="heatmaps")(small)
    return keras.Model(image, heatmaps, name="downsampling")


def build_convonly(image_shape: Sizes, landmarks: int, *, filters: int = 128, spatial_kernel: int = 11) -> keras.Model:
    """Six wide convolutions at full resolution and a head: the simplest reading of the paper's "ConvOnly-Net".

    Without pooling only wide kernels see enough of the image, so a step costs more than ten times that of the others.

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
