"""Errors and warnings on standard error, one line each."""

import sys
from collections.abc import Mapping
from typing import TextIO

from scn_tf.cli import spelling
from scn_tf.messages import visible


def fail(message: str, *, status: int) -> int:
    """Print an error and return ``status``."""
    print(f"error: {message}", file=sys.stderr)
    return status


def show_warning(
    names: Mapping[str, str],
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print a warning on its own line, also from several threads and beside a progress bar.

    Args:
        names: spelling of each argument on the command line (:func:`scn_tf.cli.spelling.typed_names`).
        message, category, filename, lineno, file, line: those of :func:`warnings.showwarning`.
    """
    if sys.stderr is None:
        return
    from tqdm import tqdm

    text = " ".join(visible(spelling.as_typed(str(message), names).replace("\n", " ")).split())
    with tqdm.external_write_mode(file=sys.stderr):  # takes the bars away, and nobody else writes meanwhile
        sys.stderr.write(f"warning: {text}\n")
