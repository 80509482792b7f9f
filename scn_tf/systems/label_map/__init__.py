"""Label maps: an extension of the landmark networks (Payer et al., STACOM 2018) with the same trainer, resuming and evaluation folder.

``train.loss cross_entropy`` treats a network's maps as the logits of a softmax, ``l2`` as shares of labels.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from scn_tf.config import Config
from scn_tf.data import pipeline, shares
from scn_tf.data.coverage import listed
from scn_tf.data.dataset import Dataset
from scn_tf.environment import workers
from scn_tf.errors import ConfigError, DatasetError, DataWarning
from scn_tf.figures import pictures, sheets
from scn_tf.runs import checkpoints
from scn_tf.runs.info import ModelInfo
from scn_tf.systems.label_map import evaluation, maps
from scn_tf.systems.label_map.objective import LOSSES, label_objective
from scn_tf.systems.system import System
from scn_tf.training.fit import Task, fit
from scn_tf.training.job import Examples, Job
from scn_tf.training.trainer import Trainer
from scn_tf.training.validation import Measurement
from scn_tf.types import Array


def prepare(config: Config, dataset: Dataset, ids: Sequence[Sequence[str]]) -> Examples:
    """Read images and label maps of both splits into memory. Examples have ``image`` and ``labels``.

    Raises:
        ConfigError: the loss is not available for label maps.
        DatasetError: label maps are missing, do not fit or are empty.
    """
    if config.train.loss not in LOSSES:
        raise ConfigError(f"train.loss: expected {' or '.join(LOSSES)} for segmentation, received {config.train.loss}.")
    if config.augment.mirror:
        raise ConfigError(
            f"augment.mirror: expected 0 for segmentation, received {config.augment.mirror:g}; "
            "left and right labels would not be exchanged."
        )
    training = [maps.read_examples(dataset, own, config.model) for own in shares.training(config.train, ids[0])]
    validation = maps.read_examples(dataset, shares.validation(ids[1]), config.model)
    where, chosen, labels = dataset.root / "labels", config.data, dataset.description.labels
    seen, to_find = (_labels_in(arrays, len(labels)) for arrays in ([own[1] for own in training], [validation[1]]))
    if not to_find - {0}:
        raise DatasetError(f"{where}: split {chosen.val_split} has only the background label.")
    untrained = tuple(label for number, label in enumerate(labels) if number > 0 and number not in seen)
    if not to_find & seen - {0}:
        raise DatasetError(f"{where}: split {chosen.val_split} has no label that training images show.")
    if untrained:
        warnings.warn(
            f"{where}: no training image has {listed(untrained)}. The network cannot learn it, and it is left out of the mean Dice.",
            DataWarning,
            stacklevel=3,
        )
    slots = [pipeline.Opened(_dataset(*own), None) for own in training]
    return Examples(pipeline.joined([one.data for one in slots]), _dataset(*validation), untrained, slots)


def _labels_in(several: Sequence[Array], count: int) -> set[int]:
    """Numbers of the labels that label maps of any process show."""
    shown = np.sum([np.bincount(labels.ravel(), minlength=count) for labels in several], axis=0)
    return set(np.flatnonzero(workers.total(shown)).tolist())


def _dataset(images: Array, labels: Array) -> tf.data.Dataset:
    return pipeline.without_autotune(tf.data.Dataset.from_tensor_slices({"image": images, "labels": labels}))


def sheet(job: Job) -> bytes:
    """PNG of the first training images with their label maps."""
    first = list(job.examples.training.take(sheets.MAX_IMAGES[2]))
    images, labels = (np.stack([example[name].numpy() for example in first]) for name in ("image", "labels"))
    own = shares.training_in_order(job.config.train, job.ids[0])
    return sheets.label_sheet(images, labels, own, num_labels=len(job.info.labels))


def train(job: Job) -> dict[str, Any]:
    """See :class:`scn_tf.systems.system.System`."""
    task = Task(
        objective=label_objective,
        measure=lambda trainer: _measure(trainer, job),
        draw=lambda trainer: _draw(trainer, job),
        facts=lambda trainer: {},
    )
    return fit(job, task, lambda network: _greeting(job, network))


def _measure(trainer: Trainer, job: Job) -> Callable[[], Measurement]:
    """Mean Dice of the labels that training images show."""
    find = maps.finder(trainer.network)
    names = job.info.labels
    trained = [name not in job.info.untrained for name in names[1:]]

    def measure() -> Measurement:
        pairs = [(find(example["image"].numpy()), example["labels"].numpy()) for example in job.examples.validation]
        found, truth = (np.stack(arrays) for arrays in zip(*pairs, strict=True))
        scores = shares.measured({"dice": evaluation.dice(found, truth, len(names))}, job.counts[1])["dice"]
        mean = float(np.nanmean(scores[:, trained]))
        return Measurement({"val_dice": mean}, 1.0 - mean, "1 - Dice", {"val_dice": mean})

    return measure


def _draw(trainer: Trainer, job: Job) -> Callable[[], Mapping[str, Array]]:
    """The first validation image with true and found labels."""
    find, example = maps.finder(trainer.network), next(iter(job.examples.validation))
    image, truth = example["image"].numpy(), example["labels"].numpy()
    return lambda: {"validation": pictures.label_figure(image, truth, find(image), count=len(job.info.labels))}


def _greeting(job: Job, network: str) -> str:
    train_count, val_count = job.counts
    return (
        f"Data     {job.info.name} ({job.dataset.root}): {train_count} training, {val_count} validation images, "
        f"{len(job.info.labels)} labels\n{network}\n"
        f"Labels   {job.folder.annotations}   (first training images: do the labels lie where they belong?)\n"
        f"Run      {job.folder}   (tensorboard --logdir {job.folder.tensorboard})"
    )


def evaluate(file: Path, info: ModelInfo, dataset: Dataset, ids: Sequence[str], split: str, out: Path) -> dict[str, Any]:
    """See :class:`scn_tf.systems.system.System`."""
    network, _ = checkpoints.load_model(file)
    return evaluation.evaluate(maps.finder(network), info, dataset, ids, split, out)


LABEL_MAP = System(
    name="label_map",
    suffix=".keras",
    prepare=prepare,
    sheet=sheet,
    train=train,
    info=checkpoints.read_info,
    open=None,
    evaluate=evaluate,
    files=evaluation.FILES,
    what_else="finds label maps, not landmarks",
    rank=2,
)
