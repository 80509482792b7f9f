"""``scn-tf batch``: Parquet files of landmarks from very many images, on a cluster."""

import argparse
import contextlib
from collections.abc import Callable

from scn_tf.cli import forms
from scn_tf.cli.command import Command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the images, the model and where to compute."""
    parser.add_argument(
        "images",
        metavar="IMAGES",
        help="folder of images, .txt file with one path per line, or .csv or .parquet table with a column source, path, file or image; "
        "each may be a URL such as s3://BUCKET/FOLDER",
    )
    parser.add_argument(
        "--model", required=True, metavar="MODEL", help=f"name of a bundled model (scn-tf models), {forms.models()}; workers open it too"
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder or URL for Parquet files: predictions/ and errors/")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="Dask cluster, such as tcp://HOST:8786 (default: one of this machine)")
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="workers of a cluster of this machine (default: 1)")
    parser.add_argument("--partition", type=int, default=100, metavar="N", help="images per Parquet file (default: 100)")
    parser.add_argument(
        "--spacing", type=float, nargs="+", metavar="MM", help="mm per pixel, x y (z), of files that state none or a wrong one"
    )
    parser.add_argument("--resume", action="store_true", help="continue an interrupted batch in the same --out")


def run(options: argparse.Namespace) -> int:
    """Find landmarks in all images. The exit status is 1 if any image has no answer."""
    import sys

    from tqdm import tqdm

    from scn_tf.prediction.batch import predict_batch
    from scn_tf.storage.files import counted

    with contextlib.ExitStack() as stack:

        def progress(total: int, done: int) -> Callable[[int], object]:
            bar = tqdm(total=total, initial=done, desc="Finding landmarks", unit="image", leave=False, disable=None)
            return stack.enter_context(bar).update

        result = predict_batch(
            options.model,
            options.images,
            options.out,
            scheduler=options.scheduler,
            processes=options.processes,
            partition=options.partition,
            spacing=options.spacing,
            resume=options.resume,
            report=lambda line: tqdm.write(f"error: {line}", file=sys.stderr),
            progress=progress,
        )
    earlier = f" ({result.resumed} done earlier)" if result.resumed else ""
    print(f"{counted(result.found, 'image')} predicted, {counted(result.failed, 'image')} with an error{earlier}: {options.out}")
    if result.left_out:
        print(f"{counted(result.left_out, 'file')} left out")
    return 1 if result.failed or result.left_out else 0


COMMAND = Command(
    name="batch",
    help="find landmarks in very many images, on a cluster",
    description=(
        "Find landmarks in very many images, on the workers of a Dask cluster or in several processes of this machine. "
        "Writes Parquet files with one row per image; images that cannot be read get a row in errors/. Needs pip install 'scn-tf[batch]'."
    ),
    examples=(
        "batch IMAGES --model runs/first --out answers --processes 4",
        "batch s3://BUCKET/IMAGES --model /shared/runs/first --out s3://BUCKET/answers --scheduler tcp://HOST:8786",
    ),
    add_arguments=add_arguments,
    run=run,
    after_interruption="--resume continues with the images that are left",
    rank=32,
)
