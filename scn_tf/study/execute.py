"""Carry out a study's runs, each in a process of its own; what is finished is not done again."""

import os
import subprocess
import sys
from concurrent import futures
from pathlib import Path

from tqdm import tqdm

from scn_tf import files
from scn_tf.config import ConfigError, load

CHECKPOINT = Path("checkpoints") / "last.npz"


def folder(out, run):
    """Run folder of a run."""
    return Path(out) / "runs" / run.name


def errors_file(out, run):
    """The table of errors that a finished run has."""
    return folder(out, run) / "evaluation" / run.config.data.val_split / "errors.csv"


def unfinished(out, runs):
    """Runs that have not been evaluated yet, in order."""
    return [run for run in runs if not errors_file(out, run).is_file()]


def run_all(out, runs, *, jobs=1, progress=True):
    """Carry out all unfinished runs, ``jobs`` at a time.

    Args:
        out: folder of the study: ``runs/``, ``configs/`` and ``logs/`` are written there.
        runs: list of :class:`scn_tf.study.plan.Run`.
        jobs: processes at a time.
        progress: show a bar.

    Returns:
        names of the runs that failed; their logs say why.
    """
    waiting = unfinished(out, runs)
    failed = []
    with futures.ThreadPoolExecutor(jobs) as pool:
        started = {pool.submit(run_one, out, run): run for run in waiting}
        bar = tqdm(total=len(runs), initial=len(runs) - len(waiting), desc="Study", unit="run", disable=None if progress else True)
        for future in futures.as_completed(started):
            if future.result() != 0:
                failed.append(started[future].name)
            bar.update()
        bar.close()
    return failed


def run_one(out, run):
    """Train and evaluate one run in a process of its own; returns its exit status. A run that was interrupted goes on."""
    out, target = Path(out), folder(out, run)
    settings = out / "configs" / f"{run.name}.yaml"
    _keep_settings(settings, run)
    command = [sys.executable, "-m", "scn_tf", "train", "--run_dir", str(target)]
    started = (target / CHECKPOINT).is_file() or (target / "model.npz").is_file()
    command += ["--resume"] if started else ["--config", str(settings)]
    log = out / "logs" / f"{run.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "a", encoding="utf-8") as output:
        # Its own working folder may hold another scn_tf; the search path of this process must not change with it.
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), *sys.path[1:]]))}
        return subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False, env=environment).returncode


def _keep_settings(path, run):
    """Write a run's configuration; one that is there must say the same, but for where the data lie."""
    text = run.config.to_yaml()
    if path.is_file() and _without_root(load(path)) != _without_root(run.config):
        raise ConfigError(
            f"{path}: the study's folder holds this run with other settings; choose another --out, or remove runs/{run.name}."
        )
    files.write_text(path, text)


def _without_root(config):
    return config.model_copy(update={"data": config.data.model_copy(update={"root": None})})
