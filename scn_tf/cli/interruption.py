"""SIGTERM handled as Ctrl-C. Schedulers and containers stop commands with it, and results so far must be kept."""

import contextlib
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

from scn_tf.presence import known

AGAIN = 0.05  # seconds
SECONDS = 9.0  # to save. Then the process ends: what a file held before stays, see scn_tf.storage.files
# One wish may come as several signals: of a terminal, a scheduler, and the process that started this one. A later one is another wish.
APART = {signal.SIGINT: 0.3, signal.SIGTERM: 3.0}  # seconds

came: list[int] = []  # the signal that interrupted the last block


@contextlib.contextmanager
def sigterm_as_ctrl_c(status: Callable[[], int] | None = None) -> Iterator[None]:
    """In the block, the first SIGTERM raises KeyboardInterrupt, as Ctrl-C does. It is noted in ``came``.

    The process ends with ``status()``, or 130, if the block does not in ``SECONDS``, and at once with a second signal, see ``APART``.

    A signal that the process was started to ignore stays ignored (``nohup``, background jobs of a shell). Only the main thread can
    change signal handlers; in other threads the block changes nothing.

    Python drops an exception that is raised in a callback of its garbage collector, as JAX has one. KeyboardInterrupt is then raised again.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    came.clear()
    since, asked, over = [0.0], threading.Event(), threading.Event()

    def end() -> None:
        os.write(2, b"error: interrupted, and ended before all was saved.\n")  # print could wait for the interrupted thread
        os._exit(130 if status is None else status())

    def interrupt(number: int, frame: FrameType | None) -> None:
        if came and not dropped_one.is_set():
            if time.monotonic() - since[0] > APART[signal.Signals(number)]:
                end()
            return
        if not came:
            came.append(number)
            since[0] = time.monotonic()
            asked.set()
        dropped_one.clear()
        raise KeyboardInterrupt

    def watch() -> None:
        asked.wait()
        if not over.wait(SECONDS):
            end()

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

    threading.Thread(target=watch, name="scn-tf-interruption", daemon=True).start()
    try:
        sys.unraisablehook = raise_again
        gc.callbacks.append(note)
        for number, handler in kept.items():
            if handler in (signal.SIG_DFL, signal.default_int_handler):
                signal.signal(number, interrupt)
        yield
    finally:
        over.set()
        asked.set()
        dropped_one.clear()
        sys.unraisablehook = report
        gc.callbacks.remove(note)
        for number, handler in kept.items():
            if handler is not None:  # of another language's
                signal.signal(number, handler)
