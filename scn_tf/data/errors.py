"""What goes wrong with a data set."""


class DatasetError(ValueError):
    """Something wrong with a data set; the message names file and row."""


class NoImageLeftError(DatasetError):
    """A split all of whose images are missing."""


class DataWarning(UserWarning):
    """Work goes on, but the user should know; names file and row."""
