"""Validation every few epochs and at the end: errors on the validation split, and the files of the run."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from scn_tf.environment import workers
from scn_tf.environment.backend import keras
from scn_tf.errors import TrainingDiverged
from scn_tf.training.board import Board
from scn_tf.training.callbacks import Schedule, learning_rate
from scn_tf.training.trainer import Trainer
from scn_tf.types import Array


class Measurement(NamedTuple):
    """Measurements of a system on the validation split.

    Attributes:
        values: columns of the history.
        error: value that is smallest at the best epoch.
        unit: of ``error``.
        shown: values for the progress bar, by name.
    """

    values: dict[str, Any]
    error: float
    unit: str
    shown: dict[str, float]


class Keep(NamedTuple):
    """Functions that write ``model`` (best result so far as a JSON-like dict) and ``state`` (progress of the run)."""

    model: Callable[[dict[str, Any]], None]
    state: Callable[[dict[str, Any]], None]


class Validation(keras.callbacks.Callback):
    """Decide when to validate, and pass each result to the history, the board, the model file and the state.

    State and history are written after every epoch.

    Args:
        trainer: :class:`scn_tf.training.trainer.Trainer`.
        measure: function without arguments -> :class:`Measurement`, of the network as it is.
        draw: function without arguments -> pictures (H, W, 3) by name.
        keep: :class:`Keep`.
        board: :class:`scn_tf.training.board.Board` of the chief, None on other workers, which write nothing.
        progress: dict with ``epoch``, ``seconds``, ``best``, ``history``, ``finished``; kept up to date here.
        schedule: the run's :class:`scn_tf.training.callbacks.Schedule`.
        every: epochs between two validations.
        keep_last: whether to keep the weights of the last validation instead of the best.
    """

    def __init__(
        self,
        trainer: Trainer,
        *,
        measure: Callable[[], Measurement],
        draw: Callable[[], Mapping[str, Array]],
        keep: Keep,
        board: Board | None,
        progress: dict[str, Any],
        schedule: Schedule,
        every: int,
        keep_last: bool,
    ) -> None:
        super().__init__()
        self.trainer, self.measure, self.draw, self.keep, self.board = trainer, measure, draw, keep, board
        self.run_progress, self.schedule, self.every, self.keep_last = progress, schedule, every, keep_last

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        row = self._row(epoch, logs)
        finished = epoch + 1 == self.schedule.epochs or self.model.stop_training
        self.run_progress["finished"] = bool(finished)
        check_finite(self.trainer, epoch)
        if finished or (epoch + 1) % self.every == 0:
            with self.trainer.averaged_weights():
                own = self.measure()  # with the shares of all workers
                measured = Measurement(*workers.from_chief(lambda: own))
                row |= measured.values
                logs |= measured.shown  # the progress bar shows what stands in the logs
                self._keep_best(epoch, measured)
        self.run_progress["history"].append(row)
        self.run_progress |= {"epoch": epoch + 1, "seconds": self.schedule.seconds}
        if self.board is not None:
            self.board.scalars(row, self.trainer.objective)
            self.keep.state(self.run_progress)  # of every epoch: whatever ends the process, no more than one is lost

    def _row(self, epoch: int, logs: Mapping[str, Any]) -> dict[str, Any]:
        """The epoch's row of the history, before validation."""
        row: dict[str, Any] = {"epoch": epoch + 1, "seconds": round(self.schedule.seconds, 1)}
        row["learning_rate"] = learning_rate(self.trainer.optimizer)
        row |= {name: float(value) for name, value in logs.items()}
        return row | self.trainer.objective.history()

    def _keep_best(self, epoch: int, measured: Measurement) -> None:
        if self.board is not None:
            self.board.pictures(epoch + 1, self.draw())
        best = self.run_progress["best"]
        if best is None or measured.error < best["error"] or self.keep_last:
            self.run_progress["best"] = {"epoch": epoch + 1, "error": measured.error, "unit": measured.unit}
            if self.board is not None:
                self.keep.model(self.run_progress["best"])

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self.board is not None:
            self.board.close()


def check_finite(trainer: Trainer, epoch: int) -> None:
    """Raise TrainingDiverged if weights are not finite.

    The last step of an epoch may break them after its loss was checked. Heatmaps of NaN would still give a maximum.
    """
    if not all(np.isfinite(keras.ops.convert_to_numpy(variable)).all() for variable in trainer.state()):
        raise TrainingDiverged(
            f"The weights became nan at the end of epoch {epoch + 1}. Weights of the last validation stay. "
            "Lower train.learning_rate or train.clip_norm."
        )
