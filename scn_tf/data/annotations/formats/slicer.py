"""Markups of 3D Slicer (``.mrk.json``): one file per image, points in mm."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from scn_tf.data.annotations.absence import absent_of
from scn_tf.data.annotations.conversion import in_space
from scn_tf.data.annotations.gathering import check_count, gathered, names_of, only_id
from scn_tf.data.annotations.identities import of_file
from scn_tf.data.annotations.json_items import Item, read_document, shown
from scn_tf.data.annotations.remarks import remark
from scn_tf.data.annotations.row import AnnotationFormat, Annotations, Expected
from scn_tf.data.images.facts import ImageFacts
from scn_tf.errors import DatasetError
from scn_tf.storage import files
from scn_tf.storage.json_documents import top_keys
from scn_tf.types import Array

ENDINGS = (".mrk.json", ".json")
SCHEMA = "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/markups-schema-v1.0.3.json#"
# 3D Slicer writes the names; files of its version 4.10 and before have the numbers.
SIGNS = {"LPS": (1, 1, 1), "RAS": (-1, -1, 1), "1": (1, 1, 1), "0": (-1, -1, 1)}
PLANE_MM = 0.5  # how far points of one plane may be apart in z
STATES = ("defined", "undefined", "preview", "missing")
UNKNOWN = "not annotated"  # description of a point that is listed to be placed
DISPLAY = {
    "visibility": True,
    "opacity": 1.0,
    "color": [0.4, 1.0, 1.0],
    "selectedColor": [1.0, 0.5, 0.5],
    "activeColor": [0.4, 1.0, 0.0],
    "propertiesLabelVisibility": False,
    "pointLabelsVisibility": True,
    "textScale": 3.0,
    "glyphType": "Sphere3D",
    "glyphScale": 1.5,
    "glyphSize": 3.0,
    "useGlyphScale": True,
    "sliceProjection": False,
    "sliceProjectionUseFiducialColor": True,
    "sliceProjectionOutlinedBehindSlicePlane": False,
    "sliceProjectionColor": [1.0, 1.0, 1.0],
    "sliceProjectionOpacity": 0.6,
    "lineThickness": 0.2,
    "lineColorFadingStart": 1.0,
    "lineColorFadingEnd": 10.0,
    "lineColorFadingSaturation": 1.0,
    "lineColorFadingHueOffset": 0.0,
    "handlesInteractive": False,
    "snapMode": "toVisibleSurface",
}


def read(path: Path, expected: Expected) -> Annotations:
    """Read a markups file of any schema version.

    A point that is marked as missing is absent from the image. One that was never placed ("undefined") is so, too, unless
    ``expected.empty`` is "unknown" or its description says "not annotated". One that is only previewed is not annotated.

    The points are those of its point lists ("Fiducial"). If the file has a single list of another type, such as a curve, they are its
    control points. A point without a label gets its number, counted from 1.

    Args:
        path: the file.
        expected: see above; if ``dims`` is 2, all points must have one z, which is left out.

    Raises:
        DatasetError: the file is no valid markups file, is not in mm, or has a label twice.
    """
    lists = read_document(path).get("markups").items()
    chosen = lists if len(lists) == 1 else [one for one in lists if one.get("type").value == "Fiducial"]
    if not chosen:
        types = ", ".join(shown(one.get("type").text(default="?")) for one in lists[:10]) or "no list"
        raise DatasetError(f"{path}: markups: expected a list of points (type Fiducial), received {types}.")
    points: dict[str, Array] = {}
    places: dict[str, str] = {}
    absent: set[str] = set()
    for markup in chosen:
        signs = _signs(markup)
        controls = markup.get("controlPoints").items()
        check_count(path, len(controls) + len(points))
        for number, control in enumerate(controls, start=1):
            name = control.get("label").text(default="").strip() or str(number)
            if name in points:
                raise DatasetError(
                    f"{path}: {control.place}: the label {shown(name)} appears twice, first in {places[name]}. Rename one in 3D Slicer."
                )
            points[name], places[name] = _position(control) * signs, control.place
            if _is_absent(control, unknown=expected.empty == "unknown"):
                absent.add(name)
    if not points:
        raise DatasetError(f"{path}: markups: the lists hold no points.")
    dims = 3 if expected.dims is None else expected.dims
    image_id = of_file(path, ENDINGS)
    found = gathered(path, {image_id: points}, dims=3, frame="physical", absent={image_id: absent})
    return found if dims == 3 else in_plane(path, found)


def _signs(markup: Item) -> Array:
    """Factors (3,) that lead from the coordinates of a list to LPS."""
    system = markup.get("coordinateSystem")
    key = "LPS" if system.value is None else str(system.value).upper()
    if key not in SIGNS:
        raise system.wrong("LPS or RAS")
    units = markup.get("coordinateUnits")
    unit = units.value[0] if isinstance(units.value, list) and units.value else units.value
    if unit not in (None, "", "mm"):
        raise units.wrong("mm")
    return np.array(SIGNS[key], float)


def _position(control: Item) -> Array:
    """Position (3,) of a control point, NaN if it is not defined."""
    status, position = control.get("positionStatus"), control.get("position")
    if status.value is not None and status.value not in STATES:
        raise status.wrong(f"one of {', '.join(STATES)}")
    # 3D Slicer writes an empty text for the position of a point that is not placed.
    if status.value not in (None, "defined") or position.value in (None, "", []):
        return np.full(3, np.nan)
    return np.array(position.numbers(3))


def _is_absent(control: Item, *, unknown: bool) -> bool:
    """Whether a control point is known not to be in the image. ``unknown``: not placed says nothing."""
    status = control.get("positionStatus").value
    return status == "missing" or (status == "undefined" and not unknown and control.get("description").value != UNKNOWN)


def in_plane(path: Path, annotations: Annotations) -> Annotations:
    """Annotations of one image with x and y alone, for points that all lie in one plane of equal z.

    Raises:
        DatasetError: their z differ.
    """
    (points,) = annotations.points.values()
    z = points[np.isfinite(points[:, 2]), 2]
    if len(z) and np.ptp(z) > PLANE_MM:
        raise DatasetError(f"{path}: its points are of a volume: z is {z.min():g} to {z.max():g} mm. Expected points of one 2D image.")
    annotations.points[next(iter(annotations.points))] = points[:, :2]
    return annotations


def recognises(path: Path, head: bytes) -> bool:
    """Whether a JSON file has lists of markups."""
    kind, keys = top_keys(head)
    return kind == "{" and "markups" in keys


def write(path: Path, annotations: Annotations, facts: Mapping[str, ImageFacts]) -> None:
    """Write the points of one image as a point list of schema 1.0.3, in LPS.

    Absent landmarks are listed as missing, unknown ones as not placed, with the description "not annotated".
    Points of a slice lie at its place, those of other 2D images at z 0, where 3D Slicer shows a picture. Scores and expected errors go to
    the descriptions.

    Raises:
        DatasetError: there are several images.
        WriteError: the file cannot be written.
    """
    image_id = only_id(path, annotations)
    points = in_space(annotations.points[image_id], facts.get(image_id))
    absent, controls = absent_of(annotations, image_id), []
    for number, (name, xyz) in enumerate(zip(names_of(annotations), points.tolist(), strict=True)):
        placed = bool(np.isfinite(xyz).all())
        status = "defined" if placed else "missing" if absent[number] else "undefined"
        controls.append(
            {
                "id": str(number + 1),
                "label": name,
                "description": UNKNOWN if status == "undefined" else remark(annotations, image_id, number),
                "associatedNodeID": "",
                "position": xyz if placed else [0.0, 0.0, 0.0],
                "orientation": [-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0],
                "selected": True,
                "locked": False,
                "visibility": True,
                "positionStatus": status,
            }
        )
    markup = {
        "type": "Fiducial",
        "name": image_id,
        "coordinateSystem": "LPS",
        "coordinateUnits": "mm",
        "locked": False,
        "fixedNumberOfControlPoints": False,
        "labelFormat": "%N-%d",
        "lastUsedControlPointNumber": len(controls),
        "controlPoints": controls,
        "measurements": [],
        "display": DISPLAY,
    }
    # 3D Slicer ignores our key and drops it on saving, so a corrected file is never written over.
    files.write_text(path, json.dumps({"@schema": SCHEMA, "scn_tf": "markups", "markups": [markup]}, indent=1, ensure_ascii=False) + "\n")


SLICER = AnnotationFormat(
    name="slicer",
    endings=ENDINGS,
    description="markups of 3D Slicer, one file per image: a point list in mm, LPS or RAS",
    read=read,
    write=write,
    per_image=True,
    recognises=recognises,
    writes="physical",
    rank=23,
)
