"""Journals: files to which long work appends what is done, so that a later call skips it.

A journal is JSON, one value per line: a header, then records. A kill or a full disk costs the last, incomplete line.
"""

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from scn_tf.errors import WriteError
from scn_tf.storage import files, ownership

KIND = "scn_tf_journal"  # key of the header, by which our journals are recognised
FORMAT = 2  # of the records
MAX_LINE = 2**26  # bytes


def path_for(table: Path) -> Path:
    """Journal of a table: a hidden file beside it, or beside the file to which a link leads."""
    target = Path(os.path.realpath(table))
    return target.with_name(f".{target.name}{ownership.JOURNAL}")


class Journal:
    """An open journal.

    Args:
        path: of the file.
        header: JSON values that a resumed call must share.
        resume: whether to keep the records of an existing journal with the same header.

    Attributes:
        places: key -> position of its last record in the file.

    Raises:
        WriteError: another process uses the journal, it was not written by scn_tf, its header differs, or the disk is full.
    """

    def __init__(self, path: Path, header: dict[str, Any], *, resume: bool) -> None:
        self.path, self.places = path, dict[str, int]()
        files.check_writable(path)
        try:
            self._file = open(path, "a+b")  # noqa: SIM115  (closed by close)
        except OSError as error:
            raise WriteError(f"{path}: cannot be written ({error.strerror}).") from None
        try:
            self._lock()
            if not (resume and self._restored(header)):
                self._file.truncate(0)
                self._write([{KIND: FORMAT, **header}])
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, after its content is on the disk."""
        with contextlib.suppress(OSError):  # of a full disk, which was reported
            os.fsync(self._file.fileno())
        with contextlib.suppress(OSError):
            self._file.close()

    def append(self, records: Iterable[dict[str, Any]]) -> None:
        """Add records, each with a ``key``. They survive a kill of the process as soon as this returns.

        Raises:
            WriteError: the disk is full.
        """
        records = list(records)
        for place, record in zip(self._write(records), records, strict=True):
            self.places[record["key"]] = place

    def record(self, key: str) -> dict[str, Any]:
        """The last record of a key."""
        self._file.seek(self.places[key])
        return json.loads(self._file.readline())

    def _write(self, records: list[dict[str, Any]]) -> list[int]:
        """Append lines; returns their positions."""
        lines = [json.dumps(record, separators=(",", ":")).encode() + b"\n" for record in records]
        try:
            start = self._file.seek(0, os.SEEK_END)
            self._file.write(b"".join(lines))
            self._file.flush()
        except OSError as error:
            raise WriteError(
                f"{self.path}: cannot be written ({error.strerror}). What was found before is kept; `resume` continues."
            ) from None
        return [start + sum(map(len, lines[:number])) for number in range(len(lines))]

    def _restored(self, header: dict[str, Any]) -> bool:
        """Find the records of an existing journal, and cut off an incomplete last line. False if there is no journal.

        Raises:
            WriteError: its header differs.
        """
        self._file.seek(0)
        end = 0
        for line in self._complete_lines():
            try:
                values = json.loads(line)
            except ValueError:
                break
            if end == 0:
                _check_header(values, header, self.path)
            elif isinstance(values, dict) and isinstance(values.get("key"), str):
                self.places[values["key"]] = end
            end += len(line)
        self._file.truncate(end)
        return end > 0

    def _complete_lines(self) -> Iterator[bytes]:
        while (line := self._file.readline(MAX_LINE)).endswith(b"\n"):
            yield line

    def _lock(self) -> None:
        if files.fcntl is None:
            return
        try:
            files.fcntl.flock(self._file.fileno(), files.fcntl.LOCK_EX | files.fcntl.LOCK_NB)
        except BlockingIOError:
            raise WriteError(f"{self.path}: another process writes it; wait for it, or choose another `out`.") from None
        except OSError:  # a file system without locks
            pass


def _check_header(found: object, expected: dict[str, Any], path: Path) -> None:
    values = found if isinstance(found, dict) else {}
    if values.get(KIND) != FORMAT:
        raise WriteError(f"{path}: the work to resume was begun with another version of scn_tf. Start again without `resume`.")
    differing = [name for name, value in expected.items() if values.get(name) != json.loads(json.dumps(value))]
    if differing:
        raise WriteError(
            f"{path}: the work to resume was begun with another {' and another '.join(differing)}. "
            "Repeat its command with `resume`, or start again without `resume`."
        )
