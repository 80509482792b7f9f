"""The objective of label maps: shares of labels, augmented with the same draw as their image."""

from collections.abc import Callable, Mapping

import tensorflow as tf

from scn_tf.config import AugmentConfig, Config
from scn_tf.data.preprocess import BACKGROUND
from scn_tf.environment.backend import keras
from scn_tf.training import augment
from scn_tf.training.draws import Draw, sample
from scn_tf.types import Array, Sizes, Tensor

LOSSES: dict[str, Callable[[], keras.Loss]] = {
    "l2": keras.losses.MeanSquaredError,
    "cross_entropy": lambda: keras.losses.CategoricalCrossentropy(from_logits=True),
}


class LabelObjective(keras.layers.Layer):
    """Objective that trains maps towards the shares of the labels (:class:`scn_tf.training.objective.Objective`).

    Args:
        num_labels: number of labels, background included.
        loss: ``"cross_entropy"`` treats maps as the logits of a softmax, ``"l2"`` as shares.
        augmentation: ranges of the random changes.
        zoom: whether images fill the input, see :func:`scn_tf.training.draws.sample`.
    """

    terms = ("label_loss",)
    watched = None

    def __init__(self, num_labels: int, *, loss: str, augmentation: AugmentConfig, zoom: bool) -> None:
        super().__init__(name="objective", dtype="float32")
        self.num_labels, self.loss, self.augmentation, self.zoom = num_labels, LOSSES[loss](), augmentation, zoom
        self.built = True

    def draw(self, batch: Mapping[str, tf.Tensor], seed: Tensor) -> tuple[Tensor, Tensor]:
        images = batch["image"]
        seeds = tf.unstack(tf.random.split(seed, 2))
        draw = sample(self.augmentation, tf.shape(images)[0], tuple(images.shape[1:-1]), seed=seeds[0], zoom=self.zoom)
        warped = augment.change_intensities(draw, augment.warp_images(draw, images), seed=seeds[1], config=self.augmentation)
        return warped, warp_labels(draw, batch["labels"], self.num_labels)

    def loss_terms(self, predicted: Tensor, truth: Tensor) -> dict[str, Tensor]:
        return {"label_loss": self.loss(truth, predicted)}

    def history(self) -> dict[str, float]:
        return {}

    def scalars(self, names: tuple[str, ...]) -> dict[str, Array]:
        return {}


def label_objective(config: Config, num_labels: int, size: Sizes) -> LabelObjective:
    """Objective of a resolved configuration."""
    return LabelObjective(num_labels, loss=config.train.loss, augmentation=config.augment, zoom=config.model.fills_input)


def warp_labels(draw: Draw, maps: tf.Tensor, num_labels: int) -> tf.Tensor:
    """Apply the geometric part of a draw to label maps (B, [D,] H, W): shares float32 (B, [D,] H, W, count), background outside."""
    # The warp fills what was outside with the background of images: shifted, that is no label's share.
    shares = augment.warp_images(draw, tf.one_hot(maps, num_labels)[..., 1:] + BACKGROUND) - BACKGROUND
    return tf.concat([1.0 - tf.reduce_sum(shares, axis=-1, keepdims=True), shares], axis=-1)
