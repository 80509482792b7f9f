"""Processes that end with the one that started them, even if that was killed and could not end them."""

import os
import threading
import time
from collections.abc import Callable

VARIABLE = "SCN_TF_PARENT"
SECONDS = 0.5  # between two looks


def variables() -> dict[str, str]:
    """Environment variables for a process that calls :func:`end_with_it`."""
    return {VARIABLE: str(os.getpid())}


def end_with_it(end: Callable[[], object]) -> None:
    """Call a function once the process that passed on :func:`variables` has ended. Without such a process it does nothing."""
    parent = os.environ.pop(VARIABLE, "")  # not for the processes that this one starts
    if not parent or os.name != "posix":  # elsewhere a process keeps the number of a parent that has ended
        return

    def watch() -> None:
        while os.getppid() == int(parent):
            time.sleep(SECONDS)
        end()

    threading.Thread(target=watch, name="scn-tf-parent", daemon=True).start()
