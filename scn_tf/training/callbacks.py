"""What happens around the steps of a training: rate, guard, validation with all it writes."""

import collections
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from scn_tf.config import TrainConfig
from scn_tf.data import coverage
from scn_tf.environment.backend import keras
from scn_tf.errors import TrainingDiverged
from scn_tf.figures import pictures
from scn_tf.runs import checkpoints
from scn_tf.scoring import localization
from scn_tf.storage import files, tables
from scn_tf.training.train_step import Trainer
from scn_tf.types import Array, Logs, Metadata, known

WARMUP = 0.04
# Heatmap losses, 1 being that of a network which predicts nothing.
LEARNED, COLLAPSED, MOST_RETURNS = 0.3, 0.7, 10


class Schedule(keras.callbacks.Callback):
    """Learning rate by progress, and the end of the wall-clock budget.

    Progress runs from 0 to 1 and is the larger of steps done and budget spent: a run that time
    will cut short decays to the same end as one that finishes its epochs.

    Args:
        config: resolved :class:`scn_tf.config.TrainConfig`.
        steps: steps an epoch.
        started: ``time.monotonic()`` at the start, moved back by what an earlier part took.
        steps_done: steps of the earlier part.
    """

    def __init__(self, config: TrainConfig, *, steps: int, started: float, steps_done: int = 0) -> None:
        super().__init__()
        self.config, self.started = config, started
        self.total, self.steps_done = steps * config.epochs, steps_done

    @property
    def seconds(self) -> float:
        """Wall-clock time of the whole run."""
        return time.monotonic() - self.started

    def progress(self) -> float:
        done = self.steps_done / self.total
        spent = self.seconds / (60 * self.config.minutes) if self.config.minutes else 0.0
        return min(max(done, spent), 1.0)

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        self.model.optimizer.learning_rate = known(self.config.learning_rate) * decay(known(self.config.schedule), self.progress())

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        self.steps_done += 1
        if self.config.minutes and self.seconds >= 60 * self.config.minutes:
            self.model.stop_training = True


def decay(schedule: str, progress: float) -> float:
    """Factor of the learning rate at progress 0 to 1.

    The cosine rises over the first twenty-fifth: Adam's first steps are as large as its later
    ones, and the product of two maps that are both near zero takes them badly.
    """
    if schedule == "cosine":
        return min(1.0, 0.02 + progress / WARMUP) * 0.5 * (1.0 + math.cos(math.pi * progress))
    return 0.1**progress if schedule == "exponential" else 1.0


def _rate(optimizer: keras.Optimizer) -> float:
    # Mirrored variables are no numbers to Python; this reads the first replica's.
    return float(keras.ops.convert_to_numpy(optimizer.learning_rate))


class StopOnNonFinite(keras.callbacks.Callback):
    """Raise :class:`TrainingDiverged` at the first loss that is NaN or infinite."""

    def on_train_batch_end(self, batch: int, logs: dict[str, Any]) -> None:
        if not np.isfinite(logs["loss"]):
            raise TrainingDiverged(
                f"The loss became {logs['loss']} in epoch {self.epoch + 1}, step {batch + 1}. Weights of the last validation stay. "
                f"Lower `train.learning_rate` (now at most {_rate(self.model.optimizer):.2g}), "
                "or lower `train.clip_norm`; with `train.loss_scale` paper rates near 1e-6 are usual."
            )

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        self.epoch = epoch


