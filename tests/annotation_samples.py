"""Small files of other tools' annotation formats, written as the tools' documents describe them, all with the same points."""

import csv
import io
import json
import struct
import zipfile
from pathlib import Path

import numpy as np

from scn_tf.data.images.facts import ImageFacts

NAMES = ("tip", "base", "root")
NAN = np.nan
POINTS = {"a": np.array([[12.5, 7.25], [NAN, NAN], [30, 40]]), "b": np.array([[7, 8], [9, 10.25], [1, 19]])}  # pixels, y from the top
SIZES = {"a": (50, 41), "b": (31, 20)}
FACTS = {name: ImageFacts(Path(f"{name}.png"), size, None, None) for name, size in SIZES.items()}
RANDOM = np.random.default_rng(3)
EXACT = {"a": RANDOM.uniform(1, 40, (3, 2)), "b": RANDOM.uniform(1, 19, (3, 2))}  # numbers of many digits
EXACT["a"][1] = NAN


def arranged(found, order=NAMES):
    """Points by image in a fixed order of the landmarks."""
    names = list(found.names or order)
    return {image_id: points[[names.index(name) for name in order]] for image_id, points in found.points.items()}


def assert_same(found, points=POINTS, **tolerance):
    received = arranged(found)
    assert received.keys() == points.keys()
    for image_id, values in points.items():
        np.testing.assert_allclose(received[image_id], values, **{"rtol": 0, "atol": 1e-9, **tolerance})


def text(value):
    return "" if np.isnan(value) else f"{value:g}"


def csv_wide(folder):
    rows = [f"{name}.png," + ",".join(map(text, points.ravel())) for name, points in POINTS.items()]
    return saved(folder / "wide.csv", "image,tip_x,tip_y,base_x,base_y,root_x,root_y\n" + "\n".join(rows) + "\n")


def deeplabcut(folder):
    head = "scorer,,,ann,ann,ann,ann,ann,ann\nbodyparts,,,tip,tip,base,base,root,root\ncoords,,,x,y,x,y,x,y\n"
    rows = [f"labeled-data,film,{name}.png," + ",".join(map(text, points.ravel())) for name, points in POINTS.items()]
    return saved(folder / "CollectedData_ann.csv", head + "\n".join(rows) + "\n")


def csv_long(folder):
    rows = [
        f"{name}.png,{landmark},{text(x)},{text(y)}"
        for name, points in POINTS.items()
        for landmark, (x, y) in zip(NAMES, points, strict=True)
    ]
    return saved(folder / "long.csv", "image,landmark,x,y\n" + "\n".join(rows) + "\n")


def tps(folder):
    lines = []
    for number, (name, points) in enumerate(POINTS.items()):
        flipped = [(x, SIZES[name][1] - 1 - y) for x, y in points]
        lines += ["LM=3", *("-1.00000 -1.00000" if np.isnan(x) else f"{x:.5f} {y:.5f}" for x, y in flipped)]
        lines += [f"IMAGE={name}.png", f"ID={number}", "SCALE=0.051020"]
    return saved(folder / "points.tps", "\r\n".join(lines) + "\r\n")


def dlib_xml(folder):
    """imglab has whole pixels, so the points are rounded."""
    images = ""
    for name, points in POINTS.items():
        parts = [f"<part name='{part}' x='{round(x)}' y='{round(y)}'/>" for part, (x, y) in zip(NAMES, points, strict=True) if x == x]
        box = f"<box top='1' left='2' width='30' height='20'>\n{chr(10).join(parts)}\n</box>"
        images += f"<image file='films/{name}.png' width='{SIZES[name][0]}' height='{SIZES[name][1]}'>\n{box}\n</image>\n"
    style = "<?xml-stylesheet type='text/xsl' href='image_metadata_stylesheet.xsl'?>"
    head = (
        f"<?xml version='1.0' encoding='ISO-8859-1'?>\n{style}\n<dataset>\n<name>imglab dataset</name>\n<comment>made by hand</comment>\n"
    )
    return saved(folder / "points.xml", f"{head}<images>\n{images}</images>\n</dataset>\n")


def isbi(folder):
    """The challenge has no absent points; ``nan`` is how scripts write them."""
    for name, points in POINTS.items():
        lines = ["nan,nan" if np.isnan(x) else f"{x:g},{y:g}" for x, y in points]
        saved(folder / f"{name}.txt", "\r\n".join([*lines, "1", "2", "1"]) + "\r\n")
    return folder


