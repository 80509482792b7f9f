"""Calibrate a trained run on an annotated split, so that its answers carry errors."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import tensorflow as tf

from scn_tf.data import pipeline
from scn_tf.data.dataset import Dataset, open_dataset
from scn_tf.data.fingerprint import check_against_model
from scn_tf.environment.backend import keras
from scn_tf.errors import CheckpointError, DatasetError
from scn_tf.runs import checkpoints, pretrained
from scn_tf.runs.info import ModelInfo
from scn_tf.runs.training_images import trained_on
from scn_tf.scoring import calibration
from scn_tf.storage import files
from scn_tf.storage.files import counted
from scn_tf.systems import opening
from scn_tf.training.parts import parts
from scn_tf.types import PathName
from scn_tf.uncertainty.calibration import Calibration


class Opened(NamedTuple):
    """A run that can be calibrated. Fields:

    * ``file``: its model file, which can be written.
    * ``network``: in float32. ``info``: facts of the file.
    * ``dataset``: its data set.
    """

    file: Path
    network: keras.Model
    info: ModelInfo
    dataset: Dataset


def calibrate(
    run_dir: PathName, split: str | None = None, *, root: PathName | None = None, missing: Literal["refuse", "skip"] | None = None
) -> tuple[Calibration, Path]:
    """Measure the errors of a run on a split, and store what they say in its model file.

    Args:
        run_dir: run folder or its model file.
        split: name of a split that did not train the model. None: the run's validation split.
        root: data set folder; the run's own if None.
        missing: what to do about missing images of the split, ``"refuse"`` or ``"skip"``; the run's setting if None.

    Returns:
        (calibration, model file).

    Raises:
        CheckpointError: there is no network for landmarks, or it is a bundled one, which cannot be changed.
        DatasetError: an image of the split trained the model, or the split has too few images.
        WriteError: the file cannot be written. The old one is kept.
    """
    file, network, info, dataset = opened(run_dir, root)
    settings = info.config
    split = split or settings.data.val_split
    ids = dataset.split(split, missing=missing or settings.data.missing)
    training = trained_on(info, dataset)
    if both := sorted({*ids} & {*training}):
        raise DatasetError(
            f"{dataset.root}: {len(both)} of the {len(ids)} images of split {split} trained this model, {both[0]} among them. Their errors "
            "are smaller than those of other images. Name another split."
        )
    held_out = pipeline.examples(dataset, ids, settings)
    seen = calibration.observe(network, info, held_out, parts(held_out, settings))
    try:
        found = calibration.calibrate(network, info, seen, examples_of(training, dataset, info), split)
    except ValueError as error:
        raise DatasetError(f"{dataset.root}, split {split}: cannot calibrate: {error}.") from None
    checkpoints.restate(file, info.model_copy(update={"calibration": found}))
    return found, file


def calibrate_combined(file: PathName, runs: Sequence[PathName]) -> tuple[Calibration, Path]:
    """Calibrate a model that was combined from several, on the split that calibrated each of them.

    Args:
        file: of the combined model.
        runs: its members, as they were combined.

    Returns:
        as :func:`calibrate`.

    Raises:
        CheckpointError: not all members were calibrated on one split.
        DatasetError: see :func:`calibrate`; or the data set is not there.
    """
    known = [opening.read_info(run).calibration for run in runs]
    if missing := [run for run, own in zip(runs, known, strict=True) if own is None]:
        raise CheckpointError(f"{missing[0]} is not calibrated.")
    sources = list(dict.fromkeys(own.source for own in known if own is not None))
    if len(sources) > 1:
        raise CheckpointError(f"its members were calibrated on different images ({' and '.join(sources)}).")
    if any(own.folds for own in known if own is not None):
        raise CheckpointError(f"its members were calibrated with folds ({sources[0]}), and there are none of the combined model.")
    return calibrate(file, sources[0])


def line(found: Calibration) -> str:
    """What calibrated a model, in words."""
    return f"calibrated on {counted(found.images, 'image')} of {found.source}, {counted(found.points, 'point')}"


def opened(run_dir: PathName, root: PathName | None) -> Opened:
    """Open a run for its calibration; see :func:`calibrate`."""
    file = opening.landmark_network_file(run_dir)
    if file.parent == pretrained.FOLDER:
        raise CheckpointError(f"{run_dir}: is a bundled model, which stays as it is; name a run, or a copy of the file.")
    files.check_writable(file)
    network, info = checkpoints.load_model(file)
    dataset = open_dataset(root or info.config.data.root)
    check_against_model(dataset, info)
    return Opened(file, network, info, dataset)


def examples_of(training: Sequence[str], dataset: Dataset, info: ModelInfo) -> tf.data.Dataset | None:
    """Examples of the first images that trained a model, as many as a calibration uses. None if there are none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about training images, which the training has shown
        return pipeline.examples(dataset, training[: calibration.MAX_TRAINING], info.config, measured=False) if training else None
