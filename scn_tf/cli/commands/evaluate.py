"""``scn-tf evaluate``: errors and a report of a run on a split."""

import argparse
from pathlib import Path

from scn_tf.cli import inputs
from scn_tf.cli.command import Command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the run, the split and its data."""
    inputs.add_run(parser)
    parser.add_argument("--split", default="val", help="name of the split (default: val)")
    inputs.add_data_root(parser)
    inputs.add_data_missing(parser, help="if images of the split are missing: refuse, or skip them (default: the run's setting)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to write "
        "(default: RUN/evaluation/SPLIT, or NAME-evaluation/SPLIT for a model file or name)")  # fmt: skip


def run(options: argparse.Namespace) -> None:
    """Evaluate and print the summary."""
    from scn_tf import evaluate_run

    summary, out = evaluate_run.evaluate(options.run_folder, options.split, root=options.root, out=options.out, missing=options.missing)
    report = out / "report.html"  # label maps have none
    print(f"{evaluate_run.table(summary)}\n\nreport   {report if report.is_file() else out}")


COMMAND = Command(
    name="evaluate",
    help="measure a run on an annotated split",
    description=(
        "Find the landmarks of a split and compare them with its annotations. Writes point errors in mm (px where no spacing is known), "
        "a table by landmark, the curve of errors and a report for the browser. If dataset.yaml names several raters, "
        "their mean is the truth. A further table then shows errors against each rater, and how far raters lie apart."
    ),
    examples=("evaluate runs/first --split val",),
    add_arguments=add_arguments,
    run=run,
    rank=20,
)
