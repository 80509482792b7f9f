"""Optional libraries."""

import contextlib
from collections.abc import Iterator

from scn_tf.errors import MissingExtra

# The installed package itself satisfies the name; only its extras are fetched.
INSTALL = "install all that may be missing with: pip install 'scn-tf[all]'"


@contextlib.contextmanager
def needs_extra(what: str, library: str, extra: str = "all") -> Iterator[None]:
    """Turn a failed import of an optional library into :class:`MissingExtra`.

    Args:
        what: file or command that needs it.
        library: its name on PyPI.
        extra: name of the extra that has it.
    """
    try:
        yield
    except ImportError as error:
        raise MissingExtra(f"{what}: needs {library} ({error}); {INSTALL.replace('[all]', f'[{extra}]')}.") from None
