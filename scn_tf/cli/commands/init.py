"""``scn-tf init``: a data set from images and the annotations of any tool."""

import argparse
import shlex
import warnings
from pathlib import Path

from scn_tf.cli import intake, spelling
from scn_tf.cli.command import Command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sources, the folder to write, and the options that decide what is ambiguous."""
    parser.add_argument("sources", nargs="+", type=Path, metavar="SOURCE", help="images, annotation files, and folders that hold them")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder of the data set, to be written")
    parser.add_argument(
        "--format", action=intake.StoreFormat, metavar="NAME", help="format of the annotations (default: by the files): %(formats)s"
    )
    intake.add_interpretation(parser)
    placing = parser.add_mutually_exclusive_group()
    placing.add_argument(
        "--copy", dest="placing", action="store_const", const="copy", help="copy the images (default: hard links, else copies)"
    )
    placing.add_argument("--link", dest="placing", action="store_const", const="link", help="symbolic links to the images")
    parser.add_argument(
        "--spacing", type=float, nargs="+", metavar="MM", help="mm per pixel, x y (z), of images that state none or a wrong one"
    )
    parser.add_argument("--patient", metavar="PATTERN", help="regular expression that finds the patient in an image's ID")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the splits (default: 0)")
    parser.add_argument("--dry-run", action="store_true", help="only print what was understood")


def run(options: argparse.Namespace) -> None:
    """Print what was understood, and write the data set.

    Raises:
        Error: the sources cannot be used together, or something is ambiguous.
    """
    from scn_tf.errors import DataWarning
    from scn_tf.intake import making
    from scn_tf.intake.writing import PLACED, Placing

    names = spelling.typed_names(options._parser)
    planned = making.plan(
        options.sources,
        options.out,
        format=options.format,
        asked=intake.asked(options),
        seed=options.seed,
        patient=options.patient,
        spacing=options.spacing,
    )
    for line in planned.lines():
        print(spelling.as_typed(line, names))
    for sentence in planned.warnings():
        warnings.warn(sentence, DataWarning, stacklevel=2)
    if options.dry_run:
        print("\nNothing was written (dry run).")
        return
    placing: Placing = options.placing or "auto"
    making.write(planned, options.out, placing=placing)
    out = shlex.quote(str(options.out))
    print(f"{'written':14s}{options.out} (images as {PLACED[placing]})")
    print(f"\nnext:\n  scn-tf check {out}\n  scn-tf train --data.root {out} --run-dir {shlex.quote(f'runs/{options.out.resolve().name}')}")


COMMAND = Command(
    name="init",
    help="make a data set from images and annotations of any tool",
    description=(
        "Make a data-set folder from images and annotation files. The command prints what it understood. It exits with status 1 where "
        "something is ambiguous, and names the option that decides it."
    ),
    examples=("init IMAGES ANNOTATIONS --out hands", "init FOLDER --out hands --dry-run"),
    add_arguments=add_arguments,
    run=run,
    rank=5,
)
