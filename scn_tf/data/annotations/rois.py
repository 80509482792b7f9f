"""ImageJ's selections (ROI) of points: bytes to named points and back, within limits of size.

ImageJ stores 32-bit coordinates and no names of the points of one selection. A property ``scn_tf`` of the selection, which ImageJ keeps,
adds both. It counts as long as it agrees with the coordinates, so what was moved in ImageJ is read as moved.
"""

import io
import json
import math
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scn_tf.data.annotations.assembly import MAX_LANDMARKS
from scn_tf.environment.extras import needs_extra
from scn_tf.errors import DatasetError
from scn_tf.messages import cut, short, visible
from scn_tf.storage import ownership
from scn_tf.types import Array

if TYPE_CHECKING:
    from roifile import ImagejRoi

PROPERTY = "scn_tf: "
MAX_BYTES, MAX_TOTAL = 2**22, 2**26  # of a selection, and of all in an archive
UNNAMED = re.compile(r"(\d{3,}-){1,2}\d{3,}(-\d+)?")  # as ImageJ calls selections by their place
VERSION = 228  # the first with properties was 223


class Placed(NamedTuple):
    """One point of a selection: name, (x, y) in pixels, number of the slice from 1, 0 if none; and exact coordinates if known."""

    name: str
    xy: tuple[float, float]
    slice: int
    exact: list[float] | None


def points_of(path: Path) -> list[Placed]:
    """Points of a file, ``.roi`` or ``.zip``. Missing ones have an ``xy`` of NaN.

    Raises:
        DatasetError: the file is damaged, too large, or holds selections other than points.
        MissingExtra: roifile is not installed.
    """
    if path.name.lower().endswith(".zip"):
        members = list(_members(path))
    else:
        with open(path, "rb") as file:
            members = [(path.name, file.read(MAX_BYTES + 1))]
    found: list[Placed] = []
    for member, content in members:
        found += _selection(path, member, content, alone=len(members) == 1)
    if len(found) > MAX_LANDMARKS:
        raise DatasetError(f"{path}: expected at most {MAX_LANDMARKS:,} points, received {len(found):,}.")
    if any(UNNAMED.fullmatch(point.name) for point in found):
        found = [point._replace(name=str(number)) for number, point in enumerate(found)]
    return found


def selection(names: Sequence[str], points: Array, label: str) -> bytes:
    """A selection of points as bytes.

    Args:
        names: N names.
        points: (N, d), NaN where there is none; there is at least one.
        label: name of the selection.
    """
    with needs_extra("files of ImageJ", "roifile"):
        from roifile import ROI_TYPE, ImagejRoi
    present = np.isfinite(points).all(axis=1)
    roi = ImagejRoi.frompoints(points[present, :2], name=label)
    roi.roitype, roi.version = ROI_TYPE.POINT, VERSION
    if points.shape[1] == 3:
        slices = np.rint(points[present, 2]).astype(int) + 1
        roi.counters, roi.counter_positions = np.zeros(len(slices), "uint8"), slices.clip(0).astype("uint32")
        roi.position = int(slices[0])
    listed = [[name, *point] if seen else [name] for name, point, seen in zip(names, points.tolist(), present, strict=True)]
    roi.props = f"{PROPERTY}{json.dumps(listed)}\n"
    return roi.tobytes()


