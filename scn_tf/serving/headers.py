"""Cost of decoding an image, from its header: its pixels, and parts that unpack to far more than their size.

The exported graph itself refuses large images. A server checks earlier for two reasons. It runs several images together, and their
sum must fit into memory. A decoder may also know more formats and encodings of size than the check of the graph.
"""

import struct
from collections.abc import Callable
from typing import NoReturn

import tensorflow as tf

from scn_tf.data import encoded as files
from scn_tf.export.limits import ENCODED as FORMATS

MAX_PACKED_TEXTS = 16  # of a PNG: a thousand of them unpack 8 kB each to 8 MB each; real files have one or two


class HeaderError(ValueError):
    """The bytes are no image in a format that the network's signatures accept."""


def pixels(encoded: bytes) -> int:
    """Number of decoded pixels: width x height.

    Args:
        encoded: bytes of a PNG, JPEG or BMP file.

    Raises:
        HeaderError: the format is unknown, the file is empty, its header is incomplete, or parts unpack to a multiple. Also a BMP
            with a palette, which the decoder reads incorrectly.
    """
    if not encoded:
        raise HeaderError(f"it is empty; expected the bytes of a {FORMATS} file")
    for magic, count in COUNTERS.items():
        if encoded.startswith(magic):
            try:
                return count(encoded)
            except (struct.error, IndexError):
                raise HeaderError("the file ends within its header") from None
    raise HeaderError(f"it starts like no {FORMATS} file")


def check(encoded: bytes) -> None:
    """Check that the file is complete and decodes without complaint. Decoders fill missing parts and report success.

    Args:
        encoded: bytes of a file that :func:`pixels` accepts.

    Raises:
        HeaderError: the file is cut short or damaged, or of a kind that decoders read differently.
    """
    try:
        files.check(encoded)
    except ValueError as error:
        raise HeaderError(str(error)) from None


def _png(encoded: bytes) -> int:
    width, height = struct.unpack_from(">II", encoded, 16)
    if encoded[12:16] != b"IHDR":  # the decoder goes on past other chunks in front, and so to another size
        raise HeaderError("it is a damaged PNG: it does not begin with its size")
    if sum(encoded.count(kind) for kind in (b"zTXt", b"iTXt", b"iCCP")) > MAX_PACKED_TEXTS:
        raise HeaderError(f"it has more than {MAX_PACKED_TEXTS} text chunks; save it without metadata")
    return width * height


def _bmp(encoded: bytes) -> int:
    # A negative height means rows from top to bottom.
    size, width, height, _, bits = struct.unpack_from("<IiiHH", encoded, 14)
    if bits <= 8:
        (colours,) = struct.unpack_from("<I", encoded, 46)
        table = encoded[14 + size : 14 + size + 4 * min(colours or 256, 256)]
        if any(len(set(table[k : k + 3])) > 1 or table[k] != k // 4 for k in range(0, len(table) - 3, 4)):
            raise HeaderError("it is a BMP with a palette, whose colours the decoder does not know; save it as PNG")
    return abs(width * height)


def _jpeg(encoded: bytes) -> int:
    try:
        height, width, _ = tf.io.extract_jpeg_shape(encoded).numpy().tolist()
    except tf.errors.InvalidArgumentError:
        raise HeaderError("its JPEG header cannot be read") from None
    return height * width


def _gif(_: bytes) -> NoReturn:
    raise HeaderError("it is a GIF; save it as PNG")


COUNTERS: dict[bytes, Callable[[bytes], int]] = {b"\x89PNG": _png, b"\xff\xd8\xff": _jpeg, b"BM": _bmp, b"GIF8": _gif}
