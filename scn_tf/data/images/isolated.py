"""Readers in separate processes. A file that crashes a decoder, or never finishes, ends only that process.

GDCM, ITK and the codecs of TIFF are C and C++ libraries that damaged files can crash.
"""

import contextlib
import json
import os
import warnings
from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from scn_tf.data import workers
from scn_tf.data.images.image import Stored
from scn_tf.errors import DataWarning, ImageError

SECONDS = 600  # for a file or series
MAX_BYTES = 24 * 2**30  # of address space of such a process
PROGRAM = "from scn_tf.data.images.formats import read_stored; from scn_tf.data.images.isolated import serve; serve(read_stored)"

Head: TypeAlias = dict[str, Any]  # first line of an answer: JSON
Answer: TypeAlias = tuple[Head, np.ndarray | None]  # first line, and the pixels that follow it; None where it has an error


def read(path: Path, name: str, series: str | None = None) -> Stored:
    """Read a file or folder in another process.

    Args:
        path: path of the file.
        name: name of the file, for messages.
        series: UID of one of several DICOM series of a folder.

    Raises:
        ImageError: the reader raised it, crashed, took longer than ``SECONDS``, or its process cannot be started.
    """
    try:
        answer = workers.ask(PROGRAM, [os.path.abspath(path), series], _received, seconds=SECONDS)
    except ChildProcessError as error:
        raise ImageError(f"{name}: cannot be read: {error}.") from None
    if answer is None:
        raise ImageError(f"{name}: is damaged: its decoder crashes, or takes longer than {SECONDS} s.")
    head, array = answer
    if array is None:
        raise ImageError(head["error"])
    for text in head["warnings"]:
        warnings.warn(text, DataWarning, stacklevel=2)
    return Stored(array, head["spacing"], None if head["frame"] is None else np.array(head["frame"]))


def _received(stream: BufferedReader) -> Answer | None:
    """An answer of a process; None if it ends early."""
    head = json.loads(stream.readline())
    if "error" in head:
        return head, None
    array = np.empty(head["shape"], head["dtype"])
    view = array.reshape(-1).view("uint8").data
    while len(view):
        count = stream.readinto(view)
        if not count:
            return None
        view = view[count:]
    return head, array


def serve(reader: Callable[[Path, str | None], Stored]) -> None:
    """Answer requests, each [path, series or null], from standard input until it ends.

    An answer is a line of JSON, then the bytes of the pixels.
    """

    def answer(request: tuple[str, str | None]) -> Iterator[bytes | memoryview]:
        head, array = _answer(reader, Path(request[0]), request[1])
        yield json.dumps(head).encode() + b"\n"
        if array is not None:
            yield array.reshape(-1).view("uint8").data

    workers.serve(answer, _memory())


def _memory() -> int:
    """Bytes of address space that a process may take: no more than the machine has."""
    with contextlib.suppress(AttributeError, ValueError, OSError):
        return min(MAX_BYTES, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return MAX_BYTES


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
