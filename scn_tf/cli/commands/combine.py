"""``scn-tf combine``: several networks in, one model file out."""

import argparse
from pathlib import Path

from scn_tf.cli.command import Command
from scn_tf.cli.inputs import RUN


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The runs and the file."""
    parser.add_argument("run_folders", type=Path, nargs="+", metavar="RUN", help=f"{RUN}; at least two")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="file to write, such as hands.keras")


def run(options: argparse.Namespace) -> None:
    """Write the combined model."""
    from scn_tf import combine_runs
    from scn_tf.storage import files

    files.check_ending(options.out, (".keras",), "--out")
    combined = combine_runs.combine(options.run_folders, options.out)
    size = " x ".join(map(str, combined.image_size))
    print(f"{len(combined.members)} networks, {size} pixels: {options.out}")


COMMAND = Command(
    name="combine",
    help="make one model of several runs",
    description=(
        "Write a model whose heatmaps are the mean of those of several networks, trained with other seeds, sizes or settings. "
        "Its error is a little smaller than theirs in the mean. It is used like any other model, "
        "and takes as long as all of them together."
    ),
    add_arguments=add_arguments,
    run=run,
    rank=40,
)
