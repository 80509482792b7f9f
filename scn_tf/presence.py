"""Access to values that are None until they are resolved. This is a module of its own, because reading settings must not import NumPy."""

from typing import TypeVar

T = TypeVar("T")


def known(value: T | None) -> T:
    """Return a value that must no longer be None, since its setting is resolved or its layer built.

    Raises:
        ValueError: the value is None, which is an error of the caller.
    """
    if value is None:
        raise ValueError("Expected a value, received None: resolve the configuration first.")
    return value
