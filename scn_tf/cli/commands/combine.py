"""``scn-tf combine``: one model file from several networks."""

import argparse
from pathlib import Path

from scn_tf.cli.command import Command
from scn_tf.cli.inputs import RUN


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the runs and the file."""
    parser.add_argument("run_folders", type=Path, nargs="+", metavar="RUN", help=f"{RUN}; at least two")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="file to write, such as hands.keras")


def run(options: argparse.Namespace) -> None:
    """Write the combined model, and calibrate it as its members are."""
    from scn_tf import calibrate_run, combine_runs
    from scn_tf.errors import Error
    from scn_tf.storage import files

    files.check_ending(options.out, (".keras",), "--out")
    combined = combine_runs.combine(options.run_folders, options.out)
    size = " x ".join(map(str, combined.image_size))
    print(f"{len(combined.members)} networks, {size} pixels: {options.out}")
    try:
        found, _ = calibrate_run.calibrate_combined(options.out, options.run_folders)
        print(calibrate_run.line(found))
    except Error as error:
        print(f"not calibrated: {error}\nscn-tf calibrate {options.out} --split NAME calibrates it with images that trained no member.")


COMMAND = Command(
    name="combine",
    help="make one model from several runs",
    description=(
        "Write a model that averages the heatmaps of several networks, which may differ in seed, input size or settings. "
        "Its mean error is usually a little smaller than theirs. It is used like any other model, "
        "and takes as long as all of them together. If one split calibrated all of them, it calibrates the new model, too."
    ),
    examples=("combine runs/seed0 runs/seed1 runs/seed2 --out mean.keras",),
    add_arguments=add_arguments,
    run=run,
    rank=40,
)
