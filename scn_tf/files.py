"""Files that are either the old one or the new one, whatever happens in between."""

import contextlib
import os
import secrets
from pathlib import Path


class WriteError(OSError):
    """A file could not be written; the one before it, if any, is untouched."""


@contextlib.contextmanager
def replaced(path):
    """Yield a temporary path beside ``path``; move it there when the block ends well.

    Raises:
        WriteError: the disk is full or the folder not writable.
    """
    path = Path(path)
    # Not the process' number: in containers that share a folder these are alike.
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        flush(temporary)
        os.replace(temporary, path)
        flush_listing(path.parent)
    except OSError as error:
        kept = " The one written before is kept." if os.path.isfile(path) else ""  # of pathlib it may raise
        raise WriteError(f"{path}: cannot be written ({error.strerror or error}).{kept}") from None
    finally:
        with contextlib.suppress(OSError):  # its folder may be none
            temporary.unlink(missing_ok=True)


def flush(path):
    """Wait until a file is on the disk."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def flush_listing(folder):
    """Wait until the names in a folder are on the disk, where its file system knows that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def flush_folder(folder):
    """Wait until everything in a folder is on the disk."""
    for path in [*Path(folder).rglob("*"), Path(folder)]:
        (flush_listing if path.is_dir() else flush)(path)


def make_folder(path):
    """Make a folder and those above it.

    Raises:
        WriteError: a file lies there, or the disk is full or not writable.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(f"{path}: cannot be made ({error.strerror or error}).") from None


def check_writable(path):
    """Find out before long work whether a file can be written at its end; makes the folders above it.

    Raises:
        WriteError: a folder lies there, or the one above cannot be made or written into.
    """
    path = Path(path)
    if os.path.isdir(path):
        raise WriteError(f"{path}: is a folder; name a file.")
    make_folder(path.parent)
    try:
        os.lstat(path)
    except FileNotFoundError:
        pass
    except OSError as error:  # a name that is too long, a folder that may not be looked into
        raise WriteError(f"{path}: cannot be written ({error.strerror or error}).") from None
    if not os.access(path.parent, os.W_OK):
        raise WriteError(f"{path}: cannot be written (no permission for its folder).")


def write_text(path, text):
    """Write a text file as a whole or not at all."""
    with replaced(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def first_line(error):
    """What an exception says, for a message of one line: TensorFlow's go on with graphs and stacks."""
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__


def counted(number, noun):
    """``1 image``, ``2 images``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
