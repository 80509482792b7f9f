"""From network and fitted examples to landmarks in network pixels, for validation, evaluation and prediction."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from scn_tf.environment.backend import keras
from scn_tf.heatmaps.decoders import DECODERS
from scn_tf.types import Array, Locate, Located
from scn_tf.uncertainty.calibration import Calibration
from scn_tf.uncertainty.estimates import estimate
from scn_tf.uncertainty.peak_statistics import peak_statistics


def localizer(network: keras.Model, decoder: str, calibration: Calibration | None = None) -> Locate:
    """Compiled function images (B, [D,] H, W, C) -> :class:`scn_tf.types.Located`, with estimates if there is a calibration."""
    decode = DECODERS[decoder].decode

    @tf.function(reduce_retracing=True, autograph=False)  # which would take longer than all else of a start
    def locate(images: tf.Tensor) -> Located:
        heatmaps = network(images, training=False)
        return Located(*decode(heatmaps), **({} if calibration is None else estimate(calibration, heatmaps)))

    return locate


def observer(network: keras.Model, decoder: str) -> Locate:
    """As :func:`localizer`, with what the maps show instead of estimates."""
    decode = DECODERS[decoder].decode

    @tf.function(reduce_retracing=True, autograph=False)  # which would take longer than all else of a start
    def observe(images: tf.Tensor) -> Located:
        heatmaps = network(images, training=False)
        return Located(*decode(heatmaps), statistics=peak_statistics(heatmaps))

    return observe


def localize(
    locate: Locate, data: tf.data.Dataset, *, batch_size: int = 1, watch: Callable[[int, Array], None] | None = None
) -> dict[str, Array]:
    """Run a localizer over a dataset of examples.

    Args:
        locate: from :func:`localizer`.
        data: finite ``tf.data.Dataset`` of examples (see :mod:`scn_tf.data.pipeline`).
        batch_size: images at a time.
        watch: function that receives the number of each image and its network input ([D,] H, W, C).

    Returns:
        dict of arrays over all images: ``predicted`` (I, N, d) network pixels, the other fields of :class:`scn_tf.types.Located` that
        the localizer gives, and all values of the examples except the image.
    """
    parts, number = [], 0
    for batch in data.batch(batch_size):
        images = batch.pop("image")
        found = {name: value for name, value in locate(images)._asdict().items() if value is not None}
        if watch is not None:
            for image in images.numpy():
                watch(number, image)
                number += 1
        parts.append({**batch, "predicted": found.pop("landmarks"), **found})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def point_errors(result: Mapping[str, Array], per_pixel: str = "unit_per_pixel") -> Array:
    """Distances (I, N) of predicted and true points, NaN for points that are not annotated.

    Args:
        result: of :func:`localize`.
        per_pixel: ``"unit_per_pixel"`` for mm (px where no spacing is known), ``"file_per_pixel"`` for file pixels.
    """
    offsets = (result["predicted"] - result["landmarks"]) * result[per_pixel][:, None]
    return np.where(result["annotated"] > 0, np.linalg.norm(offsets, axis=-1), np.nan)


def relative_errors(result: Mapping[str, Array], reference: Sequence[int] | None = None) -> Array:
    """Distances (I, N) of predicted and true points in percent of a length of their image, NaN where nothing is annotated.

    Args:
        result: of :func:`localize`.
        reference: two landmark numbers, whose true distance is the length (NaN if one of them is absent). None: the image's diagonal.
    """
    return 100.0 * point_errors(result, "file_per_pixel") / reference_length(result, reference)[:, None]


def reference_length(result: Mapping[str, Array], reference: Sequence[int] | None = None) -> Array:
    """Lengths (I,) of :func:`relative_errors`, in pixels of the images. NaN if one of two landmarks is absent."""
    if reference is None:
        return np.linalg.norm(result["size"], axis=-1)
    first, second = (result["landmarks"][:, number] for number in reference)
    length = np.linalg.norm((first - second) * result["file_per_pixel"], axis=-1)
    return np.where((result["annotated"][:, list(reference)] > 0).all(axis=1) & (length > 0), length, np.nan)
