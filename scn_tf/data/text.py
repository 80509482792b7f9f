"""Text files of a data set."""

from pathlib import Path

from scn_tf.errors import DatasetError
from scn_tf.storage import documents


def read_text(path: Path) -> str:
    """Text of a file of a data set.

    Raises:
        DatasetError: the file is missing, unreadable or not UTF-8.
    """
    try:
        return documents.read_text(path)
    except documents.DocumentError as error:
        raise DatasetError(f"{path}: {error}.") from None
