"""``scn-tf deploy``: files that run TensorFlow Serving in containers, or that start a training on several machines."""

import argparse
import shlex
from pathlib import Path

from scn_tf import launch
from scn_tf.cli.command import Command
from scn_tf.cli.commands import train
from scn_tf.errors import ConfigError
from scn_tf.launch.kind import Launch

SERVING = "serving"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the kind, the folder and the values of a launch."""
    kinds = "; ".join(f"{kind.name}: {kind.description}" for kind in launch.KINDS.imported().values())
    parser.add_argument(
        "kind",
        metavar="KIND",
        help=f"{SERVING}: TensorFlow Serving in containers. For a training on several machines, {kinds}. "
        f"Without --out, the folder of {SERVING}",
    )
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="folder to write; created if missing")
    parser.add_argument("--workers", type=int, metavar="N", help=f"number of workers (default: {Launch((), '').workers})")
    parser.add_argument("--hosts", metavar="HOST,...", help="of ssh: the hosts of the workers, the chief's first; USER@HOST is allowed")
    parser.add_argument("--gpus", type=int, metavar="N", help="GPUs of each worker (default: none)")
    parser.add_argument("--image", metavar="IMAGE", help="of Kubernetes: container image with scn_tf")
    parser.add_argument("--claim", metavar="NAME", help="of Kubernetes: persistent volume claim with data set and run")
    parser.add_argument(
        "--train",
        nargs=argparse.REMAINDER,
        metavar="OPTION",
        help="all that follows: options of scn-tf train as the machines know the paths, with --run-dir",
    )
    parser.usage = (
        "%(prog)s [-h] KIND --out FOLDER [--workers N] [--hosts HOST,...] [--gpus N] [--image IMAGE] [--claim NAME] [--train ...]"
    )


def run(options: argparse.Namespace) -> None:
    """Write the files and print how to start.

    Raises:
        ConfigError: the kind is unknown, or a value does not suit it.
        WriteError: other files have these names.
    """
    given = [name for name in ("workers", "hosts", "gpus", "image", "claim", "train") if getattr(options, name) is not None]
    if options.out is None and options.kind not in (SERVING, *launch.KINDS) and not given:
        options.kind, options.out = SERVING, Path(options.kind)
    if options.out is None:
        raise ConfigError("--out: name the folder to write.")
    uses = () if options.kind == SERVING else (*launch.KINDS[options.kind].uses, "train")
    if unused := [f"--{name}" for name in given if name not in uses]:
        raise ConfigError(f"{', '.join(unused)}: not for kind {options.kind}.")
    if options.kind == SERVING:
        _serve(options.out)
    else:
        _launch(options)


def _serve(folder: Path) -> None:
    from scn_tf.serving import deploy

    written = deploy.write(folder)
    print(f"{folder}: {', '.join(path.name for path in written)}")
    print(f"Start with: SCN_MODEL=EXPORT docker compose -f {shlex.quote(str(folder / 'docker-compose.yml'))} up")
    print("EXPORT is the absolute path of a folder that scn-tf export RUN EXPORT wrote.")


def _launch(options: argparse.Namespace) -> None:
    kind = launch.KINDS[options.kind]
    values = {name: getattr(options, name) for name in kind.uses if getattr(options, name) is not None}
    for name, least in (("workers", 2), ("gpus", 0)):
        if not least <= values.get(name, least) <= 10_000:
            raise ConfigError(f"--{name}: expected a number from {least} to 10000, received {values[name]}.")
    if "hosts" in values:
        values["hosts"] = tuple(values["hosts"].split(","))
    words = options.train or []
    written = launch.write(kind.name, Launch(tuple(words), _run_dir(words), **values), options.out)
    print(f"{options.out}: {', '.join(path.name for path in written)}")
    print(f"Read and edit them, then start with: cd {shlex.quote(str(options.out))} && {kind.start}")


def _run_dir(words: list[str]) -> str:
    """Run folder of the options of ``scn-tf train``.

    Raises:
        ConfigError: there is none, or an option that the files add themselves.
    """
    parser = argparse.ArgumentParser(prog="scn-tf train", allow_abbrev=False)
    train.add_arguments(parser)
    found = parser.parse_args(words)
    if found.run_dir is None:
        raise ConfigError("--train: needs --run-dir FOLDER, so that a training that starts again finds its run.")
    if found.resume or "train.strategy" in found:
        raise ConfigError("--train: the files add --train.strategy multi_worker, and --resume where there is a run; leave both out.")
    return str(found.run_dir)


COMMAND = Command(
    name="deploy",
    help="write files that run a server or a training on other machines",
    description=(
        "Write files into a folder, to be edited there: of TensorFlow Serving for Docker Compose and Kubernetes, or of one training by "
        "several machines. Existing files with other contents are not replaced."
    ),
    examples=(
        "deploy deployment",
        "deploy slurm --out launch --workers 4 --train --config hand_xray --data.root /data/hands --run-dir /data/runs/hands",
        "deploy ssh --out launch --hosts node1,node2 --train --data.root /data/hands --run-dir /data/runs/hands",
    ),
    add_arguments=add_arguments,
    run=run,
    needs_tensorflow=False,
    rank=120,
)
