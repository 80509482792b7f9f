"""``scn-tf check-parity``: differences between a run and its exports."""

import argparse
from pathlib import Path

from scn_tf.cli import forms, inputs
from scn_tf.cli.command import Command
from scn_tf.export import choice


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the run, its exports, and the images on which they are compared."""
    inputs.add_run(parser)
    parser.add_argument("exports", type=Path, nargs="+", metavar="EXPORT", help=forms.exports())
    parser.add_argument("--split", help="split of the run's data set (default: its validation split)")
    inputs.add_data_root(parser)
    parser.add_argument("--images", type=int, metavar="I", help="largest number of images (default: all)")
    parser.add_argument("--tolerance", type=float, metavar="PX", help="largest difference that passes (default: 0.05 for float forms; "
        f"others pass by the growth of the mean error, at most {choice.limits()})")  # fmt: skip


def run(options: argparse.Namespace) -> int:
    """Compare and print a table. The exit status is 1 if an export differs too much."""
    from scn_tf.export import parity

    rows, unit = parity.check(
        options.run_folder, options.exports, split=options.split, root=options.root, images=options.images, tolerance=options.tolerance
    )
    print(parity.table(rows, unit))
    return 0 if all(row.passed for row in rows) else 1


COMMAND = Command(
    name="check-parity",
    aliases=("check_parity",),
    help="compare exports with the run they were made from",
    description=(
        "Run the same images through Keras and every export. Print the largest and mean difference in pixels of the original images, "
        "of radii in percent, time, size and mean error. The exit status is 1 if an export differs too much."
    ),
    examples=("check-parity runs/first served hand.tflite",),
    add_arguments=add_arguments,
    run=run,
    rank=90,
)
