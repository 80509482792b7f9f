"""``scn-tf compare``: the errors of several runs on the same images, with paired tests."""

import argparse
from pathlib import Path

from scn_tf.cli import inputs
from scn_tf.cli.command import Command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the runs, the split and its data."""
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help=f"{inputs.RUN}, or folder of an evaluation; at least two")
    parser.add_argument("--split", default="val", help="name of the split (default: val)")
    inputs.add_data_root(parser, help="evaluate all runs on this data set (default: use their evaluations)")
    inputs.add_data_missing(parser, help="if images of the split are missing: refuse, or skip them (default: the runs' setting)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to write (default: comparison/SPLIT)")


def run(options: argparse.Namespace) -> None:
    """Compare and print the tables."""
    from scn_tf import compare_runs

    found = compare_runs.compare(options.runs, options.split, root=options.root, out=options.out, missing=options.missing)
    print(f"{found.text}\n\nreport   {found.out / 'comparison.html'}")


COMMAND = Command(
    name="compare",
    help="compare runs on the same images, with paired tests",
    description=(
        "Compare the errors of two or more runs on a split. Runs without an evaluation of the split are evaluated first. Prints each "
        "difference with its 95 % interval over the images and a p-value, and writes comparison.csv and comparison.html."
    ),
    examples=("compare runs/first runs/other", "compare runs/first hand_xray --split val --data.root FOLDER"),
    add_arguments=add_arguments,
    run=run,
    rank=21,
)
