"""Which images to annotate next: those where a model expects large errors, and that differ from what is annotated and from each other.

Greedy: each choice has the largest product of its value (expected error) and its novelty (distance to the nearest image that is
annotated or chosen). Without the value this is the farthest-first traversal of Gonzalez 1985, which Sener and Savarese 2018 use for
active learning (arXiv 1708.00489); expected errors alone would choose many images that are alike.
"""

from typing import NamedTuple

import numpy as np

from scn_tf.scoring import alignment
from scn_tf.types import Array, Estimates

SIDE = {2: 16, 3: 8}  # cells of the small picture along each axis
LARGEST = 4.0  # times the usual error, that a landmark counts at most: one peak that is lost says little about the others
UNLIKE = 2.0  # value of an image unlike the training images, at least: its expected errors mean little
ASPECTS = ("shape", "look")


class Features(NamedTuple):
    """What images are compared by. Half of all images are nearer than 1 to the middle of all. Fields:

    * ``shape``: (I, N * d), predicted points without position, size and rotation.
    * ``look``: (I, P), small pictures.
    """

    shape: Array
    look: Array


class Choice(NamedTuple):
    """A chosen image. Fields:

    * ``number``: of the image.
    * ``novelty``: 0 (a copy of one that is annotated or chosen) to 1.
    * ``aspect``: in which it differs more from its nearest one, ``"shape"`` or ``"look"``; None if there is none yet.
    """

    number: int
    novelty: float
    aspect: str | None


def small_picture(array: Array) -> Array:
    """Means over the cells of a grid, (P,) float32, with mean 0 and deviation 1.

    Args:
        array: ([D,] H, W, C).
    """
    grey = array.mean(axis=-1, dtype="float32")
    for axis, length in enumerate(grey.shape):
        starts = np.arange(SIDE[grey.ndim]) * length // SIDE[grey.ndim]
        counts = np.maximum(np.diff([*starts, length]), 1).reshape([-1 if other == axis else 1 for other in range(grey.ndim)])
        grey = np.add.reduceat(grey, starts, axis=axis) / counts
    return ((grey - grey.mean()) / max(float(grey.std()), 1e-6)).ravel().astype("float32")


def features(points: Array, pictures: Array) -> Features:
    """Features of images.

    Args:
        points: (I, N, d) predicted points, in one length along all axes.
        pictures: (I, P) of :func:`small_picture`.
    """
    centred = points - points.mean(axis=1, keepdims=True)
    centred = centred / np.maximum(np.sqrt((centred**2).sum(axis=(1, 2), keepdims=True)), 1e-9)
    _, fits = alignment.mean_shape(centred)
    aligned = np.stack([fit.apply(one) for fit, one in zip(fits, centred, strict=True)])
    return Features(_scaled(aligned.reshape(len(points), -1)), _scaled(pictures))


def _scaled(values: Array) -> Array:
    """Values (I, K) in units of the median distance from their median."""
    values = values - np.median(values, axis=0)
    usual = np.median(np.linalg.norm(values, axis=1))
    return (values / (usual or 1.0)).astype("float32")


def value(estimates: Estimates) -> float:
    """How much the annotation of an image may teach, by its errors alone: their mean, as a multiple of the usual mean."""
    usual = estimates.expected_error if estimates.usual_error is None else estimates.usual_error
    times = float(np.minimum(estimates.expected_error, LARGEST * usual).sum() / usual.sum())
    return max(times, UNLIKE) if estimates.image_ok is False else times


def choose(values: Array, found: Features, annotated: Array, count: int) -> list[Choice]:
    """Choose images, the best first. Of equal ones the first is taken.

    Args:
        values: (I,) of :func:`value`.
        found: of all images.
        annotated: (I,) bool, those that are not to be chosen.
        count: how many at most.
    """
    apart = {name: np.full(len(values), np.inf, "float32") for name in ASPECTS}  # squared distances to the nearest one
    for known in np.flatnonzero(annotated):
        _approach(apart, found, int(known))
    left = ~annotated
    chosen: list[Choice] = []
    while left.any() and len(chosen) < count:
        novelty = 1.0 - np.exp(-_together(apart) / 2.0)
        number = int(np.argmax(np.where(left, values * novelty, -1.0)))
        own = {name: float(apart[name][number]) for name in ASPECTS}
        aspect = max(ASPECTS, key=lambda name: own[name]) if np.isfinite(own["shape"]) else None
        chosen.append(Choice(number, float(novelty[number]), aspect))
        left[number] = False
        _approach(apart, found, number)
    return chosen


def _together(apart: dict[str, Array]) -> Array:
    return (apart["shape"] + apart["look"]) / 2.0


def _approach(apart: dict[str, Array], found: Features, number: int) -> None:
    """Shorten the distances by those to one more image."""
    new = {name: ((values - values[number]) ** 2).sum(axis=1) for name, values in found._asdict().items()}
    nearer = _together(new) < _together(apart)
    for name in ASPECTS:
        apart[name] = np.where(nearer, new[name], apart[name])
