"""What an encoded image would cost to decode: the pixels it promises, and parts that unpack to far more than their size.

The exported graph refuses large images by itself. A server asks beforehand because it runs several
images together, whose sum must fit into memory too, and because a decoder may know more formats, and
more ways to say a size, than the graph's own check.
"""

import struct

import tensorflow as tf

FORMATS = "PNG, JPEG, BMP or GIF"
MOST_PACKED_TEXTS = 16  # of a PNG: a thousand of them unpack 8 kB each to 8 MB each; real files have one or two
MOST_SCANS = 64  # of a progressive JPEG: each passes over the whole image, empty or not; real files have about ten


class HeaderError(ValueError):
    """No image of a format that the network's signatures take."""


def pixels(encoded):
    """Pixels that decoding would fill: width x height, of a GIF the sum over its frames.

    Args:
        encoded: bytes of a PNG, JPEG, BMP or GIF file.

    Raises:
        HeaderError: another format, nothing at all, a header that ends early, or parts that unpack to a multiple.
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


def _png(encoded):
    width, height = struct.unpack_from(">II", encoded, 16)
    if sum(encoded.count(kind) for kind in (b"zTXt", b"iTXt", b"iCCP")) > MOST_PACKED_TEXTS:
        raise HeaderError(f"it has more than {MOST_PACKED_TEXTS} text chunks; save it without metadata")
    return width * height


def _bmp(encoded):
    # A negative height means rows from top to bottom.
    width, height = struct.unpack_from("<ii", encoded, 18)
    return abs(width * height)


def _jpeg(encoded):
    try:
        height, width, _ = tf.io.extract_jpeg_shape(encoded).numpy().tolist()
    except tf.errors.InvalidArgumentError:
        raise HeaderError("its JPEG header cannot be read") from None
    if encoded.count(b"\xff\xda") > MOST_SCANS:
        raise HeaderError(f"it has more than {MOST_SCANS} scans; save it as a baseline JPEG")
    return height * width


def _gif(encoded):
    """The decoder unpacks every frame, and a frame may be larger than the screen that the header tells."""
    screen_width, screen_height, flags = struct.unpack_from("<HHB", encoded, 6)
    position = 13 + _colour_table(flags)
    total = 0
    while position < len(encoded):
        kind = encoded[position]
        if kind == 0x2C:
            width, height, flags = struct.unpack_from("<HHB", encoded, position + 5)
            total += width * height
            position += 11 + _colour_table(flags)
        elif kind == 0x21:
            position += 2
        else:
            break  # the trailer, or what the decoder will call damaged
        while position < len(encoded) and encoded[position]:
            position += encoded[position] + 1
        position += 1
    return max(screen_width * screen_height, total)


def _colour_table(flags):
    """Bytes of a GIF's colour table."""
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0


COUNTERS = {b"\x89PNG": _png, b"\xff\xd8\xff": _jpeg, b"BM": _bmp, b"GIF8": _gif}
