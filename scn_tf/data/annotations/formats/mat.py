"""Tables of points in MATLAB files, of versions 4 to 7.3.

MATLAB counts pixels from 1. Such coordinates are taken as they are: nothing in a file tells where its pixels begin.
"""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from scn_tf.data import matlab_files
from scn_tf.data.annotations.gathering import check_count, names_of
from scn_tf.data.annotations.identities import file_names, identities, of_file
from scn_tf.data.annotations.json_items import shown
from scn_tf.data.annotations.row import AnnotationFormat, Annotations, Expected, Frame
from scn_tf.data.images.facts import ImageFacts
from scn_tf.environment.extras import needs_extra
from scn_tf.errors import DatasetError
from scn_tf.messages import cut, visible
from scn_tf.storage import files, ownership
from scn_tf.types import Array

ENDINGS = (".mat",)
HEADER_SIZE = 116  # of its text, to which MATLAB writes its own version
OWN = "landmarks"  # the variable that is written
POINTS, NAMES, IMAGES = ("points", "landmarks", "coord", "xy", "pts"), ("name", "label", "landmark"), ("image", "file", "case", "id")
FRAMES: dict[object, Frame] = {"pixel": "pixel", "physical": "physical"}


def read(path: Path, expected: Expected) -> Annotations:
    """Read the points of a MATLAB file. Any of these is understood, at the top of the file or in one struct:

    * one array (N, d), (N, d, I) or (I, N, d) of N points in I images; if there are several, one called points, landmarks or similar
    * one vector of d coordinates per landmark, with the name of the landmark
    * an array of structs with a name and coordinates each, or with the name of an image and its (N, d) points

    A cell array of N texts called names or labels names the landmarks, one of I texts called images or files the images. Images
    without names are numbered from 1; a single one has the name of the file.

    Args:
        path: the file, or a folder of such files.
        expected: dimension and number of the landmarks tell which axis is which, where the shape does not.

    Raises:
        DatasetError: the file is damaged, or its variables are none of the above, or several are.
        MissingExtra: scipy is not installed.
    """
    if path.is_dir():
        from scn_tf.data.annotations.reading import merged  # which imports the formats

        inside = sorted(found for found in path.iterdir() if found.name.lower().endswith(ENDINGS))
        if not inside:
            raise DatasetError(f"{path}: expected files of format mat ({', '.join(ENDINGS)}), found none.")
        return merged([(found, read(found, expected)) for found in inside])
    content = matlab_files.read_matlab(path)
    fields = content
    structs = [value for value in content.values() if isinstance(value, dict)]
    if len(structs) == 1 and not any(_points_like(value) for value in content.values()):
        fields = structs[0]
    lists = [value for value in fields.values() if isinstance(value, list) and value and isinstance(value[0], dict)]
    if len(lists) == 1 and not any(_points_like(value) for value in fields.values()):
        return _of_structs(path, lists[0], expected)
    table = _table(path, fields, expected)
    if table is None:
        return _named(path, fields, content)
    names, images = _texts(fields, NAMES), _texts(fields, IMAGES)
    own = isinstance(fields.get("coordinates"), str)
    points = np.transpose(table, (2, 0, 1)) if own and table.ndim == 3 else _ordered(path, table, expected, names, images)
    if names is not None and len(names) != points.shape[1]:
        raise DatasetError(f"{path}: has {len(names)} names of landmarks, but {points.shape[1]} points per image.")
    if images is None or len(images) != len(points):
        images = [of_file(path, ENDINGS)] if len(points) == 1 else [str(number) for number in range(1, len(points) + 1)]
    return _annotations(path, dict(zip(images, points, strict=True)), names, fields)


