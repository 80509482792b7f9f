"""``scn-tf demo``: a web page on this machine that runs a model in the browser."""

import argparse
import contextlib
from pathlib import Path

from scn_tf.cli import inputs
from scn_tf.cli.command import Command
from scn_tf.runs.folder import RunFolder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the run, the page's folder and its port."""
    inputs.add_run(parser, help=f"{inputs.RUN}; a 2D model")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder to write (default: RUN/demo, or NAME-demo for a file or name)")
    parser.add_argument("--port", type=int, default=8600, help="default: 8600; 0 takes any free one")
    parser.add_argument("--no-open", dest="open", action="store_false", help="do not open a browser")


def run(options: argparse.Namespace) -> None:
    """Build the page, serve it and open it. Ctrl-C ends the server."""
    import webbrowser

    from scn_tf.serving import demo

    model = options.run_folder
    # Not in a new folder with the name of a bundled model: it would be found in its place.
    folder = options.out or (RunFolder(model).demo if model.is_dir() else model.parent / f"{model.stem}-demo")
    with demo.server(folder, options.port) as server:  # before the work: the port may be taken
        demo.build(model, folder)
        address = f"http://127.0.0.1:{server.server_port}/"
        print(f"{folder}: {address} (stop with Ctrl-C)", flush=True)
        if options.open:
            webbrowser.open(address)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()


COMMAND = Command(
    name="demo",
    help="find landmarks in the browser, with a local web page",
    description=(
        "Build a page that runs the network in the browser, serve it on this machine only, and open it. "
        "Images stay in the browser. The first time, npm fetches LiteRT.js."
    ),
    examples=("demo runs/first",),
    add_arguments=add_arguments,
    run=run,
    own_signals=True,
    rank=110,
)
