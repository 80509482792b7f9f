"""The row of an image format."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from scn_tf.data import endings
from scn_tf.data.images.image import Stored


@dataclass(frozen=True)
class ImageFormat:
    """One row of the image formats.

    Attributes:
        name: name for messages and tables.
        endings: endings of its files, in lower case, with the dot. The longest match decides.
        read: gives the :class:`scn_tf.data.images.Stored` of a file, or raises :class:`scn_tf.ImageError`.
        magic: byte strings of which a file has one at ``magic_at``. Empty: not checked.
        magic_at: position of these bytes.
        magic_required: whether a file with the ending must have these bytes.
        without_ending: whether files without an ending are found in folders by these bytes.
        headers: endings of header files, which may name a second file for the pixels. That file is no image by itself.
        isolated: whether it runs in its own process, because damaged files can crash its libraries. That process finds rows of this
            package and of entry points, but no registered ones.
        rank: place in lists.
    """

    name: str
    endings: tuple[str, ...]
    read: Callable[[Path], Stored]
    magic: tuple[bytes, ...] = ()
    magic_at: int = 0
    magic_required: bool = True
    without_ending: bool = False
    headers: tuple[str, ...] = ()
    isolated: bool = False
    rank: int = 100

    def __post_init__(self) -> None:
        endings.check(self.endings)

    def begins(self, head: bytes) -> bool:
        """Whether the first bytes of a file are those of this format."""
        return bool(self.magic) and head[self.magic_at :].startswith(self.magic)

    @property
    def head_size(self) -> int:
        """Number of bytes of a file that :meth:`begins` needs."""
        return self.magic_at + max(map(len, self.magic), default=0)
