"""Networks cheaper than SCN, a row each, for `fast_networks.py`; and how many operations a network takes.

The paper's network has the same width at full resolution as below. Most of its operations lie there. Each row of CANDIDATES is another
way to spend fewer.
"""

import math

import scn_tf
from scn_tf.environment.backend import keras, layers
from scn_tf.models.parts.blocks import (
    HEAD_STDDEV,
    LEAKY_SLOPE,
    along_axes,
    average_pooling,
    conv,
    cubic_upsampling,
    head,
    linear_upsampling,
)

# widths: channels of each level of the local part. stride: its finest level is that much coarser than the image. head: kernel side at
# full resolution. spatial: channels, kernel, pooling (None: the recipe's). separable: each wide kernel as a column and a row.
CANDIDATES = {
    "half": dict(stride=2, head=2),
    "half_s32_head4": dict(stride=2, head=4, spatial=32),
    "half_s32_drop": dict(stride=2, head=2, spatial=32, dropout=0.1),
    "half_separable": dict(stride=2, head=2, separable=True),
    "half_32_s32": dict(stride=2, head=2, width=2 / 3, spatial=32),
    "quarter": dict(stride=4, head=4, width=2, spatial=32),
    "narrow_top": dict(widths=(1 / 3, 1, 1, 1), spatial=32),
    "fast_drop": dict(widths=(1 / 3, 1, 1, 1), separable=True, dropout=0.1),
    "half_top_thin_drop": dict(widths=(1 / 2, 1, 1, 1), separable=True, dropout=0.1, thin=True),
}
BUILT_IN = {"paper": {}, "fast": dict(spatial_convolution="separable")}  # arguments of build_network beside the recipe's


def build(image_shape, landmarks, recipe, *, stride=1, head_kernel=3, widths, dropout, spatial, separable=False, thin=False):
    """h = h_LA * h_SC as :func:`scn_tf.models.scn.build_scn`, with a local part of any width, stride and head.

    Args:
        image_shape: ([D,] H, W, C).
        landmarks: N.
        recipe: dict with ``spatial_kernel`` and ``spatial_pooling``.
        stride: the first convolution's; the head enlarges by it.
        head_kernel: side of the head's kernel at full resolution.
        widths: channels of each level of the local part, finest first.
        spatial: channels of the spatial part.
        separable: whether its wide kernels are a column and a row each.
        thin: whether the finest level has one convolution, that of its skip, in place of three.
    """
    dims = len(image_shape) - 1
    image = keras.Input(image_shape, name="image")
    conv_layer = {2: layers.Conv2D, 3: layers.Conv3D}[dims]
    transposed = {2: layers.Conv2DTranspose, 3: layers.Conv3DTranspose}[dims]

    def project(tensor, channels, name):
        return tensor if tensor.shape[-1] == channels else conv(channels, 1, dims, name=name, activation=None)(tensor)

    tensor = conv_layer(widths[0], 3 * stride, strides=stride, padding="same", kernel_initializer="he_normal", name="la_stem")(image)
    tensor = layers.LeakyReLU(negative_slope=LEAKY_SLOPE)(tensor)
    skips = []
    for level, width in enumerate(widths):
        if level > 0:
            tensor = average_pooling(dims, 2, name=f"la_{level}_pool")(tensor)
        if level > 0 or not thin:
            tensor = conv(width, 3, dims, name=f"la_{level}_conv1")(tensor)
            if dropout > 0:
                tensor = layers.Dropout(dropout, name=f"la_{level}_dropout")(tensor)
            tensor = conv(width, 3, dims, name=f"la_{level}_conv2")(tensor)
        skips.append(conv(width, 3, dims, name=f"la_{level}_parallel")(tensor))
    tensor = skips.pop()
    for level in reversed(range(len(widths) - 1)):
        tensor = linear_upsampling(name=f"la_{level}_up")(project(tensor, widths[level], f"la_{level}_project"))
        tensor = layers.Add(name=f"la_{level}_add")([tensor, skips[level]])
    if stride == 1:
        local = head(landmarks, 3, dims, name="local_appearance")(tensor)
    else:
        local = transposed(
            landmarks,
            head_kernel,
            strides=stride,
            padding="same",
            kernel_initializer=keras.initializers.TruncatedNormal(stddev=HEAD_STDDEV),
            dtype="float32",
            name="local_appearance",
        )(tensor)

    kernel, pooling = recipe["spatial_kernel"], recipe["spatial_pooling"]
    last, before = ((*[1] * (dims - 1), kernel), range(dims - 1)) if separable else (kernel, range(0))
    tensor = average_pooling(dims, pooling, name="sc_pool")(local)
    for index in range(1, 4):
        tensor = along_axes(spatial, kernel, dims, name=f"sc_conv{index}", axes=before)(tensor)
        tensor = conv(spatial, last, dims, name=f"sc_conv{index}")(tensor)
    tensor = along_axes(spatial, kernel, dims, name="sc_head", axes=before)(tensor)
    tensor = head(landmarks, last, dims, name="sc_head", activation="tanh")(tensor)
    spatial_map = cubic_upsampling(pooling, dtype="float32", name="spatial_configuration")(tensor)
    return keras.Model(image, layers.Multiply(dtype="float32", name="heatmaps")([local, spatial_map]))


def candidate(name, recipe):
    """Network of a row of CANDIDATES or BUILT_IN for a recipe, as :func:`recipe_of` gives it."""
    shape, landmarks, filters = (*recipe["image_size"], recipe["channels"]), recipe["landmarks"], recipe["filters"]
    if name in BUILT_IN:
        own = BUILT_IN[name] | ({"finest_filters": in_blocks(filters / 3)} if name == "fast" else {})
        keys = ("filters", "levels", "dropout", "spatial_kernel", "spatial_pooling", "spatial_filters")
        return scn_tf.build_network(
            "scn",
            len(shape) - 1,
            landmarks=landmarks,
            channels=shape[-1],
            image_size=shape[:-1],
            preset="tiny",
            **{key: recipe[key] for key in keys},
            **own,
        )
    row = CANDIDATES[name]
    stride = row.get("stride", 1)
    levels = max(1, recipe["levels"] - round(math.log2(stride)))
    shares = row.get("widths", (row.get("width", 1),) * levels)
    shares = (*shares, *[shares[-1]] * levels)[:levels]
    return build(
        shape,
        landmarks,
        {**recipe, **{key: row[key] for key in ("spatial_kernel", "spatial_pooling") if key in row}},
        stride=stride,
        head_kernel=row.get("head", 3),
        widths=[in_blocks(filters * share) for share in shares],
        dropout=min(row.get("dropout", 1), recipe["dropout"]),
        spatial=round(row.get("spatial", 48) / 48 * recipe["spatial_filters"]),
        separable=row.get("separable", False),
        thin=row.get("thin", False),
    )


def in_blocks(channels):
    """The next multiple of eight, since processors compute in blocks of channels."""
    return 8 * math.ceil(channels / 8 - 1e-6)


def operations(network):
    """Floating-point operations of the convolutions for one image, two per multiplication with its addition."""
    total = 0
    for layer in network.layers:
        if isinstance(layer, keras.layers.Layer) and hasattr(layer, "kernel"):
            turned = "Transpose" in type(layer).__name__  # its kernel meets every input pixel, others every output pixel
            pixels = (layer.input if turned else layer.output).shape[1:-1]
            total += 2 * math.prod(layer.kernel.shape) * math.prod(pixels)
    return total
