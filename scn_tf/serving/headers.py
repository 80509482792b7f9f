"""What an encoded image would cost to decode: the pixels it promises, and parts that unpack to far more than their size.

The exported graph refuses large images by itself. A server asks beforehand because it runs several
images together, whose sum must fit into memory too, and because a decoder may know more formats, and
more ways to say a size, than the graph's own check.
"""

import struct

import tensorflow as tf

from scn_tf.data import encoded as files

FORMATS = "PNG, JPEG, BMP or GIF"
MOST_PACKED_TEXTS = 16  # of a PNG: a thousand of them unpack 8 kB each to 8 MB each; real files have one or two
MOST_GIF_BLOCKS = 1000  # frames and what goes with them


class HeaderError(ValueError):
    """No image of a format that the network's signatures take."""


def pixels(encoded):
    """Pixels that decoding would fill: width x height, of a GIF the largest extents or the sum over its frames.

    Args:
        encoded: bytes of a PNG, JPEG, BMP or GIF file.

    Raises:
        HeaderError: another format, nothing at all, a header that ends early, parts that unpack to a multiple, or what the decoder gets
            wrong: palettes of a BMP, a GIF whose first frame is a part of it.
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


def check(encoded):
    """That the file is whole and its decoder has nothing to complain of: decoders fill what is missing, and answer all the same.

    Args:
        encoded: bytes of a file that :func:`pixels` takes.

    Raises:
        HeaderError: it is cut short or damaged, or of a kind that decoders read differently.
    """
    try:
        files.check(encoded)
    except ValueError as error:
        raise HeaderError(str(error)) from None


def _png(encoded):
    width, height = struct.unpack_from(">II", encoded, 16)
    if encoded[12:16] != b"IHDR":  # the decoder goes on past other chunks in front, and so to another size
        raise HeaderError("it is a damaged PNG: it does not begin with its size")
    if sum(encoded.count(kind) for kind in (b"zTXt", b"iTXt", b"iCCP")) > MOST_PACKED_TEXTS:
        raise HeaderError(f"it has more than {MOST_PACKED_TEXTS} text chunks; save it without metadata")
    return width * height


def _bmp(encoded):
    # A negative height means rows from top to bottom.
    size, width, height, _, bits = struct.unpack_from("<IiiHH", encoded, 14)
    if bits <= 8:
        (colours,) = struct.unpack_from("<I", encoded, 46)
        table = encoded[14 + size : 14 + size + 4 * min(colours or 256, 256)]
        if any(len(set(table[k : k + 3])) > 1 or table[k] != k // 4 for k in range(0, len(table) - 3, 4)):
            raise HeaderError("it is a BMP with a palette, whose colours the decoder does not know; save it as PNG")
    return abs(width * height)


def _jpeg(encoded):
    try:
        height, width, _ = tf.io.extract_jpeg_shape(encoded).numpy().tolist()
    except tf.errors.InvalidArgumentError:
        raise HeaderError("its JPEG header cannot be read") from None
    if encoded.count(b"\xff\xda") > files.MOST_SCANS:
        raise HeaderError(f"it has more than {files.MOST_SCANS} scans; save it as a baseline JPEG")
    return height * width


def _gif(encoded):
    """The decoder makes room for the widest and the tallest of all frames, whatever the screen that the header tells, and unpacks each."""
    screen_width, screen_height, flags = struct.unpack_from("<HHB", encoded, 6)
    position = 13 + _colour_table(flags)
    total, widest, tallest, blocks = 0, screen_width, screen_height, 0
    while position < len(encoded) and encoded[position] in (0x2C, 0x21):  # else the trailer, or what the decoder will call damaged
        if encoded[position] == 0x2C:
            left, top, width, height, flags = struct.unpack_from("<HHHHB", encoded, position + 1)
            if total == 0 and (left, top, width, height) != (0, 0, screen_width, screen_height):
                raise HeaderError("it is a GIF whose first frame is not the whole image; save it as PNG")
            total += width * height
            widest, tallest = max(widest, width), max(tallest, height)
            position += 11 + _colour_table(flags)
        else:
            position += 2
        while position < len(encoded) and encoded[position]:
            position += encoded[position] + 1
        position += 1
        blocks += 1
        if blocks > MOST_GIF_BLOCKS:
            raise HeaderError(f"it is a GIF of more than {MOST_GIF_BLOCKS} blocks; save it as PNG")
    if encoded[position : position + 1] != b"\x3b":
        raise HeaderError("it is a GIF cut short: it ends without its last byte")
    return max(widest * tallest, total)


def _colour_table(flags):
    """Bytes of a GIF's colour table."""
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


COUNTERS = {b"\x89PNG": _png, b"\xff\xd8\xff": _jpeg, b"BM": _bmp, b"GIF8": _gif}
