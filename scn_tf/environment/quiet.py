"""Suppress messages of C++ libraries, which bypass Python and their own log levels."""

import contextlib
import importlib.machinery
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import TYPE_CHECKING

from scn_tf.environment import processors
from scn_tf.environment.keras_environment import check_backend, keras_environment

if TYPE_CHECKING:
    from importlib.abc import Loader
else:
    Loader = object  # importlib.abc brings tempfile, which a start of scn-tf does without

_lock, _users, _kept = threading.Lock(), 0, -1  # of the one redirection; several threads may open models at once


def import_tensorflow() -> None:
    """Import TensorFlow and find its devices without the messages that precede its log level. Its threads suit this process.

    Raises:
        ConfigError: another backend was chosen for Keras, which TensorFlow imports.
    """
    check_backend()
    import tensorflow  # noqa: F401


def silence_tensorflow() -> None:
    """Suppress messages of the first import of TensorFlow, by this package or by the program that uses it."""
    if "tensorflow" not in sys.modules and not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder:
    """Finder that loads TensorFlow quietly. It leaves all other modules to the next finders."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != "tensorflow":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


class _Loader(Loader):
    """Loader that runs another one and suppresses its messages."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self.loader
        if module.__spec__ is not None:
            module.__spec__.loader = self.loader
        with quiet_stderr(), keras_environment():
            self.loader.exec_module(module)
            module.config.list_physical_devices()
        cores = processors.count_cores()
        if cores < len(processors.numbers()) and processors.stated_threads() is None:  # TensorFlow knows no quota of a container
            module.config.threading.set_intra_op_parallelism_threads(cores)


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Discard what the block prints to the process's standard error. TF_CPP_MIN_LOG_LEVEL=0 shows it."""
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0" or sys.stderr is None:  # a program without a console has none
        yield
        return
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
    if not _begin():
        yield
        return
    try:
        yield
    finally:
        _end()


def _begin() -> bool:
    """Redirect standard error. Returns whether that worked: daemons close it."""
    global _users, _kept
    with _lock:
        if _users == 0:
            try:
                _kept = os.dup(2)
            except OSError:
                return False
            sink = os.open(os.devnull, os.O_WRONLY)
            os.dup2(sink, 2)
            os.close(sink)
        _users += 1
        return True


def _end() -> None:
    global _users
    with _lock:
        _users -= 1
        if _users == 0:
            os.dup2(_kept, 2)
            os.close(_kept)
