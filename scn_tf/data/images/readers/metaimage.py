"""MetaImage, with its pixels in the same file or in a second one.

ITK's reader is not used. It prints lines without a file's name, and accepts matrices that scale or shear.
"""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scn_tf.data.images.image import Stored, check_channels, check_count, frame
from scn_tf.data.images.packed import beside, unpacked
from scn_tf.data.images.row import ImageFormat
from scn_tf.errors import ImageError

MAX_HEADER = 2**16
TYPES = {"CHAR": "i1", "UCHAR": "u1", "SHORT": "i2", "USHORT": "u2", "INT": "i4", "UINT": "u4", "LONG": "i4", "ULONG": "u4"}
TYPES |= {"LONG_LONG": "i8", "ULONG_LONG": "u8", "FLOAT": "f4", "DOUBLE": "f8"}
TRUE = ("true", "1", "t")
MATRICES, ORIGINS, SPACINGS = (
    ("TransformMatrix", "Rotation", "Orientation"),
    ("Offset", "Position", "Origin"),
    ("ElementSpacing", "ElementSize"),
)


class Header(NamedTuple):
    """``sides`` (x, y[, z]); ``channels``; ``dtype`` of a number; ``fields`` as written; ``end`` of the header in bytes."""

    sides: list[int]
    channels: int
    dtype: np.dtype
    fields: dict[str, str]
    end: int


def read(path: Path) -> Stored:
    """Read a ``.mha`` or ``.mhd`` file.

    Raises:
        ImageError: the file is damaged or cut short, its pixels are text or in several files, or its frame scales or shears.
    """
    header = _header(path)
    sides, fields = header.sides, header.fields
    count = math.prod(sides) * header.channels
    check_count(count, str(path), planes=sides[2] if len(sides) > 2 else 1)
    check_channels(header.channels, str(path))
    values = _values(path, header, count * header.dtype.itemsize)
    array = np.frombuffer(values, header.dtype).reshape(*sides[::-1], header.channels)
    dims = len(sides)
    spacing = next((_numbers(fields, key, dims, path) for key in SPACINGS if key in fields), None)
    if spacing is None:
        return Stored(array, None, None)
    if min(spacing) <= 0:
        raise ImageError(f"{path}: ElementSpacing: expected {dims} positive numbers, received {spacing}.")
    rows = next((_numbers(fields, key, dims * dims, path) for key in MATRICES if key in fields), np.eye(dims).ravel())
    origin = next((_numbers(fields, key, dims, path) for key in ORIGINS if key in fields), np.zeros(dims))
    # A row of the matrix is the direction of an axis.
    return Stored(array, tuple(spacing), frame(np.array(origin), np.array(spacing), np.reshape(rows, (dims, dims)).T, str(path)))


def _header(path: Path) -> Header:
    with open(path, "rb") as file:
        head = file.read(MAX_HEADER)
    fields: dict[str, str] = {}
    end = 0
    while "ElementDataFile" not in fields:
        line, found, _ = head[end:].partition(b"\n")
        key, equals, value = line.decode("latin-1").partition("=")
        key, value = key.strip(), value.strip()
        end += len(line) + len(found)
        if not (key or equals) and found:  # a blank line
            continue
        if not equals or (not found and key != "ElementDataFile"):
            raise ImageError(f"{path}: is no MetaImage file, or its header is cut short.")
        if fields.setdefault(key, value) != value and not key.startswith("Comment"):
            raise ImageError(f"{path}: its header states {key[:40]} twice.")
    try:
        sides = [int(side) for side in fields["DimSize"].split()]
        channels = int(fields.get("ElementNumberOfChannels", 1))
        dtype = np.dtype(TYPES[fields["ElementType"].removeprefix("MET_").removesuffix("_ARRAY")])
        dims = int(fields.get("NDims", len(sides)))
    except (KeyError, ValueError) as error:
        raise ImageError(f"{path}: its header lacks or misstates {error}.") from None
    if dims != len(sides) or dims not in (2, 3) or min(sides) < 1 or channels < 1:
        raise ImageError(f"{path}: expected two or three axes, received the size {sides} of {channels} channels.")
    if (unit := fields.get("DistanceUnits", "mm").lower()) not in ("mm", "?", ""):
        raise ImageError(f"{path}: DistanceUnits: expected mm, received {unit[:40]}.")
    if (slope := fields.get("ElementToIntensityFunctionSlope", "1")).startswith("-"):
        raise ImageError(f"{path}: ElementToIntensityFunctionSlope: {slope[:40]} would show bright as dark; save it rescaled.")
    big = fields.get("BinaryDataByteOrderMSB", fields.get("ElementByteOrderMSB", "False")).lower() in TRUE
    return Header(sides, channels, dtype.newbyteorder(">" if big else "<"), fields, end)


def _values(path: Path, header: Header, size: int) -> bytes:
    """The ``size`` bytes of the pixels, unpacked."""
    fields = header.fields
    if fields.get("BinaryData", "True").lower() not in TRUE:
        raise ImageError(f"{path}: pixels written as text are not read; save it as binary.")
    local = fields["ElementDataFile"].upper() == "LOCAL"
    data = path if local else beside(path, fields["ElementDataFile"])
    skip = int(_numbers(fields, "HeaderSize", 1, path)[0]) if "HeaderSize" in fields else 0
    held = data.stat().st_size
    with open(data, "rb") as file:
        if fields.get("CompressedData", "False").lower() in TRUE:
            file.seek(header.end if local else max(0, skip))
            return unpacked(file.read(), size, str(data))
        start = held - size if skip == -1 else header.end if local else max(0, skip)
        if start < 0 or held - start < size:
            raise ImageError(f"{data}: is cut short: it holds {max(0, held - start):,} of the {size:,} bytes that its header states.")
        file.seek(start)
        return file.read(size)


def _numbers(fields: dict[str, str], key: str, count: int, path: Path) -> list[float]:
    try:
        numbers = [float(number) for number in fields[key].split()]
    except ValueError:
        numbers = []
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise ImageError(f"{path}: {key}: expected {count} finite numbers, received {fields[key][:80]!r}.")
    return numbers


METAIMAGE = ImageFormat("MetaImage", (".mha", ".mhd"), read, headers=(".mhd",), rank=40)
