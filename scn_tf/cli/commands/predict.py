"""``scn-tf predict``: a table of landmarks from images."""

import argparse
import contextlib
import sys
from collections.abc import Callable
from pathlib import Path

from scn_tf.cli import forms, spelling
from scn_tf.cli.command import Command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the model, the images and what to write."""
    parser.add_argument("model", type=Path, metavar="MODEL", help=f"name of a bundled model (scn-tf models), {forms.models()}")
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE",
        help="image files, zip files of images, or folders to search for images; a series of DICOM slices is one volume",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("predictions.csv"), metavar="FILE", help="table, .csv or .json (default: predictions.csv)"
    )
    parser.add_argument("--to", metavar="NAME", help="also write files of another tool, such as slicer, fcsv, coco, tps or dicom-sr")
    parser.add_argument("--to-dir", type=Path, metavar="DIR", help="folder for the files of --to")
    parser.add_argument("--overlay", type=Path, metavar="DIR", help="also write pictures with the landmarks drawn in")
    parser.add_argument(
        "--review",
        type=Path,
        metavar="DIR",
        help="also write pictures of the images most in need of a human, worst first, and review.csv with the reasons; "
        "needs a calibrated model (scn-tf calibrate)",
    )
    parser.add_argument("--review-count", type=int, metavar="N", help="number of images in --review (default: 20)")
    parser.add_argument(
        "--spacing", type=float, nargs="+", metavar="MM", help="mm per pixel, x y (z), of files that state none or a wrong one"
    )
    parser.add_argument("--resume", action="store_true", help="skip images that an earlier call with the same --out has done")


def run(options: argparse.Namespace) -> int:
    """Find landmarks in every readable image. The exit status is 1 if any image was left out."""
    from tqdm import tqdm

    from scn_tf.prediction import outputs, review, tables
    from scn_tf.prediction.run import predict_files
    from scn_tf.storage import files

    files.check_writable(options.out)
    _check_out(options.out, tables.ENDINGS)
    names = spelling.typed_names(options._parser)
    with contextlib.ExitStack() as stack:

        def progress(total: int, done: int) -> Callable[[int], object]:
            bar = tqdm(total=total, initial=done, desc="Finding landmarks", unit="image", leave=False, disable=None)
            return stack.enter_context(bar).update

        result = predict_files(
            options.model,
            options.images,
            options.out,
            outputs=outputs.chosen(options.overlay, options.to, options.to_dir),
            review=review.chosen(options.review, options.review_count),
            spacing=options.spacing,
            resume=options.resume,
            report=lambda line: _report(spelling.as_typed(line, names)),
            progress=progress,
        )
    if result.found:
        earlier = f" ({result.resumed} done earlier)" if result.resumed else ""
        print(
            f"{files.counted(result.found, 'image')}{earlier}, {result.landmarks} landmarks each, {result.coordinates} coordinates: "
            f"{options.out}"
        )
        if result.doubts:
            print(result.doubts)
        if result.review:
            print(result.review)
        if result.measurements:
            print(f"measurements: {result.measurements}")
        if options.to_dir:
            print(f"{options.to}: {result.table or options.to_dir}")
    if result.left_out:
        _report(f"{files.counted(result.left_out, 'file')} left out, {files.counted(result.found, 'image')} predicted.")
    return 1 if result.left_out else 0


def _check_out(out: Path, endings: tuple[str, ...]) -> None:
    """Refuse a table with the ending of another format.

    Raises:
        WriteError: the message names the options that write this format, if there are any.
    """
    from scn_tf.data.annotations import ANNOTATIONS
    from scn_tf.storage import files

    others = [row for row in ANNOTATIONS.values() if row.write and out.name.lower().endswith(tuple({*row.endings} - {*endings}))]
    tool = next(iter(others), None)
    if tool is not None:
        raise files.WriteError(
            f"--out: expected a file name with {' or '.join(endings)}, received {out}. "
            f"For files of this kind, add --to {tool.name} --to-dir FOLDER."
        )
    files.check_ending(out, endings, "--out")


def _report(line: str) -> None:
    """Print a line on standard error, clear of any progress bar."""
    from tqdm import tqdm

    tqdm.write(f"error: {line}", file=sys.stderr)


def _saved(options: argparse.Namespace) -> bool:
    """Whether there is a journal, from which --resume continues."""
    from scn_tf.storage import journal

    return journal.path_for(options.out).is_file()


COMMAND = Command(
    name="predict",
    help="find landmarks in images",
    description=(
        "Find landmarks in image files. Writes a table id,landmark,x,y[,z],score,... in the coordinates that the model was trained on: "
        "pixels of the files, or mm."
    ),
    examples=(
        "predict hand_xray HAND.jpg --out predictions.csv --overlay pictures",
        "predict runs/first FOLDER --out predictions.json --resume",
        "predict runs/first FOLDER --review review --review-count 50",
    ),
    add_arguments=add_arguments,
    run=run,
    saved=_saved,
    after_interruption="--resume continues with the images that are left",
    rank=30,
)
