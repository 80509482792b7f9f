"""SIGTERM as Ctrl-C: schedulers and containers stop a command with it, and what was found must be kept all the same."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn


@contextlib.contextmanager
def sigterm_as_ctrl_c() -> Iterator[None]:
    """In the block, SIGTERM raises KeyboardInterrupt as Ctrl-C does; once only, so that a second one does not stop the saving.

    Whoever has this process ignore a signal (``nohup``, a shell's background jobs) is obeyed. Threads other than the first cannot
    change signals: there the block is as it was.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        # Ctrl-C and SIGTERM may both come, of a terminal and of the process that started this one. A second Ctrl-C counts: a user insists.
        if kept[signal.SIGTERM] != signal.SIG_IGN:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    try:
        for number, handler in kept.items():
            if handler in (signal.SIG_DFL, signal.default_int_handler):
                signal.signal(number, interrupt)
        yield
    finally:
        for number, handler in kept.items():
            if handler is not None:  # of another language's
                signal.signal(number, handler)
