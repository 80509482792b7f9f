"""Processes forked from one in which TensorFlow has computed: nothing it computes there ever ends."""

import os

from tensorflow.python.eager import context

_computed_before_the_fork = False


def hangs() -> bool:
    """Whether TensorFlow would wait without end here: its threads stayed in the process that this one was forked from."""
    return _computed_before_the_fork


def _note() -> None:
    """In a forked child. A parent that has only imported TensorFlow, or opened files without it, does no harm."""
    global _computed_before_the_fork
    state = getattr(context, "_context", None)  # TensorFlow has no public word for it
    _computed_before_the_fork |= bool(getattr(state, "_initialized", False))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note)
