"""The objective of landmarks: Gaussian targets, rendered on the device from augmented points."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from scn_tf.config import AugmentConfig, Config
from scn_tf.environment.backend import keras
from scn_tf.heatmaps import losses
from scn_tf.heatmaps.targets import GaussianTargets
from scn_tf.training.augment import Truth, augment, moved
from scn_tf.training.draws import sample
from scn_tf.types import Array, Sizes, Tensor, known

COUNTED = 64  # training images by which the share of visible landmarks is estimated


class LandmarkObjective(keras.layers.Layer):
    """Objective that trains heatmaps towards Gaussians (Payer et al. 2019, eq. 4), whose widths may be learned.

    Maps of landmarks that are known not to be in the augmented image are trained towards zero. Unknown landmarks count in no term.

    Args:
        targets: :class:`scn_tf.heatmaps.targets.GaussianTargets`.
        loss: name in :data:`scn_tf.heatmaps.losses.LOSSES`.
        cost_of_nothing: loss of one map of zeros, by which the terms are divided. None: the paper's plain sums.
        augmentation: ranges of the random changes.
        exchange: (N,) counterparts of the landmarks in mirrored images, see :func:`scn_tf.training.augment.augment`.
        zoom: whether images fill the input, see :func:`scn_tf.training.draws.sample`.
    """

    def __init__(
        self,
        targets: GaussianTargets,
        *,
        loss: str,
        cost_of_nothing: float | None,
        augmentation: AugmentConfig,
        exchange: Sequence[int] | None = None,
        zoom: bool = True,
    ) -> None:
        super().__init__(name="objective", dtype="float32")
        self.targets, self.loss, self.cost_of_nothing, self.augmentation = targets, loss, cost_of_nothing, augmentation
        self.exchange, self.zoom = None if exchange is None else tuple(exchange), zoom
        # Fixed sigmas have no term: it would be a constant, with low targets a hundred times the rest.
        self.terms = ("heatmap_loss", "sigma_loss") if targets.trainable_variables else ("heatmap_loss",)
        self.watched = None if cost_of_nothing is None else "heatmap_loss"
        self.built = True

    def draw(self, batch: Mapping[str, tf.Tensor], seed: Tensor) -> tuple[Tensor, Truth]:
        return augment(
            self.augmentation,
            batch["image"],
            truth_of(batch),
            seed=seed,
            exchange=self.exchange,
            extent=extent_of(batch) if self.augmentation.crop > 0 else None,
            zoom=self.zoom,
        )

    def loss_terms(self, predicted: Tensor, truth: Truth) -> dict[str, Tensor]:
        target, peak = self.targets(truth.landmarks), self.targets.peak()
        found = {"heatmap_loss": losses.heatmap_loss(predicted, target, truth.visible, truth.absent, kind=self.loss, peak=peak)}
        if self.targets.trainable_variables:
            found["sigma_loss"] = self.targets.sigma_loss(truth.visible)
        if self.cost_of_nothing is not None:
            found = {name: value / (self.cost_of_nothing * predicted.shape[-1]) for name, value in found.items()}
        return found

    def history(self) -> dict[str, float]:
        return {"mean_sigma": float(np.mean(keras.ops.convert_to_numpy(self.targets.sigmas)))}

    def scalars(self, names: tuple[str, ...]) -> dict[str, Array]:
        found = {}
        for name, sigma in zip(names, keras.ops.convert_to_numpy(self.targets.sigmas), strict=True):
            for axis, value in enumerate(np.atleast_1d(sigma)):
                found[f"sigma/{name}" if np.ndim(sigma) == 0 else f"sigma/{name}/{axis}"] = value
        return found


def truth_of(batch: Mapping[str, tf.Tensor]) -> Truth:
    """Truth of a batch of examples (:mod:`scn_tf.data.pipeline`)."""
    return Truth(batch["landmarks"], batch["visible"], batch["absent"])


def extent_of(batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """(B, d) pixels of the input that each image of a batch takes."""
    return batch["size"] / batch["file_per_pixel"]


def share_visible(config: Config, examples: tf.data.Dataset, size: Sizes) -> float:
    """Share of the landmarks that augmented training images show, which is the loss of predicting nothing.

    Args:
        config: resolved.
        examples: training examples. The first ones are drawn once.
        size: ([D,] H, W) of the input.
    """
    counts = []
    for number, batch in enumerate(examples.take(COUNTED).batch(1)):
        draw = sample(config.augment, 1, size, seed=[config.train.seed, number], extent=extent_of(batch), zoom=config.model.fills_input)
        counts.append(np.mean(keras.ops.convert_to_numpy(moved(draw, truth_of(batch), size).visible)))
    return float(np.mean(counts))


def landmark_objective(config: Config, num_landmarks: int, size: Sizes, *, exchange: Sequence[int] | None = None) -> LandmarkObjective:
    """Objective of a resolved configuration for maps (\\*size, N). ``exchange`` is as in :class:`LandmarkObjective`."""
    heatmap, train = config.heatmap, config.train
    gamma = known(heatmap.gamma)
    targets = GaussianTargets(num_landmarks, size, sigma=heatmap.sigma, mode=heatmap.sigma_mode, gamma=gamma, alpha=known(heatmap.alpha))
    cost = losses.cost_of_nothing(train.loss, heatmap.sigma, gamma, size) if train.loss_scale == "mean" else None
    return LandmarkObjective(
        targets, loss=train.loss, cost_of_nothing=cost, augmentation=config.augment, exchange=exchange, zoom=config.model.fills_input
    )
