"""LabelMe: one JSON file per image, with points as shapes."""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scn_tf.data.annotations.gathering import check_count, flat, gathered, image_size, only_id, present
from scn_tf.data.annotations.identities import file_names, identity, of_file
from scn_tf.data.annotations.json_items import read_document, shown
from scn_tf.data.annotations.remarks import remark
from scn_tf.data.annotations.row import AnnotationFormat, Annotations, Expected
from scn_tf.data.images.facts import ImageFacts
from scn_tf.errors import DatasetError, DataWarning
from scn_tf.storage import files
from scn_tf.storage.json_documents import top_keys

ENDINGS = (".json",)
VERSION = "5.0.1 (scn_tf)"  # LabelMe compares the first number, and writes its own version when a user saves a correction


def read(path: Path, expected: Expected) -> Annotations:
    """Read the points of a file. Its labels are the names of the landmarks. Shapes other than points are ignored with a warning.

    Raises:
        DatasetError: the file is no valid LabelMe file, has shapes but no point, or a label twice.
    """
    document = read_document(path)
    shapes = document.get("shapes").items()
    check_count(path, len(shapes))
    points: dict[str, list[float]] = {}
    places: dict[str, str] = {}
    other: list[str] = []
    for shape in shapes:
        corners = shape.get("points").items()
        kind = shape.get("shape_type").text(default="point" if len(corners) == 1 else "polygon")
        if kind != "point":
            other.append(kind)
            continue
        name = shape.get("label").text()
        if name in points:
            raise DatasetError(
                f"{path}: {shape.place}: the label {shown(name)} appears twice, first in {places[name]}. Expected one point per label."
            )
        if len(corners) != 1:
            raise shape.get("points").wrong("one point")
        points[name], places[name] = corners[0].numbers(2), shape.place
    kinds = shown(", ".join(dict.fromkeys(other)))
    if other and not points:
        raise DatasetError(f"{path}: shapes: expected points, received {kinds}.")
    if other:
        warnings.warn(f"{path}: {len(other)} shapes are no points ({kinds}) and are ignored.", DataWarning, stacklevel=2)
    written = document.get("imagePath").text(default="")
    image_id = identity(path, written) if written else of_file(path, ENDINGS)
    width, height = document.get("imageWidth").size(), document.get("imageHeight").size()
    sizes = {image_id: (width, height)} if width and height else {}
    return gathered(path, {image_id: points}, dims=2, frame="pixel", written={image_id: written} if written else {}, sizes=sizes)


def recognises(path: Path, head: bytes) -> bool:
    """Whether a JSON file has the keys of a LabelMe file."""
    kind, keys = top_keys(head)
    return kind == "{" and bool(keys & {"shapes", "imagePath", "imageData"}) and not keys & {"markups", "images", "data"}


def write(path: Path, annotations: Annotations, facts: Mapping[str, ImageFacts]) -> None:
    """Write the points of one image. Missing points are left out; LabelMe has no mark for them.

    LabelMe finds the image by its name, beside the file.

    Raises:
        DatasetError: there are several images, their points are 3D, or the size of the image is not known.
        WriteError: the file cannot be written.
    """
    image_id = only_id(path, flat(path, annotations, "LabelMe"))
    width, height = image_size(path, annotations, facts, image_id)
    shapes: list[dict[str, Any]] = [
        {
            "label": name,
            "points": [xy],
            "group_id": None,
            "description": remark(annotations, image_id, number),
            "shape_type": "point",
            "flags": {},
        }
        for number, name, xy in present(annotations, image_id)
    ]
    document: dict[str, Any] = {
        "version": VERSION,
        "flags": {},
        "shapes": shapes,
        "imagePath": file_names(path, annotations, facts)[image_id],
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }
    files.write_text(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")


LABELME = AnnotationFormat(
    name="labelme",
    endings=ENDINGS,
    description="LabelMe, one JSON file per image with shapes of type point",
    read=read,
    write=write,
    per_image=True,
    recognises=recognises,
    writes="pixel",
    rank=21,
)
