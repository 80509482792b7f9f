"""Calibrate a run whose images are few, by networks that were each trained without a part of its training images.

The errors on the parts are pooled, as in the CV+ of R. F. Barber, E. J. Candes, A. Ramdas, R. J. Tibshirani: Predictive inference with the
jackknife+. Annals of Statistics 2021. They calibrate the run itself, so the networks must behave like it. They saw fewer images, and their
errors are a little larger.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from scn_tf import calibrate_run, config, train_run
from scn_tf.config import Config
from scn_tf.data import fingerprint, pipeline
from scn_tf.data.dataset import Dataset
from scn_tf.errors import CheckpointError, ConfigError, DatasetError, DataWarning
from scn_tf.intake import splits
from scn_tf.intake.patients import patients
from scn_tf.runs import checkpoints
from scn_tf.runs.folder import RunFolder
from scn_tf.runs.info import ModelInfo
from scn_tf.scoring import calibration
from scn_tf.storage.files import counted
from scn_tf.training import resuming
from scn_tf.training.parts import parts
from scn_tf.training.remaining import Lines
from scn_tf.types import PathName
from scn_tf.uncertainty import conformal
from scn_tf.uncertainty.calibration import Calibration
from scn_tf.uncertainty.fitting import LEAST_IMAGES


def calibrate(
    run_dir: PathName,
    folds: int,
    *,
    minutes: float | None = None,
    root: PathName | None = None,
    missing: Literal["refuse", "skip"] | None = None,
) -> tuple[Calibration, Path]:
    """Train a network for each part of a run's training images, without that part, and store what the errors on the parts say.

    The networks are runs of their own in ``RUN/folds``. Those that are finished are not trained again, an interrupted one is resumed.

    Args:
        run_dir: run folder, or the model file in it.
        folds: number of parts, at least 2. The images of a patient are in one part.
        minutes: limit of each training. None: that of the run.
        root: data set folder; the run's own if None.
        missing: what to do about missing images, ``"refuse"`` or ``"skip"``; the run's setting if None.

    Returns:
        (calibration, model file).

    Raises:
        ConfigError: ``folds`` does not suit the images, or a fold in the folder has other settings.
        CheckpointError: there is no run with a single network for landmarks.
        DatasetError: the training images are not those of the run, or too few.
        WriteError: a file cannot be written. The calibration in the model file is then as before.
    """
    if folds < 2:
        raise ConfigError(f"`folds`: expected at least 2, received {folds}.")
    file, network, info, dataset = calibrate_run.opened(run_dir, root)
    run = RunFolder(file.parent)
    if info.members or file != run.model or not run.settings.is_file():
        raise CheckpointError(
            f"{run_dir}: `folds` needs the folder of a run, which has one network and its settings; name a `split` instead."
        )
    changes = {"root": Path(dataset.root), "missing": missing or info.config.data.missing, "service": None}
    settings = info.config.model_copy(update={"data": info.config.data.model_copy(update=changes)})
    training = _training_images(settings, dataset, info)
    parted = _parted(training, folds, dataset, settings)
    folders = [run.fold(number, folds) for number in range(1, folds + 1)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # about the images, which the training of the run has shown
        asked = [_without(part, dataset, settings, minutes) for part in parted]
        for folder, own in zip(folders, asked, strict=True):
            _check(folder, own, dataset)
        _train(folders, asked, parted, len(training))
    seen = []
    for folder, part in zip(folders, parted, strict=True):
        held_out = pipeline.examples(dataset, part, settings)
        seen.append(calibration.observe(*checkpoints.load_model(folder.model), held_out, parts(held_out, settings)))
    split = settings.data.train_split
    try:
        trained = calibrate_run.examples_of(training, dataset, info)
        found = calibration.calibrate(network, info, calibration.pooled(seen), trained, split, folds)
    except ValueError as error:
        raise DatasetError(f"{dataset.root}, split {split}: cannot calibrate: {error}.") from None
    checkpoints.restate(file, info.model_copy(update={"calibration": found}))
    return found, file


def _training_images(settings: Config, dataset: Dataset, info: ModelInfo) -> list[str]:
    """IDs of the images that trained a run. DatasetError if the set has others now."""
    ids, _ = train_run.split_ids(settings, dataset)
    if info.data is not None and info.data["training"].get("digest") != fingerprint.of_images(dataset, ids)["digest"]:
        raise DatasetError(
            f"{dataset.root}: the training data (list {settings.data.train_split}, landmarks or images) are not those that trained the "
            "model, so `folds` would say nothing about it. Put them back, or train a new run."
        )
    return ids


def _parted(training: list[str], folds: int, dataset: Dataset, settings: Config) -> list[list[str]]:
    """IDs of each part, if the images are enough for a calibration."""
    points = sum(int(np.isfinite(dataset.landmarks[image_id]).all(axis=1).sum()) for image_id in training)
    if len(training) < LEAST_IMAGES or points < conformal.LEAST:
        raise DatasetError(
            f"{dataset.root}, split {settings.data.train_split}: cannot calibrate: it has {counted(len(training), 'image')} with "
            f"{counted(points, 'point')}; needed are {LEAST_IMAGES} and {conformal.LEAST}."
        )
    known_patients = patients({image_id: dataset.files[image_id] for image_id in training}, None)
    if known_patients.number < folds:
        what = f"are of {counted(known_patients.number, 'patient')} by {known_patients.source}" if known_patients.source else "are all"
        raise ConfigError(f"`folds`: {folds} parts, but the {counted(len(training), 'training image')} {what}; name at most as many.")
    return splits.folds(known_patients.of, folds, settings.train.seed)


def _without(part: Sequence[str], dataset: Dataset, settings: Config, minutes: float | None) -> Config:
    """Settings of a run without a part of the images. Where that takes all validation images, its training images choose the epoch."""
    data, train = settings.data, settings.train
    left_out = (*(data.leave_out or ()), *part)
    validated = {*dataset.split(data.val_split, missing=data.missing)} - {*left_out}
    changes = {"leave_out": left_out, "val_split": data.val_split if validated else data.train_split}
    values = {
        **settings.model_dump(),
        "data": {**data.model_dump(), **changes},
        "train": {
            **train.model_dump(),
            "minutes": train.minutes if minutes is None else minutes,
            "strategy": "auto" if train.strategy == "multi_worker" else train.strategy,  # one process trains all folds
        },
    }
    return config.from_dict(values, source="`folds`")


def _check(folder: RunFolder, settings: Config, dataset: Dataset) -> None:
    """Raise an error if a fold was trained with other settings or data."""
    if not folder.settings.is_file():
        return
    if other := config.differences(settings, config.load(folder.settings)):
        raise ConfigError(
            f"{folder}: was trained with other settings ({', '.join(other)}). Give the same options, or remove the folder to train again."
        )
    now = fingerprint.fingerprint(dataset, *train_run.split_ids(settings, dataset))
    if changed := resuming.changed_data(folder, now, dataset.root, accept=True):
        raise DatasetError(f"{folder}: was trained on other data ({'; '.join(changed)}); remove the folder to train again.")


def _train(folders: Sequence[RunFolder], settings: Sequence[Config], parted: Sequence[Sequence[str]], images: int) -> None:
    """Train the folds that are not finished."""
    waiting = [number for number, folder in enumerate(folders) if not _finished(folder)]
    lines = Lines("Folds", len(folders), "folds", done=len(folders) - len(waiting))
    for number in waiting:
        minutes = settings[number].train.minutes
        limit = "" if minutes is None else f", at most {minutes:g} minutes"
        left_out = len(parted[number])
        print(f"\nFold {number + 1} of {len(folders)}: {images - left_out} images train, {left_out} are left out{limit}", flush=True)
        train_run.train(settings[number], folders[number].path, resume=folders[number].settings.is_file())
        lines.update()


def _finished(folder: RunFolder) -> bool:
    progress = checkpoints.read_progress(folder.state)
    return folder.model.is_file() and progress is not None and bool(progress.get("finished"))
