"""Atomic writing: after any interruption, a file is either the old or the new one."""

import contextlib
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType

from scn_tf.errors import WriteError
from scn_tf.storage import ownership


def _file_locks() -> ModuleType | None:
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    return fcntl


fcntl = _file_locks()

MAX_NAME = 255  # bytes of a file's name
MAX_LINKS = 40  # as Linux has it
# Names of open files, not files: what lies behind them belongs to another program, or is this one's own output.
OPEN_FILES = re.compile(r"/proc(/.*)?|/dev/(fd(/.*)?|std(in|out|err))")


@contextlib.contextmanager
def replaced(path: str | Path, *, ours: Callable[[Path], bool] = ownership.is_ours) -> Iterator[Path]:
    """Yield a temporary path beside ``path``, and move it there if the block succeeds.

    A symbolic link stays; the file that it points to is replaced.

    Args:
        path: file to write; parent folders are created.
        ours: function that tells whether an existing file may be replaced, see :mod:`scn_tf.storage.ownership`.

    Raises:
        WriteError: the disk is full, the folder is not writable, or another program's file, or no file, has this path.
    """
    path, descriptor, temporary = Path(path), None, None
    try:
        target = _replaceable(path, ours)
        # Not the process' number: in containers that share a folder these are alike.
        token = secrets.token_hex(4)
        temporary = target.with_name(f".{target.stem}.{token}{target.suffix}")
        if len(os.fsencode(temporary.name)) > MAX_NAME:  # the name itself may be shorter
            temporary = target.with_name(f".{token}{target.suffix}")
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor = _claimed(temporary)
        yield temporary
        ownership.stamp(temporary)
        flush(temporary)
        _replaceable(path, ours)  # another program may have been there meanwhile
        os.replace(temporary, target)
        flush_listing(target.parent)
    except WriteError:
        raise
    except OSError as error:
        kept = " The one written before is kept." if os.path.isfile(path) else ""  # of pathlib it may raise
        raise WriteError(f"{path}: cannot be written ({error.strerror or error}).{kept}") from None
    finally:
        with contextlib.suppress(OSError):  # its folder may be none
            if temporary is not None:
                temporary.unlink(missing_ok=True)
        if descriptor is not None:
            os.close(descriptor)


def _replaceable(path: Path, ours: Callable[[Path], bool]) -> Path:
    """The file of a path, with links followed, if it may be written.

    Raises:
        WriteError: the path is no regular file, or another program wrote the file.
        OSError: the path cannot be examined.
    """
    target = os.path.abspath(path)
    for _ in range(MAX_LINKS):
        if OPEN_FILES.fullmatch(target):
            raise WriteError(f"{path}: is an open file of a process; name a file.")
        if not os.path.islink(target):
            break
        target = os.path.normpath(os.path.join(os.path.realpath(os.path.dirname(target)), os.readlink(target)))
    else:
        raise WriteError(f"{path}: cannot be written (its symbolic links form a cycle).")
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        return Path(target)
    if not stat.S_ISREG(mode):
        raise WriteError(f"{path}: {_kind(mode)}; name a file.")
    try:
        known = ours(Path(target))
    except OSError as error:
        raise WriteError(f"{path}: already exists and cannot be read ({error.strerror or error}); choose another name.") from None
    if not known:
        raise WriteError(f"{path}: already exists and was not written by scn_tf; choose another name, or remove it.")
    return Path(target)


def _kind(mode: int) -> str:
    kinds = ((stat.S_ISDIR, "is a folder"), (stat.S_ISFIFO, "is a named pipe"), (stat.S_ISSOCK, "is a socket"))
    return next((text for test, text in kinds if test(mode)), "is a device")


def _claimed(path: Path) -> int | None:
    """Create an empty file and lock it for the life of this process. Returns the descriptor to close, None without locks."""
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_CLOEXEC", 0), 0o666)
    if not _lock(descriptor):
        os.close(descriptor)
        return None
    return descriptor


def _lock(descriptor: int) -> bool:
    """Lock an open file or folder. False if another process holds the lock, or the file system has no locks."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def remove_leftovers(folder: str | Path, names: Iterable[str]) -> None:
    """Remove the temporary files of killed processes that were writing one of these files in a folder."""
    known = set(names)
    with contextlib.suppress(OSError), os.scandir(folder) as listing:
        for entry in listing:
            match = re.fullmatch(r"\.(.+)\.[0-9a-f]{8}(\.[^.]*)?", entry.name)
            if match and f"{match[1]}{match[2] or ''}" in known and entry.is_file(follow_symlinks=False):
                with contextlib.suppress(OSError), open(entry.path, "rb") as file:
                    if _lock(file.fileno()):  # its writer is no more
                        os.unlink(entry.path)


@contextlib.contextmanager
def temporary_folder(folder: str | Path, prefix: str) -> Iterator[Path]:
    """Yield a new folder ``.PREFIX-XXXXXXXX`` in another one. It is removed at the end, with those of killed processes."""
    folder = Path(folder)
    for entry in list(folder.glob(f".{prefix}-*")):
        if re.fullmatch(rf"\.{re.escape(prefix)}-[a-z0-9_]{{8}}", entry.name) and entry.is_dir() and not entry.is_symlink():
            _remove_if_unlocked(entry)
    path, descriptor = _claimed_folder(folder, prefix)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        if descriptor is not None:
            os.close(descriptor)


def _claimed_folder(folder: Path, prefix: str) -> tuple[Path, int | None]:
    """Create and lock a folder, as :func:`_claimed` does for a file."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=f".{prefix}-", dir=folder))
        if fcntl is None:
            return path, None
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(path, os.O_RDONLY)
            with contextlib.suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX)  # waits for a process that takes it for a leftover, and removes it
            if path.is_dir():
                return path, descriptor
            os.close(descriptor)


