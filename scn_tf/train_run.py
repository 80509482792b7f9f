"""Train a run: check settings and data, lock the folder, then train its system (:mod:`scn_tf.systems`)."""

import contextlib
import math
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import numpy as np

from scn_tf import __version__, build, systems
from scn_tf.config import Config, warn_if_too_large, warn_if_too_narrow
from scn_tf.config import from_dict as load_dict
from scn_tf.config import load as load_config
from scn_tf.data import fingerprint, pixels, shares, synthetic
from scn_tf.data.dataset import Dataset, open_dataset, warn_of_training_images
from scn_tf.environment import devices, speed, workers
from scn_tf.environment.speed import Speed
from scn_tf.errors import ConfigError, ConfigWarning, DatasetError, WriteError
from scn_tf.runs.folder import RunFolder
from scn_tf.runs.info import ModelInfo
from scn_tf.storage import files
from scn_tf.training import resuming
from scn_tf.training.job import Job
from scn_tf.types import PathName, known


def train(
    config: Config, run_dir: PathName, *, resume: bool = False, accept_changed_data: bool = False, reasons: str | None = None
) -> dict[str, Any]:
    """Train a run. All results are written to its folder.

    Args:
        config: :class:`scn_tf.config.Config`. With ``resume``, the run's own is read instead. Only ``data.root``,
            ``data.missing``, ``data.cache`` and ``data.service`` of this one are used then, if set.
        run_dir: folder to write (its files: docs/training.md).
        resume: continue from the state in ``run_dir`` to the same end. A run without state and model starts again.
        accept_changed_data: resume although the data have changed since the start of the run.
        reasons: why the settings are as they are, kept in the folder of a new run.

    Returns:
        the best network's validation summary: dict with ``epoch`` and the error.

    Raises:
        ConfigError, DatasetError, ImageError, CheckpointError: before training starts. A ConfigError also reports another process
            that trains this run.
        TrainingDiverged: the loss is no longer finite.
        WriteError: a checkpoint could not be written; the previous one is kept.
    """
    started = time.monotonic()
    devices.keep_large_blocks()
    speed.use_threads(speed.kept())
    run = RunFolder(Path(run_dir))
    if accept_changed_data and not resume:
        raise ConfigError("`accept_changed_data`: is for `resume`.")
    join_workers(_resumed_settings(config, run) if resume and run.settings.is_file() else config)
    with workers.lost_workers_named():
        if workers.is_chief():
            best = _lead(config, run, resume=resume, accept_changed_data=accept_changed_data, reasons=reasons, started=started)
        else:
            best = _follow(config, started)
    return best


def join_workers(config: Config) -> None:
    """Join the other processes if the settings ask for them. No part of TensorFlow may have computed before.

    Raises:
        ConfigError: the system cannot be trained by several processes, or see :func:`scn_tf.environment.workers.join`.
    """
    if config.train.strategy != "multi_worker":
        return
    if not systems.of(config).on_devices:
        raise ConfigError(f"train.strategy: multi_worker trains networks; model.name {config.model.name} trains in one process.")
    workers.join()


def _lead(
    config: Config, run: RunFolder, *, resume: bool, accept_changed_data: bool, reasons: str | None, started: float
) -> dict[str, Any]:
    """Train as the only process, or as the chief of several. See :func:`train`."""
    if workers.number() > 1:  # the others prepare the same while this one does
        config = _resumed_settings(config, run) if resume else config
        precision = devices.precision(config.train.precision)
        config = config.model_copy(update={"train": config.train.model_copy(update={"precision": precision})})
        workers.from_chief(lambda: config.model_dump(mode="json"))
    job = prepare(config, run, resume=resume, accept_changed_data=accept_changed_data, started=started)
    files.make_folder(run.checkpoints)
    with _locked(run):
        if not resume:
            check_unused(run)  # another process may have been faster while this one read its data
            resuming.put_state_aside(run)
        resuming.remove_leftovers(run)
        resuming.keep_settings(run, job.config, resume=resume)
        if not resume:
            resuming.keep_reasons(run, reasons)
        if not resume or not run.data.exists():
            resuming.keep_data(run, job.data)
        system = systems.of(job.config)
        with files.replaced(run.annotations) as temporary:
            temporary.write_bytes(system.sheet(job))
        return system.train(job)


