"""The parser: every command of the registry with its arguments."""

import argparse
import warnings
from collections.abc import Iterator

from scn_tf import __version__
from scn_tf.cli import spelling
from scn_tf.cli.command import COMMANDS, Command
from scn_tf.errors import ConfigWarning, Error


def build_parser(prog: str) -> argparse.ArgumentParser:
    """Build the parser of all commands. Parsed options hold the row as ``_command`` and its parser as ``_parser``."""
    parser = argparse.ArgumentParser(prog=prog, description="Find anatomical landmarks with SpatialConfiguration-Net.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=__version__)
    parser.set_defaults(_command=None, _parser=parser)
    adding = parser.add_subparsers(metavar="COMMAND")
    for command in _usable():
        own = adding.add_parser(
            command.name, aliases=command.aliases, help=command.help, description=command.description or None, allow_abbrev=False
        )
        command.add_arguments(own)
        own.set_defaults(_command=command, _parser=own)
        spelling.accept_hyphens(own)
    return parser


def _usable() -> Iterator[Command]:
    """All commands that can be imported. A broken plug-in leaves the others usable."""
    for name in COMMANDS:
        try:
            yield COMMANDS[name]
        except Error as error:
            warnings.warn(str(error), ConfigWarning, stacklevel=2)
