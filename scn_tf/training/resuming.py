"""Resuming of runs: state, model and data, and checks that all belong to the same run.

An existing model is never replaced by a new start. Files that do not belong together are refused, with advice.
"""

import csv
import json
import shutil
import warnings
from pathlib import Path

from scn_tf import config
from scn_tf.config import Config
from scn_tf.data import fingerprint
from scn_tf.errors import CheckpointError, ConfigError, ConfigWarning, DatasetError
from scn_tf.runs import checkpoints
from scn_tf.runs.folder import MODEL, STATE, RunFolder
from scn_tf.storage import files, ownership, tables

# Settings of which another value makes another run, whatever else was changed by hand.
IDENTITY = ("model.", "heatmap.", "train.seed", "data.train_split", "data.val_split", "data.train_count", "data.leave_out", "data.rater")
NEW = {"epoch": 0, "seconds": 0.0, "best": None, "finished": False}


def check_outputs(run: RunFolder, settings: Config, *, resume: bool) -> None:
    """Check before any work that a run may write its files. Files of the user are never replaced.

    Raises:
        ConfigError, WriteError: another program wrote a file with one of these names, or the settings belong to another run.
    """
    path = run.settings
    if path.exists() and not resume:
        files.check_writable(path)
        if not run.lock.exists() and config.differences(settings, config.load(path)):
            raise ConfigError(f"{path}: already exists, with other settings and no run beside it; choose another `run_dir`.")
    # Of a run that is resumed, model, fingerprint and state are read before they are replaced, and refused with a better message.
    read = {run.model, run.data, run.state} if resume else set()
    for path in (*run.written(), run.state):
        if path != run.settings and path.parent.exists():
            files.check_writable(path, ours=ownership.anything if path in read else ownership.is_ours)


def remove_leftovers(run: RunFolder) -> None:
    """Remove temporary files of killed processes. The caller must hold the run's lock."""
    files.remove_leftovers(run.path, [path.name for path in (*run.written(), *run.kept_models())])
    files.remove_leftovers(run.checkpoints, [run.state.name, run.older_state.name])


def check_run(run: RunFolder, settings: Config) -> None:
    """Check that a network's run can be resumed, before its data are read.

    Raises:
        ConfigError: there is a model without a state although the run is not complete, settings that no run wrote, or only a history.
    """
    if run.state.exists():
        return
    if run.model.exists():
        if finished_best(run, settings) is None:
            raise ConfigError(
                f"{run}: holds {MODEL}, but not the state to resume it from ({STATE}), and is not complete. "
                "The model can be used as it is; start a new run with another `run_dir`."
            )
        return
    if not ownership.is_ours(run.settings):
        raise ConfigError(
            f"{run.settings}: was not written by a run, and there is none to resume; pass it as `config` with another `run_dir`."
        )
    if run.history.exists():
        raise ConfigError(
            f"{run}: its model and the state to resume it from ({STATE}) are missing; start a new run with another `run_dir`."
        )


def finished_best(run: RunFolder, settings: Config) -> dict | None:
    """Validation of the model of a run without a state, if model and history show that all epochs were trained. Else None."""
    try:
        info = checkpoints.read_info(run.model)
        rows = list(csv.DictReader(run.history.read_text(encoding="utf-8").splitlines()))
        ended = bool(rows) and int(rows[-1]["epoch"]) >= settings.train.epochs
    except (CheckpointError, OSError, ValueError, KeyError, TypeError, csv.Error):
        return None
    return info.validation if ended and not _foreign(info.config, settings) else None


def changed_data(run: RunFolder, now: dict, where: Path, *, accept: bool) -> list[str]:
    """Changes of a run's data since its start. For a run of an older version, the model's facts are compared.

    Args:
        run: the run's folder.
        now: fingerprint of the data (:mod:`scn_tf.data.fingerprint`).
        where: place of the data, for messages.
        accept: whether the user accepts the changes.

    Raises:
        DatasetError: the data have changed and this was not accepted, or the landmarks have another order.
        CheckpointError: the fingerprint is damaged.
    """
    if run.data.exists():
        before = _read_fingerprint(run.data)
        fingerprint.check_meaning(before, now, where)
        found = fingerprint.changes(before, now)
    elif run.model.exists():
        info = checkpoints.read_info(run.model)
        fingerprint.check_meaning(fingerprint.of_model(info), now, where)
        found = fingerprint.changes_for_model(info, now)
    else:
        found = []
    if found and not accept:
        raise DatasetError(
            f"{where}: the data are not those that {run} was started with: {'; '.join(found)}. Put them back, start a new run, or "
            "pass `accept_changed_data`: then errors before and after are not compared."
        )
    return found


