"""``scn-tf deploy``: files that run TensorFlow Serving under Docker Compose and Kubernetes."""

import argparse
import shlex
from pathlib import Path

from scn_tf.cli.command import Command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the folder."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder to write; created if missing")


def run(options: argparse.Namespace) -> None:
    """Write the files and print how to start.

    Raises:
        WriteError: other files have these names.
    """
    from scn_tf.serving import deploy

    written = deploy.write(options.folder)
    print(f"{options.folder}: {', '.join(path.name for path in written)}")
    print(f"Start with: SCN_MODEL=EXPORT docker compose -f {shlex.quote(str(options.folder / 'docker-compose.yml'))} up")
    print("EXPORT is the absolute path of a folder that scn-tf export RUN EXPORT wrote.")


COMMAND = Command(
    name="deploy",
    help="write files that run TensorFlow Serving in containers",
    description=(
        "Write docker-compose.yml, kubernetes.yaml and the settings of TensorFlow Serving into a folder, to be edited there. "
        "Existing files with other contents are not replaced."
    ),
    examples=("deploy deployment",),
    add_arguments=add_arguments,
    run=run,
    needs_tensorflow=False,
    rank=120,
)
