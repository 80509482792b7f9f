"""Train a network for label maps; ``train.loss cross_entropy`` takes them for logits of a softmax, ``l2`` for heatmaps."""

import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import tensorflow as tf

from scn_tf import models
from scn_tf.config import Config
from scn_tf.data import pipeline
from scn_tf.data.coverage import listed
from scn_tf.data.dataset import Dataset
from scn_tf.data.preprocess import BACKGROUND
from scn_tf.environment.backend import keras
from scn_tf.errors import ConfigError, DatasetError, DataWarning
from scn_tf.runs import checkpoints
from scn_tf.storage import files
from scn_tf.systems.label_map.maps import dice, predict_maps, read_examples
from scn_tf.training import augment
from scn_tf.training.callbacks import Schedule, StopOnNonFinite, history_csv
from scn_tf.training.remaining import RemainingTime
from scn_tf.types import Array, Metadata

# Settings that this extension does not follow: refused unless they say what it does.
FIXED: dict[str, list[Any]] = {
    "optimizer": ["adam"],
    "loss_scale": ["mean"],
    "ema": [0.0],
    "weight_decay": [0.0],
    "strategy": ["single", "auto"],
    "precision": ["float32", "auto"],
    "compile": ["off"],
}
LOSSES: dict[str, Callable[[], keras.Loss]] = {
    "l2": keras.losses.MeanSquaredError,
    "cross_entropy": lambda: keras.losses.CategoricalCrossentropy(from_logits=True),
}


Examples: TypeAlias = tuple[Array, Array]  # images and label maps of a split


class Job(Protocol):
    """What :func:`train` takes of :class:`scn_tf.train_run.Job`."""

    @property
    def config(self) -> Config: ...
    @property
    def dataset(self) -> Dataset: ...
    @property
    def training(self) -> Examples: ...
    @property
    def validation(self) -> Examples: ...
    @property
    def untrained(self) -> tuple[str, ...]: ...


def read(config: Config, dataset: Dataset, ids: Sequence[Sequence[str]]) -> tuple[Examples, Examples, tuple[str, ...]]:
    """What a training takes, checked: images and label maps of both splits.

    Args:
        config: resolved :class:`scn_tf.config.Config`.
        dataset: :class:`scn_tf.data.dataset.Dataset`.
        ids: lists of IDs of the training and the validation split.

    Returns:
        two pairs (images, maps) of :func:`scn_tf.systems.label_map.maps.read_examples`, and the names of labels in no training image.

    Raises:
        ConfigError, DatasetError: settings that it does not follow; label maps that are missing, do not fit or are empty.
    """
    if config.train.loss not in LOSSES:
        raise ConfigError(f"train.loss: segmentation has {' and '.join(LOSSES)}, received {config.train.loss}.")
    for name, only in FIXED.items():
        if getattr(config.train, name) not in only:
            raise ConfigError(f"train.{name}: segmentation has {only[0]}, received {getattr(config.train, name)}.")
    if config.augment.mirror:
        raise ConfigError(
            f"augment.mirror: segmentation has 0, received {config.augment.mirror:g}; labels of left and right would not be exchanged."
        )
    training, validation = (read_examples(dataset, split, config.model) for split in ids)
    if not validation[1].any():
        raise DatasetError(f"{dataset.root / 'labels'}: split {config.data.val_split} has no label but the background.")
    labels = dataset.description.labels
    seen = set(np.unique(training[1]).tolist())
    untrained = tuple(label for number, label in enumerate(labels) if number > 0 and number not in seen)
    if not set(np.unique(validation[1]).tolist()) & seen - {0}:
        raise DatasetError(f"{dataset.root / 'labels'}: split {config.data.val_split} has no label that a training image has.")
    if untrained:
        warnings.warn(
            f"{dataset.root / 'labels'}: no training image has {listed(untrained)}. The network cannot learn what it looks like, and it "
            "is left out of the mean Dice that chooses and reports.",
            DataWarning,
            stacklevel=3,
        )
    return training, validation, untrained


