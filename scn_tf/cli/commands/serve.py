"""``scn-tf serve``: serve an exported SavedModel on this machine, with TF Serving's REST routes."""

import argparse
from pathlib import Path

from scn_tf.cli.command import Command

# Fields of scn_tf.serving.server.Limits: type, default, help.
LIMITS = {
    "max_batch": (int, 8, "images that run together"),
    "batch_wait_ms": (float, 2, "milliseconds that a single request waits for others to share its batch"),
    "max_queue": (int, 128, "images that wait; further requests get 503"),
    "max_body_mb": (float, 32, "size of a request; a larger one gets 413"),
    "max_megapixels": (float, 64, "size of an image, at most 64; a larger one gets 400"),
    "body_seconds": (float, 60, "time to receive a request; a slower one gets 408"),
    "stop_seconds": (float, 30, "time to finish running requests when the server is stopped"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the export, its address and the limits."""
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of an exported SavedModel; the highest version in it is served")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, this machine only)")
    parser.add_argument("--port", type=int, default=8501, help="default: 8501; 0 takes any free one")
    parser.add_argument("--name", default="scn", help="name of the model in the routes (default: scn)")
    for name, (kind, usual, text) in LIMITS.items():
        parser.add_argument(f"--{name}", type=kind, default=usual, metavar="N", help=f"{text} (default: {usual})")


def run(options: argparse.Namespace) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    from scn_tf.serving import server

    limits = server.Limits(**{name: getattr(options, name) for name in LIMITS})
    server.serve(options.out, host=options.host, port=options.port, name=options.name, limits=limits)


COMMAND = Command(
    name="serve",
    help="answer requests on this machine, with TF Serving's REST routes",
    examples=("serve served --port 8501",),
    add_arguments=add_arguments,
    run=run,
    own_signals=True,
    rank=100,
)
