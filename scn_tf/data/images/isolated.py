"""Readers in separate processes. A file that crashes a decoder, or never finishes, ends only that process.

GDCM, ITK and the codecs of TIFF are C and C++ libraries that damaged files can crash. A few processes are kept and reused.
"""

import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import IO, Any, TypeAlias, cast

import numpy as np

from scn_tf.data.images.image import Stored
from scn_tf.errors import DataWarning, ImageError
from scn_tf.types import known

SECONDS = 600  # for a file or series
MAX_BYTES = 24 * 2**30  # of address space of such a process
MAX_IDLE = 4
READY = b"ready\n"
PIPE = 2**20  # bytes, where the system lets choose: pixels pass faster
PROGRAM = "from scn_tf.data.images.formats import read_stored; from scn_tf.data.images.isolated import serve; serve(read_stored)"

_idle: list[subprocess.Popen[bytes]] = []
_lock = threading.Lock()

Head: TypeAlias = dict[str, Any]  # first line of an answer: JSON
Answer: TypeAlias = tuple[Head, np.ndarray | None]  # first line, and the pixels that follow it; None where it has an error


def read(path: Path, name: str, series: str | None = None) -> Stored:
    """Read a file or folder in another process.

    Args:
        path: path of the file.
        name: name of the file, for messages.
        series: UID of one of several DICOM series of a folder.

    Raises:
        ImageError: the reader raised it, crashed, or took longer than ``SECONDS``.
    """
    process, used_before = _taken(name)
    answer = _asked(process, path, series)
    if answer is None and used_before:  # a file before this one may have broken it
        process = _started(name)
        answer = _asked(process, path, series)
    if answer is None:
        raise ImageError(f"{name}: is damaged: its decoder crashes, or takes longer than {SECONDS} s.")
    with _lock:
        keep = len(_idle) < MAX_IDLE
        if keep:
            _idle.append(process)
    if not keep:
        _end(process)
    head, array = answer
    if array is None:
        raise ImageError(head["error"])
    for text in head["warnings"]:
        warnings.warn(text, DataWarning, stacklevel=2)
    return Stored(array, head["spacing"], None if head["frame"] is None else np.array(head["frame"]))


def _asked(process: subprocess.Popen[bytes], path: Path, series: str | None) -> Answer | None:
    """Answer of a process about a path. None if there is no answer; the process is then gone."""
    whole = False
    paths, answers = _pipes(process)
    try:
        with _watched(process):
            paths.write(json.dumps([os.path.abspath(path), series]).encode() + b"\n")
            paths.flush()
            head = json.loads(answers.readline() or b"null")
            array = None if head is None or "error" in head else _array(head, answers)
        whole = head is not None and ("error" in head or array is not None)
        return (head, array) if whole else None
    except (OSError, ValueError):
        return None
    finally:  # after Ctrl-C too: half an answer may lie in the pipe
        if not whole:
            process.kill()
            _end(process)


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], BufferedReader]:
    """Input and output of a process, which are both pipes."""
    return known(process.stdin), cast(BufferedReader, process.stdout)


def _array(head: Head, stream: BufferedReader) -> np.ndarray | None:
    """The pixels that follow an answer's first line; None if they end early."""
    array = np.empty(head["shape"], head["dtype"])
    view = array.reshape(-1).view("uint8").data
    while len(view):
        count = stream.readinto(view)
        if not count:
            return None
        view = view[count:]
    return array


def _taken(name: str) -> tuple[subprocess.Popen[bytes], bool]:
    """Take a process that waits for a path. Returns it, and whether it was used before."""
    with _lock:
        while _idle:
            process = _idle.pop()
            if process.poll() is None:
                return process, True
            _end(process)
    return _started(name), False


def _started(name: str) -> subprocess.Popen[bytes]:
    """Start a process and wait for its first line.

    Raises:
        ImageError: no process can be started, which is not the file's fault.
    """
    # The working folder may hold another scn_tf: this process' search path counts, and -P keeps the folder out of it.
    search_path = [str(Path(__file__).parents[3]), *sys.path[0 if sys.flags.safe_path else 1 :]]
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # the decoders' own lines name no file
            pipesize=PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, search_path))},
            start_new_session=True,  # Ctrl-C is for the process that asked
        )
    except OSError as error:
        raise ImageError(f"{name}: cannot be read: {error.strerror or error}, so no process for its decoder can be started.") from None
    with _watched(process):
        ready = _pipes(process)[1].readline() == READY
    if not ready:
        _end(process)
        raise ImageError(f"{name}: cannot be read: the process for its decoder does not start ({sys.executable} -P -c ...).")
    return process


@contextlib.contextmanager
def _watched(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Kill a process that has not answered after ``SECONDS``."""
    watch = threading.Timer(SECONDS, process.kill)
    watch.daemon = True
    watch.start()
    try:
        yield
    finally:
        watch.cancel()


def _end(process: subprocess.Popen[bytes]) -> None:
    """Close the input of a process, which ends it."""
    with contextlib.suppress(OSError):
        for pipe in _pipes(process):
            pipe.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)
        return
    process.kill()


@atexit.register
def _end_all() -> None:
    with _lock:
        while _idle:
            _end(_idle.pop())


def _forget_all() -> None:
    """Forget all processes in a forked child, since they belong to its parent."""
    global _lock
    _lock = threading.Lock()
    _idle.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)


def serve(reader: Callable[[Path, str | None], Stored]) -> None:
    """Answer requests from standard input, one JSON text [path, series or null] per line, until it ends.

    An answer is a line of JSON, then the bytes of the pixels.
    """
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing that a library prints may run into the answers
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        most = min(MAX_BYTES, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    answers.write(READY)
    answers.flush()
    for line in sys.stdin.buffer:
        path, series = json.loads(line)
        head, array = _answer(reader, Path(path), series)
        answers.write(json.dumps(head).encode() + b"\n")
        if array is not None:
            answers.write(array.reshape(-1).view("uint8").data)
        answers.flush()
        del array  # it may wait for long, and pixels may be gigabytes


def _answer(reader: Callable[[Path, str | None], Stored], path: Path, series: str | None) -> Answer:
    """Result of a reader for a file."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", DataWarning)
        try:
            stored = reader(path, series)
        except ImageError as error:
            return {"error": str(error)}, None
        array = np.ascontiguousarray(stored.array)
        if array.dtype.kind in "iuf" and array.dtype.itemsize == 8:
            with np.errstate(over="ignore"):  # as the image will be; half to send
                array = array.astype("float32")
    head = {
        "dtype": array.dtype.str,
        "shape": array.shape,
        "spacing": None if stored.spacing is None else [float(one) for one in stored.spacing],
        "frame": None if stored.frame is None else stored.frame.tolist(),
        "warnings": [str(one.message) for one in caught if issubclass(one.category, DataWarning)],
    }
    return head, array