def napari(folder):
    for name, points in POINTS.items():
        rows = [f"{float(row)},{y},{x},{part}" for row, (part, (x, y)) in enumerate(zip(NAMES, points, strict=True)) if x == x]
        saved(folder / f"{name}.csv", "index,axis-0,axis-1,label\n" + "\n".join(rows) + "\n")
    return folder


def yolo_pose(folder):
    for name, points in POINTS.items():
        width, height = SIZES[name]
        keypoints = ["0 0 0" if np.isnan(x) else f"{x / width!s} {y / height!s} 2" for x, y in points]
        saved(folder / f"{name}.txt", f"0 0.5 0.5 0.25 0.5 {' '.join(keypoints)}\n".replace("np.float64(", "").replace(")", ""))
    return folder


def roi(points, label, *, kind=10):
    """A point selection by ImageJ's description of its files: header, coordinates, second header, name."""
    count = len(points)
    low = np.floor(points.min(axis=0)).astype(int)
    high = np.floor(points.max(axis=0)).astype(int) + 1
    whole = np.floor(points).astype(int) - low
    first = struct.pack(">4shBxhhhhH16x", b"Iout", 227, kind, low[1], low[0], high[1], high[0], count)
    first += struct.pack(">hi4s4shhBBhi", 0, 0, bytes(4), bytes(4), 0, 128, 0, 0, 0, 0)
    body = whole[:, 0].astype(">i2").tobytes() + whole[:, 1].astype(">i2").tobytes()
    body += points[:, 0].astype(">f4").tobytes() + points[:, 1].astype(">f4").tobytes()
    second = 64 + len(body)
    ahead = struct.pack(">4xiiiii", 0, 0, 0, second + 64, len(label)) + bytes(64 - 24)
    return first + struct.pack(">i", second) + body + ahead + label.encode("utf-16-be")


def imagej(folder):
    for name, points in POINTS.items():
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            for part, point in zip(NAMES, points, strict=True):
                if np.isfinite(point).all():
                    archive.writestr(f"{part}.roi", roi(point[None], part))
        (folder / f"{name}.zip").write_bytes(content.getvalue())
    return folder


def imagej_results(folder):
    for name, points in POINTS.items():
        rows = [
            f"{row},{part},0,{text(x) or 'NaN'},{text(y) or 'NaN'}" for row, (part, (x, y)) in enumerate(zip(NAMES, points, strict=True), 1)
        ]
        saved(folder / f"{name}.csv", " ,Label,Area,X,Y\n" + "\n".join(rows) + "\n")
    return folder


def pts(folder):
    """The first pixel has number 1. The challenge has no absent points; ``nan`` is how scripts write them."""
    for name, points in POINTS.items():
        rows = ["nan nan" if np.isnan(x) else f"{x + 1:.6f} {y + 1:.6f}" for x, y in points]
        saved(folder / f"{name}.pts", "\n".join(["version: 1", "n_points:  3", "{", *rows, "}"]) + "\n")
    return folder


def via_regions(points):
    """Regions as VIA stores them, with a second attribute that is not filled in."""
    return [
        {"shape_attributes": {"name": "point", "cx": x, "cy": y}, "region_attributes": {"part": name, "remark": ""}}
        for name, (x, y) in zip(NAMES, points.tolist(), strict=True)
        if x == x
    ]


def via_images():
    """The images of a project: those with regions, and one without."""
    regions = {name: via_regions(points) for name, points in POINTS.items()} | {"none": []}
    return {
        f"{name}.png{size}": {"filename": f"{name}.png", "size": size, "regions": own, "file_attributes": {}}
        for size, (name, own) in enumerate(regions.items(), start=1000)
    }


def via_project(folder):
    """A project of version 2, images first in the order of the file's name and size."""
    text = {"type": "text", "description": "", "default_value": ""}
    images = via_images()
    project = {
        "_via_settings": {"ui": {"image": {"region_label": "part"}}, "core": {"buffer_size": 18}, "project": {"name": "hands"}},
        "_via_img_metadata": images,
        "_via_attributes": {"region": {"part": text, "remark": text}, "file": {}},
        "_via_data_format_version": "2.0.10",
        "_via_image_id_list": list(images),
    }
    return saved(folder / "hands.json", json.dumps(project))


