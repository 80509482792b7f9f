"""Train a network: the loop of all systems with a network, from the state on disk to the end."""

import functools
import math
import sys
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from scn_tf.config import Config
from scn_tf.data import batching, service
from scn_tf.environment import devices, workers
from scn_tf.presence import known
from scn_tf.runs import checkpoints
from scn_tf.storage import files, tables
from scn_tf.storage.files import counted
from scn_tf.training import resuming
from scn_tf.training.board import Board
from scn_tf.training.callbacks import GoBackAfterCollapse, Schedule, StopOnNonFinite
from scn_tf.training.job import Job
from scn_tf.training.objective import Objective
from scn_tf.training.remaining import RemainingTime
from scn_tf.training.trainer import Trainer, build_trainer
from scn_tf.training.validation import Keep, Measurement, Validation
from scn_tf.types import Array, Sizes


class Task(NamedTuple):
    """The parts that differ between systems.

    Attributes:
        objective: function (config, number of maps, their size) -> :class:`scn_tf.training.objective.Objective`.
        measure: function of the trainer -> function without arguments -> :class:`scn_tf.training.validation.Measurement`.
        draw: function of the trainer -> function without arguments -> pictures (H, W, 3) by name, for TensorBoard.
        facts: function of the trainer -> facts of the kept weights for the model file, beside their error.
        visible: share of the maps that augmented training images show, which is the watched loss of predicting nothing.
    """

    objective: Callable[[Config, int, Sizes], Objective]
    measure: Callable[[Trainer], Callable[[], Measurement]]
    draw: Callable[[Trainer], Callable[[], Mapping[str, Array]]]
    facts: Callable[[Trainer], dict[str, Any]]
    visible: float = 1.0


def fit(job: Job, task: Task, greet: Callable[[str], str]) -> dict[str, Any]:
    """Train or resume a run.

    Args:
        job: :class:`scn_tf.training.job.Job`.
        task: :class:`Task`.
        greet: function of the lines about the network -> text that is printed before the first epoch.

    Returns:
        best validation: dict with ``epoch``, ``error``, ``unit``.

    Raises:
        CheckpointError, TrainingDiverged, WriteError: see :func:`scn_tf.train_run.train`.
    """
    settings = job.config.model_copy(update={"train": job.config.train.model_copy(update={"compile": known(job.speed).compiled})})
    train, folder, (count, _) = settings.train, job.folder, job.counts
    batch_size = min(train.batch_size, count)
    strategy = devices.strategy(train.strategy, batch_size)
    with strategy.scope():
        trainer = build_trainer(settings, task.objective, num_maps=len(job.info.maps), channels=job.info.channels)
    progress = workers.from_chief(lambda: resuming.begin(trainer.state(), folder, job.config, data=job.data, changed=job.changed))
    workers.share(trainer.state())
    if job.changed and not progress["finished"] and workers.is_chief():
        resuming.keep_data(folder, job.data)
    steps = count // batch_size
    schedule = Schedule(
        highest=known(train.learning_rate),
        decay=known(train.schedule),
        epochs=train.epochs,
        minutes=train.minutes,
        steps=steps,
        started=job.started - progress["seconds"],
        steps_done=steps * progress["epoch"],
    )
    validate = Validation(
        trainer,
        measure=task.measure(trainer),
        draw=task.draw(trainer) if workers.is_chief() else dict,
        keep=_keep(job, task, trainer),
        board=Board(folder.tensorboard, job.info.maps) if workers.is_chief() else None,
        progress=progress,
        schedule=schedule,
        every=train.validate_every,
        keep_last=train.keep == "last",
    )
    if workers.is_chief():
        print(greet(_network_lines(job, trainer, batch_size)), flush=True)
    if progress["finished"]:
        if workers.is_chief():
            print("This run is already complete. A longer training is a new run.", flush=True)
        workers.leave()
        return progress["best"]
    bar = sys.stdout.isatty() and workers.is_chief()
    with service.failures_named(job.examples.served):
        trainer.fit(
            _batches(strategy, job, batch_size, first_epoch=progress["epoch"]),
            epochs=train.epochs,
            initial_epoch=progress["epoch"],
            steps_per_epoch=steps,
            shuffle=False,
            callbacks=[
                schedule,
                StopOnNonFinite(),
                GoBackAfterCollapse(trainer, resuming.comparable(progress), visible=task.visible),
                validate,
                *([RemainingTime(schedule, bar=bar)] if workers.is_chief() else []),
            ],
            verbose=(1 if bar else 2) if workers.is_chief() else 0,
        )
    workers.leave()  # what follows is for the chief alone, however long it takes
    return progress["best"]


def _batches(strategy: tf.distribute.Strategy, job: Job, batch_size: int, *, first_epoch: int) -> Any:
    """Endless training batches, of which each of several processes reads its share."""
    count, seed, slots = job.counts[0], job.config.train.seed, job.examples.slots
    if job.config.train.strategy != "multi_worker":
        data, load, _ = slots[0]
        return batching.training_batches(
            data, count=count, batch_size=batch_size, seed=seed, first_epoch=first_epoch, load=load, served=job.examples.served
        )
    batches = functools.partial(
        batching.batches_of_slots,
        slots,
        steps=count // batch_size,
        batch_size=batch_size,
        first_slot=len(slots) * workers.rank(),
        seed=seed,
        first_epoch=first_epoch,
    )
    if workers.number() == 1:
        return batches()
    replicas = strategy.num_replicas_in_sync // workers.number()
    return strategy.distribute_datasets_from_function(lambda context: batches(replicas=replicas))


def _keep(job: Job, task: Task, trainer: Trainer) -> Keep:
    """Functions that write the best model, and the state with the history."""

    def model(best: dict[str, Any]) -> None:
        info = job.info.model_copy(update={"validation": best, **task.facts(trainer)})
        checkpoints.save_model(trainer.network, job.folder.model, info)

    def state(progress: dict[str, Any]) -> None:
        checkpoints.save_state(trainer.state(), job.folder.state, progress)
        files.write_text(job.folder.history, tables.write_dicts(progress["history"]))

    return Keep(model, state)


def _network_lines(job: Job, trainer: Trainer, batch_size: int) -> str:
    """Lines about a network and how it is trained."""
    train = job.config.train
    weights = sum(math.prod(w.shape) for w in trainer.network.trainable_variables)
    limit = counted(train.epochs, "epoch") + ("" if train.minutes is None else f" or {train.minutes:g} minutes")
    size = " x ".join(map(str, job.info.image_size))
    precision = trainer.network.layers[1].dtype_policy.name
    return (
        f"Network  {job.config.model.name}, {weights:,} weights, {size} pixels, {precision}\n"
        f"Training {limit}, batches of {batch_size}, on the {devices.kind()}"
        + (f" of each of {workers.number()} workers" if workers.number() > 1 else "")
        + f"\n{known(job.speed).line}"
    )
