"""What can go wrong while a model changes its form, and libraries that may be missing."""

import contextlib


class ConversionError(ValueError):
    """A network or file that cannot be turned into, or read in, the form that was asked for."""


@contextlib.contextmanager
def needs_extra(what, library):
    """Turn a failed import of an optional library into a :class:`ConversionError` that says how to get it.

    Args:
        what: file or command that needs it.
        library: its name on PyPI.
    """
    try:
        yield
    except ImportError as error:
        raise ConversionError(f"{what}: needs {library} ({error}); install it with: pip install 'scn-tf[all]'.") from None
