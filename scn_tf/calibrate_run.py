"""Calibrate a trained run on an annotated split, so that its answers carry errors."""

import warnings
from pathlib import Path
from typing import Literal

from scn_tf.data import pipeline
from scn_tf.data.dataset import open_dataset
from scn_tf.data.fingerprint import check_against_model
from scn_tf.errors import CheckpointError, DatasetError
from scn_tf.runs import checkpoints, pretrained
from scn_tf.runs.training_images import trained_on
from scn_tf.scoring import calibration
from scn_tf.storage import files
from scn_tf.systems import opening
from scn_tf.training.parts import parts
from scn_tf.types import PathName
from scn_tf.uncertainty.calibration import Calibration


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
    file = opening.landmark_network_file(run_dir)
    if file.parent == pretrained.FOLDER:
        raise CheckpointError(f"{run_dir}: is a bundled model, which stays as it is; name a run, or a copy of the file.")
    files.check_writable(file)
    network, info = checkpoints.load_model(file)
    settings = info.config
    dataset = open_dataset(root or settings.data.root)
    check_against_model(dataset, info)
    split = split or settings.data.val_split
    ids = dataset.split(split, missing=missing or settings.data.missing)
    training = trained_on(info, dataset)
    if both := sorted({*ids} & {*training}):
        raise DatasetError(
            f"{dataset.root}: {len(both)} of the {len(ids)} images of split {split} trained this model, {both[0]} among them. Their errors "
            "are smaller than those of other images. Name another split."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about training images, which the training has shown
        trained = pipeline.examples(dataset, training[: calibration.MAX_TRAINING], settings, measured=False) if training else None
    held_out = pipeline.examples(dataset, ids, settings)
    try:
        found = calibration.calibrate(network, info, held_out, parts(held_out, settings), trained, split)
    except ValueError as error:
        raise DatasetError(f"{dataset.root}, split {split}: cannot calibrate: {error}.") from None
    checkpoints.restate(file, info.model_copy(update={"calibration": found}))
    return found, file