def via_annotations(folder):
    """Annotations exported as JSON."""
    return saved(folder / "via_export_json.json", json.dumps(via_images()))


def via_version_1(folder):
    """Annotations exported by version 1: regions by number, and a picture."""
    images = {
        key: {**image, "fileref": "", "base64_img_data": "", "regions": {str(number): one for number, one in enumerate(image["regions"])}}
        for key, image in via_images().items()
    }
    return saved(folder / "via_region_data.json", json.dumps(images))


def via_table(folder):
    """Annotations exported as CSV."""
    text = io.StringIO()
    writer = csv.writer(text)
    header = ("filename", "file_size", "file_attributes", "region_count", "region_id", "region_shape_attributes", "region_attributes")
    writer.writerow(header)
    for image in via_images().values():
        empty = {"shape_attributes": {}, "region_attributes": {}}
        for number, region in enumerate(image["regions"] or [empty]):
            facts = [image["filename"], image["size"], "{}", len(image["regions"]), number]
            writer.writerow([*facts, json.dumps(region["shape_attributes"]), json.dumps(region["region_attributes"])])
    return saved(folder / "via_export_csv.csv", text.getvalue())


def via_project_3(folder):
    """A project of version 3: attributes and files by number, a list to choose from."""
    part = {"aname": "part", "anchor_id": "FILE1_Z0_XY1", "type": 4, "desc": "", "options": dict(enumerate(NAMES)), "default_option_id": ""}
    names = [*POINTS, "none"]
    places = [
        (vid, number, xy)
        for vid, points in enumerate(POINTS.values(), start=1)
        for number, xy in enumerate(points.tolist())
        if xy[0] == xy[0]
    ]
    project = {
        "project": {"pid": "__VIA_PROJECT_ID__", "pname": "hands", "data_format_version": "3.1.1", "vid_list": ["1", "2", "3"]},
        "config": {"file": {"loc_prefix": {"1": "", "2": "", "3": "", "4": ""}}, "ui": {"spatial_region_label_attribute_id": "1"}},
        "attribute": {"1": part},
        "file": {str(n): {"fid": n, "fname": f"{name}.png", "type": 2, "loc": 1, "src": ""} for n, name in enumerate(names, start=1)},
        "metadata": {
            "1_whole": {"vid": "1", "flg": 0, "z": [], "xy": [], "av": {}},
            **{
                f"{vid}_{number}": {"vid": str(vid), "flg": 0, "z": [], "xy": [1, *xy], "av": {"1": str(number)}}
                for vid, number, xy in places
            },
        },
        "view": {str(n): {"fid_list": [str(n)]} for n in range(1, 4)},
    }
    return saved(folder / "hands.json", json.dumps(project))


def or_null(points):
    """Points as lists, null for absent ones."""
    return [None if x != x else [x, y] for x, y in points.tolist()]


def json_names(folder):
    content = {f"{name}.png": dict(zip(NAMES, or_null(points), strict=True)) for name, points in POINTS.items()}
    return saved(folder / "points.json", json.dumps(content, indent=2))


def json_lists(folder):
    return saved(folder / "points.json", json.dumps({f"{name}.png": or_null(points) for name, points in POINTS.items()}))


def json_objects(folder):
    content = [
        {"id": number, "file_name": f"{name}.png", "size": SIZES[name], "keypoints": dict(zip(NAMES, or_null(points), strict=True))}
        for number, (name, points) in enumerate(POINTS.items())
    ]
    return saved(folder / "points.json", json.dumps(content))


def saved(path, content, encoding="utf-8"):
    path.write_bytes(content.encode(encoding))
    return path


# (format, writer of a sample in an empty folder: returns a file, or a folder of one file per image)
SAMPLES = [
    ("csv-wide", csv_wide),
    ("csv-wide", deeplabcut),
    ("csv-long", csv_long),
    ("tps", tps),
    ("dlib-xml", dlib_xml),
    ("isbi", isbi),
    ("napari", napari),
    ("yolo-pose", yolo_pose),
    ("imagej", imagej),
    ("imagej", imagej_results),
    ("pts", pts),
    ("via", via_project),
    ("via", via_annotations),
    ("via", via_version_1),
    ("via", via_table),
    ("via", via_project_3),
    ("json", json_names),
    ("json", json_lists),
    ("json", json_objects),
]
