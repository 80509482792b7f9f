"""Train a run: data checked, callbacks, ``model.fit``; or forests grown."""

import contextlib
import json
import math
import sys
import time
import warnings
from pathlib import Path
from typing import NamedTuple

import filelock
import numpy as np
import tensorflow as tf

from scn_tf import __version__, checkpoints, devices, files, forests, localization, models
from scn_tf.callbacks import GoBackAfterCollapse, Schedule, StopOnNonFinite, Validation
from scn_tf.config import Config, ConfigError, ConfigWarning, warn_if_too_large, warn_if_too_narrow
from scn_tf.config import load as load_config
from scn_tf.data import pipeline, pixels, synthetic
from scn_tf.data.dataset import Dataset, open_dataset, warn_of_training_images
from scn_tf.data.errors import DatasetError
from scn_tf.files import counted
from scn_tf.runs import MODEL_FILES
from scn_tf.segmentation import training as segmentation
from scn_tf.train_step import build_trainer

NEED_TWO = ("payer2016", "forest_shape")  # networks and forests whose landmarks help each other
STATE = "checkpoints/last.npz"
LOCK = "checkpoints/lock"  # held by the process that trains the run; the file stays
ONE_DEVICE = (*forests.NAMES, "segmentation")


def train(config, run_dir, *, resume=False):
    """Train a run; everything that it finds is in its folder.

    Args:
        config: :class:`scn_tf.config.Config`; with ``resume`` the run's own is read instead, and only ``data.root`` and
            ``data.missing`` are taken from this one, if set.
        run_dir: folder to write (its files: docs/training.md).
        resume: go on from ``run_dir/checkpoints/last.npz`` to the same end; a run without one begins anew.

    Returns:
        the best network's validation summary: dict with ``epoch`` and the error.

    Raises:
        ConfigError, DatasetError, ImageError: before training starts; another process that trains this run is a ConfigError too.
        TrainingDiverged: the loss is no longer finite.
        WriteError: a checkpoint could not be written; the one before is kept.
    """
    started = time.monotonic()
    devices.keep_large_blocks()
    run_dir = Path(run_dir)
    job = prepare(config, run_dir, resume=resume)
    files.make_folder(run_dir / "checkpoints")
    with _locked(run_dir):
        if not resume:
            _check_unused(run_dir)  # another process may have been faster while this one read its data
            (run_dir / STATE).unlink(missing_ok=True)  # of a run whose model was removed: --resume would go on with it
        files.write_text(run_dir / "config.yaml", job.config.to_yaml())
        return _train(job, run_dir, started, resume=resume)


