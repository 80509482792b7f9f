"""Plain JSON: points by image, as scripts write them."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from scn_tf.data.annotations import headers
from scn_tf.data.annotations.gathering import check_count, gathered
from scn_tf.data.annotations.identities import file_names, identities, of_file
from scn_tf.data.annotations.json_items import Item, read_document, shown
from scn_tf.data.annotations.row import AnnotationFormat, Annotations, Expected
from scn_tf.data.images.facts import ImageFacts
from scn_tf.errors import DatasetError
from scn_tf.storage import files
from scn_tf.storage.json_documents import begun

ENDINGS = (".json",)
POINTS = ("landmarks", "points", "keypoints")  # keys of the points of an image


def read(path: Path, expected: Expected) -> Annotations:
    """Read points by image. POINTS are ``{name: [x, y]}``, or ``[[x, y], ...]`` without names. The file is one of these:

    * ``{image: POINTS}``
    * a list of ``{"image": image, "landmarks": POINTS}``, where the image may also be called file, file_name, path, id or similar, and
      the points points or keypoints
    * one such object; without a key for the image, it is of the image with the name of the file

    All points have two coordinates, or all have three. null is no point, or an image without points. The frame is "stated".

    Raises:
        DatasetError: the file is none of these, an image appears twice, or only some images name their points.
    """
    items, named = _by_image(read_document(path))
    ids = identities(path, items) if named else {image: image for image in items}
    items = {image: item for image, item in items.items() if item.value not in (None, {}, [])}
    if not items:
        raise DatasetError(f'{path}: expected points such as {{"a.png": {{"tip": [1.5, 2]}}}}, received none.')
    first = next(iter(items.values()))
    points = {image: _points(item, first) for image, item in items.items()}
    check_count(path, max(map(len, points.values())), len(points))
    dims = next((len(one.items()) for own in points.values() for _, one in own if not _is_none(one)), expected.dims or 2)
    if dims not in (2, 3):
        raise first.wrong("points of two or three coordinates")
    found = gathered(
        path,
        {ids[image]: {name: [np.nan] * dims if _is_none(one) else one.numbers(dims) for name, one in own} for image, own in points.items()},
        dims=dims,
        frame="stated",
        written={ids[image]: image for image in points} if named else {},
    )
    return found if isinstance(first.value, dict) else dataclasses.replace(found, names=None)


def recognises(path: Path, head: bytes) -> bool:
    """Whether all that a JSON file holds are points by image."""
    document = begun(head)
    if isinstance(document, dict):
        values = [document[key] for key in _keys_of_points(document)] or list(document.values())
    elif isinstance(document, list) and all(isinstance(one, dict) and _key_of_image(one) is not None for one in document):
        values = [one[key] for one in document for key in _keys_of_points(one)]
        if len(values) != len(document):
            return False
    else:
        return False
    return all(map(_are_points, values)) and any(any(map(_is_point, _values(value))) for value in values)


def write(path: Path, annotations: Annotations, facts: Mapping[str, ImageFacts]) -> None:
    """Write ``{image: {name: [x, y]}}`` in pixels, or ``{image: [[x, y], ...]}`` without names. Missing points are null.

    Raises:
        WriteError: the file cannot be written.
    """
    written = file_names(path, annotations, facts)
    lines = []
    for image_id, values in annotations.points.items():
        points = [point if np.isfinite(point).all() else None for point in values.tolist()]
        content = points if annotations.names is None else dict(zip(annotations.names, points, strict=True))
        lines.append(f"{json.dumps(written[image_id], ensure_ascii=False)}: {json.dumps(content, ensure_ascii=False)}")
    files.write_text(path, "{\n" + ",\n".join(lines) + "\n}\n")


def _by_image(document: Item) -> tuple[dict[str, Item], bool]:
    """Points by image as written, and whether the file names its images. Else the one image has the ID of the file."""
    if isinstance(document.value, list):
        found: dict[str, Item] = {}
        for one in document.items():
            image = _image(one)
            if image in found:
                raise DatasetError(f"{document.path}: {one.place}: image {shown(image)} appears twice, first in {found[image].place}.")
            found[image] = _only_points(one)
        return found, True
    if not _keys_of_points(document.object()):
        return dict(document.entries()), True
    if _key_of_image(document.object()) is None:
        return {of_file(document.path, ENDINGS): _only_points(document)}, False
    return {_image(document): _only_points(document)}, True


def _image(one: Item) -> str:
    """Name or number of the image of an object."""
    key = _key_of_image(one.object())
    if key is None:
        raise one.wrong("a key image, file or id")
    value = one.get(key).value
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else one.get(key).text()


def _only_points(one: Item) -> Item:
    keys = _keys_of_points(one.object())
    if len(keys) != 1:
        raise one.wrong(f"one of the keys {', '.join(POINTS)}")
    return one.get(keys[0])


def _key_of_image(one: Mapping[str, object]) -> str | None:
    """Key of an object that names its image, by the usual words."""
    keys = list(one)
    column = headers.column_of(keys, headers.IMAGES)
    return None if column is None else keys[column]


def _keys_of_points(one: Mapping[str, object]) -> list[str]:
    return [key for key in one if key.lower() in POINTS]


def _points(item: Item, first: Item) -> list[tuple[str, Item]]:
    """(name, point) of the points of an image; without names their numbers. All images are as the first one."""
    if isinstance(item.value, dict) != isinstance(first.value, dict):
        raise item.wrong(f"points {'with' if isinstance(first.value, dict) else 'without'} names, as in {first.place}")
    if isinstance(item.value, dict):
        return item.entries()
    points, count = item.items(), len(first.items())
    if len(points) != count:
        raise DatasetError(
            f"{item.path}: {item.place}: expected {count} points as in {first.place}, received {len(points)}. Write null for none."
        )
    return [(str(number), point) for number, point in enumerate(points)]


def _is_none(point: Item) -> bool:
    """Whether a point is null, or its coordinates all are."""
    return point.value is None or (isinstance(point.value, list) and bool(point.value) and all(value is None for value in point.value))


def _values(points: object) -> list[object]:
    return list(points.values()) if isinstance(points, dict) else points if isinstance(points, list) else []


def _are_points(value: object) -> bool:
    """Whether a value is null, or holds points and nulls."""
    return value is None or (isinstance(value, dict | list) and all(point is None or _is_point(point) for point in _values(value)))


def _is_point(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) in (2, 3)
        and all(isinstance(one, int | float) and not isinstance(one, bool) for one in value)
    )


PLAIN_JSON = AnnotationFormat(
    name="json",
    endings=ENDINGS,
    description='plain JSON: `{"a.png": {"tip": [x, y]}}`, `{"a.png": [[x, y], ...]}`, or a list of objects with image and landmarks',
    read=read,
    write=write,
    recognises=recognises,
    writes="pixel",
    rank=32,
)
