"""The description of a command, and the registry of all commands."""

import argparse
import dataclasses
from collections.abc import Callable

from scn_tf.registry import Registry


@dataclasses.dataclass(frozen=True)
class Command:
    """One command of ``scn-tf``, as the command line needs it.

    Importing the module of a row must be cheap: no TensorFlow, no NumPy. ``run`` imports what it needs.

    Attributes:
        name: as typed, with hyphens.
        help: one line for the list of commands.
        add_arguments: adds the command's arguments to its parser.
        run: executes the command and returns the exit status (None: 0). An :class:`scn_tf.Error` becomes one line and status 1.
        description: paragraph above the arguments in the command's help.
        examples: command lines without ``scn-tf``. The help ends with them; the message about a missing argument has the first.
        aliases: further names.
        needs_tensorflow: whether TensorFlow is imported before ``run``, with its start-up messages suppressed.
        own_signals: whether ``run`` handles Ctrl-C and SIGTERM itself. Otherwise both raise KeyboardInterrupt, and the status is 130.
        saved: whether the command can continue where it was interrupted. The status after SIGTERM is then 0, which is no failure to a
            scheduler.
        after_interruption: how to continue after Ctrl-C, such as "--resume continues from the last checkpoint"; part of the message.
        rank: place in the list of commands, smallest first.
    """

    name: str
    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int | None]
    description: str = ""
    examples: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    needs_tensorflow: bool = True
    own_signals: bool = False
    saved: Callable[[argparse.Namespace], bool] = lambda options: False
    after_interruption: str = ""
    rank: int = 100


COMMANDS = Registry("command", Command, home="scn_tf.cli.commands", group="scn_tf.commands")


def register_command(command: Command) -> None:
    """Add a command to ``scn-tf``. This is for programs that call :func:`scn_tf.cli.main`.

    Installed packages declare an entry point in the group ``scn_tf.commands`` instead.

    Raises:
        ConfigError: the row is not a :class:`Command`, or its name is taken.
    """
    COMMANDS.register(command)
