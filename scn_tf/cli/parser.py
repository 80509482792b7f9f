"""The parser: every command of the registry with its arguments."""

import argparse
import re
import textwrap
import warnings
from collections.abc import Iterator
from typing import NoReturn

from scn_tf import __version__, config
from scn_tf.cli import spelling
from scn_tf.cli.command import COMMANDS, Command
from scn_tf.cli.reporting import fail
from scn_tf.errors import ConfigWarning, Error
from scn_tf.messages import cut, visible

EXAMPLES = "Examples:"
UNKNOWN_COMMAND = re.compile(r"argument COMMAND: invalid choice: (.*?) \(choose from ")


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line that ends with an example."""

    example = ""

    def error(self, message: str) -> NoReturn:
        """Print the error and exit with status 2."""
        if match := UNKNOWN_COMMAND.match(message):
            asked = match[1].strip("'")
            message = f"{cut(visible(asked), 60)}: unknown command{config.nearest(asked, list(COMMANDS))}"
        example = f" Example: {self.example}" if self.example else ""
        self.exit(fail(f"{message}{'' if message.endswith(('?', '.')) else '.'}{example}", status=2))


class Formatter(argparse.HelpFormatter):
    """Keeps the lines of the examples, and names with hyphens whole."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if text.startswith(EXAMPLES) else super()._fill_text(text, width, indent)

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)


def build_parser(prog: str) -> argparse.ArgumentParser:
    """Build the parser of all commands. Parsed options hold the row as ``_command`` and its parser as ``_parser``."""
    parser = Parser(prog=prog, description="Find anatomical landmarks with SpatialConfiguration-Net.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=__version__)
    parser.set_defaults(_command=None, _parser=parser)
    adding = parser.add_subparsers(metavar="COMMAND")
    for command in _usable():
        lines = [f"{prog} {example}" for example in command.examples]
        own = adding.add_parser(
            command.name,
            aliases=command.aliases,
            help=command.help,
            description=command.description or None,
            epilog="\n  ".join([EXAMPLES, *lines]).replace("%", "%%") if lines else None,
            formatter_class=Formatter,
            allow_abbrev=False,
        )
        own.example = lines[0] if lines else ""
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