class GoBackAfterCollapse(keras.callbacks.Callback):
    """Take back an epoch that threw the network to where it predicts nothing.

    One gradient can do that: both factors of the product go to zero together, and it takes a hundred epochs to come back.
    The states of two epochs are kept in memory. Training goes on from the older one, since what happened late in an epoch
    does not show in its mean loss, and with other draws.

    Args:
        trainer: :class:`scn_tf.training.train_step.Trainer`. It does nothing with
            ``train.loss_scale paper``, where a loss of 1 means nothing.
        history: rows of the epochs before, of a run that goes on.
        annotated: share of the landmarks that the training images have, which is the loss of predicting nothing.
    """

    def __init__(self, trainer: Trainer, history: Iterable[Mapping[str, Any]] = (), *, annotated: float = 1.0) -> None:
        super().__init__()
        self.trainer, self.annotated, self.returns = trainer, annotated, 0
        self.lowest = min((row["heatmap_loss"] for row in history), default=float("inf"))
        self.kept: collections.deque[list[Array]] = collections.deque(maxlen=2)

    def on_train_begin(self, logs: Logs = None) -> None:
        if self.lowest < float("inf"):  # a run that goes on
            self._keep()

    def _keep(self) -> None:
        self.kept.append([keras.ops.convert_to_numpy(variable).copy() for variable in self.trainer.state()])

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        if self.trainer.config.train.loss_scale != "mean":
            return
        loss = logs["heatmap_loss"]
        collapsed = self.lowest < LEARNED * self.annotated and loss > COLLAPSED * self.annotated
        if collapsed and self.returns < MOST_RETURNS:
            self.returns += 1
            step = keras.ops.convert_to_numpy(self.trainer.optimizer.iterations)
            for variable, value in zip(self.trainer.state(), self.kept[0], strict=True):
                variable.assign(value)
            # The step's number seeds the augmentation: the same draws would lead to the same place.
            self.trainer.optimizer.iterations.assign(step)
            self.kept = collections.deque([self.kept[0]], maxlen=2)
            print(f"Epoch {epoch + 1}: the loss jumped from {self.lowest:.2f} to {loss:.2f}; continuing as before that.", flush=True)
            return
        self.lowest = min(self.lowest, loss)
        self._keep()


