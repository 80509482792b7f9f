"""Callbacks of a training: the learning rate, and two guards."""

import collections
import math
import time
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from scn_tf.environment import workers
from scn_tf.environment.backend import keras
from scn_tf.errors import TrainingDiverged
from scn_tf.training.trainer import Trainer
from scn_tf.types import Array, Logs

WARMUP = 0.04
# Heatmap losses, 1 being that of a network which predicts nothing.
LEARNED, COLLAPSED, MAX_RETURNS = 0.3, 0.7, 10


class Schedule(keras.callbacks.Callback):
    """Set the learning rate by progress, and end the training with the wall-clock budget.

    Progress runs from 0 to 1, and is the larger share of steps done and budget spent. A run that the budget ends thus decays as far
    as one that finishes its epochs.

    Args:
        highest: highest learning rate.
        decay: kind of its decay: ``cosine``, ``exponential`` or ``constant``.
        epochs: number of epochs of the run.
        minutes: wall-clock budget, None without one.
        steps: steps per epoch.
        started: ``time.monotonic()`` at the start, minus the time of earlier parts of the run.
        steps_done: steps of earlier parts.
    """

    def __init__(
        self, *, highest: float, decay: str, epochs: int, minutes: float | None, steps: int, started: float, steps_done: int = 0
    ) -> None:
        super().__init__()
        self.highest, self.decay, self.epochs, self.minutes, self.started = highest, decay, epochs, minutes, started
        self.total, self.steps_done = steps * epochs, steps_done

    @property
    def seconds(self) -> float:
        """Wall-clock time of the whole run."""
        return time.monotonic() - self.started

    def spent(self) -> float:
        """Share of the budget that is spent, 0 without one. The chief's clock counts for all workers."""
        return workers.from_chief(lambda: self.seconds) / (60 * self.minutes) if self.minutes else 0.0

    def progress(self) -> float:
        return min(max(self.steps_done / self.total, self.spent()), 1.0)

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        self.model.optimizer.learning_rate = self.highest * decay(self.decay, self.progress())

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        self.steps_done += 1
        if self.spent() >= 1:
            self.model.stop_training = True


def decay(schedule: str, progress: float) -> float:
    """Factor of the learning rate at a progress from 0 to 1.

    The cosine rises over the first twenty-fifth of the run. Adam's first steps are as large as its later ones, and can ruin a
    product of two maps that are both near zero.
    """
    if schedule == "cosine":
        return min(1.0, 0.02 + progress / WARMUP) * 0.5 * (1.0 + math.cos(math.pi * progress))
    return 0.1**progress if schedule == "exponential" else 1.0


def learning_rate(optimizer: keras.Optimizer) -> float:
    """Present learning rate, read from the first replica, since Python cannot convert mirrored variables to numbers."""
    return float(keras.ops.convert_to_numpy(optimizer.learning_rate))


class StopOnNonFinite(keras.callbacks.Callback):
    """Raise :class:`TrainingDiverged` at the first loss that is NaN or infinite."""

    def on_train_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
        if not np.isfinite(logs["loss"]):
            raise TrainingDiverged(
                f"The loss became {logs['loss']} in epoch {self.epoch + 1}, step {batch + 1}. Weights of the last validation stay. "
                f"Lower `train.learning_rate` (now at most {learning_rate(self.model.optimizer):.2g}), "
                "or lower `train.clip_norm`; with `train.loss_scale` paper rates near 1e-6 are usual."
            )

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self.epoch = epoch


class GoBackAfterCollapse(keras.callbacks.Callback):
    """Undo an epoch after which the network predicts nothing.

    One gradient can cause this: both factors of the product go to zero together, and recovery takes a hundred epochs. The states of
    two epochs are kept in memory. Training continues from the older one, with new draws: a collapse late in an epoch does not show
    in its mean loss.

    Args:
        trainer: :class:`scn_tf.training.trainer.Trainer`. The guard is off if its objective watches no term (``train.loss_scale
            paper``, where a loss of 1 has no meaning).
        history: rows of earlier epochs of a resumed run.
        visible: share of landmarks that augmented training images show, which is the loss of predicting nothing.
    """

    def __init__(self, trainer: Trainer, history: Iterable[Mapping[str, Any]] = (), *, visible: float = 1.0) -> None:
        super().__init__()
        self.trainer, self.visible, self.returns = trainer, visible, 0
        self.lowest = min((row[trainer.objective.watched] for row in history if trainer.objective.watched), default=float("inf"))
        self.kept: collections.deque[list[Array]] = collections.deque(maxlen=2)

    def on_train_begin(self, logs: Logs = None) -> None:
        if self.lowest < float("inf"):  # a resumed run
            self._keep()

    def _keep(self) -> None:
        self.kept.append([keras.ops.convert_to_numpy(variable).copy() for variable in self.trainer.state()])

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        if self.trainer.objective.watched is None:
            return
        loss = logs[self.trainer.objective.watched]
        collapsed = self.lowest < LEARNED * self.visible and loss > COLLAPSED * self.visible
        if collapsed and self.returns < MAX_RETURNS:
            self.returns += 1
            step = keras.ops.convert_to_numpy(self.trainer.optimizer.iterations)
            for variable, value in zip(self.trainer.state(), self.kept[0], strict=True):
                variable.assign(value)
            # The step's number seeds the augmentation: the same draws would lead to the same place.
            self.trainer.optimizer.iterations.assign(step)
            self.kept = collections.deque([self.kept[0]], maxlen=2)
            if workers.is_chief():
                print(
                    f"Epoch {epoch + 1}: the loss jumped from {self.lowest:.2f} to {loss:.2f}; training continues from an earlier state.",
                    flush=True,
                )
            return
        self.lowest = min(self.lowest, loss)
        self._keep()
