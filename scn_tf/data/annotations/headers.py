"""Headers of tables: which column holds which coordinate of which landmark, by the usual spellings."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scn_tf.data.annotations.row import Frame
from scn_tf.errors import DatasetError
from scn_tf.types import Array

# Fractions and percent are of the image's sides. Anatomical mm: RAS has the signs of x and y of the other.
UNITS = {
    **dict.fromkeys(("px", "pix", "pixel", "pixels", "vox", "voxel", "voxels"), "px"),
    **dict.fromkeys(("norm", "normalized", "normalised", "rel", "relative", "frac", "fraction"), "fraction"),
    **dict.fromkeys(("%", "pct", "percent"), "percent"),
    **dict.fromkeys(("mm", "millimeter", "millimeters", "millimetre", "millimetres"), "mm"),
    "lps": "lps",
    "ras": "ras",
}
NOISE = ("coord", "coords", "coordinate", "coordinates", "pos", "position", "loc", "location")
SCORES = ("likelihood", "score", "confidence", "conf", "prob", "probability")
SEEN = ("v", "vis", "visible", "visibility", "present", "labeled", "labelled")
# Words in the header of a column, in the order in which the columns are preferred.
IMAGES = (
    *("filename", "file name", "imagefile", "image file", "imagename", "image name", "imagepath", "image path", "filepath", "file path"),
    *("file", "image", "img", "path", "picture", "photo", "imageid", "image id", "img id", "id", "name", "case", "case id", "scan"),
    *("specimen", "subject", "frame"),
)
LANDMARKS = (
    *("landmark", "landmark name", "keypoint", "keypoint name", "bodypart", "bodyparts", "marker", "fiducial", "point name", "point"),
    *("label", "node", "joint", "part", "lm", "class name", "class", "name", "landmark id", "point id", "keypoint id", "landmark index"),
    *("index", "number", "no", "nr"),
)
WIDTHS, HEIGHTS = ("width", "image width", "img width"), ("height", "image height", "img height")
MAX_HEADER = 240  # characters of the header of a coordinate
PAIRS_OF_NO_LANDMARK = {"size", "image size", "spacing", "pixel size", "voxel size", "resolution", "bbox", "box", "crop", "shape"}

_TAIL = re.compile(rf"(?:[\s_.-]|\s?[(\[]\s?)({'|'.join(map(re.escape, (*UNITS, *NOISE)))})\s?[)\]]?$", re.IGNORECASE)
_LONG = rf"(?P<what>[xyz]|{'|'.join((*SCORES, *SEEN))})"
_SEP = r"[\s_.:/|-]"  # one alone: a run of them would take quadratic time
# The spellings of a header, each for a whole table: NAME_x, NAME (x), x_NAME, x (NAME), x1, lm1x, tipX, xTip.
SPELLINGS = [
    re.compile(rf"(?P<name>.+){_SEP}{_LONG}", re.IGNORECASE),
    re.compile(rf"(?P<name>.+)[(\[]\s?{_LONG}\s?[)\]]", re.IGNORECASE),
    re.compile(rf"{_LONG}{_SEP}(?P<name>.+)", re.IGNORECASE),
    re.compile(rf"{_LONG}\s?[(\[](?P<name>.+)[)\]]", re.IGNORECASE),
    re.compile(r"(?P<what>[xyzv])(?P<name>\d+)", re.IGNORECASE),
    re.compile(r"(?P<name>.*\d)(?P<what>[xyzv])", re.IGNORECASE),
    re.compile(r"(?P<name>.*[a-z])(?P<what>[XYZ])"),
    re.compile(r"(?P<what>[xyz])(?P<name>[A-Z].*)"),
]


class Part(NamedTuple):
    """A column of a landmark: its name, what the column holds ("x", "y", "z", "score" or "seen"), and the unit, "" if none."""

    name: str
    what: str
    unit: str


@dataclass
class Layout:
    """Columns of a table with one row per image.

    Attributes:
        landmarks: name -> what -> column.
        units: units that the headers of coordinates state; "" for those that state none.
        headers: name of every column, for messages.
        images: columns of the image's name; several are folders and the file.
        width, height: columns of the image's size, None if absent.
        other: headers of columns with another content.
        half: (name, column) of a landmark with x or y alone, None if there is none.
    """

    landmarks: dict[str, dict[str, int]] = field(default_factory=dict)
    units: set[str] = field(default_factory=set)
    headers: list[str] = field(default_factory=list)
    images: list[int] = field(default_factory=list)
    width: int | None = None
    height: int | None = None
    other: list[str] = field(default_factory=list)
    half: tuple[str, int] | None = None


def words(header: str) -> str:
    """A header in lower case, its words separated by one blank: ``Image_Name`` and ``image-name`` become ``image name``."""
    return " ".join(re.sub(r"[^a-z0-9%]+", " ", header.lower()).split())


def axis(header: str) -> tuple[str, str] | None:
    """("x", unit) of a header that is an axis alone, such as ``x``, ``X (mm)``, ``pos_x``, ``nx`` or ``x_norm``; None for others."""
    parts = [word for word in words(header).split() if word not in NOISE]
    units = [UNITS[word] for word in parts if word in UNITS]
    rest = [word for word in parts if word not in UNITS]
    if len(rest) != 1 or len(units) > 1:
        return None
    glued = re.fullmatch(r"(n?)([xyz])(?:coord|pos)?", rest[0]) or re.fullmatch(r"()([xyz])(mm|px|norm|rel|pct)", rest[0])
    if glued is None:
        return None
    unit = UNITS.get(glued[3], "") if glued.lastindex == 3 else "fraction" if glued[1] else ""
    return glued[2], unit or (units[0] if units else "")


def column_of(headers: Sequence[str], known: Sequence[str], taken: Sequence[int] = ()) -> int | None:
    """The column whose header is the first of these words, of those not taken."""
    spelt = [words(header) for header in headers]
    for word in known:
        for column, text in enumerate(spelt):
            if text == word and text and column not in taken:
                return column
    return None


def layout(headers: Sequence[str]) -> Layout:
    """Columns of a header with one row, in the spelling that explains most landmarks.

    Repeated axes are numbered landmarks: x, y, x, y, or as pandas writes them again, x, y, x.1, y.1.
    """
    axes = Counter(known for header in headers if (known := axis(header)))
    if max(axes.values(), default=0) > 1:
        return _repeated(headers)
    spelt = {header.lower() for header in headers}
    plain, headers = headers, [f"{header}.0" if axis(header) and f"{header}.1".lower() in spelt else header for header in headers]
    found = max((_spelt(headers, spelling) for spelling in SPELLINGS), key=lambda one: len(one.landmarks), default=Layout())
    return _with_others(found, plain)


def _repeated(headers: Sequence[str]) -> Layout:
    counts: Counter[str] = Counter()
    columns: list[Part | None] = []
    for header in headers:
        known = axis(header)
        columns.append(Part(str(counts[known[0]]), *known) if known else None)
        counts.update(known[:1] if known else ())
    return _with_others(_gathered(columns), headers)


def paired(names: Sequence[str], axes: Sequence[str]) -> Layout:
    """Columns of a header of two rows: names, where blank the one before, and axes below them."""
    columns: list[Part | None] = []
    last = ""
    for name, below in zip(names, axes, strict=True):
        last = name or last
        known = axis(below)
        word = words(below)
        what = known[0] if known else "score" if word in SCORES else "seen" if word in SEEN else None
        columns.append(Part(last, what, known[1] if known else "") if what and last else None)
        if what is None:
            last = ""
    return _with_others(
        _gathered(columns), [name if below in ("", name) else f"{name} {below}".strip() for name, below in zip(names, axes, strict=True)]
    )


def _spelt(headers: Sequence[str], spelling: re.Pattern) -> Layout:
    columns: list[Part | None] = []
    for header in headers:
        text, unit = header, ""
        if len(header) > MAX_HEADER or axis(header) is not None:
            columns.append(None)
            continue
        while match := _TAIL.search(text):
            text, unit = text[: match.start()], UNITS.get(match[1].lower(), unit)
        found = spelling.fullmatch(text)
        if found is None:
            columns.append(None)
            continue
        what = found["what"].lower()
        what = "score" if what in SCORES else "seen" if what in SEEN else what
        columns.append(Part(found["name"].strip(" _.:/|-") or found["name"], what, unit))
    return _gathered(columns)


def _gathered(columns: Sequence[Part | None]) -> Layout:
    """Landmarks with x and y. A name with one of them alone is kept as ``half``; scores without points are other columns."""
    found = Layout()
    halves: dict[str, dict[str, int]] = {}
    for column, part in enumerate(columns):
        if part is not None and words(part.name) not in PAIRS_OF_NO_LANDMARK:
            own = halves.setdefault(part.name, {})
            own[part.what if part.what not in own else f"{part.what} again"] = column
    for name, own in halves.items():
        if {"x", "y"} <= own.keys():
            found.landmarks[name] = own
            found.units |= {part.unit for what, column in own.items() if what in "xyz" and (part := columns[column]) is not None}
        elif own.keys() & {"x", "y"} and found.half is None:
            found.half = name, next(column for what, column in own.items() if what in ("x", "y"))
    return found


def _with_others(found: Layout, headers: Sequence[str]) -> Layout:
    taken = [column for own in found.landmarks.values() for column in own.values()]
    image = column_of(headers, IMAGES, taken)
    found.headers, found.images = list(headers), [] if image is None else [image]
    found.width, found.height = column_of(headers, WIDTHS, taken), column_of(headers, HEIGHTS, taken)
    used = {*taken, *found.images, found.width, found.height}
    found.other = [header for column, header in enumerate(headers) if column not in used and header]
    return found


def framed(units: set[str], dims: int) -> tuple[Frame, Array]:
    """Frame of coordinates whose headers state these units, and the factors (d,) to it.

    mm of an image in two dimensions may count from its corner, so ``dataset.yaml`` must state what they are.

    Raises:
        ValueError: the units differ. The message lists them.
    """
    if len(units) > 1:
        raise ValueError(" and ".join(sorted(unit or "none" for unit in units)))
    unit = next(iter(units), "")
    factors = np.ones(dims)
    if unit == "percent":
        factors /= 100
    if unit == "ras":
        factors[:2] = -1
    frames: dict[str, Frame] = {"px": "pixel", "fraction": "fraction", "percent": "fraction", "lps": "physical", "ras": "physical"}
    if unit == "mm" and dims == 3:
        return "physical", factors
    return frames.get(unit, "stated"), factors


def unit_of(frame: Frame, path: Path) -> str:
    """End of the headers of coordinates in a frame, from which :func:`framed` gives it again.

    Raises:
        DatasetError: tables have no header for the frame.
    """
    if frame == "bottom":
        raise DatasetError(f"{path}: a table counts y from the top. Convert the points to pixels first.")
    return {"physical": "_lps", "fraction": "_norm"}.get(frame, "")
