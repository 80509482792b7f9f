"""Files that users edit after we wrote them: no edit is lost."""

import functools
import os
from collections.abc import Mapping
from pathlib import Path

from scn_tf.storage import files, ownership
from scn_tf.types import PathName


def write(folder: PathName, texts: Mapping[str, str]) -> list[Path]:
    """Write files into a folder. Existing equal files stay unchanged.

    Args:
        folder: created if missing.
        texts: by name of the file.

    Returns:
        paths of the files.

    Raises:
        WriteError: a file exists with other contents, or the folder is not writable. Nothing is written then.
    """
    folder = Path(folder)
    files.make_folder(folder)
    contents = {folder / name: text for name, text in texts.items()}
    for path, text in contents.items():
        if not _may_be_written(path, text):
            raise files.WriteError(f"{path}: already exists with other contents; move it away, or choose another folder.")
        files.check_writable(path, ours=ownership.anything)
    for path, text in contents.items():
        files.write_text(path, text, ours=functools.partial(_may_be_written, text=text))
    return list(contents)


def _may_be_written(path: Path, text: str) -> bool:
    """Whether no regular file exists there, or one that is empty or has this text."""
    if not os.path.isfile(path):
        return True  # a folder or device is refused with its own message
    try:
        if os.path.getsize(path) > 2 * len(text.encode()):
            return False
        return path.read_text(encoding="utf-8", errors="replace") in ("", text)
    except OSError as error:
        raise files.WriteError(f"{path}: already exists and cannot be read ({error.strerror or error}).") from None