def _annotations(path: Path, points: Mapping[str, Array], names: list[str] | None, fields: Mapping[str, Any]) -> Annotations:
    if names is not None and len(set(names)) < len(names):
        raise DatasetError(f"{path}: a landmark is named twice: {shown(next(name for name in names if names.count(name) > 1))}.")
    ids = identities(path, points)
    if np.isinf(np.concatenate([values.ravel() for values in points.values()])).any():
        raise DatasetError(f"{path}: a coordinate is infinite. Expected finite numbers, or NaN for a landmark without a point.")
    coordinates = fields.get("coordinates")
    frame = FRAMES.get(coordinates, "stated") if isinstance(coordinates, str) else "stated"
    found = {ids[name]: np.where(np.isnan(values).any(axis=1, keepdims=True), np.nan, values) for name, values in points.items()}
    return Annotations(found, {}, None if names is None else tuple(names), frame, images={ids[name]: name for name in points})


def _points_like(value: Any) -> bool:
    """Whether a variable may be an array of points."""
    return isinstance(value, np.ndarray) and (
        (value.ndim == 2 and value.shape[1] in (2, 3) and value.shape[0] > 1) or (value.ndim == 3 and {2, 3} & {*value.shape[1:]} != set())
    )


def _table(path: Path, fields: Mapping[str, Any], expected: Expected) -> Array | None:
    """The array of points among the variables; None if there is none."""
    found = {name: value for name, value in fields.items() if _points_like(value)}
    if expected.dims is not None:
        found = {name: value for name, value in found.items() if expected.dims in value.shape[1:]}
    if len(found) > 1:
        found = {name: value for name, value in found.items() if any(word in name.lower() for word in POINTS)} or found
    if len(found) > 1:
        shapes = ", ".join(f"{shown(name)} {value.shape}" for name, value in list(found.items())[:8])
        raise DatasetError(f"{path}: several variables may be the points: {shapes}. Save the one to use by itself.")
    return next(iter(found.values()), None)


def _texts(fields: Mapping[str, Any], words: tuple[str, ...]) -> list[str] | None:
    """The list of texts whose variable has one of these words in its name."""
    for name, value in fields.items():
        if (
            isinstance(value, list)
            and value
            and all(isinstance(text, str) for text in value)
            and any(word in name.lower() for word in words)
        ):
            return [text.strip() for text in value]
    return None


def _ordered(path: Path, table: Array, expected: Expected, names: list[str] | None, images: list[str] | None) -> Array:
    """The points as (I, N, d)."""
    if table.ndim == 2:
        return table[np.newaxis]
    sides = {expected.dims} if expected.dims else {2, 3}
    count = len(names) if names else len(expected.names) if expected.names else None
    fitting = []
    for axes in ((2, 0, 1), (0, 1, 2)):
        turned = np.transpose(table, axes)
        known = (count in (None, turned.shape[1])) and (images is None or len(images) == len(turned))
        if turned.shape[2] in sides and known:
            fitting.append(turned)
    if len(fitting) != 1:
        raise DatasetError(
            f"{path}: expected points of shape (N, d), (N, d, I) or (I, N, d) of N landmarks with d coordinates in I images, received "
            f"{table.shape}{', which may be either' if fitting else ''}. Add the names of the landmarks as a cell array called names."
        )
    check_count(path, fitting[0].shape[1], len(fitting[0]))
    return fitting[0]


def _named(path: Path, fields: Mapping[str, Any], content: Mapping[str, Any]) -> Annotations:
    """Annotations of variables that are one landmark each."""
    vectors = {name: value.ravel() for name, value in fields.items() if isinstance(value, np.ndarray) and value.size in (2, 3)}
    sizes = {value.size for value in vectors.values()}
    if not vectors or len(sizes) != 1:
        listed = ", ".join(f"{shown(name)} {_described(value)}" for name, value in list(content.items())[:8]) or "no variable"
        hint = " Convert tables with table2struct, and strings with cellstr." if "<" in listed else ""
        raise DatasetError(f"{path}: expected an array of points (N, 2) or (N, 3), received {cut(listed)}.{hint}")
    return _annotations(path, {of_file(path, ENDINGS): np.array(list(vectors.values()))}, list(vectors), fields)