def begin(variables: list, run: RunFolder, settings: Config, *, data: dict, changed: list[str]) -> dict:
    """Assign the variables from a run's state, if it has one, and return its progress.

    Args:
        variables: of :meth:`scn_tf.training.trainer.Trainer.state`.
        run: the run's folder, locked.
        settings: resolved configuration.
        data: fingerprint of the data.
        changed: accepted changes of the data. If any, earlier errors do not count, and the best model so far is kept under another name.

    Returns:
        dict with ``epoch``, ``seconds``, ``best``, ``history``, ``finished``, ``config``, ``accepted``.

    Raises:
        CheckpointError: state or model are damaged or belong to another run.
    """
    fresh = {**NEW, "history": [], "accepted": [], "config": json.loads(settings.model_dump_json())}
    if not run.state.exists():
        best = finished_best(run, settings) if run.model.exists() else None
        progress = {**fresh, "finished": best is not None, "best": best}
        if best is None:  # from now on there is a state before there is a model
            checkpoints.save_state(variables, run.state, progress)
        return progress
    try:
        progress = {**fresh, **checkpoints.load_state(variables, run.state)}
    except CheckpointError as error:
        kept = "The model can be used as it is; train" if run.model.exists() else "Train"
        raise CheckpointError(f"{error} {kept} again with another `run_dir`.") from None
    if other := _foreign(config.from_dict(progress["config"], source="checkpoint"), settings):
        raise CheckpointError(f"{run.state}: belongs to another run, with another {', '.join(other)} than {run.settings}.")
    progress["config"] = fresh["config"]
    _check_model(run, settings, progress, data)
    if progress["history"]:  # a kill may have come before the last row was written
        _keep_history(run.history, progress["history"])
    if changed and not progress["finished"]:
        _start_afresh(variables, run, progress, changed)
    return progress


def comparable(progress: dict) -> list[dict]:
    """Rows of the history since the last change of the data. Earlier losses are of other data."""
    last = max((entry["epoch"] for entry in progress["accepted"]), default=0)
    return [row for row in progress["history"] if row["epoch"] > last]


def keep_settings(run: RunFolder, settings: Config, *, resume: bool) -> None:
    """Write the settings, unless the file already has them. A file that was changed by hand is not rewritten.

    Raises:
        ConfigError: the file was changed by hand and would have to be rewritten.
    """
    path = run.settings
    if resume and path.exists() and config.load(path) == settings:
        return
    if resume and path.exists() and not ownership.is_ours(path):
        raise ConfigError(
            f"{path}: was changed by hand, so it is not rewritten; set {', '.join(_changes(config.load(path), settings))} there and "
            "resume again."
        )
    files.write_text(path, settings.to_yaml())


def _changes(written: Config, settings: Config) -> list[str]:
    """Settings that differ, with their new values."""
    old, new = written.model_dump(), settings.model_dump()
    return [
        f"{section}.{name} to {value}" for section, fields in new.items() for name, value in fields.items() if value != old[section][name]
    ]


def keep_reasons(run: RunFolder, reasons: str | None) -> None:
    """Write why the settings are as they are. Reasons of an earlier run are removed."""
    if reasons is not None:
        files.write_text(run.reasons, f"{ownership.REASONS.decode()}{reasons}\n")
    elif run.reasons.exists() and ownership.is_ours(run.reasons):
        run.reasons.unlink()


def keep_data(run: RunFolder, data: dict) -> None:
    """Write the fingerprint of the data."""
    files.write_text(run.data, json.dumps(data, indent=1) + "\n")


def put_state_aside(run: RunFolder) -> None:
    """Rename the state of a run whose model was removed, so that a new run starts without it."""
    if run.state.exists():
        files.check_writable(run.older_state)
        run.state.replace(run.older_state)


def _read_fingerprint(path: Path) -> dict:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["version"] != fingerprint.VERSION:
            raise ValueError(f"version {found['version']}")
        fingerprint.check_meaning(found, found, path)
        fingerprint.changes(found, found)
        return found
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: cannot be read ({files.first_line(error)}); remove it to compare the data with the facts of the model."
        ) from None


def _foreign(other: Config, settings: Config) -> list[str]:
    """Settings in which another run differs and which resuming cannot change."""
    return [name for name in config.differences(other, settings) if name == "model" or name.startswith(IDENTITY)]


def _check_model(run: RunFolder, settings: Config, progress: dict, data: dict) -> None:
    """Compare the model with the resumed state.

    A better model on the disk counts as the best so far. Without a model, the search for the best starts again.
    """
    path = run.model
    if not path.exists():
        if progress["finished"]:
            raise CheckpointError(f"{run}: is complete, but its {MODEL} is missing; restore it, or start a new run with another `run_dir`.")
        if progress["best"] is not None:
            warnings.warn(f"{path}: is missing; the best of the following epochs replaces it.", ConfigWarning, stacklevel=4)
            progress["best"] = None
        return
    try:
        info = checkpoints.read_info(path)
    except CheckpointError as error:
        raise CheckpointError(f"{error} Move it elsewhere to resume without it.") from None
    if other := _foreign(info.config, settings):
        raise CheckpointError(f"{path}: belongs to another run, with another {', '.join(other)}; move it elsewhere to resume without it.")
    same_data = info.data == fingerprint.short(data) if info.data else not progress["accepted"]
    if same_data and info.validation:
        # Killed between model and state, the model is newer than the state: the epoch that comes again must be better to replace it.
        progress["best"] = info.validation


def _keep_history(path: Path, rows: list[dict]) -> None:
    text = tables.write_dicts(rows)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        files.write_text(path, text)


def _start_afresh(variables: list, run: RunFolder, progress: dict, changed: list[str]) -> None:
    """Start the errors again, since those of other data are not comparable. The best model so far is kept under another name."""
    if run.model.exists():
        target = run.unused_model()
        with files.replaced(target) as temporary:
            shutil.copyfile(run.model, temporary)
        print(f"Kept     {target}, the best model before the data changed", flush=True)
    progress["best"] = None
    progress["accepted"] = [*progress["accepted"], {"epoch": progress["epoch"], "changes": changed}]
    checkpoints.save_state(variables, run.state, progress)
