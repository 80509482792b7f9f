"""A study's long table of errors, ``errors.csv.gz``, with one row per point of every run. Reports from it need no run folders.

Columns: ``system,size,fold,seed,image,landmark,error,unit``. ``error_percent`` follows if a run has errors relative to a length of
the image; rows of other runs end at ``unit``. Each run has every landmark once per image.
"""

import csv
import gzip
import os
import re
import stat
import warnings
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from scn_tf.errors import ConfigError, DataWarning
from scn_tf.messages import short, visible
from scn_tf.scoring.run_errors import MAX_POINTS, UNITS, Gathered, RunErrors, run_rows
from scn_tf.storage import files, ownership, tables
from scn_tf.study.plan import Run

NAME = "errors.csv.gz"
COLUMNS = ("system", "size", "fold", "seed", "image", "landmark", "error", "unit")
RELATIVE = "error_percent"
MAX_BYTES = 256 << 20  # of the table, unpacked
MAX_LINE = 1 << 17  # bytes
MAX_RUNS = 10_000
CHUNK = 1 << 16  # bytes read at a time
GZIP = 31  # zlib's number for one gzip member with its checksum
SEED = re.compile(r"-?[0-9]{1,20}", re.ASCII)

Key = tuple[str, str, str, int]


def key_of(run: Run) -> Key:
    """(system, size, fold, seed) of a run, as written in the table."""
    return visible(run.system), visible(run.size), visible(run.fold), run.seed


def read(path: str | Path) -> dict[Key, RunErrors]:
    """Errors of all runs in a long table; empty if the table does not exist.

    Raises:
        ConfigError: the table is damaged, malformed, or larger than ``MAX_BYTES`` unpacked. The message names file and line.
    """
    if not os.path.lexists(path):
        return {}
    found: dict[Key, Gathered] = {}
    line, rows, widest = 0, 0, 0
    for line, content in enumerate(_lines(path), start=1):
        try:
            cells = _cells(content)
            if line == 1:
                widest = _widest(cells)
                continue
            key, run = _run_of(cells, found, widest)
            run.add(cells[4], cells[5], (cells[6], *cells[8:]))
            run.lines += content.removesuffix(b"\r") + b"\n"
            rows += 1
            if rows > MAX_POINTS or len(found) > MAX_RUNS:
                raise ValueError(f"more than {MAX_POINTS:,} rows or {MAX_RUNS:,} runs")
        except ValueError as error:
            raise _refused(f"{path}, line {line}", str(error)) from None
    if not line:
        raise _refused(path, "it is empty")
    for key, run in found.items():
        if not run.whole():
            raise _refused(path, f"{_named(key)} does not have every landmark once for every image")
    return {key: found.pop(key).errors(f"{path} ({_named(key)})") for key in list(found)}


def write(path: str | Path, from_folders: dict[Key, Path], stored: dict[Key, RunErrors], order: Iterable[Key]) -> None:
    """Write the long table. Equal errors give an equal file.

    Args:
        path: path of the table, which is replaced.
        from_folders: ``errors.csv`` of the runs that have one.
        stored: present rows of the table, kept for all other runs.
        order: runs of the study in its order. Rows of other runs follow at the end.

    Raises:
        WriteError: the disk is full or the folder not writable.
    """
    order = list(dict.fromkeys([*order, *stored]))
    folders = {key: run_rows(source) for key, source in from_folders.items()}
    relative = any(rows and len(rows[0]) > 3 for _, rows in folders.values())
    relative |= any(errors.relative is not None for key, errors in stored.items() if key not in folders)
    parts = [tables.write([(*COLUMNS, *([RELATIVE] if relative else []))]).encode()]
    for key in order:
        if key in folders:
            unit, rows = folders[key]
            parts.append(tables.write([(*key, *row[:3], unit, *row[3:]) for row in rows]).encode())
        elif key in stored:
            parts.append(stored[key].lines)
    points = sum(part.count(b"\n") for part in parts[1:])
    if sum(map(len, parts)) > MAX_BYTES or points > MAX_POINTS or len(parts) - 1 > MAX_RUNS:
        warnings.warn(f"{path}: not written: this study has too many errors for one table; keep runs/.", DataWarning, stacklevel=3)
        return
    with (
        files.replaced(path, ours=ownership.anything) as temporary,
        open(temporary, "wb") as file,
        # No name and no time in it: the same errors give the same bytes.
        gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=9, mtime=0) as packed,
    ):
        packed.writelines(parts)


def _lines(path: str | Path) -> Iterator[bytes]:
    rest = b""
    for piece in _unpacked(path):
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > MAX_LINE:
            raise _refused(path, f"it has a line of more than {MAX_LINE:,} bytes")
        yield from lines
    if rest:
        yield rest


def _unpacked(path: str | Path) -> Iterator[bytes]:
    """Contents of a file with one gzip member, in pieces of together at most ``MAX_BYTES``."""
    total, unpacking = 0, zlib.decompressobj(GZIP)
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would never end
            raise _refused(path, "it is no file")
        with open(path, "rb") as file:
            while content := file.read(CHUNK):
                while content and not unpacking.eof:
                    piece = unpacking.decompress(content, CHUNK)
                    total += len(piece)
                    if total > MAX_BYTES:
                        raise _refused(path, f"it holds more than {MAX_BYTES >> 20} MiB unpacked")
                    yield piece
                    content = unpacking.unconsumed_tail
                if unpacking.unused_data or content:
                    raise _refused(path, "data follow its end")
    except (OSError, zlib.error) as error:
        raise _refused(path, f"it cannot be unpacked ({getattr(error, 'strerror', None) or error})") from None
    if not unpacking.eof:
        raise _refused(path, "its end is missing")


def _cells(content: bytes) -> list[str]:
    """Texts of one line.

    Raises:
        ValueError: the line is no UTF-8 or no CSV.
    """
    try:
        text = content.removesuffix(b"\r").decode("utf-8")
        return [tables.original(cell) for cell in next(csv.reader([text], strict=True), [])]
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"no line of a table in UTF-8 ({visible(str(error))})") from None


def _widest(header: list[str]) -> int:
    """Number of columns that a header names."""
    if tuple(header) not in (COLUMNS, (*COLUMNS, RELATIVE)):
        raise ValueError(f"expected the columns {','.join(COLUMNS)}[,{RELATIVE}], received {short(','.join(header), 120)}")
    return len(header)


def _run_of(cells: list[str], found: dict[Key, Gathered], widest: int) -> tuple[Key, Gathered]:
    """(key, run) of a row. A new run is added to ``found``."""
    if not len(COLUMNS) <= len(cells) <= widest:
        raise ValueError(f"expected {widest} cells, received {len(cells)}")
    system, size, fold, seed = cells[:4]
    if not SEED.fullmatch(seed):
        raise ValueError(f"seed: expected a whole number, received {short(seed, 60)}")
    unit, relative = cells[7], len(cells) > len(COLUMNS)
    if unit not in UNITS:
        raise ValueError(f"unit: expected mm or px, received {short(unit, 60)}")
    key = system, size, fold, int(seed)
    run = found.get(key)
    if run is None:
        run = found[key] = Gathered(unit, relative)
    if (run.unit, run.relative) != (unit, relative):
        raise ValueError(f"{_named(key)}: expected the same unit and columns in all of its rows")
    return key, run


def _named(key: Key) -> str:
    return f"run {short(', '.join(map(str, key)), 120)}"


def _refused(where: str | Path, reason: str) -> ConfigError:
    return ConfigError(f"{where}: {reason}. Restore the table, or remove it and report from the folders in runs/.")
