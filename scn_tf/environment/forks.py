"""Detection of forked processes. After a fork, TensorFlow waits forever if the parent process had computed with it."""

import os

from tensorflow.python.eager import context

_computed_before_the_fork = False


def hangs() -> bool:
    """Whether TensorFlow would wait forever in this process, because its threads stayed in the parent process."""
    return _computed_before_the_fork


def _note() -> None:
    """Record the fork in a child process. A parent that only imported TensorFlow, or opened files without it, does no harm."""
    global _computed_before_the_fork
    state = getattr(context, "_context", None)  # TensorFlow has no public word for it
    _computed_before_the_fork |= bool(getattr(state, "_initialized", False))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note)