def train(job: Job, run_dir: Path, metadata: Metadata, started: float) -> dict[str, Any]:
    """Train a run with ``model.name segmentation``; see :func:`scn_tf.train_run.train`. It cannot be resumed.

    Returns:
        dict with ``epoch`` and ``dice``, of the kept weights on the validation split.
    """
    config, dataset = job.config, job.dataset
    (train_images, train_maps), (val_images, val_maps) = job.training, job.validation
    labels = dataset.description.labels
    trained = [label not in job.untrained for label in labels[1:]]
    keras.utils.set_random_seed(1 + config.train.seed)
    network = models.from_config(config.model, landmarks=len(labels), channels=dataset.description.channels)
    network.compile(keras.optimizers.Adam(config.train.learning_rate, global_clipnorm=config.train.clip_norm), LOSSES[config.train.loss]())
    batch_size = min(config.train.batch_size, len(train_images))
    steps = len(train_images) // batch_size
    progress: dict[str, Any] = {"epoch": None, "dice": -1.0, "history": []}

    def keep(epoch: int, logs: dict[str, Any]) -> None:
        row = {"epoch": epoch + 1, **logs}
        progress["history"].append(row)
        if (epoch + 1) % config.train.validate_every and epoch + 1 < config.train.epochs and not network.stop_training:
            return
        row["val_dice"] = float(np.nanmean(dice(predict_maps(network, val_images), val_maps, len(labels))[:, trained]))
        if row["val_dice"] > progress["dice"] or config.train.keep == "last":
            progress.update(epoch=epoch + 1, dice=row["val_dice"])
            metadata["validation"] = {"epoch": epoch + 1, "dice": row["val_dice"]}
            checkpoints.save_model(network, run_dir / "model.keras", metadata)
        files.write_text(run_dir / "history.csv", history_csv(progress["history"]))
        logs["val_dice"] = row["val_dice"]

    schedule, bar = Schedule(config.train, steps=steps, started=started), sys.stdout.isatty()
    network.fit(
        _batches(train_images, train_maps, len(labels), config, batch_size),
        epochs=config.train.epochs,
        steps_per_epoch=steps,
        shuffle=False,
        callbacks=[
            schedule,
            StopOnNonFinite(),
            keras.callbacks.LambdaCallback(on_epoch_end=keep),
            RemainingTime(schedule, bar=bar),
        ],
        verbose=1 if bar else 2,
    )
    return {"epoch": progress["epoch"], "dice": progress["dice"]}


def warp_labels(draw: augment.Draw, maps: tf.Tensor, num_labels: int) -> tf.Tensor:
    """The geometric part of a draw on label maps (B, [D,] H, W): shares float32 (B, [D,] H, W, num_labels); background outside."""
    # The warp fills what was outside with the background of images: shifted, that is no label's share.
    shares = augment.warp_images(draw, tf.one_hot(maps, num_labels)[..., 1:] + BACKGROUND) - BACKGROUND
    return tf.concat([1.0 - tf.reduce_sum(shares, axis=-1, keepdims=True), shares], axis=-1)


def _batches(arrays: Array, maps: Array, num_labels: int, config: Config, batch_size: int) -> tf.data.Dataset:
    """Endless augmented batches (images, shares of labels)."""

    def augmented(step: tf.Tensor, batch: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        pictures_, labels = batch
        seeds = tf.unstack(tf.random.split(tf.stack([tf.cast(config.train.seed, tf.int64), step]), 2))
        draw = augment.sample(config.augment, tf.shape(pictures_)[0], tuple(arrays.shape[1:-1]), seed=seeds[0])
        warped = augment.warp_images(draw, pictures_)
        return augment.change_intensities(draw, warped, seed=seeds[1], config=config.augment), warp_labels(draw, labels, num_labels)

    data = tf.data.Dataset.from_tensor_slices((arrays, maps)).shuffle(len(arrays), seed=1 + config.train.seed).repeat()
    data = data.batch(batch_size, drop_remainder=True)
    data = tf.data.Dataset.zip(tf.data.Dataset.counter(), data).map(augmented, num_parallel_calls=2).prefetch(2)
    return pipeline.without_autotune(data)
