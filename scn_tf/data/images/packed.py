"""Pixels that are packed, or stored in another file that a header names."""

import bz2
import re
import zlib
from pathlib import Path

from scn_tf.errors import ImageError

SEVERAL = re.compile(r"%\d*[di]|^LIST\b|\n")  # patterns and lists of files


def beside(header: Path, named: str) -> Path:
    """Data file that a header names, in the header's own folder or below it.

    Raises:
        ImageError: the header names a list or pattern of files, a path outside the folder, or a missing file.
    """
    if SEVERAL.search(named):
        raise ImageError(f"{header}: its pixels lie in several files ({named[:80]}); save it as one.")
    folder = header.parent.resolve()
    try:
        place = (folder / named).resolve()
    except (OSError, ValueError, RuntimeError):
        raise ImageError(f"{header}: names an invalid data file ({named[:80]!r}).") from None
    if not place.is_relative_to(folder):
        if (folder / named).is_symlink():
            raise ImageError(f"{header}: its data file {named[:80]} is a link that leads outside the folder; put the file itself there.")
        raise ImageError(f"{header}: names a data file outside its own folder ({named[:80]}).")
    if not place.is_file():
        raise ImageError(f"{header}: its data file {named[:80]} is missing.")
    return place


def unpacked(packed: bytes, size: int, name: str, *, bzip2: bool = False) -> bytes:
    """Unpack the ``size`` bytes that a header states from a zlib, gzip or bzip2 stream.

    It must end there, since its end holds its checksum.

    Raises:
        ImageError: the stream is cut short, damaged or longer. No more than ``size`` bytes are unpacked.
    """
    unpacker = bz2.BZ2Decompressor() if bzip2 else zlib.decompressobj(47)
    try:
        content = unpacker.decompress(packed, size + 1)
        if not unpacker.eof and len(content) == size:  # the end of the stream may still be to come
            rest = b"" if isinstance(unpacker, bz2.BZ2Decompressor) else unpacker.unconsumed_tail
            content += unpacker.decompress(rest, 1)
    except (zlib.error, OSError, EOFError) as error:
        raise ImageError(f"{name}: is cut short or damaged ({error}).") from None
    if len(content) > size:
        raise ImageError(f"{name}: is damaged: it holds more than the {size:,} bytes that its header states.")
    if len(content) < size or not unpacker.eof:
        raise ImageError(f"{name}: is cut short: it holds {len(content):,} of the {size:,} bytes that its header states, or no end.")
    return content
