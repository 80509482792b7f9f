"""The ``scn-tf`` command; ``train.py``, ``evaluate.py`` and ``export/*.py`` call it too.

TensorFlow is imported after the command line is parsed, so that help and misspelt options answer at once.
"""

import argparse
import contextlib
import functools
import os
import signal
import sys
import warnings
from collections.abc import Mapping, Sequence

from scn_tf import config
from scn_tf.cli import interruption, spelling
from scn_tf.cli.command import Command
from scn_tf.cli.parser import build_parser
from scn_tf.cli.reporting import fail, show_warning
from scn_tf.environment.lean import import_tensorflow
from scn_tf.errors import Error
from scn_tf.messages import visible

CLOSED_PIPE = 141  # exit status of a shell's commands that SIGPIPE ends


def main(arguments: Sequence[str] | None = None, *, prog: str = "scn-tf") -> int:
    """Run a command line and return the exit status."""
    try:
        try:
            return _parsed(arguments, prog)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()  # here, where a closed pipe can be told from a fault
    except BrokenPipeError:  # the program that reads the output, such as head, has ended
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end
        return CLOSED_PIPE


def _parsed(arguments: Sequence[str] | None, prog: str) -> int:
    warnings.showwarning = functools.partial(show_warning, {})
    parser = build_parser(prog)
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        return fail(f"{visible(unknown[0].split('=')[0])}: unknown argument{_suggest(unknown[0], options._parser)}", status=2)
    command: Command | None = options._command
    if command is None:
        parser.print_help()
        return 2
    names = spelling.typed_names(options._parser)
    warnings.showwarning = functools.partial(show_warning, names)
    interruption.came.clear()

    def status() -> int:
        return 0 if interruption.came == [signal.SIGTERM] and command.saved(options) else 130

    try:
        with contextlib.nullcontext() if command.own_signals else interruption.sigterm_as_ctrl_c(status):
            return _run(command, options, names)
    except KeyboardInterrupt:
        remedy = f"; {command.after_interruption}" if command.after_interruption else ""
        if status() == 0:
            print(f"stopped{remedy}.", file=sys.stderr)
            return 0
        return fail(f"interrupted{remedy}.", status=130)


def _run(command: Command, options: argparse.Namespace, names: Mapping[str, str]) -> int:
    try:
        if command.needs_tensorflow:
            import_tensorflow()
        return command.run(options) or 0
    except Error as error:
        return fail(spelling.as_typed(str(error), names), status=1)


def _suggest(argument: str, parser: argparse.ArgumentParser) -> str:
    """End of the message about an unknown argument."""
    if not argument.startswith("--"):
        return f"; did you mean --data.root {visible(argument)}?" if "--data.root" in spelling.options(parser) else "."
    return config.nearest(argument[2:].split("=")[0], [name[2:] for name in spelling.options(parser)], prefix="--")