@contextlib.contextmanager
def _locked(run_dir):
    """Nobody else trains this run meanwhile."""
    lock = filelock.FileLock(run_dir / LOCK, timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise ConfigError(f"{run_dir}: another process is training this run.") from None
    except (OSError, NotImplementedError) as error:
        raise files.WriteError(f"{run_dir / LOCK}: cannot be locked ({error}); choose a --run_dir where files can be.") from None
    try:
        yield
    finally:
        lock.release()


def _check_unused(run_dir):
    """Raises ConfigError if a folder holds the model of a run, or a data set."""
    if (run_dir / "dataset.yaml").is_file():
        raise ConfigError(f"{run_dir}: holds a data set; choose another --run_dir.")
    if run_dir.is_dir() and any((run_dir / name).is_file() for name in MODEL_FILES):
        raise ConfigError(f"{run_dir}: already holds a run; pass --resume to go on with it, or choose another --run_dir.")


def _train(job, run_dir, started, *, resume):
    if job.config.model.name in forests.NAMES:
        return _grow_forests(job, run_dir)
    if job.config.model.name == "segmentation":
        return segmentation.train(job, run_dir, _metadata(job.config, job.dataset), started)
    return _fit(job, run_dir, started, resume=resume)


class Job(NamedTuple):
    """What a training needs, checked: resolved configuration, data set, IDs and examples of its two splits; of label maps, arrays."""

    config: Config
    dataset: Dataset
    ids: tuple[list, list]
    training: tf.data.Dataset | tuple
    validation: tf.data.Dataset | tuple

    @property
    def counts(self):
        """Number of training and validation images."""
        return tuple(map(len, self.ids))


def prepare(config, run_dir, *, resume):
    """Open the data of a run and check it whole; see :func:`train`."""
    if resume:
        if not (run_dir / "config.yaml").is_file():
            raise ConfigError(f"{run_dir}: no run there to go on with.")
        given, config = config.data, load_config(run_dir / "config.yaml")
        changed = {
            name: value for name in ("root", "missing") if name in given.model_fields_set and (value := getattr(given, name)) is not None
        }
        config = config.model_copy(update={"data": config.data.model_copy(update=changed)})
    else:
        _check_unused(run_dir)
    root = config.data.root or synthetic.ensure(run_dir.parent / "synthetic_hands")
    dataset = open_dataset(root)
    given = config.model
    try:
        config = config.model_copy(update={"data": config.data.model_copy(update={"root": Path(root).resolve()})})
        config = _with_precision(config.resolved(dataset.description.dims))
    except ValueError as error:
        raise ConfigError(str(error)) from None
    chosen, name = config.data, config.model.name
    if name not in forests.NAMES and (unused := models.unused(given, dataset.description.dims)):
        fields = ", ".join(f"model.{field}" for field in unused)
        warnings.warn(f"{fields}: model.name {name} has no such thing, it is ignored.", ConfigWarning, stacklevel=2)
    train_ids = dataset.drawn(chosen.train_split, chosen.train_count, seed=config.train.seed, missing=chosen.missing)
    val_ids = dataset.split(chosen.val_split, missing=chosen.missing)
    warn_of_training_images(dataset, chosen.val_split, val_ids, train_ids)
    batch_size = min(config.train.batch_size, len(train_ids))
    warn_if_too_large(config.train, len(train_ids))
    replicas = devices.strategy(config.train.strategy, batch_size).num_replicas_in_sync
    if batch_size % replicas and name not in ONE_DEVICE:
        raise ConfigError(f"train.batch_size: {batch_size} images cannot be shared equally by {replicas} replicas.")
    if name == "segmentation":
        if resume:
            raise ConfigError(f"{run_dir}: runs of model.name segmentation cannot be resumed; choose another --run_dir.")
        return Job(config, dataset, (train_ids, val_ids), *segmentation.read(config, dataset, (train_ids, val_ids)))
    training = pipeline.examples(dataset, train_ids, config, measured=False)
    validation = pipeline.examples(dataset, val_ids, config)
    if name in NEED_TWO and len(dataset.description.names) < 2:
        raise ConfigError(f"model.name: {config.model.name} places landmarks by each other, {dataset.root} has one.")
    warn_if_too_narrow(config.model, len(dataset.description.names))
    if not any(example["visible"].numpy().any() for example in training):
        raise DatasetError(f"{dataset.table}: split {config.data.train_split} has no annotated landmark to train on.")
    if not any(example["annotated"].numpy().any() for example in validation):
        raise DatasetError(f"{dataset.table}: split {config.data.val_split} has no annotated landmark to measure errors with.")
    return Job(config, dataset, (train_ids, val_ids), training, validation)


def _with_precision(config):
    """What ``auto`` is on this machine, so that the run says it and goes on with it elsewhere."""
    if config.model.name in ONE_DEVICE:  # forests and label maps have none
        return config
    return config.model_copy(update={"train": config.train.model_copy(update={"precision": devices.precision(config.train.precision)})})


def _fit(job, run_dir, started, *, resume):
    """Train a network; see :func:`train`."""
    config, description, (count, _) = job.config, job.dataset.description, job.counts
    batch_size = min(config.train.batch_size, count)
    with devices.strategy(config.train.strategy, batch_size).scope():
        trainer = build_trainer(config, landmarks=len(description.names), channels=description.channels)
    progress = {"epoch": 0, "seconds": 0.0, "best": None, "history": [], "finished": False}
    if resume and (run_dir / STATE).exists():
        progress = checkpoints.load_state(trainer.state(), run_dir / STATE)
    steps = count // batch_size
    schedule = Schedule(config.train, steps=steps, started=started - progress["seconds"], steps_done=steps * progress["epoch"])
    validate = Validation(
        trainer,
        job.validation,
        run_dir=run_dir,
        metadata=_metadata(config, job.dataset),
        progress=progress,
        schedule=schedule,
        names=description.names,
    )
    print(_greeting(job, trainer, run_dir), flush=True)
    if progress["finished"]:
        print("This run came to its end before; nothing is left to train. A longer one is a new run.", flush=True)
        return progress["best"]
    annotated = np.mean([np.isfinite(job.dataset.landmarks[identity]).all(axis=-1).mean() for identity in job.ids[0]])
    trainer.fit(
        pipeline.training_batches(job.training, count=count, batch_size=batch_size, seed=config.train.seed, first_epoch=progress["epoch"]),
        epochs=config.train.epochs,
        initial_epoch=progress["epoch"],
        steps_per_epoch=steps,
        shuffle=False,
        callbacks=[schedule, StopOnNonFinite(), GoBackAfterCollapse(trainer, progress["history"], annotated=annotated), validate],
        verbose=1 if sys.stdout.isatty() else 2,
    )
    return progress["best"]


def _grow_forests(job, run_dir):
    """Grow the forests of a run; see :func:`train`. There are no epochs: what is resumed begins anew."""
    config, path = job.config, run_dir / forests.MODEL_FILE
    metadata = _metadata(config, job.dataset)
    if not path.exists():
        print(_greeting(job, None, run_dir), flush=True)
        examples = [{name: value.numpy() for name, value in example.items()} for example in job.training]
        forests.train(config, examples, path, metadata)
    locate, _ = forests.load_localizer(path)
    error = float(np.nanmean(localization.point_errors(localization.localize(locate, job.validation))))
    return {"epoch": None, "error": error, "unit": metadata["unit"]}


def _metadata(config, dataset):
    """What a model file says of itself, JSON-like: all that prediction and serving need to know."""
    description = dataset.description
    return {
        "scn_tf": __version__,
        "name": description.name,
        "dims": description.dims,
        "channels": description.channels,
        "landmarks": list(description.names),
        "coordinates": description.coordinates,
        "labels": list(description.labels),
        "unit": dataset.unit,
        "spacing_mm": description.spacing_mm,
        pixels.ASPECT: pixels.aspect(description.spacing_mm, dataset.spacings.values()),
        "config": json.loads(config.model_dump_json()),
    }


def _greeting(job, trainer, run_dir):
    config, (train_count, val_count) = job.config, job.counts
    size = " x ".join(map(str, config.model.image_size))
    if trainer is None:
        system = f"Forests  {config.model.name}, {config.forest.trees} trees each, {size} pixels\n"
    else:
        weights = sum(math.prod(w.shape) for w in trainer.network.trainable_variables)
        limit = counted(config.train.epochs, "epoch")
        limit += "" if config.train.minutes is None else f" or {config.train.minutes:g} minutes"
        batch_size = min(config.train.batch_size, train_count)
        system = (
            f"Network  {config.model.name}, {weights:,} weights, {size} pixels, {trainer.network.layers[1].dtype_policy.name}\n"
            f"Training {limit}, batches of {batch_size}, on the {devices.kind()}\n"
        )
    return (
        f"Data     {job.dataset.description.name} ({job.dataset.root}): {train_count} training, {val_count} validation images, "
        f"{len(job.dataset.description.names)} landmarks\n{system}"
        f"Run      {run_dir}" + ("" if trainer is None else f"   (tensorboard --logdir {run_dir}/tensorboard)")
    )
