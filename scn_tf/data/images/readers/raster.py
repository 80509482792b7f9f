"""PNG, JPEG and BMP: checked for completeness, then decoded as in the exported graph."""

import functools
import io
import struct
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import simplejpeg
from PIL import BmpImagePlugin

from scn_tf.data import encoded
from scn_tf.data.images.image import Stored, check_count
from scn_tf.data.images.row import ImageFormat
from scn_tf.errors import DataWarning, ImageError

MAX_BYTES = 2**30


def read_png(path: Path) -> Stored:
    """Read a PNG file of any colour type and depth; see :func:`_content`."""
    content = _content(path)
    if len(content) >= 26:
        width, height = struct.unpack_from(">II", content, 16)
        check_count(width * height * encoded.PNG_CHANNELS.get(content[25], 4), str(path))
    _check(path, functools.partial(encoded.check_png, unpack=False), content)
    import tensorflow as tf  # which the processes that only read do without

    try:
        return Stored(tf.io.decode_png(content, dtype=tf.uint16 if content[24] == 16 else tf.uint8).numpy(), None, None)
    except tf.errors.InvalidArgumentError:  # names no reason
        _check(path, encoded.check_png, content)
        raise ImageError(f"{path}: it is a damaged PNG.") from None


def read_jpeg(path: Path) -> Stored:
    """Read a JPEG file, grey or colour; see :func:`_content`."""
    content = _content(path)
    _check(path, encoded.check_jpeg_segments, content)
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(content)
        check_count(width * height * 3, str(path))
        # The exact transform and smooth chroma, as in the exported graph; whatever the decoder complains of is an error.
        space = "GRAY" if space.upper() == "GRAY" else "RGB"
        array = simplejpeg.decode_jpeg(content, space, fastdct=False, fastupsample=False, strict=True)
    except ImageError:
        raise
    except ValueError as error:
        raise ImageError(f"{path}: it is a damaged JPEG ({error}).") from None
    return Stored(array, None, None)


def read_bmp(path: Path) -> Stored:
    """Read a BMP file, plain or with a palette; see :func:`_content`."""
    content = _content(path)
    _check(path, encoded.check_bmp, content)
    width, height = struct.unpack_from("<ii", content, 18)
    check_count(abs(width * height) * 3, str(path))
    with BmpImagePlugin.BmpImageFile(io.BytesIO(content)) as image:
        array = np.asarray(image.convert("L" if image.mode in ("1", "L") else "RGB"))
    return Stored(array if array.ndim == 3 else array[..., np.newaxis], None, None)


def _content(path: Path) -> bytes:
    """Bytes of a file. Warns if EXIF would turn the image.

    Raises:
        ImageError: the file is larger than any valid image.
    """
    if (size := path.stat().st_size) > MAX_BYTES:
        raise ImageError(f"{path}: has {size:,} bytes; at most {MAX_BYTES:,} are read.")
    content = path.read_bytes()
    if (orientation := encoded.exif_orientation(content)) != 1:
        warnings.warn(
            f"{path}: its EXIF orientation is {orientation}, so viewers turn it. It is ignored here: landmarks are in pixels as stored.",
            DataWarning,
            stacklevel=2,
        )
    return content


def _check(path: Path, check: Callable[[bytes], None], content: bytes) -> None:
    try:
        check(content)
    except ValueError as error:
        raise ImageError(f"{path}: {error}.") from None


PNG = ImageFormat("PNG", (".png",), read_png, magic=(b"\x89PNG",), rank=10)
JPEG = ImageFormat("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), read_jpeg, magic=(b"\xff\xd8",), rank=11)
BMP = ImageFormat("BMP", (".bmp",), read_bmp, magic=(b"BM",), rank=12)
