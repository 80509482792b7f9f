"""COCO keypoints: one JSON file for all images, as CVAT, Label Studio, FiftyOne and others export it too."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scn_tf.data.annotations.absence import absent_of
from scn_tf.data.annotations.gathering import check_count, flat, gathered, image_size, names_of, present
from scn_tf.data.annotations.identities import file_names, identities
from scn_tf.data.annotations.json_items import Item, read_document, shown
from scn_tf.data.annotations.row import AnnotationFormat, Annotations, Expected
from scn_tf.data.images.facts import ImageFacts
from scn_tf.errors import DatasetError
from scn_tf.storage import files
from scn_tf.storage.json_documents import top_keys

OTHERS = {"markups", "shapes", "imagePath", "data"}  # keys of other JSON formats


class Category(NamedTuple):
    """A kind of object: its name, and the names of its keypoints, which may be missing."""

    name: str
    keypoints: tuple[str, ...]


def read(path: Path, expected: Expected) -> Annotations:
    """Read the keypoints of all annotated images. Visibility 1 (hidden) and 2 are points.

    Visibility 0 means "not labelled" to COCO. Tools write it for keypoints outside the image, too, as ``0, 0, 0``. In an object with
    another keypoint that is absent, unless ``expected.empty`` is "unknown". An object without any keypoint was not annotated, and a
    place beside visibility 0 is no statement. The key ``absent`` of an object, which ``write`` adds, lists the absent ones instead.

    Landmarks have the names of the keypoints of their category. A category with one keypoint per object is a landmark with its own
    name. If several categories have more, landmarks are called ``CATEGORY KEYPOINT``. Boxes and outlines are ignored.

    Raises:
        DatasetError: the file is no valid COCO file, or an image has two objects of one category.
    """
    document = read_document(path)
    categories = {_id(one): _category(one) for one in document.get("categories").items()}
    listed: dict[object, Item] = {}
    for image in document.get("images").items():
        if _id(image) in listed:
            raise image.get("id").wrong("a number of its own")
        listed[_id(image)] = image
    names = {image_id: image.get("file_name").text() for image_id, image in listed.items()}
    ids = identities(path, names.values())
    objects: dict[tuple[object, object], Item] = {}
    for item in document.get("annotations").items():
        if item.get("keypoints").value in (None, []):
            continue
        image_id, category_id = _known(item.get("image_id"), listed), _known(item.get("category_id"), categories)
        if (image_id, category_id) in objects and _is_placed(item) and _is_placed(objects[image_id, category_id]):
            raise DatasetError(
                f"{path}: {item.place}: a second object of category {shown(categories[category_id].name)} in image "
                f"{shown(names[image_id])}, after {objects[image_id, category_id].place}. Expected one object per image."
            )
        if (image_id, category_id) not in objects or _is_placed(item):
            objects[image_id, category_id] = item
    landmarks = _landmarks({key: item for (_, key), item in objects.items()}, categories)
    check_count(path, sum(map(len, landmarks.values())), len({image_id for image_id, _ in objects}))
    points: dict[str, dict[str, list[float]]] = {}
    absent: dict[str, set[str]] = {}
    written, sizes = {}, {}
    for (image_id, category_id), item in objects.items():
        own = ids[names[image_id]]
        points.setdefault(own, {}).update(_points(item.get("keypoints"), landmarks[category_id]))
        absent.setdefault(own, set()).update(_absent(item, landmarks[category_id], unknown=expected.empty == "unknown"))
        written[own] = names[image_id]
        width, height = listed[image_id].get("width").size(), listed[image_id].get("height").size()
        if width and height:
            sizes[own] = (width, height)
    if not points:
        raise DatasetError(f"{path}: annotations: expected objects with keypoints, received none.")
    order = [name for some in landmarks.values() for name in some]
    return gathered(path, points, dims=2, frame="pixel", names=order, written=written, sizes=sizes, absent=absent)


def _id(item: Item) -> object:
    value = item.get("id")
    if isinstance(value.value, bool) or not isinstance(value.value, int | str):
        raise value.wrong("a number")
    return value.value


def _known(item: Item, among: Mapping) -> object:
    if not isinstance(item.value, int | str) or item.value not in among:
        raise item.wrong("the id of one that the file lists")
    return item.value


def _category(item: Item) -> Category:
    names = tuple(name.text() for name in item.get("keypoints").items(optional=True))
    if len(set(names)) < len(names):
        raise item.get("keypoints").wrong("names that differ")
    return Category(item.get("name").text(default="object"), names)


def _is_placed(item: Item) -> bool:
    """Whether a keypoint of an object is labelled."""
    return any(value.value for value in item.get("keypoints").items()[2::3])


def _landmarks(first: Mapping[object, Item], categories: Mapping) -> dict[object, list[str]]:
    """Names of the landmarks of each category that is used, from one object of each."""
    found: dict[object, list[str]] = {}
    counts = {key: len(item.get("keypoints").items()) // 3 for key, item in first.items()}
    several = sum(count > 1 for count in counts.values()) > 1
    for key, count in counts.items():
        category = categories[key]
        if count == 1 and (len(first) > 1 or not category.keypoints):
            found[key] = [category.name]
            continue
        names = category.keypoints or tuple(map(str, range(count)))
        found[key] = [f"{category.name} {name}" for name in names] if several or not category.keypoints else list(names)
    return found


def _points(item: Item, names: list[str]) -> dict[str, list[float]]:
    """Landmark -> (x, y) of the keypoints of an object, NaN where visibility is 0."""
    values = item.items()
    if len(values) != 3 * len(names):
        raise item.wrong(f"{3 * len(names)} numbers, x, y and visibility of {len(names)} keypoints")
    found = {}
    for name, x, y, visible in zip(names, values[::3], values[1::3], values[2::3], strict=True):
        if visible.value not in (0, 1, 2):
            raise visible.wrong("a visibility of 0, 1 or 2")
        found[name] = [x.number(), y.number()] if visible.value else [np.nan, np.nan]
    return found


def _absent(item: Item, names: list[str], *, unknown: bool) -> set[str]:
    """Landmarks of an object that are known not to be in the image. ``unknown``: visibility 0 says nothing."""
    values = [value.value for value in item.get("keypoints").items()]
    unseen = {name for name, visible in zip(names, values[2::3], strict=True) if not visible}
    if item.get("absent").value is not None:
        return unseen & {name.text() for name in item.get("absent").items()}
    if unknown or not _is_placed(item):
        return set()
    placed = {name for name, *place in zip(names, values[::3], values[1::3], strict=True) if any(place)}
    return unseen - placed


def recognises(path: Path, head: bytes) -> bool:
    """Whether a JSON file has the lists of a COCO file."""
    kind, keys = top_keys(head)
    # A list of categories alone, as Label Studio adds to YOLO's labels, has no points. A long file may start with it.
    lists = {"images", "annotations"} if len(head) < 2**16 else {"images", "annotations", "categories"}
    return kind == "{" and bool(keys & lists) and not keys & OTHERS


def write(path: Path, annotations: Annotations, facts: Mapping[str, ImageFacts]) -> None:
    """Write all images with one object each. Landmarks without a point have visibility 0; a list ``absent`` names the absent ones.

    Raises:
        DatasetError: points are 3D, or the size of an image is not known.
        WriteError: the file cannot be written.
    """
    names = names_of(flat(path, annotations, "COCO"))
    written = file_names(path, annotations, facts)
    images, objects = [], []
    for number, (image_id, points) in enumerate(annotations.points.items(), start=1):
        width, height = image_size(path, annotations, facts, image_id)
        images.append({"id": number, "file_name": written[image_id], "width": width, "height": height})
        placed = [xy for _, _, xy in present(annotations, image_id)]
        x, y, right, bottom = [*np.min(placed, axis=0), *np.max(placed, axis=0)] if placed else [0.0] * 4
        item = {
            "id": number,
            "image_id": number,
            "category_id": 1,
            "keypoints": [value for xy in points.tolist() for value in ([*xy, 2] if np.isfinite(xy).all() else [0, 0, 0])],
            "num_keypoints": len(placed),
            "bbox": [float(x), float(y), float(right - x), float(bottom - y)],
            "area": float((right - x) * (bottom - y)),
            "iscrowd": 0,
        }
        if len(placed) < len(names):  # else readers would take all of them for absent
            item["absent"] = [name for name, absent in zip(names, absent_of(annotations, image_id), strict=True) if absent]
        scores = annotations.scores.get(image_id)
        if scores is not None and np.isfinite(scores).any():
            item["score"] = float(np.nanmean(scores))
            item["keypoint_scores"] = [float(value) if np.isfinite(value) else None for value in scores]
        objects.append(item)
    document = {
        "info": {"description": "landmarks", "version": "1.0", "contributor": "scn_tf"},
        "licenses": [],
        "categories": [{"id": 1, "name": "landmarks", "supercategory": "", "keypoints": list(names), "skeleton": []}],
        "images": images,
        "annotations": objects,
    }
    files.write_text(path, json.dumps(document, indent=1, ensure_ascii=False) + "\n")


COCO = AnnotationFormat(
    name="coco",
    endings=(".json",),
    description="COCO keypoints, one file for all images; also as CVAT and Label Studio export it",
    read=read,
    write=write,
    recognises=recognises,
    writes="pixel",
    rank=20,
)
