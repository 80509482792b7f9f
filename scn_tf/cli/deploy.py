"""``scn-tf deploy``: the files that run TensorFlow Serving under Docker Compose and Kubernetes."""

import argparse
import shlex
from pathlib import Path


def add_parser(adding: argparse._SubParsersAction) -> None:
    """Add the command to those of ``scn-tf``."""
    parser = adding.add_parser("deploy", help="write files that run TensorFlow Serving in containers", allow_abbrev=False, description=(
        "Write docker-compose.yml, kubernetes.yaml and the settings of TensorFlow Serving into a folder, to be edited there. "
        "Files that are there with other contents are not replaced."))  # fmt: skip
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder to write; made if it is not there")
    parser.set_defaults(run=run_deploy, without_tensorflow=True)


def run_deploy(options: argparse.Namespace) -> None:
    """Write the files and say how to begin.

    Raises:
        WriteError: something else lies there.
    """
    from scn_tf.serving import deploy

    written = deploy.write(options.folder)
    print(f"{options.folder}: {', '.join(path.name for path in written)}")
    print(f"Begin with: SCN_MODEL=EXPORT docker compose -f {shlex.quote(str(options.folder / 'docker-compose.yml'))} up")
    print("EXPORT is the absolute path of a folder that scn-tf export RUN EXPORT wrote.")
