"""Calibration of a network: what it shows on annotated images, and the errors it makes there."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from scn_tf.environment.backend import keras
from scn_tf.runs.info import ModelInfo
from scn_tf.scoring import localization
from scn_tf.types import Array
from scn_tf.uncertainty import fitting, halves, places
from scn_tf.uncertainty.calibration import Calibration
from scn_tf.uncertainty.fitting import Observed
from scn_tf.uncertainty.places import Places

MAX_TRAINING = 200  # training images that tell hard landmarks from easy ones


def calibrate(
    network: keras.Model, info: ModelInfo, held_out: tf.data.Dataset, parts: tf.data.Dataset, training: tf.data.Dataset | None, split: str
) -> Calibration:
    """Measure the calibration of a network.

    Args:
        network: in float32.
        info: facts of its file.
        held_out: examples (:mod:`scn_tf.data.pipeline`) of images that did not train the network.
        parts: examples of parts cut from them (:mod:`scn_tf.training.parts`).
        training: examples that did, of which the first ``MAX_TRAINING`` are used. None: there are none.
        split: name of the split of ``held_out``.

    Raises:
        ValueError: there are too few images or points; the message says how many are needed.
    """
    observe = localization.observer(network, info.config.heatmap.decoder)
    held = localization.localize(observe, held_out)
    trained = None if training is None else localization.localize(observe, training.take(MAX_TRAINING))
    seen = None if trained is None else of_result(trained, info)
    cut = of_result(localization.localize(observe, parts), info)
    found = fitting.calibrate(of_result(held, info), seen, cut, split=split, decoder=info.config.heatmap.decoder)
    return found if trained is None else found.model_copy(update={"places": _places(trained, held, info)})


def in_halves(result: Mapping[str, Array], info: ModelInfo) -> dict[str, float]:
    """How a calibration would do now: ``coverage95_percent`` and ``radius95_mean``, in the unit of the errors, of some images.

    Empty if there are too few images or points. See :mod:`scn_tf.uncertainty.halves`.

    Args:
        result: of :func:`scn_tf.scoring.localization.localize` with an observer.
        info: facts of the model.
    """
    seen = of_result(result, info)
    radii = halves.radii(seen)
    if radii is None:
        return {}
    known = np.isfinite(seen.errors) & np.isfinite(radii)
    lengths = radii * result["unit_per_pixel"].mean(axis=1, keepdims=True)  # the same along all axes
    coverage = 100.0 * (seen.errors[known] <= radii[known]).mean()
    return {"coverage95_percent": float(coverage), "radius95_mean": float(lengths[known].mean())}


def _places(trained: Mapping[str, Array], held: Mapping[str, Array], info: ModelInfo) -> Places | None:
    """Usual places of landmarks, from the true points of the training images and those found in held-out images."""
    true, found = (
        np.where(_counted(result, info)[..., None], result[name], np.nan) for result, name in ((trained, "landmarks"), (held, "predicted"))
    )
    return places.fit(true, found)


def _counted(result: Mapping[str, Array], info: ModelInfo) -> Array:
    """(I, N) bool: points in the input, of landmarks that training images showed.

    A point outside cannot be found: it is trained as absent, and is none of the peaks that must not be refused.
    """
    return (result["visible"] > 0) & info.trained


def of_result(result: Mapping[str, Array], info: ModelInfo) -> Observed:
    """What a network shows, and its errors, by the result of :func:`scn_tf.scoring.localization.localize` with an observer."""
    # A network pixel has the same length along all axes, so its errors are those of the image but for one factor.
    vectors = result["predicted"] - result["landmarks"]
    vectors = np.where(_counted(result, info)[..., None], vectors, np.nan)
    return Observed(np.linalg.norm(vectors, axis=-1), result["statistics"], vectors)
