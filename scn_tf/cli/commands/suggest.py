"""``scn-tf suggest``: print a configuration for a data set and this machine, with the reason of every setting."""

import argparse
from pathlib import Path

from scn_tf import config
from scn_tf.cli.command import Command
from scn_tf.cli.settings import add_settings, given


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the folder, and an option for every setting."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="data set")
    parser.usage = "%(prog)s [-h] FOLDER [--minutes N] [--SECTION.FIELD VALUE ...]"
    add_settings(parser)


def run(options: argparse.Namespace) -> None:
    """Print YAML for ``scn-tf train --config``.

    Raises:
        Error: a setting or the data set cannot be used.
    """
    values = config.override({}, {**given(options), "data.root": options.folder})
    from scn_tf.suggest import suggest

    print(suggest(values).to_yaml(), end="")


COMMAND = Command(
    name="suggest",
    help="print settings for a data set and this machine",
    description=(
        "Measure a data set and this machine, and print a configuration in YAML with the reason of every setting. "
        "scn-tf train --data.root FOLDER decides the same by itself. Settings that are given are kept, and the others follow them: "
        "scn-tf suggest FOLDER --minutes 10 > mine.yaml; scn-tf train --config mine.yaml."
    ),
    examples=("suggest FOLDER --minutes 30",),
    add_arguments=add_arguments,
    run=run,
    rank=9,
)
