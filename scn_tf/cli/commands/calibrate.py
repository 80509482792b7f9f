"""``scn-tf calibrate``: errors that a run makes on an annotated split, stored in its model."""

import argparse

from scn_tf.cli import inputs
from scn_tf.cli.command import Command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the run, the split and its data."""
    inputs.add_run(parser)
    images = parser.add_mutually_exclusive_group()
    images.add_argument("--split", help="name of a split that did not train the model (default: the run's validation split)")
    images.add_argument(
        "--folds",
        type=int,
        metavar="K",
        help="if images are few: train K networks in RUN/folds, each without a part of the training images, and use the errors on the "
        "parts. Finished ones are not trained again",
    )
    parser.add_argument("--minutes", type=float, metavar="N", help="with --folds: limit of each training (default: that of the run)")
    inputs.add_data_root(parser)
    inputs.add_data_missing(parser, help="if images of the split are missing: refuse, or skip them (default: the run's setting)")


def run(options: argparse.Namespace) -> None:
    """Calibrate and print what was measured."""
    from scn_tf import calibrate_folds, calibrate_run
    from scn_tf.errors import ConfigError

    data = {"root": options.root, "missing": options.missing}
    if options.folds is not None:
        found, file = calibrate_folds.calibrate(options.run_folder, options.folds, minutes=options.minutes, **data)
    elif options.minutes is not None:
        raise ConfigError("`minutes`: needs `folds`; nothing else is trained here.")
    else:
        found, file = calibrate_run.calibrate(options.run_folder, options.split, **data)
    print(f"{calibrate_run.line(found)}\nmodel    {file}\nExports of this run keep what they have; export it again.")


COMMAND = Command(
    name="calibrate",
    help="measure how far a run's answers can be trusted",
    description=(
        "Compare the answers of a run with the annotations of images that did not train it. The model file then knows how large an error "
        "to expect, from what the heatmaps show. Predictions carry the expected error and a radius that contains the true point in 95 of "
        "100 cases. They also say whether a landmark is in the image, and whether the image is of the kind that the model knows."
    ),
    examples=("calibrate runs/first --split val", "calibrate runs/first --folds 5"),
    add_arguments=add_arguments,
    run=run,
    after_interruption="the same command trains the remaining folds, if there are any",
    rank=22,
)
