"""Errors and warnings of this package. All errors derive from :class:`Error`, so one ``except`` catches them."""


class Error(Exception):
    """An error that the user can fix. The message names the file or argument, the expected and the received value."""


class ConfigError(Error, ValueError):
    """A setting is invalid. The message names the field, the allowed and the received value."""


class DatasetError(Error, ValueError):
    """A data set is invalid. The message names file and row."""


class MissingImagesError(DatasetError):
    """Images of a split are missing and may not be skipped. ``absent``: their IDs."""

    def __init__(self, message: str, absent: set[str]) -> None:
        super().__init__(message)
        self.absent = absent


class NoImageLeftError(DatasetError):
    """All images of a split are missing."""


class ImageError(Error, ValueError):
    """An image cannot be read or used. The message names the file."""


class CheckpointError(Error, ValueError):
    """A file does not hold a model or training state of this network."""


class ConversionError(Error, ValueError):
    """A network cannot be exported to a form, or a file of that form cannot be read."""


class WriteError(Error, OSError):
    """A file could not be written. An older file of that name is unchanged."""


class MissingExtra(Error, ValueError):
    """An optional library is not installed. The message names the command that installs it."""


class TrainingDiverged(Error, RuntimeError):
    """The loss is no longer a finite number."""


class WorkerError(Error, RuntimeError):
    """Processes that train together cannot continue. The message names the worker and its address where they are known."""


class ClientError(Error, RuntimeError):
    """A server cannot be reached, or it refused a request."""


class ConfigWarning(UserWarning):
    """A setting is valid but likely to give poor results."""


class DataWarning(UserWarning):
    """Data need attention; work continues. The message names file and row."""
