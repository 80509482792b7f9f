"""A value that must be there by now. Apart from the types, which need NumPy: settings are read without it."""

from typing import TypeVar

T = TypeVar("T")


def known(value: T | None) -> T:
    """A value that is None before something is resolved or built, and never after.

    Raises:
        ValueError: it is None, which is a mistake of the caller's.
    """
    if value is None:
        raise ValueError("Expected a value, received None: resolve the configuration first.")
    return value
