"""``scn-tf study``: carry out a study's runs, and write its tables and figures."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scn_tf import config
from scn_tf.cli import inputs
from scn_tf.cli.command import Command
from scn_tf.cli.reporting import fail
from scn_tf.config import bundled

if TYPE_CHECKING:
    from scn_tf.study.plan import Run, Study


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the study, its data, and the choice of action."""
    parser.add_argument("file", type=Path, metavar="CONFIG", help=f"YAML file, or a bundled study: {', '.join(bundled.study_names())}")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to write (default: studies/NAME)")
    inputs.add_data_root(parser, help="data set (default: that of the base configuration)")
    inputs.add_data_missing(parser, help="if images of the lists are missing: refuse, or skip them (default: the study's setting)")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="runs at a time, sharing the cores (default: 1)")
    parser.add_argument("--run", dest="index", type=int, metavar="I", help="carry out only this run, counted from 0; for job arrays")
    parser.add_argument("--list", action="store_true", help="only list the runs")
    parser.add_argument("--report", action="store_true", help="only write tables and figures of the finished runs")
    parser.add_argument("--write", choices=("slurm", "kubernetes"), help="only print a file that submits one job per run")


def run(options: argparse.Namespace) -> int:
    """List the runs, print a job file, carry out one run, or carry out all and report.

    Raises:
        Error: the study's file, its settings or its data cannot be used.
    """
    from scn_tf import study

    out = options.out or Path("studies") / options.file.stem
    planned = study.read_study(options.file)
    runs = planned.runs(options.root, missing=options.missing)
    if options.jobs < 1:
        raise config.ConfigError(f"--jobs: expected at least 1, received {options.jobs}.")
    study.check_settings(out, runs)
    if options.list:
        return _list(out, runs)
    if options.write:
        return _print_jobs(options, out, len(runs))
    if options.index is not None:
        return _carry_out_one(options.index, out, runs)
    return _carry_out_all(options, out, planned, runs)


def _list(out: Path, runs: Sequence["Run"]) -> int:
    """Print every run with its state."""
    from scn_tf import study

    waiting = {run.name for run in study.unfinished(out, runs)}
    absent = study.left_out(out)
    for index, one in enumerate(runs):
        state = "left out" if one.name in absent else "waiting " if one.name in waiting else "finished"
        print(f"{index:4d}  {state}  {one.name}")
    return 0


def _print_jobs(options: argparse.Namespace, out: Path, count: int) -> int:
    """Print the file that submits one job per run."""
    from scn_tf import study

    command = ["scn-tf", "study", str(options.file), "--out", str(out)]
    command += ["--data.root", str(options.root)] if options.root else []
    command += ["--data.missing", options.missing] if options.missing else []
    write = {"slurm": study.slurm_script, "kubernetes": study.kubernetes_manifest}[options.write]
    print(write(command, count, name=options.file.stem), end="")
    return 0


def _carry_out_one(index: int, out: Path, runs: Sequence["Run"]) -> int:
    """Carry out one run by its number, unless it is finished or has no images."""
    from scn_tf import study

    if not 0 <= index < len(runs):
        raise config.ConfigError(f"--run: expected 0 to {len(runs) - 1}, received {index}.")
    one = runs[index]
    if study.unfinished(out, [one]):
        if one not in study.check_data(out, runs):
            print(f"{one.name}: left out, it has no images")
            return 0
        if study.run_one(out, one) != 0:
            return fail(f"{one.name}: failed, see {study.log_file(out, one)}", status=1)
    print(f"{one.name}: finished")
    return 0


def _carry_out_all(options: argparse.Namespace, out: Path, planned: "Study", runs: list["Run"]) -> int:
    """Carry out all unfinished runs, unless only the report is wanted. Then write the report."""
    from scn_tf import study

    study.check_out(out)
    failed = [] if options.report else study.run_all(out, runs, jobs=options.jobs)
    for name in failed:
        fail(f"{name}: failed, see {out / 'logs' / name}.log", status=1)
    print(study.write_report(out, runs, sizes_figure=planned.sizes_figure), end="")
    print(f"\ntables and figures  {out}")
    return 1 if failed else 0


COMMAND = Command(
    name="study",
    help="compare systems, training sizes, folds and seeds",
    description=(
        "Carry out every run of a study, each an ordinary run folder in OUT/runs. Finished runs are not repeated. "
        "Ends with OUT/results.md, the figures systems.png and sizes.png, and tables."
    ),
    examples=("study hand_xray --data.root FOLDER",),
    add_arguments=add_arguments,
    run=run,
    # A cluster repeats a task that failed, and takes one that ended with 0 for done.
    saved=lambda options: options.index is None,
    after_interruption="the same command resumes it",
    rank=70,
)
