"""``scn-tf configs``: list the bundled configurations and studies, or print one."""

import argparse
from pathlib import Path

from scn_tf import config
from scn_tf.cli.command import Command
from scn_tf.config import bundled
from scn_tf.presence import known


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the name of one file."""
    parser.add_argument("name", nargs="?", metavar="NAME", help=f"one of: {', '.join(_files())}")


def run(options: argparse.Namespace) -> None:
    """List all, or print one.

    Raises:
        ConfigError: the name is unknown.
    """
    if options.name is None:
        width = max(map(len, _files()))
        for name, file in _files().items():
            print(f"{name:{width}s}  {bundled.headline(file)}")
        return
    found = bundled.find(options.name) or bundled.find_study(options.name)
    if found is None:
        raise config.ConfigError(f"configs: {options.name}: no bundled configuration{config.nearest(options.name, _files())}")
    print(bundled.text(found), end="")


def _files() -> dict[str, Path]:
    """Files by name, with the names as the list shows them."""
    studies = {f"{bundled.STUDIES}/{name}": known(bundled.find_study(name)) for name in bundled.study_names()}
    return {name: known(bundled.find(name)) for name in bundled.names()} | studies


COMMAND = Command(
    name="configs",
    help="list or print the bundled configurations and studies",
    description=(
        "Without NAME: list the configurations for train --config NAME, and the studies for study NAME. "
        "With NAME: print that file, to copy and change: scn-tf configs hand_xray > mine.yaml."
    ),
    examples=("configs", "configs hand_xray_quick"),
    add_arguments=add_arguments,
    run=run,
    needs_tensorflow=False,
    rank=60,
)
