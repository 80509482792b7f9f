"""Parts cut from annotated images: they show how low the peaks of landmarks may be in an image that shows a part of the object."""

import tensorflow as tf

from scn_tf.config import AugmentConfig, Config
from scn_tf.environment.backend import ops
from scn_tf.training.augment import augment
from scn_tf.training.landmarks import extent_of, truth_of

PER_IMAGE = 4
MOST_IMAGES = 100
CUT = AugmentConfig(
    crop=1.0, translation=0.0, rotation=0.0, scale=0.0, axis_scale=0.0, elastic=0.0, intensity_shift=0.0, intensity_scale=0.0
)


def parts(examples: tf.data.Dataset, config: Config) -> tf.data.Dataset:
    """Random parts of images, the same ones in each call.

    Args:
        examples: :mod:`scn_tf.data.pipeline`, of which the first ``MOST_IMAGES`` are used.
        config: resolved.

    Returns:
        examples with ``image``, ``landmarks``, ``visible`` and ``absent`` of ``PER_IMAGE`` parts of each image.
    """

    def cut(number: tf.Tensor, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        some = {name: ops.repeat(value, PER_IMAGE, axis=0) for name, value in batch.items()}
        image, truth = augment(
            CUT, some["image"], truth_of(some), seed=tf.stack([0, number]), extent=extent_of(some), zoom=config.model.fills_input
        )
        return {"image": image, **truth._asdict()}

    return examples.take(MOST_IMAGES).batch(1).enumerate().map(cut).unbatch()
