"""``scn-tf train``: train a run folder from a configuration and settings."""

import argparse
import datetime
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scn_tf import config
from scn_tf.cli.command import Command
from scn_tf.cli.settings import add_settings, given
from scn_tf.config import bundled
from scn_tf.runs.folder import SETTINGS, RunFolder

# A first run on the embedded set should end while one is still looking.
SYNTHETIC_DEFAULTS = {"train.minutes": 4.0, "heatmap.sigma": 1.5}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the run's folder, and an option for every setting."""
    parser.add_argument("--config", type=Path, metavar="FILE", help=f"YAML file, or a bundled configuration: {', '.join(bundled.names())}")
    parser.add_argument("--run-dir", type=Path, metavar="DIR", help="folder to write (default: a new one in runs/)")
    parser.add_argument("--resume", action="store_true", help="resume the run in --run-dir with its own settings")
    parser.add_argument("--accept-changed-data", action="store_true", help="with --resume: continue although the data have changed since "
        "the run's start; earlier errors no longer count, and the best model so far is kept as model.before-data-change.keras")  # fmt: skip
    parser.usage = (
        "%(prog)s [-h] [--config FILE] [--minutes N] [--run-dir DIR] [--resume] [--accept-changed-data] [--SECTION.FIELD VALUE ...]"
    )
    add_settings(parser)


def run(options: argparse.Namespace) -> None:
    """Train, then evaluate on the validation split.

    Raises:
        Error: the settings, the data or the run's folder cannot be used.
    """
    settings, automatic = _settings(options)
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    run_dir = options.run_dir or Path("runs") / f"{options.config.stem if options.config else 'run'}-{stamp}"

    from scn_tf import errors, evaluate_run, train_run
    from scn_tf.systems import opening

    folder = RunFolder(run_dir)
    reasons = None
    if automatic is not None:
        train_run.check_unused(folder)  # before anything is measured
        from scn_tf.suggest import suggest

        suggestion = suggest(automatic)
        settings, reasons = suggestion.config, suggestion.text
        print(f"{reasons}\n", flush=True)
    evaluated = folder.evaluation(_val_split(folder, settings, resume=options.resume))
    if evaluated.is_dir():
        evaluate_run.check_out(evaluated)
    best = train_run.train(settings, run_dir, resume=options.resume, accept_changed_data=options.accept_changed_data, reasons=reasons)
    data = config.load(folder.settings).data
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.DataWarning)  # shown before the training
        # The model file may be older than where the data lie now.
        summary, out = evaluate_run.evaluate(run_dir, data.val_split, root=data.root)
    kept = "Forests" if best["epoch"] is None else f"Best network: epoch {best['epoch']}"
    print(f"\n{kept}, on split {data.val_split}:\n{evaluate_run.table(summary)}\n")
    for label, path in (("model", opening.existing_file(run_dir)), ("history", folder.history), ("report", out / "report.html")):
        if path.exists():
            print(f"{label:8s} {path}")


def _settings(options: argparse.Namespace) -> tuple[config.Config, dict[str, Any] | None]:
    """Settings of the configuration file and the options, checked against those of a resumed run.

    Returns:
        the settings, and as a nested dict those that were given, if all others are to be decided: of a new run with a data set and
        without a configuration. Else None.
    """
    if options.resume and options.run_dir is None:
        raise config.ConfigError("--resume: needs --run-dir, the run to resume.")
    values = config.override(config.read_yaml(config.locate(options.config)) if options.config else {}, given(options))
    if not ((values.get("data") or {}).get("root") or (options.resume and not options.config)):
        unset = {n: v for n, v in SYNTHETIC_DEFAULTS.items() if n.split(".")[1] not in (values.get(n.split(".")[0]) or {})}
        values = config.override(values, unset)
    settings = config.from_dict(values, source=str(options.config or "command line"))
    if options.resume:
        _check_resumed(options, values, settings)
    automatic = not options.config and not options.resume and settings.data.root is not None
    return settings, values if automatic else None


def _val_split(folder: RunFolder, settings: config.Config, *, resume: bool) -> str:
    """Name of the run's validation split."""
    return (config.load(folder.settings) if resume and folder.settings.is_file() else settings).data.val_split


def _check_resumed(options: argparse.Namespace, values: Mapping[str, Any], settings: config.Config) -> None:
    """Check that a resumed run keeps its settings. Repeating the command that started it is allowed.

    Without ``--config``, only the settings given as options are compared.

    Raises:
        ConfigError: settings differ; the message names them.
    """
    path = RunFolder(options.run_dir).settings
    if not path.is_file():
        return  # training reports it
    changed = config.differences(settings, config.load(path))
    if not options.config:
        named = {f"{section}.{field}" for section, fields in values.items() for field in fields}
        changed = [name for name in changed if name in named]
    if changed:
        raise config.ConfigError(f"--resume: keeps the settings in {path}, which has others for {', '.join(changed)}.")


def _saved(options: argparse.Namespace) -> bool:
    """Whether the same command with --resume continues. A folder named by the time of day is another one then."""
    return options.run_dir is not None and RunFolder(options.run_dir).settings.is_file()


COMMAND = Command(
    name="train",
    help="train a network",
    description=(
        "Train a network. Without options, it trains on synthetic hands for a few minutes. "
        "With --data.root and without --config, all settings that are not given are decided from the data and the machine "
        "(scn-tf suggest prints them); --minutes says how long to train. "
        "Any setting of a config file can be given as --section.field VALUE. Defaults not shown below depend on the preset and the "
        f"data; {SETTINGS} of the run folder holds the values used. Without a data set "
        + " and ".join(f"{name} is {value:g}" for name, value in SYNTHETIC_DEFAULTS.items())
        + "."
    ),
    examples=("train --data.root FOLDER --run-dir runs/first", "train --run-dir runs/first --resume"),
    add_arguments=add_arguments,
    run=run,
    saved=_saved,
    after_interruption="--resume continues the training from its last checkpoint",
    rank=10,
)
