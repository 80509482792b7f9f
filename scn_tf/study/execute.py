"""Carry out a study's runs, each in a process of its own; what is finished is not done again."""

import os
import subprocess
import sys
from concurrent import futures
from pathlib import Path

from tqdm import tqdm

from scn_tf import files
from scn_tf.config import ConfigError, load


def folder(out, run):
    """Run folder of a run."""
    return Path(out) / "runs" / run.name


def settings_file(out, run):
    """Configuration that a run is started with."""
    return Path(out) / "configs" / f"{run.name}.yaml"


def errors_file(out, run):
    """The table of errors that a finished run has."""
    return folder(out, run) / "evaluation" / run.config.data.val_split / "errors.csv"


def check_settings(out, runs):
    """A study's folder must hold no run with other settings than the study says, but for where the data lie.

    Raises:
        ConfigError: naming the run.
    """
    for run in runs:
        path = settings_file(out, run)
        if path.is_file() and _without_root(load(path)) != _without_root(run.config):
            raise ConfigError(
                f"{path}: the study's folder holds this run with other settings; choose another --out, or remove it and runs/{run.name}."
            )


def unfinished(out, runs):
    """Runs that have not been evaluated yet, in order."""
    return [run for run in runs if not errors_file(out, run).is_file()]


def log_file(out, run):
    """What a run's process prints."""
    return Path(out) / "logs" / f"{run.name}.log"


def run_all(out, runs, *, jobs=1, progress=True):
    """Carry out all unfinished runs, ``jobs`` at a time.

    Args:
        out: folder of the study: ``runs/``, ``configs/`` and ``logs/`` are written there.
        runs: list of :class:`scn_tf.study.plan.Run`.
        jobs: processes at a time.
        progress: show a bar.

    Returns:
        names of the runs that failed; their logs say why.

    Raises:
        ConfigError: see :func:`check_settings`; before anything is started.
    """
    check_settings(out, runs)
    waiting = unfinished(out, runs)
    failed = []
    bar = tqdm(total=len(runs), initial=len(runs) - len(waiting), desc="Study", unit="run", disable=None if progress else True)
    with bar, futures.ThreadPoolExecutor(jobs) as pool:
        started = {pool.submit(run_one, out, run): run for run in waiting}
        try:
            for future in futures.as_completed(started):
                if future.result() != 0:
                    failed.append(started[future].name)
                bar.update()
        except BaseException:  # Ctrl-C reaches the processes too; what has not begun must not begin now
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    return failed


def run_one(out, run):
    """Train and evaluate one run in a process of its own; returns its exit status. A run that was interrupted goes on."""
    target, settings, log = folder(out, run), settings_file(out, run), log_file(out, run)
    check_settings(out, [run])
    files.write_text(settings, run.config.to_yaml())
    command = [sys.executable, "-m", "scn_tf", "train", "--run_dir", str(target)]
    if (target / "config.yaml").is_file():
        command.append("--resume")
        command += ["--data.root", str(run.config.data.root)] if run.config.data.root else []
    else:
        command += ["--config", str(settings)]
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "a", encoding="utf-8") as output:
        # Its own working folder may hold another scn_tf; the search path of this process must not change with it.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), *sys.path[1:]]))}
        return subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False, env=environment).returncode


def _without_root(config):
    return config.model_copy(update={"data": config.data.model_copy(update={"root": None})})