class Validation(keras.callbacks.Callback):
    """Every few epochs and at the end: errors, best model, checkpoint, history, TensorBoard.

    Args:
        trainer: :class:`scn_tf.training.train_step.Trainer`.
        data: validation examples.
        run_dir: the run's folder.
        metadata: what goes into the model file.
        progress: dict with ``epoch``, ``seconds``, ``best``, ``history``, ``finished``; kept up to date here.
        schedule: the run's :class:`Schedule`.
        names: landmark names.
    """

    def __init__(
        self,
        trainer: Trainer,
        data: tf.data.Dataset,
        *,
        run_dir: Path,
        metadata: Metadata,
        progress: dict[str, Any],
        schedule: Schedule,
        names: Sequence[str],
    ) -> None:
        super().__init__()
        self.trainer, self.data, self.run_dir, self.metadata = trainer, data, run_dir, metadata
        self.run_progress, self.schedule, self.names = progress, schedule, names
        self.locate = localization.localizer(trainer.network, trainer.config.heatmap.decoder)
        self.parts = tf.function(keras.Model(trainer.network.input, pictures.heatmap_parts(trainer.network)))
        self.unit = metadata["unit"]
        self.writer = tf.summary.create_file_writer(str(run_dir / "tensorboard"))
        self.example = next(iter(data.batch(1)))
        self.mean = mean_example(data)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        config = self.trainer.config.train
        row: dict[str, Any] = {"epoch": epoch + 1, "seconds": round(self.schedule.seconds, 1)}
        row["learning_rate"] = _rate(self.trainer.optimizer)
        row |= {name: float(value) for name, value in logs.items()}
        row["mean_sigma"] = float(np.mean(keras.ops.convert_to_numpy(self.trainer.targets.sigmas)))
        finished = epoch + 1 == config.epochs or self.model.stop_training
        self.run_progress["finished"] = bool(finished)
        validating = finished or (epoch + 1) % config.validate_every == 0
        if validating:
            self._check_finite(epoch)
            with self.trainer.averaged_weights():
                self._validate(row, logs)
                self._write_pictures(epoch)
                self._keep_best(epoch, row)
        self._write_scalars(row)
        self.run_progress["history"].append(row)
        if validating:
            self.run_progress |= {"epoch": epoch + 1, "seconds": self.schedule.seconds}
            checkpoints.save_state(self.trainer.state(), self.run_dir / "checkpoints" / "last.npz", self.run_progress)
            files.write_text(self.run_dir / "history.csv", history_csv(self.run_progress["history"]))

    def _check_finite(self, epoch: int) -> None:
        """The last step of an epoch may have broken the weights after its loss was seen; the maximum of NaN is a pixel like any other."""
        if not all(np.isfinite(keras.ops.convert_to_numpy(variable)).all() for variable in self.trainer.state()):
            raise TrainingDiverged(
                f"The weights became nan at the end of epoch {epoch + 1}. Weights of the last validation stay. "
                "Lower train.learning_rate or train.clip_norm."
            )

    def _validate(self, row: dict[str, Any], logs: dict[str, Any]) -> None:
        result = localization.localize(self.locate, self.data)
        # What no training image shows would choose the epoch by chance.
        errors = localization.point_errors(result)[:, coverage.trained_columns(self.names, self.metadata)]
        row[f"val_pe_mean_{self.unit}"] = float(np.nanmean(errors))
        row[f"val_pe_median_{self.unit}"] = float(np.nanmedian(errors))
        if self.unit == "mm":
            row["val_outliers_10"] = int((errors >= 10).sum())
        else:  # a number of pixels says nothing about another size of image
            relative = localization.relative_errors(result)[:, coverage.trained_columns(self.names, self.metadata)]
            row["val_pck_1_percent"] = float(100 * (relative[np.isfinite(relative)] < 1).mean())
        # The progress bar shows what stands in the logs.
        logs[f"val_pe_{self.unit}"] = row[f"val_pe_mean_{self.unit}"]

    def _keep_best(self, epoch: int, row: Mapping[str, Any]) -> None:
        error = row[f"val_pe_mean_{self.unit}"]
        best = self.run_progress["best"]
        if best is None or error < best["error"] or self.trainer.config.train.keep == "last":
            self.run_progress["best"] = {"epoch": epoch + 1, "error": error, "unit": self.unit}
            peaks = np.atleast_1d(keras.ops.convert_to_numpy(self.trainer.targets.peak())).astype(float).tolist()
            metadata = {**self.metadata, "validation": self.run_progress["best"], "peaks": peaks}
            checkpoints.save_model(self.trainer.network, self.run_dir / "model.keras", metadata)

    def _write_scalars(self, row: Mapping[str, Any]) -> None:
        with self.writer.as_default(step=row["epoch"]):
            for name, value in row.items():
                if name not in ("epoch", "seconds"):
                    tf.summary.scalar(name, value)
            for name, sigma in zip(self.names, keras.ops.convert_to_numpy(self.trainer.targets.sigmas), strict=True):
                for axis, value in enumerate(np.atleast_1d(sigma)):
                    tf.summary.scalar(f"sigma/{name}" if np.ndim(sigma) == 0 else f"sigma/{name}/{axis}", value)
        self.writer.flush()

    def _write_pictures(self, epoch: int) -> None:
        parts = self.parts(self.example["image"])
        landmarks, _ = self.locate(self.example["image"])
        figure = pictures.validation_figure(
            self.example["image"][0].numpy(),
            truth=self.example["landmarks"][0].numpy(),
            visible=self.example["visible"][0].numpy() > 0,
            predicted=landmarks[0].numpy(),
            heatmaps={name: maps[0].numpy() for name, maps in parts.items()},
        )
        targets = pictures.targets_figure(*self.mean, self.trainer.targets.covariances())
        with self.writer.as_default(step=epoch + 1):
            tf.summary.image("validation", figure[np.newaxis])
            tf.summary.image("targets", targets[np.newaxis])
        self.writer.flush()

    def on_train_end(self, logs: Logs = None) -> None:
        self.writer.close()


def mean_example(data: tf.data.Dataset) -> tuple[Array, Array]:
    """Mean image ([D,] H, W, C) and mean positions (N, d) of the visible landmarks of a dataset of examples."""
    image = total = count = np.zeros((), np.float32)
    for number, example in enumerate(data, start=1):
        visible = example["visible"].numpy()[:, np.newaxis]
        image = image + (example["image"].numpy() - image) / number
        total, count = total + visible * example["landmarks"].numpy(), count + visible
    return image, total / np.maximum(count, 1)


def history_csv(rows: Sequence[dict[str, Any]]) -> str:
    """CSV text of the history; a value that an epoch does not have stays empty."""
    return tables.write_dicts(rows)
