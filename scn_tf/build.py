"""Build networks from keyword arguments or from the settings of a run."""

from typing import TYPE_CHECKING

from scn_tf import models
from scn_tf.config import ModelConfig
from scn_tf.presence import known
from scn_tf.types import Sizes

if TYPE_CHECKING:
    from scn_tf.environment.backend import keras

OPTIONAL = (
    "filters",
    "finest_filters",
    "levels",
    "dropout",
    "spatial_filters",
    "spatial_kernel",
    "spatial_pooling",
    "spatial_convolution",
)


def build_network(
    name: str = "scn",
    dims: int = 2,
    *,
    landmarks: int,
    image_size: Sizes | None = None,
    channels: int = 1,
    preset: str = "paper",
    filters: int | None = None,
    finest_filters: int | None = None,
    levels: int | None = None,
    dropout: float | None = None,
    spatial_filters: int | None = None,
    spatial_kernel: int | None = None,
    spatial_pooling: int | None = None,
    spatial_convolution: str | None = None,
) -> "keras.Model":
    """Build a heatmap regression network.

    TensorFlow is not required: under ``KERAS_BACKEND=jax`` the network runs on JAX.

    Args:
        name: ``"scn"`` (SpatialConfiguration-Net), ``"unet"`` (localization U-Net), one of the networks of 2016
            (``"payer2016"``, ``"downsampling"``, ``"convonly"``), ``"segmentation"`` (label maps: ``landmarks`` counts labels), or a
            registered one.
        dims: 2 or 3.
        landmarks: number of landmarks N.
        image_size: (H, W) or (D, H, W) in array order; the preset's if None.
        channels: image channels C.
        preset: ``"paper"``, ``"small"``, ``"tiny"`` or ``"fast"``: values of the arguments below that are None. A U-Net always has 5
            levels and no dropout.
        filters: channels of every convolution.
        finest_filters: channels at full resolution; ``filters`` if neither this nor the preset says more.
        levels: resolutions of the local appearance part or U-Net.
        dropout: dropout rate.
        spatial_filters, spatial_kernel, spatial_pooling: of the spatial configuration part. Networks without one ignore them.
        spatial_convolution: ``"full"``, or ``"separable"``: a kernel along each axis in place of each whole one.

    Returns:
        Functional ``keras.Model`` from image (B, [D,] H, W, C) to heatmaps (B, [D,] H, W, N).

    Raises:
        ValueError: the name or preset is unknown, or a side is no multiple of the poolings.
    """
    if dims not in (2, 3):
        raise ValueError(f"dims must be 2 or 3, received {dims!r}.")
    given = dict(
        filters=filters,
        finest_filters=finest_filters,
        levels=levels,
        dropout=dropout,
        image_size=image_size,
        spatial_filters=spatial_filters,
        spatial_kernel=spatial_kernel,
        spatial_pooling=spatial_pooling,
        spatial_convolution=spatial_convolution,
    )
    # The same checks as for a config file.
    config = ModelConfig.model_validate(dict(name=name, preset=preset, **{key: value for key, value in given.items() if value is not None}))
    return from_config(config.resolved(dims), num_maps=landmarks, channels=channels)


def from_config(config: ModelConfig, *, num_maps: int, channels: int) -> "keras.Model":
    """Build the network of a resolved :class:`scn_tf.config.ModelConfig` for a number of landmarks or labels."""
    return models.build(config.name, (*known(config.image_size), channels), num_maps, config.model_dump())


def unused(config: ModelConfig, dims: int) -> list[str]:
    """Names of the settings that an unresolved :class:`scn_tf.config.ModelConfig` sets and its network does not use.

    Settings equal to the preset's values are left out, because a saved run names every field.
    """
    if models.MODELS[config.name].build is None:
        return []
    taken = models.options(config.name)
    usual = ModelConfig(name=config.name, preset=config.preset, filters=config.filters).resolved(dims)
    return [name for name in OPTIONAL if name not in taken and getattr(config, name) not in (None, getattr(usual, name))]
