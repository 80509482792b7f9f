"""Deployment files: TensorFlow Serving under Docker Compose and Kubernetes, written into a folder of the user's."""

import functools
import os
from pathlib import Path

from scn_tf.storage import files, ownership

SOURCE = Path(__file__).parent / "deployment"


def names() -> list[str]:
    """Names of the deployment files."""
    return sorted(path.name for path in SOURCE.iterdir() if path.suffix in (".config", ".yml", ".yaml"))


def write(folder: str | Path) -> list[Path]:
    """Write all deployment files into a folder; those that are there and the same stay as they are.

    Args:
        folder: made if it is not there.

    Returns:
        paths of the files.

    Raises:
        WriteError: a file lies there with other contents, or the folder is not writable. Nothing is written then.
    """
    folder = Path(folder)
    files.make_folder(folder)
    contents = {folder / name: (SOURCE / name).read_text(encoding="utf-8") for name in names()}
    for path, text in contents.items():
        if not _may_be_written(path, text):
            raise files.WriteError(f"{path}: is there already with other contents; move it away, or choose another folder.")
        files.check_writable(path, ours=ownership.anything)
    for path, text in contents.items():
        files.write_text(path, text, ours=functools.partial(_may_be_written, text=text))
    return list(contents)


def _may_be_written(path: Path, text: str) -> bool:
    """Whether no regular file lies there, or one that is empty or has this text. These files are meant to be edited: no edit is lost."""
    if not os.path.isfile(path):
        return True  # a folder or device is refused with its own message
    try:
        if os.path.getsize(path) > 2 * len(text.encode()):
            return False
        return path.read_text(encoding="utf-8", errors="replace") in ("", text)
    except OSError as error:
        raise files.WriteError(f"{path}: is there already and cannot be read ({error.strerror or error}).") from None
