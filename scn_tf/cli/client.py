"""``scn-tf client``: landmarks from a remote TensorFlow Serving; ``export/client.py`` calls it too. Needs no TensorFlow."""

import argparse
import json
import sys
from pathlib import Path

from scn_tf.storage import files

DESCRIPTION = "Find landmarks with a remote TensorFlow Serving."


def add_parser(adding: argparse._SubParsersAction) -> None:
    """Add the command to those of ``scn-tf``."""
    parser = adding.add_parser("client", help="find landmarks with a remote server", allow_abbrev=False, description=DESCRIPTION)
    _add_arguments(parser)
    parser.set_defaults(run=run_client, without_tensorflow=True)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="PNG, JPEG or BMP files")
    server = parser.add_mutually_exclusive_group(required=True)
    server.add_argument("--rest", metavar="URL", help="REST server, such as http://127.0.0.1:8501")
    server.add_argument("--grpc", metavar="HOST:PORT", help="gRPC server, such as 127.0.0.1:8500")
    parser.add_argument("--out", type=Path, default=Path("predictions.csv"), metavar="FILE", help="table (default: predictions.csv)")
    parser.add_argument("--model", default="scn", metavar="NAME", help="name of the model on the server (default: scn)")
    parser.add_argument("--names", type=Path, metavar="FILE", help="assets/scn_tf.json of the export: landmark names instead of numbers")
    parser.add_argument("--timeout", type=float, default=60.0, metavar="SECONDS", help="for one request (default: 60)")
    parser.add_argument("--batch", type=int, metavar="IMAGES", help="images a request (default: as many as the deployment files allow)")
    parser.add_argument(
        "--spacing", nargs=2, type=float, metavar=("X", "Y"), help="mm per pixel, of models whose signature has the input spacing"
    )


def main(arguments: list[str] | None = None) -> int:
    """Run a command line of ``export/client.py``; returns the exit status."""
    from scn_tf.serving import client

    parser = argparse.ArgumentParser(prog="client.py", description=DESCRIPTION, allow_abbrev=False)
    _add_arguments(parser)
    options = parser.parse_args(arguments)
    try:
        run_client(options)
    except (client.ClientError, files.WriteError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def run_client(options: argparse.Namespace) -> None:
    """Ask the server and write the table.

    Raises:
        ClientError: the server, an image or the file of names, with what is wrong.
        WriteError: the table cannot be written.
    """
    from scn_tf.serving import client

    files.check_writable(options.out)
    files.check_ending(options.out, (".csv",), "--out")
    names = _names(options.names) if options.names else None
    if repeated := sorted({path.stem for path in options.images if [p.stem for p in options.images].count(path.stem) > 1}):
        raise client.ClientError(f"IMAGE: two files with the ID {repeated[0]}; the table could not tell them apart.")
    batch = client.LARGEST_BATCH if options.batch is None else options.batch
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
