"""What a run that goes on begins with: its state, its model, its data, and that none of them belongs to another run.

A model that exists is never replaced by a new beginning: what does not fit together is refused with what to do.
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
from scn_tf.storage import files, ownership
from scn_tf.training.callbacks import history_csv

STATE = "checkpoints/last.npz"
OLDER_STATE = "checkpoints/older.npz"  # of a run whose model was removed, kept when a new one begins
LOCK = "checkpoints/lock"  # held by the process that trains the run; the file stays
MODEL, DATA, HISTORY, SETTINGS = "model.keras", "data.json", "history.csv", "config.yaml"
BEFORE_CHANGE = "model.before-data-change"
WRITTEN = (MODEL, "model.npz", DATA, HISTORY, SETTINGS, "annotations.png")
# Settings of which another value makes another run, whatever else was changed by hand.
IDENTITY = ("model.", "heatmap.", "train.seed", "data.train_split", "data.val_split", "data.train_count")
NEW = {"epoch": 0, "seconds": 0.0, "best": None, "finished": False}


def check_outputs(run_dir: Path, settings: Config, *, resume: bool) -> None:
    """Find out before any work whether a run may write its files; nothing of the user's is replaced.

    Raises:
        ConfigError, WriteError: a file with one of their names is none of ours, or ``config.yaml`` is that of another run.
    """
    path = run_dir / SETTINGS
    if path.exists() and not resume:
        files.check_writable(path)
        if not (run_dir / LOCK).exists() and config.differences(settings, config.load(path)):
            raise ConfigError(f"{path}: is there already, with other settings and no run beside it; choose another `run_dir`.")
    # Of a run that is resumed, model, fingerprint and state are read before they are replaced, and refused with a better message.
    read = {MODEL, DATA, STATE} if resume else set()
    for name in (*WRITTEN, STATE):
        if name != SETTINGS and (run_dir / name).parent.exists():
            files.check_writable(run_dir / name, ours=ownership.anything if name in read else ownership.is_ours)


def remove_leftovers(run_dir: Path) -> None:
    """Remove temporary files of a process that was killed; call it with the run's lock."""
    files.remove_leftovers(run_dir, [*WRITTEN, *(path.name for path in run_dir.glob(f"{BEFORE_CHANGE}*.keras"))])
    files.remove_leftovers(run_dir / "checkpoints", [Path(STATE).name, Path(OLDER_STATE).name])


def check_run(run_dir: Path, settings: Config) -> None:
    """Whether a network's run can be resumed, before its data are read.

    Raises:
        ConfigError: a model without a state, unless the run came to its end; settings that no run wrote; a history alone.
    """
    if (run_dir / STATE).exists():
        return
    if (run_dir / MODEL).exists():
        if finished_best(run_dir, settings) is None:
            raise ConfigError(
                f"{run_dir}: holds {MODEL}, but not the state to resume it from ({STATE}), and does not show that it came to its end. "
                "The model can be used as it is; train again with another `run_dir`."
            )
        return
    if not ownership.is_ours(run_dir / SETTINGS):
        raise ConfigError(
            f"{run_dir / SETTINGS}: was not written by a run, and there is none to resume; pass it as `config` with another `run_dir`."
        )
    if (run_dir / HISTORY).exists():
        raise ConfigError(f"{run_dir}: its model and the state to resume it from ({STATE}) are gone; train again with another `run_dir`.")


def finished_best(run_dir: Path, settings: Config) -> dict | None:
    """Validation of the model of a run without a state, if model and history show that all epochs were trained; else None."""
    try:
        metadata = checkpoints.read_metadata(run_dir / MODEL)
        rows = list(csv.DictReader((run_dir / HISTORY).read_text(encoding="utf-8").splitlines()))
        ended = bool(rows) and int(rows[-1]["epoch"]) >= settings.train.epochs
    except (CheckpointError, OSError, ValueError, KeyError, TypeError, csv.Error):
        return None
    return metadata.get("validation") if ended and not _foreign(metadata["config"], settings) else None


def changed_data(run_dir: Path, now: dict, where: Path, *, accept: bool) -> list[str]:
    """What a run's data have otherwise than when it was started; a run of an older version is asked through its model.

    Args:
        run_dir: the run's folder.
        now: fingerprint of the data (:mod:`scn_tf.data.fingerprint`).
        where: of the data, for messages.
        accept: the user wants to continue with the changed ones.

    Raises:
        DatasetError: something differs and was not accepted, or landmarks stand in another order.
        CheckpointError: ``data.json`` is damaged.
    """
    if (run_dir / DATA).exists():
        before = _read_fingerprint(run_dir / DATA)
        fingerprint.check_meaning(before, now, where)
        found = fingerprint.changes(before, now)
    elif (run_dir / MODEL).exists():
        metadata = checkpoints.read_metadata(run_dir / MODEL)
        fingerprint.check_meaning(metadata, now, where)
        found = fingerprint.changes_for_model(metadata, now)
    else:
        found = []
    if found and not accept:
        raise DatasetError(
            f"{where}: the data are not those that {run_dir} was started with: {'; '.join(found)}. Put them back, start a new run, or "
            "pass `accept_changed_data`: then errors before and after are not compared."
        )
    return found


