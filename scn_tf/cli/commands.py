"""What the commands do: options in, exit status out (none: 0).

Each imports what it needs when it runs, since TensorFlow takes seconds.
"""

import argparse
import contextlib
import datetime
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scn_tf import config
from scn_tf.cli import forms
from scn_tf.runs.folder import RunFolder

# A first run on the embedded set should end while one is still looking.
SYNTHETIC_DEFAULTS = {"train.minutes": 4.0, "heatmap.sigma": 1.5}


def run_train(options: argparse.Namespace) -> None:
    given = {name: " ".join(text) for name, text in vars(options).items() if name in config.field_names()}
    if options.resume and options.run_dir is None:
        raise config.ConfigError("--resume: needs --run-dir, the run to go on with.")
    values = config.override(config.read_yaml(config.locate(options.config)) if options.config else {}, given)
    if not ((values.get("data") or {}).get("root") or (options.resume and not options.config)):
        unset = {n: v for n, v in SYNTHETIC_DEFAULTS.items() if n.split(".")[1] not in (values.get(n.split(".")[0]) or {})}
        values = config.override(values, unset)
    settings = config.from_dict(values, source=str(options.config or "command line"))
    if options.resume:
        _check_resumed(options, values, settings)
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    run_dir = options.run_dir or Path("runs") / f"{options.config.stem if options.config else 'run'}-{stamp}"

    from scn_tf import errors, evaluate_run, train_run
    from scn_tf.systems import opening

    run = RunFolder(run_dir)
    evaluated = run.evaluation(_val_split(run, settings, resume=options.resume))
    if evaluated.is_dir():
        evaluate_run.check_out(evaluated)
    best = train_run.train(settings, run_dir, resume=options.resume, accept_changed_data=options.accept_changed_data)
    data = config.load(run.settings).data
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.DataWarning)  # said before the training
        # The model file may be older than where the data lie now.
        summary, out = evaluate_run.evaluate(run_dir, data.val_split, root=data.root)
    kept = "Forests" if best["epoch"] is None else f"Best network: epoch {best['epoch']}"
    print(f"\n{kept}, on split {data.val_split}:\n{evaluate_run.table(summary)}\n")
    for label, path in (("model", opening.existing_file(run_dir)), ("history", run.history), ("report", out / "report.html")):
        if path.exists():
            print(f"{label:8s} {path}")


def _val_split(run: RunFolder, settings: config.Config, *, resume: bool) -> str:
    """The split that a run is judged by."""
    return (config.load(run.settings) if resume and run.settings.is_file() else settings).data.val_split


def _check_resumed(options: argparse.Namespace, values: Mapping[str, Any], settings: config.Config) -> None:
    """A run goes on with its own settings: the command that it was started with may be repeated, another is refused.

    Without ``--config`` the settings that are named count, and may be fewer.

    Raises:
        ConfigError: naming what the run has differently.
    """
    path = RunFolder(options.run_dir).settings
    if not path.is_file():
        return  # training says it
    changed = config.differences(settings, config.load(path))
    if not options.config:
        named = {f"{section}.{field}" for section, fields in values.items() for field in fields}
        changed = [name for name in changed if name in named]
    if changed:
        raise config.ConfigError(f"--resume: goes on with the settings in {path}, which has others for {', '.join(changed)}.")


def run_evaluate(options: argparse.Namespace) -> None:
    from scn_tf import evaluate_run

    summary, out = evaluate_run.evaluate(options.run_folder, options.split, root=options.root, out=options.out, missing=options.missing)
    print(f"{evaluate_run.table(summary)}\n\nreport   {out / 'report.html'}")


