"""Train a run: data checked, callbacks, ``model.fit``; or forests grown."""

import contextlib
import json
import math
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import filelock
import numpy as np
import tensorflow as tf

from scn_tf import __version__, models
from scn_tf.config import Config, warn_if_too_large, warn_if_too_narrow
from scn_tf.config import load as load_config
from scn_tf.data import coverage, evidence, fingerprint, pipeline, pixels, synthetic
from scn_tf.data.dataset import Dataset, open_dataset, warn_of_training_images
from scn_tf.environment import devices
from scn_tf.errors import ConfigError, ConfigWarning, DatasetError
from scn_tf.figures import sheets
from scn_tf.scoring import localization
from scn_tf.storage import files
from scn_tf.storage.files import counted
from scn_tf.systems import forest
from scn_tf.systems.label_map import training as segmentation
from scn_tf.systems.opening import MODEL_FILES
from scn_tf.training import resuming
from scn_tf.training.callbacks import GoBackAfterCollapse, Schedule, StopOnNonFinite, Validation
from scn_tf.training.remaining import RemainingTime
from scn_tf.training.resuming import LOCK
from scn_tf.training.train_step import Trainer, build_trainer
from scn_tf.types import Array, Metadata, PathName, known

NEED_TWO = ("payer2016", "forest_shape")  # networks and forests whose landmarks help each other
ANNOTATIONS = "annotations.png"
ONE_DEVICE = (*forest.NAMES, "segmentation")


def train(config: Config, run_dir: PathName, *, resume: bool = False, accept_changed_data: bool = False) -> dict[str, Any]:
    """Train a run; everything that it finds is in its folder.

    Args:
        config: :class:`scn_tf.config.Config`; with ``resume`` the run's own is read instead, and only ``data.root`` and
            ``data.missing`` are taken from this one, if set.
        run_dir: folder to write (its files: docs/training.md).
        resume: continue from ``run_dir/checkpoints/last.npz`` to the same end; a run without it and without a model begins anew.
        accept_changed_data: resume although the data are not those that the run was started with.

    Returns:
        the best network's validation summary: dict with ``epoch`` and the error.

    Raises:
        ConfigError, DatasetError, ImageError, CheckpointError: before training starts; another process that trains this run is a
            ConfigError too.
        TrainingDiverged: the loss is no longer finite.
        WriteError: a checkpoint could not be written; the one before is kept.
    """
    started = time.monotonic()
    devices.keep_large_blocks()
    run_dir = Path(run_dir)
    if accept_changed_data and not resume:
        raise ConfigError("`accept_changed_data`: is for `resume`.")
    job = prepare(config, run_dir, resume=resume, accept_changed_data=accept_changed_data)
    files.make_folder(run_dir / "checkpoints")
    with _locked(run_dir):
        if not resume:
            _check_unused(run_dir)  # another process may have been faster while this one read its data
            resuming.put_state_aside(run_dir)
        resuming.remove_leftovers(run_dir)
        resuming.keep_settings(run_dir, job.config, resume=resume)
        if not resume or not (run_dir / resuming.DATA).exists():
            resuming.keep_data(run_dir, job.data)
        _draw_annotations(job, run_dir)
        return _train(job, run_dir, started)


