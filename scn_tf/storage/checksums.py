"""A checksum in every model file and exported folder, so that damaged ones are refused when opened.

A file ends in ``sha256:`` and 64 hexadecimal digits: the SHA-256 of all bytes before these digits. In a zip (``.keras``, ``.npz``)
this is the archive's comment, in ONNX the last metadata property. In TFLite it follows the model. A SavedModel has the file
``scn_tf.sha256`` in the format of ``sha256sum``. It has one line per file of the version, except those in ``assets.extra``, and
ends with the checksum of the list itself. The metadata of each form state ``checksum: sha256``, and such a file must have a
checksum. Files of earlier versions lack the statement and are opened without a check.
"""

import hashlib
import zipfile
from pathlib import Path

from scn_tf.messages import visible

MARK = b"sha256:"
DIGITS = 64
PLACEHOLDER = MARK + b"0" * DIGITS
KEY = "checksum"  # of the metadata
STATEMENT = {KEY: "sha256"}
LIST, UNLISTED = "scn_tf.sha256", "assets.extra"  # warm-up requests, which may be written anew
FIX = "Copy it again from the original, or export it again: only files exactly as scn_tf wrote them are opened"
MAX_NAME = 200  # characters of a listed file in a message


def filled(content: bytes) -> bytes:
    """Replace the digits of :data:`PLACEHOLDER` at the end of a content by the digest."""
    return content[:-DIGITS] + _digest(content[:-DIGITS])


def fill_zip(path: Path) -> None:
    """Write the checksum into the comment of a zip archive."""
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = PLACEHOLDER
    digest = _digest(path.read_bytes()[:-DIGITS])
    with open(path, "r+b") as file:
        file.seek(-DIGITS, 2)
        file.write(digest)


def check(content: bytes, path: Path | str, error: type[Exception]) -> None:
    """Compare a file's content with the checksum at its end, if it has one. Raises ``error`` if they differ."""
    if _is_marked(content) and content[-DIGITS:] != _digest(content[:-DIGITS]):
        raise error(f"{path}: cannot be loaded: it is damaged or was changed after it was written (its checksum differs). {FIX}.")


def without_statement(stated: dict, content: bytes, path: Path | str, error: type[Exception]) -> dict:
    """Metadata of a file without their statement of a checksum. Raises ``error`` if they state one and the file has none."""
    if isinstance(stated, dict) and KEY in stated:
        if not _is_marked(content):
            raise error(f"{path}: cannot be loaded: it is damaged or was changed after it was written (its checksum is missing). {FIX}.")
        stated = {name: value for name, value in stated.items() if name != KEY}
    return stated


def fill_folder(folder: Path) -> None:
    """Write the list of checksums of an exported folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.relative_to(folder).parts[0] not in (LIST, UNLISTED))
    lines = [b"%s  %s\n" % (_digest(path.read_bytes()), path.relative_to(folder).as_posix().encode()) for path in files]
    (folder / LIST).write_bytes(filled(b"".join(lines) + PLACEHOLDER))


def check_folder(folder: Path, error: type[Exception]) -> bool:
    """Compare an exported folder with its list of checksums. Raises ``error`` that names the first file that differs.

    Returns:
        whether the folder has a list.
    """
    try:
        content = (folder / LIST).read_bytes()
    except OSError:
        return False
    if not _is_marked(content) or content[-DIGITS:] != _digest(content[:-DIGITS]):
        raise error(f"{folder}: is damaged: {LIST} was changed after it was written. {FIX}.")
    for line in content[: -len(PLACEHOLDER)].splitlines():
        digest, _, encoded = line.partition(b"  ")
        name = encoded.decode(errors="replace")
        try:
            same = _digest((folder / name).read_bytes()) == digest
        except (OSError, ValueError) as reason:  # a list that is none of ours may name what no file can be named
            why = getattr(reason, "strerror", None) or reason
            raise error(f"{folder}: is damaged: {visible(name)[:MAX_NAME]} cannot be read ({why}). {FIX}.") from None
        if not same:
            raise error(f"{folder}: is damaged: {visible(name)[:MAX_NAME]} was changed after it was written. {FIX}.")
    return True


def of_path(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of all files of a folder, hexadecimal.

    Raises:
        OSError: a file cannot be read.
    """
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    files = sorted(inside for inside in path.rglob("*") if inside.is_file() and UNLISTED not in inside.relative_to(path).parts)
    lines = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(path).as_posix()}\n" for file in files]
    return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()


def _is_marked(content: bytes) -> bool:
    return content[-len(PLACEHOLDER) : -DIGITS] == MARK


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()
