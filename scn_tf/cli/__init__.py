"""The ``scn-tf`` command; ``train.py``, ``evaluate.py`` and most of ``export/*.py`` call it too.

TensorFlow is imported after the command line was read: help and misspelt options answer at once.
"""

import argparse
import contextlib
import sys
import warnings
from collections.abc import Sequence
from typing import TextIO

from scn_tf import config
from scn_tf.cli.arguments import build_parser
from scn_tf.cli.commands import fail
from scn_tf.cli.interruption import sigterm_as_ctrl_c
from scn_tf.environment.quiet import import_tensorflow
from scn_tf.errors import Error
from scn_tf.messages import visible

AFTER_INTERRUPTION = {
    "study": "; the same command goes on",
    "train": "; a training goes on from its last checkpoint with --resume",
}


def main(arguments: Sequence[str] | None = None, *, prog: str = "scn-tf") -> int:
    """Run a command line; returns the exit status."""
    parser = build_parser(prog)
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        return fail(f"{unknown[0].split('=')[0]}: unknown argument{_suggest(unknown[0], parser, options.command)}", status=2)
    if options.command is None:
        parser.print_help()
        return 2
    warnings.showwarning = _show_warning
    own_handling = options.command in ("serve", "demo")
    try:
        with contextlib.nullcontext() if own_handling else sigterm_as_ctrl_c():
            return _run(options)
    except KeyboardInterrupt:
        return fail(f"interrupted{AFTER_INTERRUPTION.get(options.command, '')}.", status=130)


def _run(options: argparse.Namespace) -> int:
    try:
        if not getattr(options, "without_tensorflow", False):
            import_tensorflow()
        return options.run(options) or 0
    except Error as error:
        return fail(str(error), status=1)


def _show_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, file: TextIO | None = None, line: str | None = None
) -> None:
    """A warning on a line of its own: several threads may warn at a time, beside a progress bar."""
    if sys.stderr is None:
        return
    from tqdm import tqdm

    text = " ".join(visible(str(message).replace("\n", " ")).split())
    with tqdm.external_write_mode(file=sys.stderr):  # takes the bars away, and nobody else writes meanwhile
        sys.stderr.write(f"warning: {text}\n")


def _suggest(argument: str, parser: argparse.ArgumentParser, command: str | None) -> str:
    """The end of the message about an argument that a command does not have."""
    if not argument.startswith("--"):
        return "."
    commands = next(action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    options = [name[2:] for name in (commands[command] if command else parser)._option_string_actions if name.startswith("--")]
    return config.nearest(argument[2:].split("=")[0], options, prefix="--")
