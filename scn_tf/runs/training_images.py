"""The images of a data set that a model was trained on, and those that calibrated it."""

import contextlib
import warnings

from scn_tf.data.dataset import Dataset
from scn_tf.errors import DatasetError
from scn_tf.runs.info import ModelInfo


def trained_on(info: ModelInfo, dataset: Dataset) -> list[str]:
    """IDs of a data set that a model, or a member of it, was trained on.

    This compares the name of the set, and reads its present lists.
    """
    if info.name != dataset.description.name:
        return []
    found: list[str] = []
    for settings in info.networks:
        chosen = settings.data
        with warnings.catch_warnings(), contextlib.suppress(DatasetError):  # a copy of the set without that list
            warnings.simplefilter("ignore")  # of images that are missing, which matter to the training alone
            found += dataset.drawn(
                chosen.train_split, chosen.train_count, seed=settings.train.seed, leave_out=chosen.leave_out or (), missing="skip"
            )
    return found


def calibrated_on(info: ModelInfo, dataset: Dataset) -> list[str]:
    """IDs of a data set whose errors calibrated a model, by the name of the set and its present list; empty if it is not calibrated."""
    if info.calibration is None or info.name != dataset.description.name:
        return []
    if info.calibration.folds is not None:
        return trained_on(info, dataset)
    with warnings.catch_warnings(), contextlib.suppress(DatasetError):  # as above
        warnings.simplefilter("ignore")
        return dataset.split(info.calibration.split, missing="skip")
    return []
