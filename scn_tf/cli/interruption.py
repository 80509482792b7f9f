"""SIGTERM handled as Ctrl-C. Schedulers and containers stop commands with it, and results so far must be kept."""

import contextlib
import gc
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

from scn_tf.presence import known

AGAIN = 0.05  # seconds


@contextlib.contextmanager
def sigterm_as_ctrl_c() -> Iterator[None]:
    """In the block, the first SIGTERM raises KeyboardInterrupt, as Ctrl-C does. Later ones are ignored, so that saving can finish.

    A signal that the process was started to ignore stays ignored (``nohup``, background jobs of a shell). Only the main thread can
    change signal handlers; in other threads the block changes nothing.

    Python drops an exception that is raised in a callback of its garbage collector, as JAX has one. KeyboardInterrupt is then raised again.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        # Ctrl-C and SIGTERM may both come, of a terminal and of the process that started this one. A second Ctrl-C counts: a user insists.
        if kept[signal.SIGTERM] != signal.SIG_IGN:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        dropped_one.clear()
        raise KeyboardInterrupt

    report, collecting, dropped_one = sys.unraisablehook, threading.Event(), threading.Event()

    def again() -> None:
        """Send a signal, which also ends a wait of the main thread, until it is handled: one just before a wait does not end it."""
        if dropped_one.is_set():
            if not collecting.is_set():  # what is finalized may drop it, too
                signal.pthread_kill(known(threading.main_thread().ident), signal.SIGINT)
            threading.Timer(AGAIN, again).start()

    def note(phase: str, _: object) -> None:
        (collecting.set if phase == "start" else collecting.clear)()

    def raise_again(dropped: "sys.UnraisableHookArgs") -> None:
        if dropped.exc_type is KeyboardInterrupt:
            signal.signal(signal.SIGINT, interrupt)  # it may be ignored, in the background of a shell
            dropped_one.set()
            threading.Timer(AGAIN, again).start()  # later: the callback has not returned yet
        else:
            report(dropped)

    try:
        sys.unraisablehook = raise_again
        gc.callbacks.append(note)
        for number, handler in kept.items():
            if handler in (signal.SIG_DFL, signal.default_int_handler):
                signal.signal(number, interrupt)
        yield
    finally:
        dropped_one.clear()
        sys.unraisablehook = report
        gc.callbacks.remove(note)
        for number, handler in kept.items():
            if handler is not None:  # of another language's
                signal.signal(number, handler)