def _follow(config: Config, started: float) -> dict[str, Any]:
    """Train as one of several processes that is not their chief, with the chief's settings. Nothing is written.

    Only the place of the data is this process's own. The synthetic set, which has no place, is drawn again.
    """
    root = config.data.root
    config = load_dict(workers.from_chief(lambda: {}), source="the chief's settings")
    with tempfile.TemporaryDirectory() as temporary:
        if root is not None:
            config = config.model_copy(update={"data": config.data.model_copy(update={"root": root})})
        job = prepare(config, RunFolder(Path(temporary) / "run"), resume=False, started=started)
        return systems.of(job.config).train(job)


def _fingerprint(config: Config, dataset: Dataset, ids: tuple[list[str], list[str]]) -> dict[str, Any]:
    """Fingerprint of the data. Several processes check that they have the same tables and lists, and each reads its share of the files.

    Raises:
        ConfigError: this process is not of the chief's version.
        DatasetError: it has other data.
    """
    if workers.number() == 1:
        return fingerprint.fingerprint(dataset, *ids)
    own, where = fingerprint.fingerprint(dataset, *ids, files={}), dataset.root / "dataset.yaml"
    version, data = workers.from_chief(lambda: (__version__, own))
    if version != __version__:
        raise ConfigError(f"train.strategy: this worker has scn_tf {__version__}, the chief {version}. Install the same version.")
    fingerprint.check_meaning(data, own, where)
    if found := fingerprint.changes(data, own):
        raise DatasetError(f"{where}: worker {workers.rank()} has other data than the chief: {'; '.join(found)}.")
    read = sorted({*shares.training_in_order(config.train, ids[0]), *shares.validation(ids[1])})
    parts = workers.gather({"ids": np.array(read), "digests": np.array([fingerprint.of_image(dataset, image_id) for image_id in read])})
    digests = {image_id: digest for part in parts for image_id, digest in zip(*(part[name].tolist() for name in part), strict=True)}
    return fingerprint.fingerprint(dataset, *ids, files=digests)