@contextlib.contextmanager
def _locked(run_dir: Path) -> Iterator[None]:
    """Nobody else trains this run meanwhile."""
    lock = filelock.FileLock(run_dir / LOCK, timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise ConfigError(f"{run_dir}: another process is training this run.") from None
    except (OSError, NotImplementedError) as error:
        raise files.WriteError(f"{run_dir / LOCK}: cannot be locked ({error}); choose a `run_dir` where files can be locked.") from None
    try:
        yield
    finally:
        lock.release()


def _check_unused(run_dir: Path) -> None:
    """Raises ConfigError if a folder holds the model of a run, or a data set."""
    if (run_dir / "dataset.yaml").is_file():
        raise ConfigError(f"{run_dir}: holds a data set; choose another `run_dir`.")
    if run_dir.is_dir() and any((run_dir / name).is_file() for name in MODEL_FILES):
        raise ConfigError(f"{run_dir}: already holds a run; pass `resume` to continue it, or choose another `run_dir`.")


def _train(job: "Job", run_dir: Path, started: float) -> dict[str, Any]:
    if job.config.model.name in forest.NAMES:
        return _grow_forests(job, run_dir)
    if job.config.model.name == "segmentation":
        print(f"Labels   {run_dir / ANNOTATIONS}   (first training images: do the labels lie where they belong?)", flush=True)
        return segmentation.train(job, run_dir, _metadata(job), started)
    return _fit(job, run_dir, started)


class Job(NamedTuple):
    """What a training needs, checked: resolved configuration, data set, IDs and examples of its two splits; of label maps, arrays.

    ``untrained``: names of the landmarks, or labels, that no training image shows.
    """

    config: Config
    dataset: Dataset
    ids: tuple[list[str], list[str]]
    training: tf.data.Dataset | segmentation.Examples
    validation: tf.data.Dataset | segmentation.Examples
    data: dict[str, Any]  # fingerprint of both splits
    changed: list[str]  # what of it was accepted as changed since the run was started
    untrained: tuple[str, ...] = ()

    @property
    def counts(self) -> tuple[int, int]:
        """Number of training and validation images."""
        return len(self.ids[0]), len(self.ids[1])


def prepare(config: Config, run_dir: Path, *, resume: bool, accept_changed_data: bool = False) -> Job:
    """Open the data of a run and check it whole; see :func:`train`."""
    if resume:
        if not (run_dir / "config.yaml").is_file():
            raise ConfigError(f"{run_dir}: no run there to resume.")
        asked, config = config.data, load_config(run_dir / "config.yaml")
        moved: dict[str, Any] = {
            name: value for name in ("root", "missing") if name in asked.model_fields_set and (value := getattr(asked, name)) is not None
        }
        config = config.model_copy(update={"data": config.data.model_copy(update=moved)})
    else:
        _check_unused(run_dir)
    resuming.check_outputs(run_dir, config, resume=resume)
    if resume and config.model.name not in ONE_DEVICE:
        resuming.check_run(run_dir, config)
    root = config.data.root or synthetic.ensure(run_dir.parent / "synthetic_hands")
    dataset = open_dataset(root)
    given = config.model
    try:
        config = config.model_copy(update={"data": config.data.model_copy(update={"root": Path(root).resolve()})})
        config = _with_precision(config.resolved(dataset.description.dims))
    except ValueError as error:
        raise ConfigError(str(error)) from None
    chosen, name = config.data, config.model.name
    if name not in forest.NAMES and (unused := models.unused(given, dataset.description.dims)):
        fields = ", ".join(f"model.{field}" for field in unused)
        warnings.warn(f"{fields}: not used by model.name {name}.", ConfigWarning, stacklevel=2)
    train_ids = dataset.drawn(chosen.train_split, chosen.train_count, seed=config.train.seed, missing=chosen.missing)
    val_ids = dataset.split(chosen.val_split, missing=chosen.missing)
    warn_of_training_images(dataset, chosen.val_split, val_ids, train_ids)
    data = fingerprint.fingerprint(dataset, train_ids, val_ids)
    where = dataset.root / "dataset.yaml"
    changed = resuming.changed_data(run_dir, data, where, accept=accept_changed_data) if resume else []
    batch_size = min(config.train.batch_size, len(train_ids))
    warn_if_too_large(config.train, len(train_ids))
    replicas = devices.strategy(config.train.strategy, batch_size).num_replicas_in_sync
    if batch_size % replicas and name not in ONE_DEVICE:
        raise ConfigError(f"train.batch_size: {batch_size} images cannot be shared equally by {replicas} replicas.")
    if name == "segmentation":
        if resume:
            raise ConfigError(f"{run_dir}: runs of model.name segmentation cannot be resumed; choose another `run_dir`.")
        training, validation, untrained = segmentation.read(config, dataset, (train_ids, val_ids))
        return Job(config, dataset, (train_ids, val_ids), training, validation, data, changed, untrained)
    training, validation, untrained = _examples(dataset, train_ids, val_ids, config)
    if name in NEED_TWO and len(dataset.description.names) < 2:
        raise ConfigError(f"model.name: {config.model.name} places landmarks by each other, {dataset.root} has one.")
    warn_if_too_narrow(config.model, len(dataset.description.names))
    return Job(config, dataset, (train_ids, val_ids), training, validation, data, changed, untrained)


def _examples(
    dataset: Dataset, train_ids: list[str], val_ids: list[str], config: Config
) -> tuple[tf.data.Dataset, tf.data.Dataset, tuple[str, ...]]:
    """Examples of both splits, and the names of the landmarks that no training image shows; warns of what cannot be learned.

    Raises:
        DatasetError, ImageError: see :func:`scn_tf.data.pipeline.examples`; nothing to train on, or nothing to measure.
    """
    names, chosen, table = dataset.description.names, config.data, dataset.table
    shown, annotated = np.zeros(len(names), int), np.zeros(len(names), int)
    surroundings = evidence.Surroundings(dataset.description.coordinates)

    def look(example: dict[str, Array]) -> None:
        shown[:] += example["visible"] > 0
        surroundings.add(example)

    def count(example: dict[str, Array]) -> None:
        annotated[:] += example["annotated"] > 0

    training = pipeline.examples(dataset, train_ids, config, measured=False, observe=look)
    validation = pipeline.examples(dataset, val_ids, config, observe=count)
    untrained = tuple(coverage.untrained(names, shown))
    if not shown.any():
        raise DatasetError(f"{table}: split {chosen.train_split} has no annotated landmark to train on.")
    if not annotated.any():
        raise DatasetError(f"{table}: split {chosen.val_split} has no annotated landmark to measure errors with.")
    if not annotated[shown > 0].any():
        raise DatasetError(
            f"{table}: split {chosen.val_split} has no landmark that a training image shows, so nothing measures errors. "
            f"Only {coverage.listed(untrained)} are annotated there."
        )
    coverage.warn_of_coverage(table, names, shown, len(train_ids), annotated=annotated)
    evidence.warn_of_frame(surroundings, table)
    return training, validation, untrained


def _with_precision(config: Config) -> Config:
    """What ``auto`` is on this machine, so that the run says it and goes on with it elsewhere."""
    if config.model.name in ONE_DEVICE:  # forests and label maps have none
        return config
    return config.model_copy(update={"train": config.train.model_copy(update={"precision": devices.precision(config.train.precision)})})


def _fit(job: Job, run_dir: Path, started: float) -> dict[str, Any]:
    """Train a network; see :func:`train`."""
    config, description, (count, _) = job.config, job.dataset.description, job.counts
    batch_size = min(config.train.batch_size, count)
    with devices.strategy(config.train.strategy, batch_size).scope():
        trainer = build_trainer(config, landmarks=len(description.names), channels=description.channels)
    progress = resuming.begin(trainer.state(), run_dir, config, data=job.data, changed=job.changed)
    if job.changed and not progress["finished"]:
        resuming.keep_data(run_dir, job.data)
    steps = count // batch_size
    schedule = Schedule(config.train, steps=steps, started=started - progress["seconds"], steps_done=steps * progress["epoch"])
    validate = Validation(
        trainer,
        job.validation,
        run_dir=run_dir,
        metadata=_metadata(job),
        progress=progress,
        schedule=schedule,
        names=description.names,
    )
    print(_greeting(job, trainer, run_dir), flush=True)
    if progress["finished"]:
        print("This run came to its end before; nothing is left to train. A longer one is a new run.", flush=True)
        return progress["best"]
    bar = sys.stdout.isatty()
    annotated = np.mean([np.isfinite(job.dataset.landmarks[identity]).all(axis=-1).mean() for identity in job.ids[0]])
    trainer.fit(
        pipeline.training_batches(job.training, count=count, batch_size=batch_size, seed=config.train.seed, first_epoch=progress["epoch"]),
        epochs=config.train.epochs,
        initial_epoch=progress["epoch"],
        steps_per_epoch=steps,
        shuffle=False,
        callbacks=[
            schedule,
            StopOnNonFinite(),
            GoBackAfterCollapse(trainer, resuming.comparable(progress), annotated=annotated),
            validate,
            RemainingTime(schedule, bar=bar),
        ],
        verbose=1 if bar else 2,
    )
    return progress["best"]


def _grow_forests(job: Job, run_dir: Path) -> dict[str, Any]:
    """Grow the forests of a run; see :func:`train`. There are no epochs: what is resumed begins anew."""
    config, path = job.config, run_dir / forest.MODEL_FILE
    metadata = _metadata(job)
    if not path.exists():
        if job.changed:
            resuming.keep_data(run_dir, job.data)
        print(_greeting(job, None, run_dir), flush=True)
        forest.train(config, _arrays(job.training), path, metadata)
    locate, _ = forest.load_localizer(path)
    errors = localization.point_errors(localization.localize(locate, job.validation))
    error = float(np.nanmean(errors[:, coverage.trained_columns(metadata["landmarks"], metadata)]))
    return {"epoch": None, "error": error, "unit": metadata["unit"]}


def _arrays(examples: tf.data.Dataset) -> list[dict[str, Array]]:
    """Examples (see :mod:`scn_tf.data.pipeline`) as NumPy dicts."""
    return [{name: value.numpy() for name, value in example.items()} for example in examples]


def _draw_annotations(job: Job, run_dir: Path) -> None:
    """``annotations.png``: the first training images with their points, or label maps, for people to look at."""
    ids = job.ids[0]
    if isinstance(job.training, tuple):
        images, maps = job.training
        content = sheets.label_sheet(images, maps, ids)
    else:
        first = job.training.take(sheets.MOST_IMAGES[job.dataset.description.dims])
        content = sheets.annotation_sheet(_arrays(first), ids, job.dataset.description.names)
    with files.replaced(run_dir / ANNOTATIONS) as temporary:
        temporary.write_bytes(content)


def _metadata(job: Job) -> Metadata:
    """What a model file says of itself, JSON-like: all that prediction and serving need to know."""
    config, dataset, description = job.config, job.dataset, job.dataset.description
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
        "untrained": list(job.untrained),
        pixels.ASPECT: pixels.aspect(description.spacing_mm, dataset.spacings.values()),
        "config": json.loads(config.model_dump_json()),
        "data": fingerprint.short(job.data),
    }


def _greeting(job: Job, trainer: Trainer | None, run_dir: Path) -> str:
    config, (train_count, val_count) = job.config, job.counts
    size = " x ".join(map(str, known(config.model.image_size)))
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
        f"Points   {run_dir / ANNOTATIONS}   (first training images: do the points lie where they belong?)\n"
        f"Run      {run_dir}" + ("" if trainer is None else f"   (tensorboard --logdir {run_dir}/tensorboard)")
    )
