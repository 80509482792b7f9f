"""Points of ImageJ and Fiji: a multi-point selection or a set of selections of one image, or a table of results."""

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from scn_tf.data.annotations import identities, rois, tables
from scn_tf.data.annotations.assembly import Points, without_numbers
from scn_tf.data.annotations.rois import Placed
from scn_tf.data.annotations.row import AnnotationFormat, Annotations, Expected
from scn_tf.data.images.facts import ImageFacts
from scn_tf.errors import DatasetError
from scn_tf.messages import cut, short, visible
from scn_tf.storage import files, ownership
from scn_tf.storage import tables as written

TABLES = (".csv", ".txt", ".tsv", ".xls")  # its .xls is text with tabs
ENDINGS = (".roi", ".zip", *TABLES)
# Columns of its table of results, beside X and Y.
MEASURED = {
    *("", "Label", "Area", "Mean", "StdDev", "Mode", "Min", "Max", "X", "Y", "Z", "XM", "YM", "Perim.", "BX", "BY", "Width", "Height"),
    *("Major", "Minor", "Angle", "Circ.", "Feret", "IntDen", "Median", "Skew", "Kurt", "%Area", "RawIntDen", "Slice", "FeretX", "FeretY"),
    *("FeretAngle", "MinFeret", "AR", "Round", "Solidity", "MinThr", "MaxThr", "Ch", "Frame", "Counter", "Count", "Type", "Point", "Group"),
}


def read(path: Path, expected: Expected) -> Annotations:
    """Read the points of one image from ``.roi`` or ``.zip`` (ROI Manager), or those of a table of results.

    The column Label of a table names the images, if there are several.

    Coordinates are pixels, and unchanged. On ImageJ's screen whole numbers are the corners of pixels, but most converters take them for
    pixels. In a volume z is the slice less one. Results may be in units of the image's scale, so their frame is "stated".

    Raises:
        DatasetError: the file is damaged, too large, or holds no points.
        MissingExtra: roifile is not installed.
    """
    table = path.name.lower().endswith(TABLES)
    if table:
        placed, lines, images = _results(path)
    else:
        placed = rois.points_of(path)
        lines, images = [1] * len(placed), [""] * len(placed)
    if not placed:
        raise DatasetError(f"{path}: holds no points.")
    dims = _dims(path, placed, expected)
    found = Points(path, dims)
    own = identities.of_file(path, ENDINGS)
    for point, line, image in zip(placed, lines, images, strict=True):
        found.add(image or own, point.name, _coordinates(path, point, dims), line=line)
    return without_numbers(found.annotations(expected, "stated" if table else "pixel", images=any(images)), expected)


def recognises(path: Path, head: bytes) -> bool:
    """Whether a file is a selection, an archive that starts with one, or a table of results."""
    name = path.name.lower()
    if name.endswith(".roi"):
        return head.startswith(b"Iout")
    if name.endswith(".zip"):
        length = int.from_bytes(head[26:28], "little")  # of the first member's name
        return head.startswith(b"PK\3\4") and head[30 : 30 + length].lower().endswith(b".roi")
    first = tables.head_rows(path, head, 1)
    return bool(first) and is_results(first[0])


def is_results(header: Sequence[str]) -> bool:
    """Whether the cells of a header are those of a table of results."""
    return header[0] == "" and {"X", "Y"} <= set(header) <= MEASURED


def write(path: Path, annotations: Annotations, facts: Mapping[str, ImageFacts]) -> None:
    """Write the points of one image, by the ending: a multi-point selection, a set of selections or a table of results.

    A selection cannot be empty, so an image without points gets no file.

    Raises:
        WriteError: the file cannot be written, or belongs to another program.
        MissingExtra: roifile is not installed.
    """
    ((image_id, points),) = annotations.points.items()
    names = annotations.names or tuple(map(str, range(len(points))))
    if path.name.lower().endswith(TABLES):
        files.write_text(path, _table(names, points))
        return
    if not np.isfinite(points).all(axis=1).any():
        return
    content = rois.archive(names, points) if path.name.lower().endswith(".zip") else rois.selection(names, points, image_id) + ownership.END
    with files.replaced(path) as temporary:
        temporary.write_bytes(content)