@contextlib.contextmanager
def _locked(run: RunFolder) -> Iterator[None]:
    """In the block, no other process can train this run."""
    lock = filelock.FileLock(run.lock, timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise ConfigError(f"{run}: another process is training this run.") from None
    except (OSError, NotImplementedError) as error:
        raise WriteError(f"{run.lock}: cannot be locked ({error}); choose a `run_dir` on a file system with locks.") from None
    try:
        yield
    finally:
        lock.release()


def check_unused(run: RunFolder) -> None:
    """Raise ConfigError if a folder holds the model of a run, or a data set."""
    if (run.path / "dataset.yaml").is_file():
        raise ConfigError(f"{run}: holds a data set; choose another `run_dir`.")
    if run.model_file():
        raise ConfigError(f"{run}: already holds a run; pass `resume` to continue it, or choose another `run_dir`.")


def prepare(config: Config, run: RunFolder, *, resume: bool, accept_changed_data: bool = False, started: float = 0.0) -> Job:
    """Open the data of a run and check all settings and data; see :func:`train`."""
    if resume:
        config = _resumed_settings(config, run)
    else:
        check_unused(run)
    resuming.check_outputs(run, config, resume=resume)
    system = systems.of(config)
    if resume and system.resumable:
        resuming.check_run(run, config)
    dataset = open_dataset(config.data.root or synthetic.ensure(run.path.parent / "synthetic_hands"))
    config = _resolved(config, dataset)
    ids = split_ids(config, dataset)
    config, found = _for_machine(config, dataset.description.dims, images=len(ids[0]))
    warn_of_training_images(dataset, config.data.val_split, ids[1], ids[0])
    _check_batch(config, len(ids[0]))
    vars(dataset)["unit"] = workers.from_chief(lambda: dataset.unit)  # which may read the first image of the set
    data = _fingerprint(config, dataset, ids)
    changed = resuming.changed_data(run, data, dataset.root / "dataset.yaml", accept=accept_changed_data) if resume else []
    examples = system.prepare(config, dataset, ids)
    warn_if_too_narrow(config.model, len(dataset.description.names))
    info = _info(config, dataset, data, examples.untrained)
    return Job(run, config, dataset, ids, examples, info, data, changed, started, found)


def _resumed_settings(config: Config, run: RunFolder) -> Config:
    """The run's own settings, with the places of the data from the given ones."""
    if not run.settings.is_file():
        raise ConfigError(f"{run}: no run there to resume.")
    asked, own = config.data, load_config(run.settings)
    moved: dict[str, Any] = {
        name: value for name in ("root", "missing") if name in asked.model_fields_set and (value := getattr(asked, name)) is not None
    }
    moved |= {name: getattr(asked, name) for name in ("cache", "service") if name in asked.model_fields_set}  # none is a place, too
    return own.model_copy(update={"data": own.data.model_copy(update=moved)})


def _resolved(config: Config, dataset: Dataset) -> Config:
    """Set every field for this data set."""
    given, dims = config.model, dataset.description.dims
    try:
        config = config.model_copy(update={"data": config.data.model_copy(update={"root": Path(dataset.root).resolve()})})
        config = config.resolved(dims)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if unused := build.unused(given, dims):
        fields = ", ".join(f"model.{field}" for field in unused)
        warnings.warn(f"{fields}: not used by model.name {config.model.name}.", ConfigWarning, stacklevel=3)
    return config


def _for_machine(config: Config, dims: int, *, images: int) -> tuple[Config, Speed | None]:
    """Decide what depends on the machine. The run records the precision and resumes with it, on other machines too."""
    if not systems.of(config).on_devices:
        return config, None
    train, model = config.train, config.model
    seconds = speed.expected_seconds(
        minutes=train.minutes, epochs=train.epochs, images=images, pixels=math.prod(known(model.image_size)), filters=known(model.filters)
    )
    found = speed.decide(train.precision, train.compile, dims, seconds=seconds, alone=devices.alone(train.strategy))
    return config.model_copy(update={"train": train.model_copy(update={"precision": found.precision})}), found


def split_ids(config: Config, dataset: Dataset) -> tuple[list[str], list[str]]:
    """IDs of the training and of the validation images."""
    chosen = config.data
    seed, less = config.train.seed, chosen.leave_out or ()
    training = dataset.drawn(chosen.train_split, chosen.train_count, seed=seed, leave_out=less, missing=chosen.missing)
    validation = dataset.drawn(chosen.val_split, None, seed=seed, leave_out=less, missing=chosen.missing)
    return training, validation


def _check_batch(config: Config, images: int) -> None:
    """Raise ConfigError if the replicas cannot share a batch. Warn if the batch size exceeds the number of images."""
    batch_size = min(config.train.batch_size, images)
    warn_if_too_large(config.train, images)
    replicas = devices.strategy(config.train.strategy, batch_size).num_replicas_in_sync
    if batch_size % replicas and systems.of(config).on_devices:
        raise ConfigError(f"train.batch_size: {batch_size} images cannot be shared equally by {replicas} replicas.")


def _info(config: Config, dataset: Dataset, data: dict[str, Any], untrained: tuple[str, ...]) -> ModelInfo:
    """Facts for the model file: everything that prediction and serving need."""
    description = dataset.description
    stated = [spacing for spacing in dataset.spacings.values() if spacing is not None]
    spacings = workers.gather({"stated": np.reshape(stated, [-1, description.dims])})  # of the images that each process read
    return ModelInfo(
        version=__version__,
        name=description.name,
        dims=description.dims,
        channels=description.channels,
        landmarks=description.names,
        coordinates=description.coordinates,
        labels=description.labels,
        unit=dataset.unit,
        spacing_mm=description.spacing_mm,
        untrained=untrained,
        measurements=description.measurements,
        aspect=pixels.aspect(description.spacing_mm, [spacing for part in spacings for spacing in part["stated"]]),
        config=config,
        data=fingerprint.short(data),
    )
