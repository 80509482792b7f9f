"""Carry out a study's runs, each in its own process. Finished runs are not repeated."""

import contextlib
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Sequence
from concurrent import futures
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from scn_tf.config import Config, differences, load, warn_if_too_narrow
from scn_tf.data import synthetic
from scn_tf.data.dataset import Dataset, open_dataset
from scn_tf.environment import cores, parent
from scn_tf.errors import ConfigError, DatasetError, DataWarning, MissingImagesError, NoImageLeftError
from scn_tf.runs.folder import RunFolder
from scn_tf.storage import files, ownership
from scn_tf.storage.files import counted
from scn_tf.study import error_table, run_settings
from scn_tf.study.plan import Run
from scn_tf.training.remaining import Lines
from scn_tf.types import PathName

POLL_SECONDS = 0.5  # between two looks at whether a process shall stop
STOP_SECONDS = 7  # for a process to end; its state of the last epoch is saved
STOPPED = 130  # exit status of a training that was told to stop, which for itself is no failure
LEFT_OUT = "left_out.txt"


def folder(out: PathName, run: Run) -> Path:
    """Run folder of a run."""
    return Path(out) / "runs" / run.name


def settings_file(out: PathName, run: Run) -> Path:
    """Configuration file of a run."""
    return Path(out) / "configs" / f"{run.name}.yaml"


def errors_file(out: PathName, run: Run) -> Path:
    """Table of errors of a finished run."""
    return RunFolder(folder(out, run)).evaluation(run.config.data.val_split) / "errors.csv"


def check_settings(out: PathName, runs: Sequence[Run]) -> None:
    """Check that all runs in a study's folder have the settings of the study, apart from the place of the data.

    This includes runs whose folders were removed, if their errors are in the long table.

    Raises:
        ConfigError: a run has other or invalid settings; the message names it.
    """
    _check_stored(Path(out), [run for run in runs if not errors_file(out, run).is_file()])
    for run in runs:
        path = RunFolder(folder(out, run)).settings  # with every field set
        if not path.is_file():
            path = settings_file(out, run)
        if not path.is_file():
            continue
        stored = load(path)
        if fields := differences(stored, run.config):
            raise ConfigError(
                f"{path}: the study's folder holds this run with other settings ({', '.join(fields)}); "
                f"choose another folder for `out`, or remove it and runs/{run.name}."
            )
        if stored.model.image_size:  # it tells how many dimensions: what cannot be is said now
            _resolved(run, len(stored.model.image_size))


def stored_settings(out: PathName) -> dict[str, Config]:
    """Settings by name of the runs in the long table."""
    out = Path(out)
    return run_settings.read(out / run_settings.NAME) if (out / error_table.NAME).is_file() else {}


def settings_of(out: PathName, run: Run) -> Config:
    """Settings that a run was trained with, if the study's folder has them."""
    for path in (RunFolder(folder(out, run)).settings, settings_file(out, run)):
        if path.is_file():
            return load(path)
    return run.config


def _check_stored(out: Path, runs: list[Run]) -> None:
    stored = stored_settings(out) if runs else {}
    for run in runs:
        if run.name in stored and (fields := differences(stored[run.name], run.config)):
            raise ConfigError(
                f"{out / error_table.NAME}: the study's folder holds this run with other settings ({run.name}: {', '.join(fields)}); "
                f"choose another folder for `out`, or remove that file: it is written again from the folders in runs/."
            )


def check_data(out: PathName, runs: Sequence[Run]) -> list[Run]:
    """Open the data sets of runs and read their splits. Missing images are reported once, instead of in the log of every run.

    Args:
        out: folder of the study.
        runs: all its :class:`scn_tf.study.plan.Run`.

    Returns:
        the runs that have images. If missing images are skipped, runs without any training or validation image are left out, with a
        warning.

    Raises:
        ConfigError: a network cannot be built for these data, or two folds validate the same image.
        DatasetError: a data set or split does not exist, images are missing, or a split has fewer images than a run draws.
    """
    opened: dict[Path | None, Dataset] = {}
    drawn: dict[tuple[Path | None, str, int | None, str], list[str]] = {}
    judged: dict[tuple[str, str, Path | None, str], str] = {}
    missing: dict[Path | None, tuple[MissingImagesError, set[str]]] = {}
    possible = []
    for run in runs:
        data = run.config.data
        if data.root not in opened:
            opened[data.root] = open_dataset(data.root or synthetic.ensure(folder(out, run).parent / "synthetic_hands"))
        description = opened[data.root].description
        warn_if_too_narrow(_resolved(run, description.dims).model, len(description.names))
        keys = [(data.root, split, count, data.missing) for split, count in ((data.train_split, data.train_count), (data.val_split, None))]
        for key in keys:
            if key not in drawn:
                try:
                    drawn[key] = _drawn(opened[data.root], *key[1:])
                except MissingImagesError as error:
                    drawn[key] = []
                    missing.setdefault(data.root, (error, set()))[1].update(error.absent)
        training, judging = (drawn[key] for key in keys)
        for image_id in judging:
            fold = judged.setdefault((run.system, run.size, data.root, image_id), run.fold)
            if fold != run.fold:
                raise ConfigError(f"{image_id}: validated in folds {fold} and {run.fold}, so it would count twice; folds must not overlap.")
        if training and judging:
            possible.append(run)
    for first, absent in missing.values():
        raise DatasetError(f"{first} In total, lists of the study name {counted(len(absent), 'missing image')} of this set.")
    names = {run.name for run in possible}
    left_out = [run.name for run in runs if run.name not in names]
    if left_out:
        warnings.warn(f"without any image, left out: {', '.join(left_out)}.", DataWarning, stacklevel=2)
        listed = ownership.one_of(run.name for run in runs)
        files.write_text(Path(out) / LEFT_OUT, "".join(f"{name}\n" for name in left_out), ours=listed)
    else:
        (Path(out) / LEFT_OUT).unlink(missing_ok=True)
    return possible