def archive(names: Sequence[str], points: Array) -> bytes:
    """A zip with one selection per present point, as the ROI Manager saves and opens it."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        taken: set[str] = set()
        for number, (name, point) in enumerate(zip(names, points, strict=True)):
            if np.isfinite(point).all():
                member = re.sub(r"[^\w .()-]", "_", name)
                member = f"{member}-{number}" if member.lower() in taken else member
                taken.add(member.lower())
                file.writestr(zipfile.ZipInfo(f"{member}.roi"), selection([name], point[None], name))
        file.comment = ownership.END
    return content.getvalue()


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(path) as file:
            entries = [entry for entry in file.infolist() if entry.filename.lower().endswith(".roi")]
            if len(entries) > MAX_LANDMARKS or sum(entry.file_size for entry in entries) > MAX_TOTAL:
                raise DatasetError(f"{path}: expected at most {MAX_LANDMARKS:,} selections and {MAX_TOTAL:,} bytes.")
            total = 0
            for entry in entries:
                with file.open(entry) as member:
                    content = member.read(MAX_BYTES + 1)  # what the archive states may be wrong
                total += len(content)
                if total > MAX_TOTAL:
                    raise DatasetError(f"{path}: expected at most {MAX_TOTAL:,} bytes of selections.")
                yield entry.filename.rsplit("/", 1)[-1], content
    except DatasetError:
        raise
    except (
        zipfile.BadZipFile,
        zlib.error,
        struct.error,
        OSError,
        EOFError,
        NotImplementedError,
        RuntimeError,
        ValueError,
        KeyError,
    ) as error:
        raise DatasetError(f"{path}: is a damaged archive ({cut(visible(str(error)), 100)}).") from None


def _selection(path: Path, member: str, content: bytes, *, alone: bool) -> Iterator[Placed]:
    with needs_extra(f"{path}", "roifile"):
        from roifile import ROI_TYPE, ImagejRoi
    shown = path if alone else f"{path}, {cut(visible(member), 60)}"
    if len(content) > MAX_BYTES:
        raise DatasetError(f"{shown}: expected a selection of at most {MAX_BYTES:,} bytes.")
    try:
        roi = ImagejRoi.frombytes(content)
        xy = np.asarray(roi.coordinates(), "float64")
    except (ValueError, TypeError, IndexError, KeyError, AttributeError, AssertionError, struct.error) as error:
        raise DatasetError(f"{shown}: is a damaged selection of ImageJ ({cut(visible(str(error)), 100)}).") from None
    if roi.roitype != ROI_TYPE.POINT:
        raise DatasetError(f"{shown}: expected points of the multi-point tool, received a selection of type {roi.roitype.name.lower()}.")
    if not len(xy) or not np.isfinite(xy).all():
        raise DatasetError(f"{shown}: expected finite coordinates of points, received {short(xy.tolist(), 80)}.")
    slices = _slices(roi, len(xy))
    remembered = _remembered(roi.props, xy)
    if remembered is not None:
        left = iter(zip(xy.tolist(), slices, strict=True))
        for name, exact in remembered:
            if exact is None:
                yield Placed(name, (math.nan, math.nan), 0, None)
                continue
            (x, y), number = next(left)
            yield Placed(name, (x, y), number, exact)
        return
    label = roi.name or member[: -len(".roi")]
    for number, ((x, y), position) in enumerate(zip(xy.tolist(), slices, strict=True)):
        name = str(number) if alone else label if len(xy) == 1 else f"{label}_{number + 1}"
        yield Placed(name, (x, y), position, None)


def _slices(roi: "ImagejRoi", count: int) -> list[int]:
    """Slice of each point, from 1; 0 if the selection belongs to all slices."""
    if roi.counter_positions is not None and len(roi.counter_positions) == count and roi.counter_positions.any():
        return [int(number) for number in roi.counter_positions]
    return [int(roi.z_position or roi.position)] * count


def _remembered(properties: str, xy: Array) -> list[tuple[str, list[float] | None]] | None:
    """Names and exact coordinates that we added; None if there are none, or points were added or removed since."""
    line = next((line for line in properties.splitlines() if line.startswith(PROPERTY)), None)
    if line is None:
        return None
    try:
        listed = json.loads(line[len(PROPERTY) :])
        found = [(str(item[0]), [float(value) for value in item[1:]] or None) for item in listed]
    except (ValueError, TypeError, IndexError, KeyError, RecursionError):
        return None
    present = [exact for _, exact in found if exact is not None]
    return found if len(present) == len(xy) and {len(exact) for exact in present} <= {2, 3} else None
