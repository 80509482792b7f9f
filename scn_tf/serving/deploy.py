"""Deployment files that run TensorFlow Serving under Docker Compose and Kubernetes, written to a folder of the user."""

import functools
import os
from pathlib import Path

from scn_tf.storage import files, ownership

SOURCE = Path(__file__).parent / "deployment"


def names() -> list[str]:
    """Names of the deployment files."""
    return sorted(path.name for path in SOURCE.iterdir() if path.suffix in (".config", ".yml", ".yaml"))


def write(folder: str | Path) -> list[Path]:
    """Write all deployment files into a folder. Existing equal files stay unchanged.

    Args:
        folder: created if missing.

    Returns:
        paths of the files.

    Raises:
        WriteError: a file exists with other contents, or the folder is not writable. Nothing is written then.
    """
    folder = Path(folder)
    files.make_folder(folder)
    contents = {folder / name: (SOURCE / name).read_text(encoding="utf-8") for name in names()}
    for path, text in contents.items():
        if not _may_be_written(path, text):
            raise files.WriteError(f"{path}: already exists with other contents; move it away, or choose another folder.")
        files.check_writable(path, ours=ownership.anything)
    for path, text in contents.items():
        files.write_text(path, text, ours=functools.partial(_may_be_written, text=text))
    return list(contents)


def _may_be_written(path: Path, text: str) -> bool:
    """Whether no regular file exists there, or one that is empty or has this text. Users edit these files, and no edit may be lost."""
    if not os.path.isfile(path):
        return True  # a folder or device is refused with its own message
    try:
        if os.path.getsize(path) > 2 * len(text.encode()):
            return False
        return path.read_text(encoding="utf-8", errors="replace") in ("", text)
    except OSError as error:
        raise files.WriteError(f"{path}: already exists and cannot be read ({error.strerror or error}).") from None
