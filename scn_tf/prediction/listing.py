"""The images of a batch: of a folder, a list or a table, on this machine or in a store that fsspec knows."""

import csv
import io
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from scn_tf.data import endings, images, stores
from scn_tf.data.images.collect import distinct_ids
from scn_tf.errors import ImageError
from scn_tf.messages import visible
from scn_tf.storage import tables

COLUMNS = ("source", "path", "file", "image")  # of a table, one of which names the images
LIST, TABLES = ".txt", (".csv", ".parquet")


class Item(NamedTuple):
    """One image. Fields:

    * ``id``: distinct among all.
    * ``source``: absolute path, or URL.
    * ``series``: UID of a DICOM series, if the path is a folder with several.
    """

    id: str
    source: str
    series: str | None = None


def read(given: str, *, dims: int) -> tuple[list[Item], list[str]]:
    """The images that an argument names.

    Args:
        given: folder of images; image; ``.txt`` file with one path or URL per line; ``.csv`` or ``.parquet`` table, or folder of
            ``.parquet`` files, with a column ``source``, ``path``, ``file`` or ``image``, and perhaps ``id``. Each may be a URL.
            Paths in a file start at its folder, unless they are absolute.
        dims: 2 or 3, as the model expects.

    Returns:
        (images, one line per file of a folder that was left out).

    Raises:
        ImageError: there is no image, the table lacks the column, or two images have one ID.
        MissingExtra: a library for the store is not installed.
    """
    ending = PurePosixPath(given).suffix.lower()
    found: list[tuple[str | None, str]]
    if ending == LIST:
        found = [(None, line.strip()) for line in stores.read(given).decode().splitlines() if line.strip()]
    elif ending in TABLES or _holds_parquet(given):
        found = list(_of_table(given, ending))
    elif stores.is_local(given):
        sources, left_out = images.collect([given], dims=dims)
        return [Item(one.id, str(one.path.absolute()), one.series) for one in sources], left_out
    else:
        found = [(None, url) for url in stores.files_in(given) if endings.fitting(images.IMAGE_FORMATS.values(), Path(url)) is not None]
    base = stores.absolute(given) if not ending else stores.absolute(given).rpartition("/")[0]
    sources_ = [source if "://" in source or os.path.isabs(source) else f"{base}/{source}" for _, source in found]
    if not sources_:
        raise ImageError(f"{images.shown(given)}: no images there.")
    own = distinct_ids([Path("/", *PurePosixPath(source.partition("://")[2] or source).parts) for source in sources_])
    ids = [own_id if stated is None else visible(stated) for (stated, _), own_id in zip(found, own, strict=True)]
    (most, count), *_ = Counter(ids).most_common(1)
    if count > 1:
        raise ImageError(f"{images.shown(given)}: {count} images have the ID {most}; each needs its own.")
    return [Item(*one) for one in zip(ids, sources_, strict=True)], []


def _holds_parquet(given: str) -> bool:
    """Whether a folder holds a table in parts, such as the errors of a batch."""
    found = stores.files_in(given)
    return bool(found) and all(name.endswith(".parquet") for name in found)


def _of_table(given: str, ending: str) -> Iterator[tuple[str | None, str]]:
    """(ID if stated, source) of each row."""
    rows: list[dict[str, Any]]
    if ending == ".csv":
        lines = csv.DictReader(io.StringIO(stores.read(given).decode("utf-8-sig")))
        rows = [{name: tables.original(text) for name, text in line.items() if name and text} for line in lines]
    else:
        names = [given] if ending else stores.files_in(given)
        rows = [row for name in names for row in stores.read_parquet(name)]
    column = next((name for name in COLUMNS if rows and name in rows[0]), None)
    if column is None:
        raise ImageError(f"{images.shown(given)}: expected a column {', '.join(COLUMNS[:-1])} or {COLUMNS[-1]}, and at least one row.")
    for number, row in enumerate(rows, start=1):
        if not row.get(column):
            raise ImageError(f"{images.shown(given)}: row {number}: {column} is empty.")
        yield row.get("id") or None, str(row[column])
