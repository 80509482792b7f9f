"""NRRD, with its pixels in the same file or in a second one, with pynrrd's headers."""

import math
from pathlib import Path
from typing import Any

import nrrd as pynrrd
import numpy as np

from scn_tf.data.images.image import Stored, check_channels, check_count, frame
from scn_tf.data.images.packed import beside, unpacked
from scn_tf.data.images.row import ImageFormat
from scn_tf.errors import ImageError

MM_PER_UNIT = dict.fromkeys(("mm", "millimeter", "millimeters"), 1.0) | dict.fromkeys(("cm", "centimeter"), 10.0)
MM_PER_UNIT |= dict.fromkeys(("um", "µm", "micron", "microns", "micrometer"), 1e-3) | dict.fromkeys(("m", "meter"), 1e3)
# Signs that lead to left, posterior, superior. "scanner-xyz" and "3D-right-handed" name no side of a patient.
SPACES = {
    "left-posterior-superior": (1, 1, 1),
    "lps": (1, 1, 1),
    "right-anterior-superior": (-1, -1, 1),
    "ras": (-1, -1, 1),
    "left-anterior-superior": (1, -1, 1),
    "las": (1, -1, 1),
}
CHANNEL_KINDS = {"rgb-color", "rgba-color", "list", "vector", "3-color", "4-color", "scalar", "none", "stub"}


def read(path: Path) -> Stored:
    """Read a ``.nrrd`` or ``.nhdr`` file.

    Raises:
        ImageError: the file is damaged or cut short, has a text encoding, several data files, a frame that scales or shears, or
            units that are no lengths.
    """
    name = str(path)
    with open(path, "rb") as file:
        header = pynrrd.read_header(file)
        start = file.tell()
    sizes = [int(side) for side in header["sizes"]]
    kinds = [str(kind).lower() for kind in header.get("kinds", ["domain"] * len(sizes))]
    channel_axes = [axis for axis, kind in enumerate(kinds) if kind in CHANNEL_KINDS]
    if not channel_axes and len(sizes) == 4 and sizes[0] <= 4:
        channel_axes = [0]
    axes = [axis for axis in range(len(sizes)) if axis not in channel_axes]
    if len(channel_axes) > 1 or len(axes) not in (2, 3):
        raise ImageError(f"{name}: expected two or three axes and at most one of channels, received sizes {sizes} of kinds {kinds}.")
    if header.get("type") == "block":
        raise ImageError(f"{name}: expected numbers as pixels, received blocks of bytes.")
    # As this library reads the words of the header.
    dtype = np.dtype(pynrrd.reader._determine_datatype(header))
    planes = sizes[axes[2]] if len(axes) == 3 else 1
    check_count(math.prod(sizes), name, planes=planes)
    check_channels(math.prod(sizes[axis] for axis in channel_axes), name)
    values = _values(path, header, start, math.prod(sizes) * dtype.itemsize)
    array = np.frombuffer(values, dtype).reshape(sizes, order="F")
    array = np.transpose(array, [*axes[::-1], *channel_axes])
    array = array if channel_axes else array[..., np.newaxis]
    spacing, matrix = _frame(header, axes, name)
    if matrix is not None and len(matrix) == len(axes) + 2:  # a plane in space is a volume one pixel deep
        array = array[np.newaxis]
    return Stored(array, spacing, matrix)


