"""Calibration of a network: what it shows on annotated images, and the errors it makes there."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from scn_tf.environment.backend import keras
from scn_tf.runs.info import ModelInfo
from scn_tf.scoring import localization
from scn_tf.types import Array
from scn_tf.uncertainty import fitting, halves, places
from scn_tf.uncertainty.calibration import Calibration
from scn_tf.uncertainty.fitting import Observed

MAX_TRAINING = 200  # training images that tell hard landmarks from easy ones


class HeldOut(NamedTuple):
    """What a network shows on I images that did not train it.

    Attributes:
        images: of whole images.
        parts: of parts cut from them.
        found: (I, N, d) found points in network pixels, NaN where ``images`` has no error.
    """

    images: Observed
    parts: Observed
    found: Array


def observe(network: keras.Model, info: ModelInfo, held_out: tf.data.Dataset, parts: tf.data.Dataset) -> HeldOut:
    """Look at what a network shows on images that did not train it.

    Args:
        network: in float32.
        info: facts of its file.
        held_out: examples (:mod:`scn_tf.data.pipeline`) of the images.
        parts: examples of parts cut from them (:mod:`scn_tf.training.parts`).
    """
    look = localization.observer(network, info.config.heatmap.decoder)
    held = localization.localize(look, held_out)
    return HeldOut(of_result(held, info), of_result(localization.localize(look, parts), info), _where_counted(held, "predicted", info))


def pooled(several: Sequence[HeldOut]) -> HeldOut:
    """What several networks show, each on images of its own, as if one network showed it."""
    images, parts = (_joined([getattr(one, name) for one in several]) for name in ("images", "parts"))
    return HeldOut(images, parts, np.concatenate([one.found for one in several]))


def _joined(several: Sequence[Observed]) -> Observed:
    return Observed(*(np.concatenate(values) for values in zip(*several, strict=True)))  # of results, which have vectors


def calibrate(
    network: keras.Model, info: ModelInfo, held_out: HeldOut, training: tf.data.Dataset | None, split: str, folds: int | None = None
) -> Calibration:
    """Measure the calibration of a network.

    Args:
        network: in float32.
        info: facts of its file.
        held_out: of :func:`observe`, by this network, or by others that are trained like it.
        training: examples (:mod:`scn_tf.data.pipeline`) of images that trained the network. The first ``MAX_TRAINING`` are used.
            None: there are none.
        split: name of the split of ``held_out``.
        folds: number of networks of ``held_out``. None: it is of this one.

    Raises:
        ValueError: there are too few images or points; the message says how many are needed.
    """
    decoder = info.config.heatmap.decoder
    trained = None if training is None else localization.localize(localization.observer(network, decoder), training.take(MAX_TRAINING))
    seen = None if trained is None else of_result(trained, info)
    found = fitting.calibrate(held_out.images, seen, held_out.parts, split=split, decoder=decoder, folds=folds)
    if trained is None:
        return found
    return found.model_copy(update={"places": places.fit(_where_counted(trained, "landmarks", info), held_out.found)})


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


def _counted(result: Mapping[str, Array], info: ModelInfo) -> Array:
    """(I, N) bool: points in the input, of landmarks that training images showed.

    A point outside cannot be found: it is trained as absent, and is none of the peaks that must not be refused.
    """
    return (result["visible"] > 0) & info.trained


def _where_counted(result: Mapping[str, Array], name: str, info: ModelInfo) -> Array:
    """Points (I, N, d) of a result, NaN where they do not count."""
    return np.where(_counted(result, info)[..., None], result[name], np.nan)


def of_result(result: Mapping[str, Array], info: ModelInfo) -> Observed:
    """What a network shows, and its errors, by the result of :func:`scn_tf.scoring.localization.localize` with an observer."""
    # A network pixel has the same length along all axes, so its errors are those of the image but for one factor.
    vectors = _where_counted(result, "predicted", info) - result["landmarks"]
    return Observed(np.linalg.norm(vectors, axis=-1), result["statistics"], vectors)
