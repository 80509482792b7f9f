"""Calibration of a network: what it shows on annotated images, and the errors it makes there."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from scn_tf.environment.backend import keras
from scn_tf.runs.info import ModelInfo
from scn_tf.scoring import localization
from scn_tf.types import Array, Locate
from scn_tf.uncertainty import fitting, halves
from scn_tf.uncertainty.calibration import Calibration
from scn_tf.uncertainty.fitting import Observed

MAX_TRAINING = 200  # training images that tell hard landmarks from easy ones


def calibrate(
    network: keras.Model, info: ModelInfo, held_out: tf.data.Dataset, training: tf.data.Dataset | None, split: str
) -> Calibration:
    """Measure the calibration of a network.

    Args:
        network: in float32.
        info: facts of its file.
        held_out: examples (:mod:`scn_tf.data.pipeline`) of images that did not train the network.
        training: examples that did, of which the first ``MAX_TRAINING`` are used. None: there are none.
        split: name of the split of ``held_out``.

    Raises:
        ValueError: there are too few images or points; the message says how many are needed.
    """
    observe = localization.observer(network, info.config.heatmap.decoder)
    trained = None if training is None else observed(observe, training.take(MAX_TRAINING), info)
    return fitting.calibrate(observed(observe, held_out, info), trained, split=split, decoder=info.config.heatmap.decoder)


def in_halves(result: Mapping[str, Array], info: ModelInfo) -> dict[str, float]:
    """How a calibration would do now: ``coverage95_percent`` and ``radius95_mean``, in the unit of the errors, of some images.

    Empty if there are too few images or points. See :mod:`scn_tf.uncertainty.halves`.

    Args:
        result: of :func:`scn_tf.scoring.localization.localize` with an observer.
        info: facts of the model.
    """
    seen = _from(result, info)
    radii = halves.radii(seen)
    if radii is None:
        return {}
    known = np.isfinite(seen.errors) & np.isfinite(radii)
    lengths = radii * result["unit_per_pixel"].mean(axis=1, keepdims=True)  # the same along all axes
    coverage = 100.0 * (seen.errors[known] <= radii[known]).mean()
    return {"coverage95_percent": float(coverage), "radius95_mean": float(lengths[known].mean())}


def observed(observe: Locate, examples: tf.data.Dataset, info: ModelInfo) -> Observed:
    """What a network shows on examples, by its :func:`scn_tf.scoring.localization.observer`, and its errors."""
    return _from(localization.localize(observe, examples), info)


def _from(result: Mapping[str, Array], info: ModelInfo) -> Observed:
    # A network pixel has the same length along all axes, so its errors are those of the image but for one factor.
    errors = np.linalg.norm(result["predicted"] - result["landmarks"], axis=-1)
    # A point outside the input cannot be found: it is trained as absent, and is none of the peaks that must not be refused.
    return Observed(np.where((result["visible"] > 0) & info.trained, errors, np.nan), result["statistics"])
