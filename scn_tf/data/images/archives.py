"""Zip files of images: unpacked into a temporary folder, within limits, and never outside of it."""

import contextlib
import lzma
import re
import shutil
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from scn_tf.data.images.formats import shown
from scn_tf.errors import ImageError
from scn_tf.storage import files

ENDING = ".zip"
MAX_MEMBERS = 2**16
MAX_CONTENTS = 2**24  # bytes of the list of contents
END = 2**16 + 200  # bytes of a zip file's end, which states its size
MAX_BYTES = 32 * 2**30  # of all members unpacked
MAX_RATIO = 500  # unpacked to packed bytes of an archive; medical images reach 20, zeros 1000
FREE = 2**28  # bytes of the disk that stay free
BLOCK = 2**20
ARCHIVES = (ENDING, ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")
DAMAGED = (*(zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError, zlib.error, lzma.LZMAError, struct.error),
    *(IndexError, OverflowError, MemoryError))  # as the standard library raises them  # fmt: skip
IMAGES_PACKED = (".nii.gz", ".svgz")  # endings of single files, no archives


class Unpacked(NamedTuple):
    """What takes the place of the paths that a user named.

    Attributes:
        paths: files and folders, with a temporary folder in place of each archive.
        names: temporary folder -> archive.
        left_out: one line per archive or member that was left out.
    """

    paths: list[Path]
    names: dict[Path, Path]
    left_out: list[str]

    def shown(self, text: str) -> str:
        """A message with the name of the archive in place of the temporary folder."""
        for folder, archive in self.names.items():
            text = text.replace(str(folder), shown(archive))
        return text

    @property
    def ids(self) -> dict[Path, str]:
        """Temporary folder -> stem of the archive."""
        return {folder: shown(folder.name) for folder in self.names}

    def file(self, path: Path) -> Path:
        """The file that a path stands for: of a member, its archive."""
        return next((archive for folder, archive in self.names.items() if path.is_relative_to(folder)), path)

    def origin(self, path: Path) -> str:
        """Path of a file, absolute; of a member, the archive's path with the member's behind it."""
        for folder, archive in self.names.items():
            if path.is_relative_to(folder):
                return (archive.absolute() / path.relative_to(folder)).as_posix()
        return path.absolute().as_posix()


@contextlib.contextmanager
def unpacked(paths: Iterable[Path]) -> Iterator[Unpacked]:
    """In the block, zip files among ``paths`` are temporary folders, which are removed at the end.

    Links, hidden files and archives inside an archive are left out. An archive is left out whole if a member would be written
    outside its folder, if it is encrypted or damaged, or if it exceeds a limit.

    Raises:
        WriteError: the temporary folder cannot be written.
    """
    paths = list(paths)
    with contextlib.ExitStack() as stack:
        found = Unpacked([], {}, [])
        for number, path in enumerate(paths):
            if not (path.name.lower().endswith(ENDING) and path.is_file()):
                found.paths.append(path)
                continue
            if not found.names:
                home = stack.enter_context(files.temporary_folder(tempfile.gettempdir(), "scn_tf-unpacked"))
            target = home / str(number) / path.name[: -len(ENDING)]
            try:
                found.left_out.extend(_unpack(path, target))
            except ImageError as error:
                found.left_out.append(shown(error))
                shutil.rmtree(target, ignore_errors=True)
                continue
            found.names[target] = path
            found.paths.append(target)
        yield found


def _unpack(path: Path, target: Path) -> list[str]:
    """Unpack an archive into a new folder. Returns a line per member that was left out."""
    left_out = []
    try:
        _check_contents(path)
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            _check(path, members)
            target.mkdir(parents=True)
            for member in members:
                if reason := _reason_against(member):
                    left_out.append(f"{shown(path)}/{shown(member.filename)}: left out, {reason}.")
                elif not _is_hidden(member):
                    _write(archive, member, target / PurePosixPath(member.filename), path)
    except ImageError:
        raise
    except DAMAGED as error:
        raise ImageError(f"{path}: is no zip file, or a damaged one ({shown(error)[:200]}).") from None
    except OSError as error:
        raise ImageError(f"{path}: cannot be unpacked ({error.strerror or shown(error)}).") from None
    return left_out


def _check_contents(path: Path) -> None:
    """Refuse a list of contents that would fill the memory, before it is read."""
    with open(path, "rb") as file:
        file.seek(-min(path.stat().st_size, END), 2)
        tail = file.read()
    end = tail.rfind(b"PK\5\6")
    if end < 0 or len(tail) < end + 22:
        return  # no zip file
    (size,) = struct.unpack_from("<L", tail, end + 12)
    large = tail.rfind(b"PK\6\6", 0, end)
    if tail[max(0, end - 20) : end].startswith(b"PK\6\7") and large >= 0 and end >= large + 56:  # as large archives state it
        (size,) = struct.unpack_from("<Q", tail, large + 40)
    if size > MAX_CONTENTS:
        raise ImageError(f"{path}: its list of contents exceeds {MAX_CONTENTS:,} bytes, more than {MAX_MEMBERS:,} files need.")


def _check(path: Path, members: list[zipfile.ZipInfo]) -> None:
    """Refuse an archive by its list of contents."""
    if len(members) > MAX_MEMBERS:
        raise ImageError(f"{path}: holds {len(members):,} files; at most {MAX_MEMBERS:,} are unpacked.")
    for member in members:
        name = member.filename
        parts = re.split(r"[/\\]", name)
        if name.startswith(("/", "\\")) or ".." in parts or re.match(r"[A-Za-z]:", name) or "\0" in name:
            raise ImageError(f"{path}: its member {shown(name)[:100]} leads outside the folder to unpack to; the archive is not trusted.")
        if member.flag_bits & 1:
            raise ImageError(f"{path}: is encrypted; unpack it first.")
    size, packed = sum(member.file_size for member in members), path.stat().st_size
    if size > MAX_BYTES:
        raise ImageError(f"{path}: holds {size:,} bytes when unpacked; at most {MAX_BYTES:,} are unpacked. Unpack it first.")
    if size > MAX_RATIO * packed:
        raise ImageError(f"{path}: unpacks to {size // max(packed, 1):,} times its size, more than images do ({MAX_RATIO}).")
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if size > free - FREE:
        raise ImageError(
            f"{path}: needs {size:,} bytes in {tempfile.gettempdir()}, where {max(0, free):,} are free. Set TMPDIR to another folder."
        )


def _reason_against(member: zipfile.ZipInfo) -> str | None:
    """Why a member is not unpacked."""
    mode = member.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        return "a link or no regular file"
    name = member.filename.lower()
    if name.endswith(ARCHIVES) and not name.endswith(IMAGES_PACKED):
        return "an archive in an archive"
    return None


def _is_hidden(member: zipfile.ZipInfo) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(member.filename).parts)


def _write(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path, path: Path) -> None:
    """Unpack a member. It must have the size that the list of contents states."""
    target.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    try:
        with archive.open(member) as packed, open(target, "xb") as file:
            while block := packed.read(BLOCK):
                count += len(block)
                if count > member.file_size:
                    break
                file.write(block)
    except FileExistsError:
        raise ImageError(f"{path}: has two members {shown(member.filename)[:100]}.") from None
    if count != member.file_size:
        raise ImageError(f"{path}: is damaged: {shown(member.filename)[:100]} has another size than the archive states.")