def _values(path: Path, header: dict[str, Any], start: int, size: int) -> bytes:
    """The ``size`` bytes of the pixels, unpacked."""
    data = path
    if (file := header.get("data file", header.get("datafile"))) is not None:
        data, start = beside(path, str(file)), 0
    if int(header.get("line skip", header.get("lineskip", 0))):
        raise ImageError(f"{path}: expected pixels right after the header, received a line skip.")
    skip = int(header.get("byte skip", header.get("byteskip", 0)))
    encoding = str(header.get("encoding", "raw")).lower()
    with open(data, "rb") as file:
        if encoding == "raw":
            file.seek(-size if skip == -1 else start + max(0, skip), 2 if skip == -1 and size <= data.stat().st_size else 0)
            content = file.read(size)
        elif encoding in ("gzip", "gz", "bzip2", "bz2"):
            file.seek(start)
            content = unpacked(file.read(), max(0, skip) + size, str(data), bzip2=encoding[0] == "b")[max(0, skip) :]
        else:
            raise ImageError(f"{path}: pixels of encoding {encoding!r} are not read; save it as raw or gzip.")
    if len(content) < size:
        raise ImageError(f"{data}: is cut short: it holds {len(content):,} of the {size:,} bytes that its header states.")
    return content


def _frame(header: dict[str, Any], axes: list[int], name: str) -> tuple[tuple[float, ...] | None, np.ndarray | None]:
    """(spacing, matrix to mm) of the axes in space; three axes for a plane in space. (None, None) if the header states no pixel size."""
    dims = len(axes)
    scale = _scales(header, axes, name)
    directions = header.get("space directions")
    if directions is None:
        spacings = header.get("spacings")
        if spacings is None:
            return None, None
        spacing = np.array([float(spacings[axis]) for axis in axes]) * scale
        if not (np.isfinite(spacing) & (spacing > 0)).all():
            raise ImageError(f"{name}: its header states spacings {[float(one) for one in spacings]}.")
        minima = header.get("axis mins", [np.nan] * len(header["sizes"]))
        origin = np.array([float(minima[axis]) for axis in axes]) * scale
        return tuple(spacing), frame(np.where(np.isfinite(origin), origin, 0.0), spacing, np.eye(dims), name)
    columns = np.array([directions[axis] for axis in axes], float).T * scale
    origin = np.asarray(header.get("space origin", np.zeros(len(columns))), float) * scale[: len(columns)].mean()
    if columns.shape[0] == 3 and dims == 2:  # a plane in space
        normal = np.cross(columns[:, 0], columns[:, 1])
        columns = np.column_stack([columns, normal / max(np.linalg.norm(normal), 1e-12)])
    if columns.shape[0] != columns.shape[1]:
        raise ImageError(f"{name}: its header states directions of {columns.shape[0]} numbers for {dims} axes.")
    space = str(header.get("space", "")).lower()
    if space in SPACES:
        signs = np.array(SPACES[space][: len(columns)], float)
        columns, origin = columns * signs[:, None], origin * signs
    elif space not in ("", "scanner-xyz", "3d-right-handed") and "space dimension" not in header:
        raise ImageError(f"{name}: coordinates of the space {space!r} are not known; expected one of {', '.join(SPACES)}.")
    lengths = np.linalg.norm(columns, axis=0)
    if not (np.isfinite(lengths) & (lengths > 0)).all():
        raise ImageError(f"{name}: its header states directions {columns.T.tolist()}.")
    return tuple(lengths), frame(origin, lengths, columns / lengths, name)


def _scales(header: dict[str, Any], axes: list[int], name: str) -> np.ndarray:
    """mm per unit of length of each axis."""
    stated = header.get("space units")
    units = [str(unit) for unit in stated] if stated is not None else [str(unit) for unit in header.get("units", [])]
    units = units if stated is not None else [units[axis] for axis in axes if axis < len(units)]
    named = [unit.strip('" ').lower() for unit in units]
    unknown = [unit for unit in named if unit not in ("", "none", "???", "nan") and unit not in MM_PER_UNIT]
    if unknown or len(set(named)) > 1:
        raise ImageError(f"{name}: its header states lengths in {', '.join(units)}; expected mm on all axes.")
    return np.full(len(axes), MM_PER_UNIT.get(named[0], 1.0) if named else 1.0)


NRRD = ImageFormat("NRRD", (".nrrd", ".nhdr"), read, magic=(b"NRRD",), headers=(".nhdr",), rank=60)