def _table(names: Sequence[str], points: np.ndarray) -> str:
    header = [" ", "Label", "X", "Y", *(["Slice"] if points.shape[1] == 3 else [])]

    def body() -> Iterator[list]:
        for number, (name, point) in enumerate(zip(names, points.tolist(), strict=True), start=1):
            if len(point) == 3:
                point[2] += 1
            yield [number, name, *("NaN" if np.isnan(value) else value for value in point)]

    return written.write(itertools.chain([header], body()))


def _results(path: Path) -> tuple[list[Placed], list[int], list[str]]:
    """Points of a table of results, their lines, and the names of their images; these are empty for a table of one image."""
    table = tables.read_table(path)
    rows = tables.rows(table)
    first = next(rows, None)
    header = first.cells if first else []
    if not header or not is_results(header):
        raise DatasetError(f"{path}, line 1: expected the columns X and Y of a table of results, received {short(header, 120)}.")
    placed: list[Placed] = []
    lines: list[int] = []
    labels: list[str] = []
    for row in rows:
        if len(row.cells) != len(header):
            raise DatasetError(
                f"{path}, line {row.line}: expected {len(header)} columns, received {len(row.cells)}. Is the file cut short?"
            )
        x, y = (tables.number(path, row, header.index(axis), axis, table.separator) for axis in "XY")
        position = tables.number(path, row, header.index("Slice"), "Slice", table.separator) if "Slice" in header else 0
        exact = None if np.isnan([x, y, position]).any() else [x, y, position - 1] if "Slice" in header else [x, y]
        placed.append(Placed(str(len(placed)), (x, y), 0 if np.isnan(position) else round(position), exact))
        lines.append(row.line)
        labels.append(written.original(row.cells[header.index("Label")]) if "Label" in header else "")
    own = [label.partition(":")[2] or label for label in labels]  # IMAGE:SELECTION
    images = [label.partition(":")[0] for label in labels]
    named = not any(rois.UNNAMED.fullmatch(name.partition(":")[0]) or not name for name in own)
    if len({*own}) == len(own) and named:
        return [point._replace(name=name) for point, name in zip(placed, own, strict=True)], lines, [""] * len(lines)
    if len({*images}) == 1:
        return placed, lines, [""] * len(lines)
    named = named and len({*labels}) == len(labels)
    counts: Counter[str] = Counter()
    for number, (image, name) in enumerate(zip(images, own, strict=True)):
        placed[number] = placed[number]._replace(name=name if named else str(counts[image]))
        counts[image] += 1
    if not named and len({*counts.values()}) > 1:
        image, count = min(counts.items(), key=lambda item: item[1])
        raise DatasetError(
            f"{path}: holds points of several images without names, and {cut(visible(image), 60)} has {count}, fewer than others. "
            "Set all points in every image, or name them in the ROI Manager."
        )
    return placed, lines, images


def _dims(path: Path, placed: Sequence[Placed], expected: Expected) -> int:
    present = [point for point in placed if not np.isnan(point.xy).any()]
    several = len({point.slice for point in present}) > 1
    if several and expected.dims == 2:
        raise DatasetError(f"{path}: the points lie in several slices. Expected points of a 2D image.")
    deep = several or any(point.exact is not None and len(point.exact) == 3 for point in present)
    return expected.dims or (3 if deep else 2)


def _coordinates(path: Path, point: Placed, dims: int) -> list[float]:
    """Coordinates of a point: exact ones that we wrote, where ImageJ has not moved it."""
    if np.isnan(point.xy).any():
        return [np.nan] * dims
    if dims == 3 and point.slice < 1:
        raise DatasetError(f"{path}: point {point.name} states no slice of its volume.")
    found = [*point.xy, point.slice - 1][:dims]
    for axis, value in enumerate((point.exact or [])[:dims]):
        same = round(value) == found[2] if axis == 2 else np.float32(value) == np.float32(found[axis])
        found[axis] = value if same else found[axis]
    return found


IMAGEJ = AnnotationFormat(
    name="imagej",
    endings=ENDINGS,
    description="ImageJ and Fiji: multi-point `.roi`, ROI Manager `.zip`, one file per image; Results `.csv`",
    read=read,
    write=write,
    per_image=True,
    recognises=recognises,
    writes="pixel",
    rank=65,
)
