"""Cost of decoding an image, computed inside the exported graph: the counterpart of :mod:`scn_tf.serving.headers`.

A few bytes can state gigabytes of pixels, so decoding without this check can exhaust the memory. For the same reason, other formats
that TensorFlow decodes are refused.
"""

from collections.abc import Sequence

import tensorflow as tf

from scn_tf.data.encoded import MASKS
from scn_tf.export.limits import ENCODED as FORMATS

ENORMOUS = 64_000_000  # pixels: who asks refuses them by their number, whether they are there or not
MAX_PNG_CHUNKS = 1000  # in front of the pixels
PADDING = 32  # bytes past the end read as zero: a number of a truncated header is one, and the decoder then says what is wrong


def pixel_count(encoded: tf.Tensor) -> tf.Tensor:
    """Number of decoded pixels, float32.

    Args:
        encoded: scalar string: bytes of a PNG, JPEG or BMP file. Other formats, animated PNG, and JPEG with other than one or three
            colours are errors. So is a BMP that is packed, has a palette of colours or is too short. The decoders refuse other
            damage.
    """

    def starts(magic: bytes) -> tf.Tensor:
        return tf.strings.substr(encoded + b"\0" * PADDING, 0, len(magic)) == magic

    def jpeg() -> tf.Tensor:
        shape = tf.io.extract_jpeg_shape(encoded)
        return tf.cond(
            (shape[2] == 1) | (shape[2] == 3),
            lambda: tf.reduce_prod(tf.cast(shape[:2], tf.float32)),
            lambda: _refused(
                ["image_bytes: expected a JPEG of one or three colours, received", shape[2], "(CMYK); save it as grey or RGB"]
            ),
        )

    def unknown() -> tf.Tensor:
        return _refused([f"image_bytes: expected a {FORMATS} file, received", tf.strings.length(encoded), "bytes of something else"])

    return tf.case(
        [
            (starts(b"\x89PNG"), lambda: _png(_bytes(encoded, 32), _animated(encoded))),
            (starts(b"BM"), lambda: _bmp(_bytes(encoded, 4096), tf.strings.length(encoded))),
            (starts(b"GIF8"), lambda: _refused(["image_bytes: is a GIF; save it as PNG"])),
            (starts(b"\xff\xd8\xff"), jpeg),
        ],
        default=unknown,
    )


def _bytes(encoded: tf.Tensor, most: int) -> tf.Tensor:
    """First ``most`` bytes, all if -1, and the padding: int32."""
    return tf.cast(tf.io.decode_raw(tf.strings.substr(encoded, 0, most) + b"\0" * PADDING, tf.uint8), tf.int32)


def _number(data: tf.Tensor, start: int, size: int, *, big: bool = False) -> tf.Tensor:
    """Unsigned number of ``size`` bytes, float32."""
    digits = tf.cast(data[start : start + size], tf.float32)
    powers = [256.0**power for power in range(size)]
    return tf.reduce_sum(digits * tf.constant(powers[::-1] if big else powers))


def _integer(data: tf.Tensor, start: int, size: int) -> tf.Tensor:
    """Unsigned number of ``size`` bytes, int64: exact."""
    return tf.reduce_sum(tf.cast(data[start : start + size], tf.int64) * [256**power for power in range(size)])


def _refused(words: Sequence[str | tf.Tensor]) -> tf.Tensor:
    error = tf.debugging.Assert(tf.constant(False), words)
    with tf.control_dependencies([error]):
        return tf.constant(0.0)


def _animated(encoded: tf.Tensor) -> tf.Tensor:
    """Whether a PNG has the chunk of an animation, which precedes the pixels."""
    length = tf.strings.length(encoded)

    def kind(position: tf.Tensor) -> tf.Tensor:
        return tf.strings.substr(encoded + b"\0" * PADDING, position + 4, 4)

    def before_pixels(position: tf.Tensor) -> tf.Tensor:
        return (position < length - 12) & (kind(position) != b"IDAT") & (kind(position) != b"acTL")

    def following(position: tf.Tensor) -> tf.Tensor:
        size = _number(_bytes(tf.strings.substr(encoded, position, 4), -1), 0, 4, big=True)
        return position + 12 + tf.cast(tf.minimum(size, tf.cast(length, tf.float32)), tf.int32)

    (position,) = tf.while_loop(before_pixels, following, (8,), maximum_iterations=MAX_PNG_CHUNKS)
    return kind(tf.minimum(position, length)) == b"acTL"


def _unless(problems: Sequence[tuple[tf.Tensor, str]], value: tf.Tensor) -> tf.Tensor:
    """The value, or an error with the text of the first problem found."""
    return tf.case([(problem, lambda words=words: _refused([words])) for problem, words in problems], default=lambda: value)


def _png(data: tf.Tensor, animated: tf.Tensor) -> tf.Tensor:
    size = _number(data, 16, 4, big=True) * _number(data, 20, 4, big=True)
    # The decoder goes on past other chunks in front, and so to another size.
    sized = tf.reduce_all(data[12:16] == list(b"IHDR"))
    return _unless(
        [
            (~sized, "image_bytes: is a damaged PNG: it does not begin with its size"),
            (animated, "image_bytes: is an animated PNG; save one of its frames"),
        ],
        size,
    )


def _bmp(data: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    # Signed numbers; a negative height means rows from top to bottom.
    sides = [_number(data, start, 4) for start in (18, 22)]
    width, height = [tf.where(side >= 2.0**31, 2.0**32 - side, side) for side in sides]
    colours = _number(data, 46, 4)
    colours = tf.cast(tf.where(colours == 0.0, 256.0, tf.minimum(colours, 256.0)), tf.int32)
    first = 14 + tf.cast(tf.minimum(_number(data, 14, 4), 1000.0), tf.int32)
    table = data[first : first + 4 * colours]
    table = tf.reshape(table[: tf.size(table) // 4 * 4], [-1, 4])[:, :3]
    grey = tf.reduce_all(table == tf.range(tf.shape(table)[0])[:, tf.newaxis])
    bits, packing = _number(data, 28, 2), _number(data, 30, 4)
    # 32 bits may state where their colours are, if that is where the decoder looks.
    plain = (packing == 0.0) | ((packing == 3.0) & (bits == 32.0) & tf.reduce_all(data[54:66] == list(MASKS)))
    row = (_integer(data, 18, 4) * _integer(data, 28, 2) + 31) // 32 * 4
    end = _integer(data, 10, 4) + tf.cast(height, tf.int64) * row
    whole = tf.maximum(end, _integer(data, 2, 4)) <= tf.cast(length, tf.int64)
    known = (_number(data, 14, 4) >= 40.0) & (sides[0] < 2.0**31) & (_number(data, 10, 4) >= 54.0)
    pixels = width * height
    return _unless(
        [
            ((bits <= 8.0) & ~grey, "image_bytes: is a BMP with a palette, whose colours the decoder does not know; save it as PNG"),
            (
                (~plain | ~known) & (pixels <= ENORMOUS),
                "image_bytes: is a BMP that is packed, masked, damaged or of an old kind; save it as PNG",
            ),
            (~whole & (pixels <= ENORMOUS), "image_bytes: is a BMP cut short: it has fewer bytes than its header promises"),
        ],
        pixels,
    )
