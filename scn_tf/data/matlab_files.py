"""MATLAB files in a process of their own, since damaged ones can crash or fill the memory of the libraries that read them.

Versions 4 to 7.2 are read by scipy, 7.3 (HDF5) by h5py. Sizes are asked of the headers before contents are read.
"""

import importlib.util
import json
import os
from io import BufferedReader
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np

from scn_tf.data import workers
from scn_tf.environment.extras import needs_extra
from scn_tf.errors import DatasetError
from scn_tf.messages import cut, visible
from scn_tf.types import Array

SECONDS = 60  # for a file
MAX_MEMORY = 4 * 2**30  # bytes of address space of the process
MAX_NUMBERS = 5_000_000  # of a file
MAX_VARIABLES, MAX_DEPTH = 1000, 6
PROGRAM = "from scn_tf.data.matlab_files import serve; serve()"
Content: TypeAlias = dict[str, Any]  # variable -> array, text, list (cells, or structs of an array) or dict (struct)


def read_matlab(path: Path) -> Content:
    """Variables of a MATLAB file: arrays of numbers as float64, texts, cells and arrays of structs as lists, structs as dicts.

    Variables of other classes (tables, ``string``, functions, sparse matrices) are texts ``<CLASS>``.

    Raises:
        DatasetError: the file is damaged, too large, or takes too long, or the process that reads it cannot be started.
        MissingExtra: scipy is not installed.
    """
    with needs_extra("MATLAB files", "scipy"):
        if importlib.util.find_spec("scipy") is None:
            raise ImportError("No module named 'scipy'")
    try:
        answer = workers.ask(PROGRAM, os.path.abspath(path), _received, seconds=SECONDS)
    except ChildProcessError as error:
        raise DatasetError(f"{path}: cannot be read: {error}.") from None
    if answer is None:
        raise DatasetError(f"{path}: is damaged or too large: its reader crashes, or takes longer than {SECONDS} s.")
    if "error" in answer:
        raise DatasetError(f"{path}: cannot be read as a MATLAB file ({cut(visible(answer['error']))}).")
    return cast(Content, _decoded(answer["variables"]))


def _received(stream: BufferedReader) -> dict[str, Any]:
    """An answer of the process: one line of JSON."""
    return cast(dict[str, Any], json.loads(stream.readline()))


def _decoded(value: Any) -> Any:
    if isinstance(value, dict) and "numbers" in value:
        return np.array(value["numbers"], "float64").reshape(value["shape"])
    if isinstance(value, dict):
        return {key: _decoded(inner) for key, inner in value["fields"].items()}
    return [_decoded(inner) for inner in value] if isinstance(value, list) else value


def serve() -> None:
    """Answer paths from standard input with the variables of the files, until it ends."""
    workers.serve(lambda path: [json.dumps(_answer(path)).encode() + b"\n"], MAX_MEMORY)


def _answer(path: str) -> dict[str, Any]:
    """Variables of a file, ready for JSON, or why there are none."""
    try:
        return {"variables": {"fields": _Reader(path).variables()}}
    except MemoryError:
        return {"error": "it does not fit into memory"}
    except Exception as error:  # libraries meet whatever bytes there are
        return {"error": f"{type(error).__name__}: {error}" if not isinstance(error, ValueError) else str(error)}