def left_out(out: PathName) -> set[str]:
    """Names of the runs that :func:`check_data` left out, from its file. A report may be made on a machine without the data."""
    path = Path(out) / LEFT_OUT
    return set(path.read_text().split("\n")[:-1]) if path.is_file() else set()


def _drawn(dataset: Dataset, split: str, count: int | None, missing: Literal["refuse", "skip"]) -> list[str]:
    try:
        return dataset.drawn(split, count, seed=0, missing=missing)
    except NoImageLeftError as error:
        warnings.warn(str(error), DataWarning, stacklevel=3)
        return []


def _resolved(run: Run, dims: int) -> Config:
    try:
        return run.config.resolved(dims)
    except ValueError as error:
        raise ConfigError(f"run {run.name}: {error}") from None


def unfinished(out: PathName, runs: Sequence[Run]) -> list[Run]:
    """Runs that are not evaluated yet, in order."""
    return [run for run in runs if not errors_file(out, run).is_file()]


def log_file(out: PathName, run: Run) -> Path:
    """Log file of a run's process."""
    return Path(out) / "logs" / f"{run.name}.log"


def run_all(out: PathName, runs: Sequence[Run], *, jobs: int = 1, progress: bool = True) -> list[str]:
    """Carry out all unfinished runs, ``jobs`` at a time.

    Args:
        out: folder of the study: ``runs/``, ``configs/`` and ``logs/`` are written there.
        runs: list of :class:`scn_tf.study.plan.Run`.
        jobs: number of parallel processes. They share the processor's cores equally.
        progress: show a bar.

    Returns:
        names of the runs that failed; their logs say why.

    Raises:
        ConfigError, DatasetError: see :func:`check_settings` and :func:`check_data`. No run is started then.
    """
    check_settings(out, runs)
    waiting = unfinished(out, runs)
    if waiting:
        waiting = unfinished(out, check_data(out, runs))
    failed, stop = [], threading.Event()
    lines = Lines("Study", len(runs), "runs", done=len(runs) - len(waiting)) if progress else None
    bar = tqdm(total=len(runs), initial=len(runs) - len(waiting), desc="Study", unit="run", disable=None if progress else True)
    with bar, futures.ThreadPoolExecutor(jobs) as pool:
        started = {
            pool.submit(run_one, out, run, threads=cores.threads_of_each(min(jobs, len(waiting))), stop=stop): run for run in waiting
        }
        try:
            for future in futures.as_completed(started):
                if future.result() != 0:
                    failed.append(started[future].name)
                bar.update()
                if lines:
                    lines.update()
        except BaseException:  # SIGTERM reaches this process alone; what has not begun must not begin now
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return failed


def run_one(out: PathName, run: Run, *, threads: int | None = None, stop: threading.Event | None = None) -> int:
    """Train and evaluate one run in its own process, and return its exit status. An interrupted run is resumed.

    Args:
        out: folder of the study.
        run: :class:`scn_tf.study.plan.Run`.
        threads: number of threads; None: the default of its libraries. The user's environment takes precedence.
        stop: ``threading.Event`` that ends the process from another thread.
    """
    target, settings, log = folder(out, run), settings_file(out, run), log_file(out, run)
    check_settings(out, [run])
    files.write_text(settings, run.config.to_yaml())
    command = [sys.executable, "-P", "-m", "scn_tf", "train", "--run-dir", str(target)]
    if RunFolder(target).settings.is_file():
        command.append("--resume")
        command += ["--data.root", str(run.config.data.root)] if run.config.data.root else []
        command += ["--data.missing", run.config.data.missing]
    else:
        command += ["--config", str(settings)]
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "a", encoding="utf-8") as output:
        # The working folder may hold another scn_tf: this process' search path counts, and -P keeps the folder out of it.
        search_path = os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), *sys.path[1:]]))
        environment = {**os.environ, **cores.variables(threads), **parent.variables(), "PYTHONPATH": search_path}
        with subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment) as process:
            status = _waited_for(process, stop)
    return status or (0 if errors_file(out, run).is_file() else STOPPED)


def _waited_for(process: subprocess.Popen, stop: threading.Event | None) -> int:
    """Wait for a process and return its exit status.

    If this thread is interrupted or ``stop`` is set, the process is asked to save and end.
    """
    try:
        while process.poll() is None and not (stop and stop.is_set()):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(None if stop is None else POLL_SECONDS)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
    return process.wait()
