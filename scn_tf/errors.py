"""Every error and warning that this package raises on purpose: one family, so that a caller catches all with :class:`Error`."""


class Error(Exception):
    """Something that a user can fix; the message names the file or argument, what was expected and what was received."""


class ConfigError(Error, ValueError):
    """A setting that cannot be; the message names the field, what is allowed and what came."""


class DatasetError(Error, ValueError):
    """Something wrong with a data set; the message names file and row."""


class MissingImagesError(DatasetError):
    """Images of a split are not there, and were not to be skipped; ``absent``: their IDs."""

    def __init__(self, message: str, absent: set[str]) -> None:
        super().__init__(message)
        self.absent = absent


class NoImageLeftError(DatasetError):
    """A split all of whose images are missing."""


class ImageError(Error, ValueError):
    """An image that cannot be read or used; the message names the file."""


class CheckpointError(Error, ValueError):
    """A file that holds no model or training state of this network."""


class ConversionError(Error, ValueError):
    """A network or file that cannot be turned into, or read in, the form that was asked for."""


class WriteError(Error, OSError):
    """A file could not be written; the one before it, if any, is untouched."""


class MissingExtra(Error, ValueError):
    """An optional library is not installed; the message says how to get it."""


class TrainingDiverged(Error, RuntimeError):
    """The loss is no longer a finite number."""


class ClientError(Error, RuntimeError):
    """A server that cannot be reached, or that refused a request."""


class ConfigWarning(UserWarning):
    """A setting that is possible but will disappoint."""


class DataWarning(UserWarning):
    """Work continues, but the user should know; names file and row."""
