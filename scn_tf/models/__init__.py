"""The networks by name, each a plain function that returns a functional ``keras.Model``.

A preset is a row of numbers. ``paper`` is the published configuration, the others fit a CPU.
"""

import contextlib
import inspect
from collections.abc import Callable, Iterator

from scn_tf.config import ModelConfig
from scn_tf.environment.backend import keras
from scn_tf.models.payer2016 import build_convonly, build_downsampling, build_payer2016
from scn_tf.models.scn import build_local_appearance, build_scn, build_spatial_configuration
from scn_tf.models.segmentation import build_scn_segmentation
from scn_tf.models.unet import build_unet
from scn_tf.types import Sizes, known

BUILDERS: dict[str, Callable[..., keras.Model]] = {
    "scn": build_scn,
    "unet": build_unet,
    "payer2016": build_payer2016,
    "downsampling": build_downsampling,
    "convonly": build_convonly,
    "segmentation": build_scn_segmentation,
}
__all__ = ["BUILDERS", "build_local_appearance", "build_network", "build_spatial_configuration", *(b.__name__ for b in BUILDERS.values())]


def build_network(
    name: str = "scn",
    dims: int = 2,
    *,
    landmarks: int,
    image_size: Sizes | None = None,
    channels: int = 1,
    preset: str = "paper",
    filters: int | None = None,
    levels: int | None = None,
    dropout: float | None = None,
    spatial_filters: int | None = None,
    spatial_kernel: int | None = None,
    spatial_pooling: int | None = None,
) -> keras.Model:
    """Build a heatmap regression network.

    Args:
        name: ``"scn"`` (SpatialConfiguration-Net), ``"unet"`` (localization U-Net), or one of the networks of 2016:
            ``"payer2016"``, ``"downsampling"``, ``"convonly"``. ``"segmentation"``: label maps, and ``landmarks`` counts labels.
        dims: 2 or 3.
        landmarks: number of landmarks N.
        image_size: (H, W) or (D, H, W) in array order; the preset's if None.
        channels: image channels C.
        preset: ``"paper"``, ``"small"`` or ``"tiny"``: the values of what is None below (of a U-Net always 5 levels and no dropout).
        filters: channels of every convolution.
        levels: resolutions of the local appearance part or U-Net.
        dropout: dropout rate.
        spatial_filters, spatial_kernel, spatial_pooling: spatial configuration part. A network ignores what it does not have.

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


def from_config(config: ModelConfig, *, landmarks: int, channels: int) -> keras.Model:
    """Build the network of a resolved :class:`scn_tf.config.ModelConfig`; a builder's keywords are fields of it."""
    build = BUILDERS[config.name]
    options = {name: getattr(config, name) for name in inspect.signature(build).parameters if name in ModelConfig.model_fields}
    return build((*known(config.image_size), channels), landmarks, **options)


def unused(config: ModelConfig, dims: int) -> list[str]:
    """Names of settings that a :class:`scn_tf.config.ModelConfig`, not resolved, gives and its network does not have.

    What its preset says anyway is not among them: a run's own settings name every field.
    """
    taken = inspect.signature(BUILDERS[config.name]).parameters
    usual = ModelConfig(name=config.name, preset=config.preset, filters=config.filters).resolved(dims)
    optional = ("filters", "levels", "dropout", "spatial_filters", "spatial_kernel", "spatial_pooling")
    return [name for name in optional if name not in taken and getattr(config, name) not in (None, getattr(usual, name))]


@contextlib.contextmanager
def dtype_policy(name: str) -> Iterator[None]:
    """Build layers under a Keras dtype policy, then put the old one back."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
