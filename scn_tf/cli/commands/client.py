"""``scn-tf client``: landmarks from a remote TensorFlow Serving. ``export/client.py`` calls it too. TensorFlow is not required."""

import argparse
import json
from pathlib import Path

from scn_tf.cli.command import Command
from scn_tf.storage import files


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the images, the server and the table."""
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="PNG, JPEG or BMP files")
    server = parser.add_mutually_exclusive_group(required=True)
    server.add_argument("--rest", metavar="URL", help="REST server, such as http://127.0.0.1:8501")
    server.add_argument("--grpc", metavar="HOST:PORT", help="gRPC server, such as 127.0.0.1:8500")
    parser.add_argument("--out", type=Path, default=Path("predictions.csv"), metavar="FILE", help="table (default: predictions.csv)")
    parser.add_argument("--model", default="scn", metavar="NAME", help="name of the model on the server (default: scn)")
    parser.add_argument("--names", type=Path, metavar="FILE", help="assets/scn_tf.json of the export: landmark names instead of numbers")
    parser.add_argument("--timeout", type=float, default=60.0, metavar="SECONDS", help="timeout of one request (default: 60)")
    parser.add_argument("--batch", type=int, metavar="IMAGES", help="images per request (default: as many as the deployment files allow)")
    parser.add_argument(
        "--spacing", nargs=2, type=float, metavar=("X", "Y"), help="mm per pixel, for models whose signature has the input spacing"
    )


def run(options: argparse.Namespace) -> None:
    """Ask the server and write the table.

    Raises:
        ClientError: the server, an image or the file of names cannot be used.
        WriteError: the table cannot be written.
    """
    from scn_tf.serving import client

    files.check_writable(options.out)
    files.check_ending(options.out, (".csv",), "--out")
    names = _names(options.names) if options.names else None
    if repeated := sorted({path.stem for path in options.images if [p.stem for p in options.images].count(path.stem) > 1}):
        raise client.ClientError(f"IMAGE: two files with the ID {repeated[0]}; the table could not tell them apart.")
    batch = client.MAX_BATCH if options.batch is None else options.batch
    shared = {"model": options.model, "timeout": options.timeout, "batch_size": batch, "spacing": options.spacing}
    if options.rest:
        found = client.predict_rest(options.rest, options.images, **shared)
    else:
        found = client.predict_grpc(options.grpc, options.images, **shared)
    files.write_text(options.out, client.predictions_csv(options.images, found, names=names))
    print(f"{files.counted(len(found), 'image')}, {len(found[0].scores)} landmarks each, pixel coordinates: {options.out}")


def _names(path: Path) -> list[str]:
    """Landmark names of an export."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))["landmarks"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        from scn_tf.serving import client

        raise client.ClientError(f"{path}: expected assets/scn_tf.json of an export ({error}).") from None


COMMAND = Command(
    name="client",
    help="find landmarks with a remote server",
    description="Find landmarks with a remote TensorFlow Serving.",
    examples=("client HAND.png --rest http://127.0.0.1:8501 --out predictions.csv",),
    add_arguments=add_arguments,
    run=run,
    needs_tensorflow=False,
    rank=130,
)
