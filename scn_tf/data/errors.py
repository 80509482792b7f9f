"""What goes wrong with a data set."""

from scn_tf.errors import Error


class DatasetError(Error, ValueError):
    """Something wrong with a data set; the message names file and row."""


class MissingImagesError(DatasetError):
    """Images of a split are not there, and were not to be skipped; ``absent``: their IDs."""

    def __init__(self, message: str, absent: set[str]) -> None:
        super().__init__(message)
        self.absent = absent


class NoImageLeftError(DatasetError):
    """A split all of whose images are missing."""


class DataWarning(UserWarning):
    """Work goes on, but the user should know; names file and row."""
