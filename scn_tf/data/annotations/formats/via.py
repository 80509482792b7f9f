"""VGG Image Annotator (VIA): points of all images in one project, or in annotations exported as JSON or CSV."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scn_tf.data.annotations import tables
from scn_tf.data.annotations.assembly import without_numbers
from scn_tf.data.annotations.formats._via_regions import IMAGES, VERSION_3, Region, Regions, is_header, of_json, of_table
from scn_tf.data.annotations.gathering import check_count, flat, gathered, names_of, present
from scn_tf.data.annotations.identities import file_names, identities
from scn_tf.data.annotations.json_items import read_document, shown
from scn_tf.data.annotations.row import AnnotationFormat, Annotations, Expected
from scn_tf.data.images.facts import ImageFacts
from scn_tf.errors import DatasetError
from scn_tf.messages import cut, visible
from scn_tf.storage import files
from scn_tf.storage.json_documents import begun

TABLE = ".csv"
NAMING = ("name", "label", "landmark")  # attributes that name points, whatever others there are
SIZE = -1  # bytes of an image that VIA has not read yet
OWN = "name"  # the attribute that is written
GRID = {
    "img_height": 80,
    "rshape_fill": "none",
    "rshape_fill_opacity": 0.3,
    "rshape_stroke": "yellow",
    "rshape_stroke_width": 2,
    "show_region_shape": True,
    "show_image_policy": "all",
}
IMAGE = {
    "region_label": OWN,
    "region_color": "__via_default_region_color__",
    "region_label_font": "10px Sans",
    "on_image_annotation_editor_placement": "NEAR_REGION",
}


def read(path: Path, expected: Expected) -> Annotations:
    """Read the points of all images of a project of version 2 or 3, or of annotations that VIA has exported.

    The region attribute ``name``, ``label`` or ``landmark`` holds the name of the landmark. Without one of these it is the only
    attribute that has texts. Points without any attribute are in the same order in all images.

    Raises:
        DatasetError: the file is malformed, has regions of other shapes, several attributes may name the points, or an image has a name
            twice.
    """
    regions = of_table(path) if path.name.lower().endswith(TABLE) else of_json(read_document(path))
    placed = {image: own for image, own in regions.items() if own}
    if not placed:
        raise DatasetError(f"{path}: expected regions of shape point, received none.")
    check_count(path, max(map(len, placed.values())), len(placed))
    attribute = _attribute(path, placed)
    ids = identities(path, regions)
    points = {ids[image]: _named(path, own, attribute) for image, own in placed.items()}
    found = gathered(path, points, dims=2, frame="pixel", written={ids[image]: image for image in placed})
    return without_numbers(found, expected)


def _attribute(path: Path, placed: Regions) -> str | None:
    """The attribute that names the points; None if no point has attributes."""
    attributes = list(dict.fromkeys(key for own in placed.values() for region in own for key in region.attributes))
    known = [key for key in attributes if key.strip().lower() in NAMING]
    chosen = known or attributes
    if len(chosen) > 1:
        rename = "" if known else f", or call it {OWN}"
        raise DatasetError(
            f"{path}: several attributes may name the points: {cut(visible(', '.join(chosen)), 200)}. Keep one of them in VIA{rename}."
        )
    if not chosen:
        image, own = next(iter(placed.items()))
        other = next((image for image in placed if len(placed[image]) != len(own)), None)
        if other is not None:
            raise DatasetError(
                f"{path}: no attribute names the points, and image {shown(other)} has {len(placed[other])}, but {shown(image)} {len(own)}. "
                f"Give them an attribute {OWN} in VIA."
            )
    return chosen[0] if chosen else None


def _named(path: Path, regions: list[Region], attribute: str | None) -> dict[str, list[float]]:
    """Landmark -> (x, y) of the points of an image."""
    found: dict[str, Region] = {}
    for number, region in enumerate(regions):
        name = str(number) if attribute is None else region.attributes.get(attribute)
        if name is None:
            raise DatasetError(
                f"{path}: {region.place}: expected the name of a landmark in attribute {shown(attribute or '')}, found none."
            )
        if name in found:
            raise DatasetError(
                f"{path}: {region.place}: the name {shown(name)} appears twice, first in {found[name].place}. Expected one point per name."
            )
        found[name] = region
    return {name: region.xy for name, region in found.items()}


def recognises(path: Path, head: bytes) -> bool:
    """Whether a table has VIA's header, or a JSON file the keys of a project or of exported annotations."""
    if path.name.lower().endswith(TABLE):
        first = tables.head_rows(path, head, 1)
        return bool(first) and is_header(first[0])
    document = begun(head)
    if not isinstance(document, dict) or not document:
        return False
    image = next(iter(document.values()))
    exported = isinstance(image, dict) and {"filename", "regions"} <= image.keys()
    return exported or bool(document.keys() & {IMAGES, "_via_settings"}) or document.keys() >= VERSION_3


def write(path: Path, annotations: Annotations, facts: Mapping[str, ImageFacts]) -> None:
    """Write a project of VIA 2, in which the names of the landmarks are a list to choose from. Missing points are left out.

    VIA finds the images by their names once they are added to the project. It does not keep the key ``scn_tf`` when it saves.

    Raises:
        DatasetError: points are 3D.
        WriteError: the file cannot be written.
    """
    names = names_of(flat(path, annotations, "VIA"))
    written = file_names(path, annotations, facts)
    images = {}
    for image_id in annotations.points:
        regions = [
            {
                "shape_attributes": {"name": "point", "cx": x, "cy": y},
                "region_attributes": {OWN: name, **_score(annotations, image_id, number)},
            }
            for number, name, (x, y) in present(annotations, image_id)
        ]
        name = written[image_id]
        images[f"{name}{SIZE}"] = {"filename": name, "size": SIZE, "regions": regions, "file_attributes": {}}
    attributes: dict[str, Any] = {
        OWN: {"type": "dropdown", "description": "landmark", "options": dict.fromkeys(names, ""), "default_options": {}}
    }
    if annotations.scores:
        attributes["score"] = {"type": "text", "description": "", "default_value": ""}
    document = {
        "scn_tf": "annotations",
        "_via_settings": {
            "ui": {
                "annotation_editor_height": 25,
                "annotation_editor_fontsize": 0.8,
                "leftsidebar_width": 18,
                "image_grid": GRID,
                "image": IMAGE,
            },
            "core": {"buffer_size": 18, "filepath": {}, "default_filepath": ""},
            "project": {"name": "landmarks"},
        },
        IMAGES: images,
        "_via_attributes": {"region": attributes, "file": {}},
        "_via_data_format_version": "2.0.10",
        "_via_image_id_list": list(images),
    }
    files.write_text(path, json.dumps(document, indent=1, ensure_ascii=False) + "\n")


def _score(annotations: Annotations, image_id: str, number: int) -> dict[str, str]:
    """Attribute with the score of a landmark, if it has one."""
    return {"score": f"{annotations.scores[image_id][number]:.6g}"} if image_id in annotations.scores else {}


VIA = AnnotationFormat(
    name="via",
    endings=(".json", TABLE),
    description="VGG Image Annotator: project of version 2 or 3, annotations exported as JSON or CSV; regions of shape point",
    read=read,
    write=write,
    recognises=recognises,
    writes="pixel",
    rank=31,
)
