"""Find landmarks with a remote TensorFlow Serving: `python export/client.py IMAGE... --rest http://127.0.0.1:8501`."""

import argparse
import json
import sys
from pathlib import Path

# Run as a file, Python looks for modules beside it, not in the folder above.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scn_tf import files
from scn_tf.quiet import quiet_stderr

with quiet_stderr():
    from scn_tf.serving import client


def main(arguments=None):
    """Run a command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="client.py", description="Find landmarks with a remote TensorFlow Serving.", allow_abbrev=False)
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="PNG, JPEG or BMP files")
    server = parser.add_mutually_exclusive_group(required=True)
    server.add_argument("--rest", metavar="URL", help="REST server, such as http://127.0.0.1:8501")
    server.add_argument("--grpc", metavar="HOST:PORT", help="gRPC server, such as 127.0.0.1:8500")
    parser.add_argument("--out", type=Path, default=Path("predictions.csv"), metavar="FILE", help="table (default: predictions.csv)")
    parser.add_argument("--model", default="scn", metavar="NAME", help="name of the model on the server (default: scn)")
    parser.add_argument("--names", type=Path, metavar="FILE", help="assets/scn_tf.json of the export: landmark names instead of numbers")
    parser.add_argument("--timeout", type=float, default=60.0, metavar="SECONDS", help="for one request (default: 60)")
    parser.add_argument("--batch", type=int, default=client.LARGEST_BATCH, metavar="IMAGES", help="images a request (default: 8)")
    parser.add_argument(
        "--spacing", nargs=2, type=float, metavar=("X", "Y"), help="mm per pixel, of models whose signature has the input spacing"
    )
    options = parser.parse_args(arguments)
    try:
        files.check_writable(options.out)
        names = _names(options.names) if options.names else None
        if repeated := sorted({path.stem for path in options.images if [p.stem for p in options.images].count(path.stem) > 1}):
            raise client.ClientError(f"IMAGE: two files with the ID {repeated[0]}; the table could not tell them apart.")
        shared = {"model": options.model, "timeout": options.timeout, "batch_size": options.batch, "spacing": options.spacing}
        if options.rest:
            found = client.predict_rest(options.rest, options.images, **shared)
        else:
            found = client.predict_grpc(options.grpc, options.images, **shared)
        files.write_text(options.out, client.predictions_csv(options.images, found, names=names))
    except (client.ClientError, files.WriteError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    number = f"{len(found)} image" + "s" * (len(found) != 1)
    print(f"{number}, {len(found[0].scores)} landmarks each, pixel coordinates: {options.out}")
    return 0


def _names(path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))["landmarks"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise client.ClientError(f"{path}: expected assets/scn_tf.json of an export ({error}).") from None


if __name__ == "__main__":
    sys.exit(main())