class _Reader:
    """Reads one file, and counts its numbers."""

    def __init__(self, path: str) -> None:
        self.path, self.left = path, MAX_NUMBERS

    def variables(self) -> dict[str, Any]:
        """Variables by name, ready for JSON."""
        with open(self.path, "rb") as file:
            head = file.read(520)
        if head[512:].startswith(b"\x89HDF") or head.startswith(b"\x89HDF"):
            return self._hdf5()
        import scipy.io

        listed = scipy.io.whosmat(self.path)
        self._take(sum(int(np.prod(shape, dtype=object)) for _, shape, _ in listed), len(listed))
        self.left = MAX_NUMBERS
        content = scipy.io.loadmat(self.path, struct_as_record=True, chars_as_strings=True)
        return {name: self._plain(value, 0) for name, value in content.items() if not name.startswith("__")}

    def _take(self, numbers: int, values: int = 0) -> None:
        self.left -= numbers
        if self.left < 0 or values > MAX_VARIABLES:
            raise ValueError(f"it holds more than {MAX_NUMBERS:,} numbers or {MAX_VARIABLES:,} variables")

    def _plain(self, value: Any, depth: int) -> Any:
        """A value of scipy, ready for JSON."""
        if depth > MAX_DEPTH or not isinstance(value, np.ndarray):
            return value if isinstance(value, str) else f"<{type(value).__name__}>"
        self._take(value.size)
        if value.dtype.names and type(value) is np.ndarray:
            structs = [
                {"fields": {name: self._plain(one[name], depth + 1) for name in value.dtype.names}} for one in value.ravel(order="F")
            ]
            return structs[0] if len(structs) == 1 else structs
        if value.dtype.kind == "O" and type(value) is np.ndarray:
            return [self._plain(one, depth + 1) for one in value.ravel(order="F")]
        if value.dtype.kind == "U":
            texts = [str(text).rstrip() for text in value.ravel()]
            return texts[0] if len(texts) == 1 else texts or ""
        return _numbers(value) if value.dtype.kind in "biuf" else f"<{type(value).__name__}>"

    def _hdf5(self) -> dict[str, Any]:
        import h5py

        with h5py.File(self.path, "r") as file:
            return {name: self._node(file, name, 0) for name in self._members(file)}

    def _members(self, group: Any) -> list[str]:
        names = [name for name in group if not name.startswith("#")]
        self._take(0, len(names))
        return names

    def _node(self, group: Any, name: str, depth: int) -> Any:
        """A member of an HDF5 group, ready for JSON."""
        import h5py

        if not isinstance(group.get(name, getlink=True), h5py.HardLink):  # others lead to other files
            raise ValueError(f"{name}: links are not read")
        return self._value(group[name], depth)

    def _value(self, node: Any, depth: int) -> Any:
        import h5py

        if depth > MAX_DEPTH:
            return "<too deep>"
        if isinstance(node, h5py.Group):
            fields = {name: self._node(node, name, depth + 1) for name in self._members(node)}
            lengths = {len(value) if isinstance(value, list) else 0 for value in fields.values()}
            if node.attrs.get("MATLAB_class") == b"struct" and len(lengths) == 1 and max(lengths) > 1 and self._is_array(node):
                return [{"fields": {name: fields[name][number] for name in fields}} for number in range(max(lengths))]
            return {"fields": fields}
        if node.external or node.is_virtual:
            raise ValueError(f"{node.name}: data in other files is not read")
        kind = node.attrs.get("MATLAB_class", b"")
        kind = kind.decode(errors="replace") if isinstance(kind, bytes) else str(kind)
        if "MATLAB_empty" in node.attrs:
            return "" if kind == "char" else [] if kind in ("cell", "struct") else {"numbers": [], "shape": [0, 0]}
        self._take(node.size)
        if node.dtype == h5py.ref_dtype:
            return [self._value(node.file[reference], depth + 1) for reference in np.asarray(node[()]).ravel() if reference]
        if kind == "char":
            rows = np.atleast_2d(np.asarray(node[()]).T)
            texts = ["".join(map(chr, row)).rstrip() for row in rows.tolist()]
            return texts[0] if len(texts) == 1 else texts
        if node.dtype.kind not in "biuf" or "MATLAB_object_decode" in node.attrs:
            return f"<{kind or node.dtype}>"
        return _numbers(np.asarray(node[()]).T)  # MATLAB stores columns first

    @staticmethod
    def _is_array(group: Any) -> bool:
        """Whether the fields of a struct are references without a class of their own, as those of an array of structs are."""
        import h5py

        return all(isinstance(group[name], h5py.Dataset) and "MATLAB_class" not in group[name].attrs for name in group)


def _numbers(array: Array) -> dict[str, Any]:
    return {"numbers": np.asarray(array, "float64").ravel().tolist(), "shape": list(array.shape)}
