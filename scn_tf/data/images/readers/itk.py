"""GIPL and VTK structured points.

This module checks the headers, and SimpleITK reads the pixels; it fills missing ones with arbitrary values.
"""

import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scn_tf.data.images.image import Stored, check_channels, check_count, frame
from scn_tf.data.images.row import ImageFormat
from scn_tf.errors import ImageError

MAX_HEADER = 2**16
VTK_BYTES = {"unsigned_char": 1, "char": 1, "unsigned_short": 2, "short": 2, "unsigned_int": 4, "int": 4, "float": 4, "double": 8}
VTK_BYTES |= {"unsigned_long": 8, "long": 8, "vtktypeint64": 8, "vtktypeuint64": 8}
GIPL_BYTES = {7: 1, 8: 1, 15: 2, 16: 2, 31: 4, 32: 4, 64: 4, 65: 8}


class Header(NamedTuple):
    """``sides`` (x, y, z); number of ``values``; ``size`` bytes of the pixels from ``start``; whether mm are stated."""

    sides: list[int]
    values: int
    start: int
    size: int
    states_spacing: bool


def read_gipl(path: Path) -> Stored:
    """Read a ``.gipl`` file; see :func:`_read`."""
    return _read(path, _gipl)


def read_vtk(path: Path) -> Stored:
    """Read a ``.vtk`` file of structured points; see :func:`_read`."""
    return _read(path, _vtk)


def _read(path: Path, parse: Callable[[Path], Header]) -> Stored:
    """Check the header, then read the pixels.

    Raises:
        ImageError: the file is damaged or cut short.
    """
    import SimpleITK as sitk  # a third of a second, which other formats do without

    sitk.ProcessObject.SetGlobalWarningDisplay(False)  # its C++ lines would reach the terminal without a file's name
    header = parse(path)
    check_count(header.values, str(path), planes=header.sides[2])
    if (held := path.stat().st_size - header.start) < header.size:
        raise ImageError(f"{path}: is cut short: it holds {max(0, held):,} of the {header.size:,} bytes that its header states.")
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:  # a C++ trace
        reason = str(error).strip().splitlines()[-1].split("): ")[-1].strip()
        raise ImageError(f"{path}: cannot be read ({reason[:200]}).") from None
    if [*image.GetSize(), 1][:3] != header.sides:
        raise ImageError(f"{path}: is damaged: its header states the size {header.sides}, the reader finds {list(image.GetSize())}.")
    array = sitk.GetArrayFromImage(image)
    check_channels(image.GetNumberOfComponentsPerPixel(), str(path))
    array = array if image.GetNumberOfComponentsPerPixel() > 1 else array[..., np.newaxis]
    if not header.states_spacing:
        return Stored(array, None, None)
    return Stored(array, image.GetSpacing(), frame(image.GetOrigin(), image.GetSpacing(), np.array(image.GetDirection()), str(path)))


def _gipl(path: Path) -> Header:
    with open(path, "rb") as file:
        head = file.read(256)
    if len(head) < 256 or head[252:256] not in (b"\xef\xff\xe9\xb0", b"\x2a\xe3\x89\xb8"):
        raise ImageError(f"{path}: is no GIPL file, or its header is cut short.")
    (*sides, times, kind) = struct.unpack(">5H", head[:10])
    if times > 1 or kind not in GIPL_BYTES:
        raise ImageError(f"{path}: expected one volume of numbers, received {times} of type {kind}.")
    sides[2] = max(1, sides[2])
    values = math.prod(sides)
    return Header(sides, values, 256, values * GIPL_BYTES[kind], True)


def _vtk(path: Path) -> Header:
    with open(path, "rb") as file:
        head = file.read(MAX_HEADER)
    lines: list[str] = []
    fields: dict[str, list[str]] = {}
    start = 0
    while not fields.keys() & {"lookup_table"} and len(lines) < 40:
        line, found, _ = head[start:].partition(b"\n")
        if not found:
            break
        start += len(line) + 1
        lines.append(line.decode("latin-1").strip())
        words = lines[-1].lower().split()
        if words:
            fields.setdefault(words[0], words[1:])
    if len(lines) < 4 or not lines[0].startswith("# vtk DataFile") or lines[2].upper() != "BINARY" or "lookup_table" not in fields:
        raise ImageError(f"{path}: expected binary VTK structured points with scalars, or its header is cut short.")
    try:
        sides = [int(side) for side in fields["dimensions"]]
        width = VTK_BYTES[fields["scalars"][1]]
        channels = int(fields["scalars"][2]) if len(fields["scalars"]) > 2 else 1
    except (KeyError, IndexError, ValueError) as error:
        raise ImageError(f"{path}: its header lacks or misstates {error}.") from None
    if fields.get("dataset") != ["structured_points"] or len(sides) != 3:
        raise ImageError(f"{path}: expected VTK structured points of three sides, received {fields.get('dataset')}, {sides}.")
    values = math.prod(sides) * channels
    return Header(sides, values, start, values * width, "spacing" in fields or "aspect_ratio" in fields)


GIPL = ImageFormat("GIPL", (".gipl",), read_gipl, isolated=True, rank=70)
VTK = ImageFormat("VTK", (".vtk",), read_vtk, magic=(b"# vtk",), isolated=True, rank=71)
