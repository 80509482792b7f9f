"""The base of every error that this package raises on purpose."""


class Error(Exception):
    """Something that a user can mend; the message names the file or argument, what was expected and what was received."""