def _described(value: Any) -> str:
    if isinstance(value, np.ndarray):
        hint = ", to be transposed" if value.ndim == 2 and value.shape[0] in (2, 3) and value.shape[1] > 3 else ""
        return f"{value.shape}{hint}"
    if isinstance(value, str):
        return visible(value[:30]) if value.startswith("<") else "(text)"
    return "(struct)" if isinstance(value, dict) else f"({len(value)} cells or structs)"


def _of_structs(path: Path, structs: list[Any], expected: Expected) -> Annotations:
    """Annotations of an array of structs, of landmarks or of images."""
    found: dict[str, Array] = {}
    of_images = False
    for number, fields in enumerate(structs, start=1):
        texts = [value for value in fields.values() if isinstance(value, str) and not value.startswith("<")]
        arrays = [value for value in fields.values() if isinstance(value, np.ndarray) and value.size > 1]
        axes = [fields[axis] for axis in "xyz" if isinstance(fields.get(axis), np.ndarray) and fields[axis].size == 1]
        if not arrays and len(axes) > 1:
            arrays = [np.array([axis.item() for axis in axes])]
        if len(texts) != 1 or len(arrays) != 1 or texts[0] in found:
            raise DatasetError(
                f"{path}: struct {number} of {len(structs)}: expected one name that no other has and one array of coordinates, received "
                f"{cut(', '.join(f'{shown(name)} {_described(value)}' for name, value in fields.items()))}."
            )
        of_images = of_images or _points_like(arrays[0])
        found[texts[0]] = arrays[0] if _points_like(arrays[0]) else arrays[0].reshape(1, -1)
    shapes = {values.shape for values in found.values()}
    if len(shapes) != 1 or next(iter(shapes))[-1] not in (2, 3) or any(values.ndim != 2 for values in found.values()):
        raise DatasetError(f"{path}: the structs hold arrays of different shapes, or not of points: {cut(str(sorted(shapes)))}.")
    if of_images:
        return _annotations(path, found, None, {})
    return _annotations(path, {of_file(path, ENDINGS): np.concatenate(list(found.values()))}, list(found), {})


def recognises(path: Path, head: bytes) -> bool:
    """Whether a file has the header of a MATLAB file."""
    return head.startswith(b"MATLAB ") or head.startswith(b"\x89HDF") or (len(head) > 20 and head[1:4] == bytes(3) and head[0] < 100)


def write(path: Path, annotations: Annotations, facts: Mapping[str, ImageFacts]) -> None:
    """Write a struct ``landmarks`` with ``points`` (N, d, I), cells ``names`` and ``images``, and ``coordinates`` as a text.

    Missing points are NaN. Pixels are counted from 0 at the centre of the first one.

    Raises:
        MissingExtra: scipy is not installed.
        WriteError: the file cannot be written.
    """
    with needs_extra(str(path), "scipy"):
        import scipy.io

    def cells(texts: list[str]) -> Array:
        column = np.empty((len(texts), 1), object)
        column[:, 0] = texts
        return column

    struct = {
        "points": np.stack(list(annotations.points.values()), axis=-1),
        "names": cells(list(names_of(annotations))),
        "images": cells(list(file_names(path, annotations, facts).values())),
        "coordinates": annotations.frame,
    }
    content = io.BytesIO()
    scipy.io.savemat(content, {OWN: struct}, do_compression=True)
    with files.replaced(path) as temporary:
        temporary.write_bytes(ownership.MATLAB.ljust(HEADER_SIZE) + content.getvalue()[HEADER_SIZE:])


MAT = AnnotationFormat(
    name="mat",
    endings=ENDINGS,
    description="MATLAB, an array of points (N, d), (N, d, I) or (I, N, d), or named points; needs scipy",
    read=read,
    write=write,
    recognises=recognises,
    rank=51,
)