def _remove_if_unlocked(folder: Path) -> None:
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            if _lock(descriptor):
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(descriptor)


def flush(path: str | Path) -> None:
    """Wait until a file is on the disk."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def flush_listing(folder: str | Path) -> None:
    """Wait until the names in a folder are on the disk, if its file system supports this."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def flush_folder(folder: str | Path) -> None:
    """Wait until everything in a folder is on the disk."""
    for path in [*Path(folder).rglob("*"), Path(folder)]:
        (flush_listing if path.is_dir() else flush)(path)


def make_folder(path: str | Path) -> None:
    """Create a folder and its parents.

    Raises:
        WriteError: a file has this path, or the disk is full or not writable.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise WriteError(f"{path}: is a file; name a folder.") from None
    except OSError as error:
        raise WriteError(f"{path}: cannot be created ({error.strerror or error}).") from None


def check_writable(path: str | Path, *, ours: Callable[[Path], bool] = ownership.is_ours) -> None:
    """Check before long work that a file can be written. Creates parent folders and removes leftover temporary files.

    Args:
        path, ours: see :func:`replaced`.

    Raises:
        WriteError: the path is a folder, a device or another program's file, or its folder cannot be created or written to.
    """
    path = Path(path)
    if os.path.isdir(path):
        raise WriteError(f"{path}: is a folder; name a file.")
    try:
        target = _replaceable(path, ours)
    except WriteError:
        raise
    except NotADirectoryError:
        target = path  # the next line says it
    except OSError as error:  # a name that is too long, a folder that may not be looked into
        raise WriteError(f"{path}: cannot be written ({error.strerror or error}).") from None
    make_folder(target.parent)
    if not os.access(target.parent, os.W_OK):
        raise WriteError(f"{path}: cannot be written (no permission for its folder); choose another folder.")
    remove_leftovers(target.parent, [target.name])


def folds_case(folder: str | Path) -> bool:
    """Whether two names that differ only in case are one file in a folder, as on macOS and Windows."""
    try:
        with tempfile.NamedTemporaryFile(prefix=".scn_tf-CASE", dir=folder) as file:
            return os.path.exists(os.path.join(folder, os.path.basename(file.name).lower()))
    except OSError:
        return False  # writing will say what is wrong


def check_folder(folder: str | Path, names: Iterable[str], *, witness: str | None = None) -> None:
    """Check that files with these names can be written in a folder; see :func:`check_writable`.

    Args:
        folder: folder to write; created if missing.
        names: of the files.
        witness: one of the names. If scn_tf wrote this file, all files with these names may be replaced. For files whose contents
            do not tell their origin.

    Raises:
        WriteError: see :func:`check_writable`.
    """
    folder = Path(folder)
    make_folder(folder)
    known = witness is not None and (folder / witness).is_file() and ownership.is_ours(folder / witness)
    for name in names:
        check_writable(folder / name, ours=ownership.anything if known else ownership.is_ours)


def check_ending(path: str | Path, endings: tuple[str, ...], name: str) -> None:
    """Refuse a file name whose ending belongs to another format than the one to write.

    Args:
        path: of the file.
        endings: permitted endings, in lower case.
        name: name of the argument, for the message.

    Raises:
        WriteError: the ending is not permitted; the message names those that are.
    """
    suffix = Path(path).suffix
    if suffix.lower() not in endings:
        given = f"the ending {suffix}" if suffix else "no ending"
        raise WriteError(f"{name}: expected a file name with {' or '.join(endings)}, received {path} with {given}.")


def write_text(path: str | Path, text: str, *, ours: Callable[[Path], bool] = ownership.is_ours) -> None:
    """Write a text file completely or not at all; see :func:`replaced`."""
    with replaced(path, ours=ours) as temporary:
        temporary.write_text(text, encoding="utf-8")


def first_line(error: BaseException | str) -> str:
    """First line of an exception's message. TensorFlow's messages continue with graphs and stacks."""
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__


def counted(number: int, noun: str) -> str:
    """``1 image``, ``2 images``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
