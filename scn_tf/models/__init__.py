"""The networks by name, each a plain function that returns a functional ``keras.Model``.

A preset is a row of numbers. ``paper`` is the published configuration, the others fit a CPU.
"""

import contextlib

import keras

from scn_tf.config import ModelConfig
from scn_tf.models.scn import build_local_appearance, build_scn, build_spatial_configuration
from scn_tf.models.unet import build_unet

__all__ = ["build_local_appearance", "build_network", "build_scn", "build_spatial_configuration", "build_unet"]


def build_network(
    name="scn",
    dims=2,
    *,
    landmarks,
    image_size=None,
    channels=1,
    preset="paper",
    filters=None,
    levels=None,
    dropout=None,
    spatial_filters=None,
    spatial_kernel=None,
    spatial_pooling=None,
):
    """Build a heatmap regression network.

    Args:
        name: ``"scn"`` (SpatialConfiguration-Net) or ``"unet"`` (localization U-Net).
        dims: 2 or 3.
        landmarks: number of landmarks N.
        image_size: (H, W) or (D, H, W) in array order; the preset's if None.
        channels: image channels C.
        preset: ``"paper"``, ``"small"`` or ``"tiny"``: the values of what is None below.
        filters: channels of every convolution.
        levels: resolutions of the local appearance part or U-Net.
        dropout: dropout rate.
        spatial_filters, spatial_kernel, spatial_pooling: spatial configuration part (``scn`` alone).

    Returns:
        Functional ``keras.Model`` from image (B, [D,] H, W, C) to heatmaps (B, [D,] H, W, N).

    Raises:
        ValueError: unknown name or preset, or a side that the poolings do not divide.
    """
    if dims not in (2, 3):
        raise ValueError(f"dims must be 2 or 3, received {dims!r}.")
    given = dict(
        filters=filters,
        levels=levels,
        dropout=dropout,
        image_size=image_size,
        spatial_filters=spatial_filters,
        spatial_kernel=spatial_kernel,
        spatial_pooling=spatial_pooling,
    )
    # The same checks as for a config file.
    config = ModelConfig(name=name, preset=preset, **{key: value for key, value in given.items() if value is not None})
    return from_config(config.resolved(dims), landmarks=landmarks, channels=channels)


def from_config(config, *, landmarks, channels):
    """Build the network of a resolved :class:`scn_tf.config.ModelConfig`."""
    shape = (*config.image_size, channels)
    common = dict(filters=config.filters, levels=config.levels, dropout=config.dropout)
    if config.name == "unet":
        return build_unet(shape, landmarks, **common)
    return build_scn(
        shape,
        landmarks,
        **common,
        spatial_filters=config.spatial_filters,
        spatial_kernel=config.spatial_kernel,
        spatial_pooling=config.spatial_pooling,
    )


@contextlib.contextmanager
def dtype_policy(name):
    """Build layers under a Keras dtype policy, then put the old one back."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
