"""The checked input of a training."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from scn_tf.config import Config
from scn_tf.data.dataset import Dataset
from scn_tf.data.pipeline import Opened
from scn_tf.data.service import Served
from scn_tf.environment.speed import Speed
from scn_tf.runs.folder import RunFolder
from scn_tf.runs.info import ModelInfo


class Examples(NamedTuple):
    """Examples of both splits in the order of their IDs, each a finite ``tf.data.Dataset`` of dicts with ``image`` and the truth.

    Several processes have those of their shares (:mod:`scn_tf.data.shares`) in the order in which these list the images.

    Attributes:
        training, validation: the examples.
        untrained: names of the landmarks, or labels, that no training image of any process shows.
        slots: the training examples that networks draw their batches from: all, or with ``train.strategy multi_worker`` of each slot.
        place: line that tells where the prepared images are kept.
        served: the training examples with images through a service, for ``data.service``.
    """

    training: tf.data.Dataset
    validation: tf.data.Dataset
    untrained: tuple[str, ...]
    slots: Sequence[Opened] = ()
    place: str = ""
    served: Served | None = None


class Job(NamedTuple):
    """A training that is ready to start.

    Attributes:
        folder: folder of the run.
        config: resolved configuration.
        dataset: data set of the images.
        ids: IDs of the training and of the validation images.
        examples: :class:`Examples` of both.
        info: :class:`scn_tf.runs.info.ModelInfo` that the model file will have.
        data: fingerprint of both splits.
        changed: accepted changes of the data since the start of the run.
        started: ``time.monotonic()`` at the start.
        speed: what was decided for this machine; None for systems that need no devices.
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
    speed: Speed | None = None

    @property
    def counts(self) -> tuple[int, int]:
        """Number of training and validation images."""
        return len(self.ids[0]), len(self.ids[1])
