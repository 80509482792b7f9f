"""Conversion of a network's maps inside an export: to landmarks or labels."""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from scn_tf.heatmaps.decoders import DECODERS
from scn_tf.runs.info import ModelInfo
from scn_tf.uncertainty.calibration import Calibration
from scn_tf.uncertainty.estimates import ESTIMATES, estimate


class Answer(NamedTuple):
    """Outputs of every form except the heatmaps. Signatures for images of any size convert lengths, and add ``error_unit``.

    ``outputs``: names of the outputs. ``of_maps``: function of maps (B, [D,] H, W, N) -> outputs by name. ``has_points``: whether
    they are landmarks in network pixels, which signatures can convert to pixels of the caller's image.
    """

    outputs: tuple[str, ...]
    of_maps: Callable[[tf.Tensor], dict[str, tf.Tensor]]
    has_points: bool


def answer_of(info: ModelInfo) -> Answer:
    """Outputs of a model: those of :class:`scn_tf.types.Located`, or ``labels`` uint8 (B, [D,] H, W)."""
    return LABELS if info.finds_labels else _landmarks(info.config.heatmap.decoder, info.calibration)


def _landmarks(decoder: str, calibration: Calibration | None) -> Answer:
    decode = DECODERS[decoder].decode

    def of_maps(maps: tf.Tensor) -> dict[str, tf.Tensor]:
        landmarks, scores = decode(maps)
        return {"landmarks": landmarks, "scores": scores, **({} if calibration is None else estimate(calibration, maps))}

    return Answer(("landmarks", "scores", *(() if calibration is None else ESTIMATES)), of_maps, has_points=True)


def _labels(maps: tf.Tensor) -> dict[str, tf.Tensor]:
    return {"labels": tf.cast(tf.argmax(maps, axis=-1, output_type=tf.int32), tf.uint8)}


LABELS = Answer(("labels",), _labels, has_points=False)
