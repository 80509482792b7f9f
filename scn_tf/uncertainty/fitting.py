"""Measure a :class:`scn_tf.uncertainty.calibration.Calibration` on annotated images.

The model of errors is fitted to all of them. The factor of the radii comes from cross-fitting: each image's expected errors are those of a
model that was fitted to the other images.
"""

from typing import NamedTuple

import numpy as np

from scn_tf.types import Array
from scn_tf.uncertainty import conformal, ellipses, error_model, ordinary
from scn_tf.uncertainty.calibration import Calibration

FOLDS = 10
LEAST_IMAGES = 3


class Observed(NamedTuple):
    """What a model answered on I annotated images.

    Attributes:
        errors: (I, N) network pixels, NaN where no point lies in the input, or no training image showed the landmark.
        statistics: (I, N, K), :func:`scn_tf.uncertainty.peak_statistics.peak_statistics`.
        vectors: (I, N, d) from the true to the found points. None: no ellipses are fitted.
    """

    errors: Array
    statistics: Array
    vectors: Array | None = None


def calibrate(
    observed: Observed,
    training: Observed | None,
    parts: Observed | None = None,
    *,
    split: str,
    decoder: str,
    folds: int | None = None,
    power: float = conformal.POWER,
) -> Calibration:
    """Measure the calibration of a model.

    Args:
        observed: on images that did not train it.
        training: on images that trained it. Their errors are too small, but tell hard landmarks from easy ones. None: there are none.
        parts: on parts cut from the images of ``observed``, where landmarks have lower peaks. None: whole images set the limit of presence.
        split: name of the split of ``observed``, for messages.
        decoder: value of ``heatmap.decoder``.
        folds: number of networks that made ``observed``, each on images that did not train it. None: the model itself did.
        power: of the expected error in the radius, see :data:`scn_tf.uncertainty.conformal.POWER`.

    Raises:
        ValueError: there are too few images or points; the message says how many are needed.
    """
    # An image without any point, such as one with every landmark absent, says nothing of ordinary ones.
    shows = np.isfinite(observed.errors).any(axis=1)
    vectors = None if observed.vectors is None else observed.vectors[shows]
    observed = Observed(observed.errors[shows], observed.statistics[shows], vectors)
    images, points = len(observed.errors), int(np.isfinite(observed.errors).sum())
    if images < LEAST_IMAGES or points < conformal.LEAST:
        raise ValueError(f"it has {images} images with {points} points; needed are {LEAST_IMAGES} and {conformal.LEAST}")
    difficulty = None if training is None else _difficulty(training.errors)
    expected = np.full(observed.errors.shape, np.nan)
    for part in _parts(images):
        others = np.setdiff1d(np.arange(images), part)
        fitted = error_model.fit(observed.errors[others], observed.statistics[others], difficulty)
        expected[part] = np.asarray(error_model.expected_error(fitted, observed.statistics[part].astype("float32")))
    known = np.isfinite(observed.errors)
    fitted = error_model.fit(observed.errors, observed.statistics, difficulty)
    # What the fit keeps small, the surprise of single points, belongs to the mean.
    bias = float(np.mean(observed.errors[known]) / np.mean(expected[known]))
    usual = _usual(observed, training)
    shown = observed.statistics.astype("float32")
    limiting = observed if parts is None or not np.isfinite(parts.errors).any() else parts
    evidence = np.asarray(ordinary.presence(usual, limiting.statistics.astype("float32")))[np.isfinite(limiting.errors)]
    strangeness = np.asarray(ordinary.strangeness(usual, shown))
    return Calibration(
        split=split,
        folds=folds,
        images=images,
        points=points,
        decoder=decoder,
        mean=_numbers(fitted.mean),
        deviation=_numbers(fitted.deviation),
        weights=_numbers(fitted.weights),
        offsets=_numbers(fitted.offsets + np.log(bias)),
        factor=conformal.factor(observed.errors[known], bias * expected[known], power),
        power=power,
        ellipses=_ellipses(observed, training, bias * expected, power),
        median=tuple(map(_numbers, usual.median)),
        usual=tuple(map(_numbers, usual.deviation)),
        lowest_presence=ordinary.lowest_presence(evidence),
        largest_strangeness=ordinary.largest_strangeness(strangeness),
    )


def _ellipses(observed: Observed, training: Observed | None, expected: Array, power: float) -> tuple[tuple[float, ...], ...]:
    """``ellipses`` of the calibration, by expected errors (I, N) of models that were fitted to other images.

    The shapes, too, are those of other images. All regions have the area of circles times the same share, by the two factors.
    """
    if observed.vectors is None:
        return ()
    known = np.isfinite(observed.errors)
    own = np.where(known, 1.0 / expected, np.nan)[..., None] * observed.vectors
    of_training = [] if training is None or training.vectors is None else [_relative(training.errors, training.vectors)]
    lengths = np.full(observed.errors.shape, np.nan)
    for part in _parts(len(own)):
        shapes = ellipses.fit(np.delete(own, part, axis=0), *of_training)
        lengths[part] = ellipses.lengths(observed.vectors[part], shapes)
    share = conformal.factor(lengths[known], expected[known], power) / conformal.factor(observed.errors[known], expected[known], power)
    if share ** own.shape[-1] > ellipses.LARGEST:
        return ()
    return tuple(_numbers(shape.ravel()) for shape in share**2 * ellipses.fit(own, *of_training))


def _relative(errors: Array, vectors: Array) -> Array:
    """Vectors (I, N, d) of errors (I, N), NaN where unknown, in units of their landmark's mean error."""
    known = np.isfinite(errors)
    mean = np.nansum(errors, axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.where(known[..., None], vectors, np.nan) / np.maximum(mean, error_model.SMALLEST)[:, None]


def _parts(images: int) -> list[Array]:
    """Numbers of the images in the parts of a cross-fitting."""
    return np.array_split(np.arange(images), min(FOLDS, images))


def _usual(observed: Observed, training: Observed | None) -> ordinary.Ordinary:
    """Ordinary peaks of all annotated images. Those of training images are hardly higher, and there are more."""
    both = [observed] if training is None else [observed, training]
    statistics = np.concatenate([one.statistics for one in both])
    found = ordinary.fit(statistics, np.concatenate([np.isfinite(one.errors) for one in both]))
    return ordinary.Ordinary(found.median.astype("float32"), found.deviation.astype("float32"))


def _difficulty(errors: Array) -> Array | None:
    """(N,) logarithm of each landmark's mean error, 0 on average and for landmarks without errors."""
    count = np.isfinite(errors).sum(axis=0)
    if not count.any():
        return None
    logs = np.log(np.maximum(np.nansum(errors, axis=0) / np.maximum(count, 1), error_model.SMALLEST))
    return np.where(count > 0, logs - logs[count > 0].mean(), 0.0)


def _numbers(values: Array) -> tuple[float, ...]:
    return tuple(float(f"{value:.7g}") for value in values)
