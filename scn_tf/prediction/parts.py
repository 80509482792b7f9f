"""A folder of Parquet files: answers and errors of a batch, in partitions that are written whole or not at all.

``predictions/part-00000.parquet`` has one row per image with an answer, ``errors/part-00000.parquet`` one per image without. A
partition is done as soon as its file of predictions is there, which is written last.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

from scn_tf import __version__
from scn_tf.data import stores
from scn_tf.environment.extras import needs_extra
from scn_tf.errors import ImageError, WriteError
from scn_tf.messages import visible

PREDICTIONS, ERRORS, STATED = "predictions", "errors", "batch.json"
PART = re.compile(r"part-(\d{5,})\.parquet")


class Parts:
    """The folder of a batch. ``url``: its path or URL."""

    def __init__(self, url: str) -> None:
        self.url, self.following = stores.absolute(url).rstrip("/"), 0

    def begin(self, stated: dict[str, Any], *, resume: bool) -> tuple[set[str], set[str]]:
        """Begin or resume a batch. ``following`` is then the number of the next partition.

        Args:
            stated: JSON values that a resumed batch must share.
            resume: whether the folder may hold partitions.

        Returns:
            IDs of the images that have an answer, and of those in the errors.

        Raises:
            WriteError: the folder holds other files, a batch with other values, or one without ``resume``; or it is not writable.
        """
        shown, inside = visible(self.url), stores.files_in(self.url)
        known = f"{self.url}/{STATED}"
        if inside and known not in inside:
            raise WriteError(f"{shown}: holds other files; choose another `out`.")
        if inside and not resume:
            raise WriteError(f"{shown}: holds a batch. `resume` continues it; otherwise choose another `out`.")
        values = {"scn_tf": __version__, "kind": "batch", **stated}
        if known in inside:
            _check_same(json.loads(stores.read(known)), values, shown)
        else:
            stores.write(known, json.dumps(values, indent=1).encode())
        errors, done = self._numbers(inside, ERRORS), self._numbers(inside, PREDICTIONS)
        for number in errors - done:  # a kill came between the two files
            stores.remove(self._part(ERRORS, number))
        self.following = max(done, default=-1) + 1
        return self._ids(PREDICTIONS, done), self._ids(ERRORS, done)

    def counts(self, number: int) -> tuple[int, int] | None:
        """Numbers of images with and without an answer of a partition; None if it is not done."""
        if not stores.exists(self._part(PREDICTIONS, number)):
            return None
        with_answer, without = (len(stores.read_parquet(self._part(kind, number), ["id"])) for kind in (PREDICTIONS, ERRORS))
        return with_answer, without

    def _ids(self, kind: str, numbers: set[int]) -> set[str]:
        try:
            return {row["id"] for number in numbers for row in stores.read_parquet(self._part(kind, number), ["id"])}
        except ImageError as error:
            raise WriteError(f"{error} Remove the partition from both folders; `resume` computes it again.") from None

    def _numbers(self, inside: Sequence[str], kind: str) -> set[int]:
        found = (name.removeprefix(f"{self.url}/{kind}/") for name in inside if name.startswith(f"{self.url}/{kind}/"))
        return {int(match[1]) for name in found if (match := PART.fullmatch(name))}

    def _part(self, kind: str, number: int) -> str:
        return f"{self.url}/{kind}/part-{number:05d}.parquet"

    def write(self, number: int, rows: list[dict[str, Any]], errors: list[dict[str, Any]], *, dims: int, about: dict[str, str]) -> None:
        """Write a partition.

        Args:
            number: of the partition.
            rows: images with an answer.
            errors: images without: ``id``, ``source`` and ``error``.
            dims: 2 or 3.
            about: facts of the model, which each file states.

        Raises:
            WriteError: a file cannot be written.
        """
        stores.write(self._part(ERRORS, number), _encoded(errors, 0, about))
        stores.write(self._part(PREDICTIONS, number), _encoded(rows, dims, about))


def _encoded(rows: list[dict[str, Any]], dims: int, about: dict[str, str]) -> bytes:
    """A Parquet file of predictions, or of errors if ``dims`` is 0."""
    with needs_extra("batch", "pyarrow", stores.EXTRA):
        import pyarrow
        from pyarrow import parquet
    text, number, flag = pyarrow.string(), pyarrow.float64(), pyarrow.bool_()
    columns: list[tuple[str, Any]] = [("id", text), ("source", text)]
    if dims:
        measured = [("name", text), ("value", number), ("unit", text), ("low95", number), ("high95", number)]
        point = [("name", text), *((axis, number) for axis in ("x", "y", "z")[:dims])]
        point += [(name, number) for name in ("score", "expected_error", "radius95")]
        point += [("present", flag), ("misplaced", flag), ("ellipse95", pyarrow.list_(pyarrow.list_(number)))]
        columns += [("series", text), ("size", pyarrow.list_(pyarrow.int64())), ("coordinates", text), ("unit", text)]
        columns += [("landmarks", pyarrow.list_(pyarrow.struct(point))), ("error_unit", text), ("image_ok", flag)]
        columns += [("measurements", pyarrow.list_(pyarrow.struct(measured)))]
    else:
        columns += [("error", text)]
    schema = pyarrow.schema(columns, metadata={"scn_tf": __version__, **about})
    sink = pyarrow.BufferOutputStream()
    parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema), sink)
    return sink.getvalue().to_pybytes()


def _check_same(found: object, expected: dict[str, Any], shown: str) -> None:
    values = found if isinstance(found, dict) else {}
    differing = [name for name, value in expected.items() if values.get(name) != json.loads(json.dumps(value))]
    if differing:
        raise WriteError(f"{shown}: the batch to resume was begun with another {' and another '.join(differing)}. Choose another `out`.")
