"""Silence for the C++ sides of libraries, which print past Python and past their own log levels."""

import contextlib
import os
import sys
import threading

_lock, _users, _kept = threading.Lock(), 0, None  # of the one redirection; several threads may open models at once


def import_tensorflow():
    """Import TensorFlow and find its devices without the lines that its C++ side prints before its log level counts."""
    if "tensorflow" in sys.modules:
        return
    with quiet_stderr():
        import tensorflow as tf

        tf.config.list_physical_devices()


@contextlib.contextmanager
def quiet_stderr():
    """Send what the block prints to the process's standard error nowhere; TF_CPP_MIN_LOG_LEVEL=0 shows it."""
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") != "3" or sys.stderr is None:  # a program without a console has none
        yield
        return
    sys.stderr.flush()
    _begin()
    try:
        yield
    finally:
        _end()


def _begin() -> None:
    global _users, _kept
    with _lock:
        if _users == 0:
            _kept, sink = os.dup(2), os.open(os.devnull, os.O_WRONLY)
            os.dup2(sink, 2)
            os.close(sink)
        _users += 1


def _end() -> None:
    global _users
    with _lock:
        _users -= 1
        if _users == 0:
            os.dup2(_kept, 2)
            os.close(_kept)
