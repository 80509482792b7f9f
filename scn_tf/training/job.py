"""What a training begins with, checked."""

from typing import Any, NamedTuple

import tensorflow as tf

from scn_tf.config import Config
from scn_tf.data.dataset import Dataset
from scn_tf.runs.folder import RunFolder
from scn_tf.runs.info import ModelInfo


class Examples(NamedTuple):
    """Examples of both splits, each a finite ``tf.data.Dataset`` of dicts with ``image`` and the truth, in the order of their IDs.

    ``untrained``: names of the landmarks, or labels, that no training image shows.
    """

    training: tf.data.Dataset
    validation: tf.data.Dataset
    untrained: tuple[str, ...]


class Job(NamedTuple):
    """A training that can start.

    Attributes:
        folder: of the run.
        config: resolved.
        dataset: that the images are of.
        ids: of the training and of the validation images.
        examples: :class:`Examples` of both.
        info: :class:`scn_tf.runs.info.ModelInfo` that the model file will have.
        data: fingerprint of both splits.
        changed: what of it was accepted as changed since the run was started.
        started: ``time.monotonic()`` at the start.
    """

    folder: RunFolder
    config: Config
    dataset: Dataset
    ids: tuple[list[str], list[str]]
    examples: Examples
    info: ModelInfo
    data: dict[str, Any]
    changed: list[str]
    started: float

    @property
    def counts(self) -> tuple[int, int]:
        """Number of training and validation images."""
        return len(self.ids[0]), len(self.ids[1])
