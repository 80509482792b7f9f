"""Network and fitted examples to landmarks in network pixels: what validation, evaluation and prediction share."""

import numpy as np
import tensorflow as tf

from scn_tf.heatmaps import DECODERS


def localizer(network, decoder):
    """Compiled function images (B, [D,] H, W, C) -> (landmarks (B, N, d), scores (B, N)), network pixels."""
    decode = DECODERS[decoder]

    @tf.function(reduce_retracing=True)
    def locate(images):
        return decode(network(images, training=False))

    return locate


def localize(locate, data, *, batch_size=1):
    """Run a localizer over a dataset of examples.

    Args:
        locate: from :func:`localizer`.
        data: finite ``tf.data.Dataset`` of examples (see :mod:`scn_tf.data.pipeline`).
        batch_size: images at a time.

    Returns:
        dict of arrays over all images: ``landmarks`` and ``truth`` (I, N, d) network pixels,
        ``scores`` (I, N), ``visible`` (I, N), ``unit_per_pixel`` (I, d).
    """
    parts = []
    for batch in data.batch(batch_size):
        landmarks, scores = locate(batch["image"])
        parts.append((landmarks, scores, batch["landmarks"], batch["visible"], batch["unit_per_pixel"]))
    names = ("landmarks", "scores", "truth", "visible", "unit_per_pixel")
    return {name: np.concatenate(values) for name, values in zip(names, zip(*parts, strict=True), strict=True)}


def point_errors(result):
    """Distances (I, N) of predicted and true points in mm or px, NaN where nothing is annotated."""
    offsets = (result["landmarks"] - result["truth"]) * result["unit_per_pixel"][:, None]
    return np.where(result["visible"] > 0, np.linalg.norm(offsets, axis=-1), np.nan)
