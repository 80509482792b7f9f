"""The objective of landmarks: Gaussian targets, rendered on the device from augmented points."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from scn_tf.config import AugmentConfig, Config
from scn_tf.environment.backend import keras
from scn_tf.heatmaps import losses
from scn_tf.heatmaps.targets import GaussianTargets
from scn_tf.training.augment import augment
from scn_tf.types import Array, Sizes, Tensor, known


class LandmarkObjective(keras.layers.Layer):
    """Objective that trains heatmaps towards Gaussians (Payer et al. 2019, eq. 4), whose widths may be learned.

    Args:
        targets: :class:`scn_tf.heatmaps.targets.GaussianTargets`.
        loss: name in :data:`scn_tf.heatmaps.losses.LOSSES`.
        cost_of_nothing: loss of one map of zeros, by which the terms are divided. None: the paper's plain sums.
        augmentation: ranges of the random changes.
        exchange: (N,) counterparts of the landmarks in mirrored images, see :func:`scn_tf.training.augment.augment`.
    """

    def __init__(
        self,
        targets: GaussianTargets,
        *,
        loss: str,
        cost_of_nothing: float | None,
        augmentation: AugmentConfig,
        exchange: Sequence[int] | None = None,
    ) -> None:
        super().__init__(name="objective", dtype="float32")
        self.targets, self.loss, self.cost_of_nothing, self.augmentation = targets, loss, cost_of_nothing, augmentation
        self.exchange = None if exchange is None else tuple(exchange)
        # Fixed sigmas have no term: it would be a constant, with low targets a hundred times the rest.
        self.terms = ("heatmap_loss", "sigma_loss") if targets.trainable_variables else ("heatmap_loss",)
        self.watched = None if cost_of_nothing is None else "heatmap_loss"
        self.built = True

    def draw(self, batch: Mapping[str, tf.Tensor], seed: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        truth = batch["landmarks"], batch["visible"]
        images, landmarks, visible = augment(self.augmentation, batch["image"], *truth, seed=seed, exchange=self.exchange)
        return images, (landmarks, visible)

    def loss_terms(self, predicted: Tensor, truth: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        landmarks, visible = truth
        found = {"heatmap_loss": losses.heatmap_loss(predicted, self.targets(landmarks), visible, kind=self.loss, peak=self.targets.peak())}
        if self.targets.trainable_variables:
            found["sigma_loss"] = self.targets.sigma_loss(visible)
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


def landmark_objective(config: Config, num_landmarks: int, size: Sizes, *, exchange: Sequence[int] | None = None) -> LandmarkObjective:
    """Objective of a resolved configuration for maps (\\*size, N). ``exchange`` is as in :class:`LandmarkObjective`."""
    heatmap, train = config.heatmap, config.train
    gamma = known(heatmap.gamma)
    targets = GaussianTargets(num_landmarks, size, sigma=heatmap.sigma, mode=heatmap.sigma_mode, gamma=gamma, alpha=known(heatmap.alpha))
    cost = losses.cost_of_nothing(train.loss, heatmap.sigma, gamma, size) if train.loss_scale == "mean" else None
    return LandmarkObjective(targets, loss=train.loss, cost_of_nothing=cost, augmentation=config.augment, exchange=exchange)