def run_study(options: argparse.Namespace) -> int:
    from scn_tf import study

    out = options.out or Path("studies") / options.file.stem
    planned = study.read_study(options.file)
    runs = planned.runs(options.root, missing=options.missing)
    if options.jobs < 1:
        raise config.ConfigError(f"--jobs: expected at least 1, received {options.jobs}.")
    study.check_settings(out, runs)
    if options.list:
        waiting = {run.name for run in study.unfinished(out, runs)}
        absent = study.left_out(out)
        for index, run in enumerate(runs):
            state = "left out" if run.name in absent else "waiting " if run.name in waiting else "finished"
            print(f"{index:4d}  {state}  {run.name}")
        return 0
    if options.write:
        command = ["scn-tf", "study", str(options.file), "--out", str(out)]
        command += ["--data.root", str(options.root)] if options.root else []
        command += ["--data.missing", options.missing] if options.missing else []
        write = {"slurm": study.slurm_script, "kubernetes": study.kubernetes_manifest}[options.write]
        print(write(command, len(runs), name=options.file.stem), end="")
        return 0
    if options.index is not None:
        if not 0 <= options.index < len(runs):
            raise config.ConfigError(f"--run: expected 0 to {len(runs) - 1}, received {options.index}.")
        run = runs[options.index]
        if study.unfinished(out, [run]):
            if run not in study.check_data(out, runs):
                print(f"{run.name}: left out, it has no images")
                return 0
            if study.run_one(out, run) != 0:
                return fail(f"{run.name}: failed, see {study.log_file(out, run)}", status=1)
        print(f"{run.name}: finished")
        return 0
    study.check_out(out)
    failed = [] if options.report else study.run_all(out, runs, jobs=options.jobs)
    for name in failed:
        fail(f"{name}: failed, see {out / 'logs' / name}.log", status=1)
    print(study.write_report(out, runs, sizes_figure=planned.sizes_figure), end="")
    print(f"\ntables and figures  {out}")
    return 1 if failed else 0


def run_combine(options: argparse.Namespace) -> None:
    from scn_tf import combine_runs
    from scn_tf.storage import files

    files.check_ending(options.out, (".keras",), "--out")
    combined = combine_runs.combine(options.run_folders, options.out)
    size = " x ".join(map(str, combined.image_size))
    print(f"{len(combined.members)} networks, {size} pixels: {options.out}")


def run_models(options: argparse.Namespace) -> None:
    from scn_tf.runs import pretrained

    if options.name is not None:
        if options.name not in pretrained.names():
            raise config.ConfigError(f"models: {options.name}: no such model{config.nearest(options.name, pretrained.names())}")
        print(pretrained.card(options.name), end="")
        return
    for name in pretrained.names():
        about = pretrained.describe(name)
        size = " x ".join(map(str, about.image_size))
        print(f"{name:16s} {len(about.landmarks)} landmarks, {about.dims}D, {size} pixels; scn-tf models {name} shows its card")


def run_export(options: argparse.Namespace) -> None:
    from scn_tf import export

    form, given = forms.chosen(options)
    path = export.write(options.run_folder, options.out, form, **given)
    print(f"{form.name:11s} {path}")


def run_check_parity(options: argparse.Namespace) -> int:
    from scn_tf.export import parity

    rows, unit = parity.check(
        options.run_folder, options.exports, split=options.split, root=options.root, images=options.images, tolerance=options.tolerance
    )
    print(parity.table(rows, unit))
    return 0 if all(row.passed for row in rows) else 1


def run_serve(options: argparse.Namespace) -> None:
    from scn_tf.serving import server

    limits = server.Limits(**{name: value for name, value in vars(options).items() if name in server.Limits.__dataclass_fields__})
    server.serve(options.out, host=options.host, port=options.port, name=options.name, limits=limits)


def run_demo(options: argparse.Namespace) -> None:
    import webbrowser

    from scn_tf.serving import demo

    run = options.run_folder
    # Not in a new folder with the name of a model that comes along: it would be found in its place.
    folder = options.out or (RunFolder(run).demo if run.is_dir() else run.parent / f"{run.stem}-demo")
    with demo.server(folder, options.port) as server:  # before the work: the port may be taken
        demo.build(run, folder)
        address = f"http://127.0.0.1:{server.server_port}/"
        print(f"{folder}: {address} (stop with Ctrl-C)", flush=True)
        if options.open:
            webbrowser.open(address)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()


def fail(message: str, *, status: int) -> int:
    """Say what is wrong; returns ``status``."""
    print(f"error: {message}", file=sys.stderr)
    return status