def begin(variables: list, run_dir: Path, settings: Config, *, data: dict, changed: list[str]) -> dict:
    """Assign the variables from a run's state, if it has one; returns its progress.

    Args:
        variables: of :meth:`scn_tf.training.train_step.Trainer.state`.
        run_dir: the run's folder, locked.
        settings: resolved configuration.
        data: fingerprint of the data.
        changed: what of it was accepted as changed: errors start afresh, and the best model so far is kept under another name.

    Returns:
        dict with ``epoch``, ``seconds``, ``best``, ``history``, ``finished``, ``config``, ``accepted``.

    Raises:
        CheckpointError: state or model are damaged or belong to another run.
    """
    fresh = {**NEW, "history": [], "accepted": [], "config": json.loads(settings.model_dump_json())}
    if not (run_dir / STATE).exists():
        best = finished_best(run_dir, settings) if (run_dir / MODEL).exists() else None
        progress = {**fresh, "finished": best is not None, "best": best}
        if best is None:  # from now on there is a state before there is a model
            checkpoints.save_state(variables, run_dir / STATE, progress)
        return progress
    try:
        progress = {**fresh, **checkpoints.load_state(variables, run_dir / STATE)}
    except CheckpointError as error:
        kept = "The model can be used as it is; train" if (run_dir / MODEL).exists() else "Train"
        raise CheckpointError(f"{error} {kept} again with another `run_dir`.") from None
    if other := _foreign(progress["config"], settings):
        raise CheckpointError(f"{run_dir / STATE}: belongs to another run, with another {', '.join(other)} than {run_dir / SETTINGS}.")
    progress["config"] = fresh["config"]
    _check_model(run_dir, settings, progress, data)
    if progress["history"]:  # a kill may have come before the last row was written
        _keep_history(run_dir / HISTORY, progress["history"])
    if changed and not progress["finished"]:
        _start_afresh(variables, run_dir, progress, changed)
    return progress


def comparable(progress: dict) -> list[dict]:
    """Rows of the history since the data were last changed: losses before are of other data."""
    last = max((entry["epoch"] for entry in progress["accepted"]), default=0)
    return [row for row in progress["history"] if row["epoch"] > last]


def keep_settings(run_dir: Path, settings: Config, *, resume: bool) -> None:
    """Write ``config.yaml``, unless it says the same already; one that was changed by hand is left as it is.

    Raises:
        ConfigError: it was changed by hand and would have to be rewritten.
    """
    path = run_dir / SETTINGS
    if resume and path.exists() and config.load(path) == settings:
        return
    if resume and path.exists() and not ownership.is_ours(path):
        raise ConfigError(
            f"{path}: was changed by hand, so it is not rewritten; set data.root there to {settings.data.root} and resume again."
        )
    files.write_text(path, settings.to_yaml())


def keep_data(run_dir: Path, data: dict) -> None:
    """Write the fingerprint of the data."""
    files.write_text(run_dir / DATA, json.dumps(data, indent=1) + "\n")


def put_state_aside(run_dir: Path) -> None:
    """Of a run whose model was removed: a new run begins without it, and it stays."""
    if (run_dir / STATE).exists():
        files.check_writable(run_dir / OLDER_STATE)
        (run_dir / STATE).replace(run_dir / OLDER_STATE)


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
            f"{path}: cannot be read ({files.first_line(error)}); remove it to compare the data with what the model says."
        ) from None


def _foreign(values: dict, settings: Config) -> list[str]:
    """Settings in which another run differs that cannot have been changed for this one."""
    other = config.from_dict(values, source="checkpoint")
    return [name for name in config.differences(other, settings) if name == "model" or name.startswith(IDENTITY)]


def _check_model(run_dir: Path, settings: Config, progress: dict, data: dict) -> None:
    """Compare the model with the state that goes on: a better one on the disk is the best so far, none is a new beginning of the best."""
    path = run_dir / MODEL
    if not path.exists():
        if progress["finished"]:
            raise CheckpointError(
                f"{run_dir}: came to its end, but its {MODEL} is gone; put it back, or train again with another `run_dir`."
            )
        if progress["best"] is not None:
            warnings.warn(f"{path}: is gone; the best of the following epochs takes its place.", ConfigWarning, stacklevel=4)
            progress["best"] = None
        return
    try:
        metadata = checkpoints.read_metadata(path)
    except CheckpointError as error:
        raise CheckpointError(f"{error} Move it elsewhere to resume without it.") from None
    if other := _foreign(metadata["config"], settings):
        raise CheckpointError(f"{path}: belongs to another run, with another {', '.join(other)}; move it elsewhere to resume without it.")
    same_data = metadata["data"] == fingerprint.short(data) if "data" in metadata else not progress["accepted"]
    if same_data and metadata.get("validation"):
        # Killed between model and state, the model is newer than the state: the epoch that comes again must be better to replace it.
        progress["best"] = metadata["validation"]


def _keep_history(path: Path, rows: list[dict]) -> None:
    text = history_csv(rows)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        files.write_text(path, text)


def _start_afresh(variables: list, run_dir: Path, progress: dict, changed: list[str]) -> None:
    """Errors of other data do not compare: the next validation is the first, and the best model before it stays under another name."""
    if (run_dir / MODEL).exists():
        number, target = 1, run_dir / f"{BEFORE_CHANGE}.keras"
        while target.exists():
            number, target = number + 1, run_dir / f"{BEFORE_CHANGE}-{number + 1}.keras"
        with files.replaced(target) as temporary:
            shutil.copyfile(run_dir / MODEL, temporary)
        print(f"Kept     {target}, the best model before the data changed", flush=True)
    progress["best"] = None
    progress["accepted"] = [*progress["accepted"], {"epoch": progress["epoch"], "changes": changed}]
    checkpoints.save_state(variables, run_dir / STATE, progress)
