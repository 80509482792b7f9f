"""``scn-tf next``: the images whose annotation would teach a model most."""

import argparse
import shlex
import sys
from pathlib import Path

from scn_tf.cli import forms, spelling
from scn_tf.cli.command import Command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the images, the model and how many to choose."""
    parser.add_argument(
        "folder",
        type=Path,
        metavar="FOLDER",
        help="data set, of which the images without annotations are meant; or any folder of images, of which all are",
    )
    parser.add_argument("--model", type=Path, required=True, metavar="RUN", help=f"calibrated model: {forms.models()}")
    parser.add_argument("--count", type=int, default=20, metavar="N", help="number of images to choose (default: 20)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write a table, .csv, with the reasons")
    parser.add_argument(
        "--spacing", type=float, nargs="+", metavar="MM", help="mm per pixel, x y (z), of files that state none or a wrong one"
    )


def run(options: argparse.Namespace) -> int:
    """Print the images and what to do with them. The exit status is 1 if a file was left out."""
    from tqdm import tqdm

    from scn_tf import next_images
    from scn_tf.storage import files

    if options.out:
        files.check_ending(options.out, (".csv",), "--out")
        files.check_writable(options.out)
    names = spelling.typed_names(options._parser)

    def report(line: str) -> None:
        tqdm.write(f"error: {spelling.as_typed(line, names)}", file=sys.stderr)

    found = next_images.choose(options.folder, options.model, options.count, spacing=options.spacing, report=report)
    width = max(len(one.id) for one in found.images)
    for rank, one in enumerate(found.images, start=1):
        print(f"{rank:4d}  {one.id:{width}s}  {one.reason}")
    compared = f", compared with {found.annotated} annotated" if found.annotated else ""
    print(f"\n{len(found.images)} of {files.counted(found.candidates, 'image')} without annotations{compared}, the best first")
    if options.out:
        next_images.write(options.out, found)
        print(f"table    {options.out}")
    _print_next(options, found.images[0].file, found.table)
    return 1 if found.left_out else 0


def _print_next(options: argparse.Namespace, first: str, table: Path | None) -> None:
    """Print the commands that lead from the list to a better model."""
    folder, model = shlex.quote(str(options.folder)), shlex.quote(str(options.model))
    print("\nnext: annotate them in your tool, by hand or from the points that the model finds:")
    print(f"  scn-tf predict {model} {shlex.quote(first)} ... --to labelme --to-dir begun")
    if table is None:
        print(f"then:\n  scn-tf init {folder} ANNOTATIONS --out SET\n  scn-tf train --data.root SET")
    else:
        print(f"then add their points to {table}, their IDs to {table.parent / 'splits' / 'train.txt'}, and train again:")
        print(f"  scn-tf train --data.root {folder}")


COMMAND = Command(
    name="next",
    help="choose the images to annotate next",
    description=(
        "Choose images without annotations whose annotation would teach a model most: its expected error is large there, and they differ "
        "in shape and look from annotated images and from each other. The same images and the same model give the same list. "
        "The model must be calibrated (scn-tf calibrate)."
    ),
    examples=(
        "next FOLDER --model runs/first --count 20",
        "next IMAGES --model runs/first --count 50 --out next.csv",
    ),
    add_arguments=add_arguments,
    run=run,
    rank=24,
)
