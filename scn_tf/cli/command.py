"""What a command is, and the registry of all commands."""

import argparse
import dataclasses
from collections.abc import Callable

from scn_tf.registry import Registry


@dataclasses.dataclass(frozen=True)
class Command:
    """One command of ``scn-tf``: everything that the command line knows of it.

    Importing the module of a row must be cheap: no TensorFlow, no NumPy. ``run`` imports what it needs.

    Attributes:
        name: what is typed, with hyphens.
        help: one line for the list of commands.
        add_arguments: adds the command's arguments to its parser.
        run: carries the command out; returns the exit status (None: 0). Errors of :class:`scn_tf.Error` become one line and status 1.
        description: paragraph above the arguments in the command's help.
        aliases: further names.
        needs_tensorflow: whether TensorFlow is imported before ``run``, without the lines that it prints.
        own_signals: whether ``run`` handles Ctrl-C and SIGTERM; otherwise both raise KeyboardInterrupt, and the status is 130.
        after_interruption: how to continue after Ctrl-C, for the message: "--resume continues from the last checkpoint".
        rank: place in the list of commands, smallest first.
    """

    name: str
    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int | None]
    description: str = ""
    aliases: tuple[str, ...] = ()
    needs_tensorflow: bool = True
    own_signals: bool = False
    after_interruption: str = ""
    rank: int = 100


COMMANDS = Registry("command", Command, home="scn_tf.cli.commands", group="scn_tf.commands")


def register_command(command: Command) -> None:
    """Add a command to ``scn-tf``, for programs that call :func:`scn_tf.cli.main`.

    Packages offer theirs by an entry point in the group ``scn_tf.commands`` instead.

    Raises:
        ConfigError: it is no :class:`Command`, or its name is taken.
    """
    COMMANDS.register(command)
