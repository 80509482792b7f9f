"""Files on this machine and in stores that fsspec knows, such as ``s3://`` and ``gs://``. A file is there whole or not at all."""

import contextlib
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from scn_tf.environment.extras import needs_extra
from scn_tf.errors import ImageError, MissingExtra, WriteError
from scn_tf.messages import visible
from scn_tf.storage import files, ownership

EXTRA = "batch"


def is_local(url: str) -> bool:
    """Whether a path or URL is of this machine."""
    return "://" not in url or url.startswith("file://")


def absolute(url: str) -> str:
    """Absolute path of a file of this machine, or the URL in the form that its store lists it.

    Raises:
        ImageError, MissingExtra: see :func:`read`.
    """
    if is_local(url):
        return os.path.abspath(url.removeprefix("file://"))
    store, path = _opened(url)
    return store.unstrip_protocol(path)


def _opened(url: str) -> tuple[Any, str]:
    """(file system, path in it).

    Raises:
        ImageError: no such store is known.
        MissingExtra: its library is not installed.
    """
    with needs_extra(visible(url), "fsspec", EXTRA):
        import fsspec
    try:
        return fsspec.core.url_to_fs(absolute(url) if is_local(url) else url)
    except ImportError as error:  # such as "Install s3fs to access S3"
        raise MissingExtra(f"{visible(url)}: {error}") from None
    except ValueError as error:
        raise ImageError(f"{visible(url)}: {error}") from None


@contextlib.contextmanager
def _errors_named(url: str) -> Iterator[None]:
    """In the block, every error of a store becomes an :class:`ImageError` that names the file."""
    try:
        yield
    except (ImageError, MissingExtra):
        raise
    except FileNotFoundError:
        raise ImageError(f"{visible(url)}: no such file or folder.") from None
    except Exception as error:  # stores raise types of their own libraries
        raise ImageError(f"{visible(url)}: cannot be read ({files.first_line(error)}).") from None


def read(url: str) -> bytes:
    """Content of a file.

    Raises:
        ImageError: it does not exist or cannot be read, or there is no such store.
        MissingExtra: the library of its store is not installed.
    """
    store, path = _opened(url)
    with _errors_named(url):
        return store.cat_file(path)


def exists(url: str) -> bool:
    """Whether there is such a file."""
    store, path = _opened(url)
    with _errors_named(url):
        return bool(store.exists(path))


def fetch(url: str, target: Path) -> None:
    """Copy a file of a store to this machine.

    Raises:
        ImageError: it does not exist or cannot be read.
    """
    store, path = _opened(url)
    with _errors_named(url):
        store.get_file(path, str(target))


def files_in(url: str) -> list[str]:
    """Files of a folder and its folders, sorted, without hidden ones. Empty if there is no such folder.

    Raises:
        ImageError: it cannot be read.
    """
    store, path = _opened(url)
    with _errors_named(url):
        if not store.isdir(path):
            return []
        inside = [name for name in sorted(store.find(path)) if "/." not in name[len(path) :]]
    return inside if is_local(url) else [store.unstrip_protocol(name) for name in inside]


def write(url: str, content: bytes) -> None:
    """Write a file, in place of an older one.

    Raises:
        WriteError: the disk is full, or the store refuses.
    """
    if is_local(url):
        with files.replaced(absolute(url), ours=ownership.anything) as temporary:
            temporary.write_bytes(content)
        return
    store, path = _opened(url)
    try:
        store.pipe_file(path, content)
    except Exception as error:
        raise WriteError(f"{visible(url)}: cannot be written ({files.first_line(error)}).") from None


def remove(url: str) -> None:
    """Remove a file."""
    store, path = _opened(url)
    store.rm_file(path)


def read_parquet(url: str, columns: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Rows of a Parquet file.

    Raises:
        ImageError: it does not exist, is damaged, or lacks a column.
    """
    with needs_extra(visible(url), "pyarrow", EXTRA):
        from pyarrow import parquet
    content = read(url)
    with _errors_named(url):
        return parquet.read_table(io.BytesIO(content), columns=columns).to_pylist()
