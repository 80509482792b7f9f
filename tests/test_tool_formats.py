"""Annotation files of COCO, LabelMe, CVAT and Label Studio: shapes of their specifications, refusals, round trips."""

import copy
import json
import time
from pathlib import Path

import numpy as np
import pytest

import scn_tf
from scn_tf.data.annotations import ANNOTATIONS, Annotations, Expected, read_annotations, read_any, recognised, write_annotations
from scn_tf.data.images.facts import ImageFacts
from scn_tf.storage import json_documents

NAN = [np.nan, np.nan]
COCO = {
    "info": {"description": "hands", "year": 2024},
    "licenses": [{"id": 0, "name": "", "url": ""}],
    "categories": [{"id": 3, "name": "hand", "supercategory": "", "keypoints": ["tip", "base", "root"], "skeleton": [[1, 2]]}],
    "images": [
        {"id": 7, "file_name": "left/a.png", "width": 50, "height": 41, "license": 0},
        {"id": 9, "file_name": "b.jpg", "width": 31, "height": 20},
        {"id": 12, "file_name": "none.png", "width": 31, "height": 20},
    ],
    "annotations": [
        {
            "id": 1,
            "image_id": 9,
            "category_id": 3,
            "keypoints": [7, 8.25, 2, 0, 0, 0, 1, 19.5, 1],
            "segmentation": {"size": [20, 31], "counts": "PPYo0"},
            "iscrowd": 0,
            "bbox": [1, 8.25, 6, 11.25],
            "area": 67.5,
            "num_keypoints": 2,
        },
        {"id": 2, "image_id": 7, "category_id": 3, "keypoints": [1, 2, 2, 3, 4, 2, 5, 6, 2]},
        {"id": 3, "image_id": 7, "category_id": 3, "keypoints": [0] * 9, "num_keypoints": 0},
        {"id": 4, "image_id": 12, "category_id": 3, "bbox": [1, 2, 3, 4], "segmentation": [[1, 2, 3, 4, 5, 6]]},
    ],
}
LABELME = {
    "version": "5.4.1",
    "flags": {"blurred": False},
    "shapes": [
        {"label": "tip", "points": [[10.5, 3.25]], "group_id": None, "shape_type": "point", "flags": {}},
        {"label": "base", "points": [[4, 30]], "group_id": None, "description": "", "shape_type": "point", "flags": {}},
    ],
    "imagePath": "..\\images\\hand 1.png",
    "imageData": "iVBORw0KGgo" * 20_000,  # more than the bytes by which a format is recognised
    "imageHeight": 41,
    "imageWidth": 50,
}
CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><task><id>5</id><name>t</name><size>3</size><mode>annotation</mode>
    <labels>
      <label><name>root</name><color>#ff0000</color><type>points</type><attributes></attributes></label>
      <label><name>tip</name><color>#ff0000</color><type>points</type><attributes></attributes></label>
      <label><name>box</name><color>#ff0000</color><type>rectangle</type><attributes></attributes></label>
      <label><name>hand</name><color>#ff0000</color><type>skeleton</type><attributes></attributes></label>
    </labels></task><dumped>2024-01-01</dumped></meta>
  <image id="0" name="left/a.png" width="50" height="41">
    <points label="tip" source="manual" occluded="1" points="1.50,2.25" z_order="0"></points>
    <box label="box" source="manual" occluded="0" xtl="1" ytl="2" xbr="3" ybr="4" z_order="0"></box>
  </image>
  <image id="1" name="b.jpg" width="31" height="20">
    <skeleton label="hand" source="manual" z_order="0">
      <points label="tip" source="manual" outside="0" occluded="0" points="7.00,8.00"></points>
      <points label="root" source="manual" outside="1" occluded="0" points="0.00,0.00"></points>
      <attribute name="side">left</attribute>
    </skeleton>
    <points label="curve" occluded="0" points="1,2;3,4;5,6"></points>
  </image>
  <image id="2" name="none.png" width="31" height="20"></image>
</annotations>
"""
POINT = {"x": 25.0, "y": 10.0, "width": 0.5, "keypointlabels": ["tip"]}
RESULT = {"original_width": 50, "original_height": 40, "image_rotation": 0, "type": "keypointlabels", "from_name": "l", "to_name": "i"}
STUDIO = [
    {
        "id": 1,
        "annotations": [
            {"id": 1, "was_cancelled": True, "result": [{"id": "x", **RESULT, "value": {**POINT, "x": 1}}]},
            {
                "id": 2,
                "was_cancelled": False,
                "result": [
                    {"id": "p", **RESULT, "value": POINT},
                    {"id": "q", **RESULT, "value": {**POINT, "x": 99.0, "keypointlabels": ["base"]}},
                    {"id": "r", **RESULT, "type": "rectanglelabels", "value": {"x": 1, "y": 2, "rectanglelabels": ["box"]}},
                ],
            },
        ],
        "file_upload": "1a2b3c4d-hand.png",
        "data": {"caption": "a hand", "img": "/data/upload/3/1a2b3c4d-hand.png"},
        "meta": {},
        "created_at": "2024-03-09T21:52:49.513742Z",
    },
    {"id": 2, "annotations": [], "data": {"img": "/data/local-files/?d=left%2Fb.png"}},
]
MINIMAL = [
    {
        "img": "/data/local-files/?d=left%2Fb.png",
        "id": 101,
        "kp": [{**POINT, "original_width": 50, "original_height": 40}],
        "annotator": 1,
        "annotation_id": 9,
        "lead_time": 4.1,
    }
]
SLICER = {"@schema": "markups-schema-v1.0.3.json#", "markups": [{"type": "Fiducial", "controlPoints": []}]}
SAMPLES = {"coco": COCO, "labelme": LABELME, "labelstudio": STUDIO, "slicer": SLICER}
POINTS = {"a": np.array([[1.5, 2.125], NAN, [30.1, 1 / 3]]), "b": np.array([[7.0, 8], [9, 10.25], [0, 19]])}
NAMES = ("tip", "base & <root>", 'the "Ünder" one')
FACTS = {"a": ImageFacts(Path("a.png"), (50, 41), None, None), "b": ImageFacts(Path("b.png"), (31, 20), None, None)}
TOOLS = ["coco", "labelme", "cvat", "labelstudio"]


def saved(folder, name, content):
    path = folder / ("file.xml" if name == "cvat" else "file.json")
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def read(folder, name, content):
    return read_any(saved(folder, name, content), Expected(), ANNOTATIONS[name])


def changed(content, place, value):
    """A copy with another value at a place, such as ``("images", 0, "id")``."""
    content = copy.deepcopy(content)
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return content


def refused(folder, name, content, reason):
    with pytest.raises(scn_tf.DatasetError, match=reason) as error:
        read(folder, name, content)
    assert str(error.value).startswith(str(folder))
    assert len(str(error.value).splitlines()) == 1


def test_coco_keypoints_are_read_with_their_visibility(tmp_path):
    found = read(tmp_path, "coco", COCO)
    assert (found.names, found.frame) == (("tip", "base", "root"), "pixel")
    assert set(found.points) == {"a", "b"}  # the third image has no keypoints
    np.testing.assert_array_equal(found.points["a"], [[1, 2], [3, 4], [5, 6]])
    np.testing.assert_array_equal(found.points["b"], [[7, 8.25], NAN, [1, 19.5]])
    assert found.images == {"b": "b.jpg", "a": "left/a.png"}
    assert found.sizes == {"b": (31, 20), "a": (50, 41)}
    assert read_annotations(saved(tmp_path, "coco", COCO), Expected(("root", "tip", "base"), 2), coordinates="pixel", name="coco").points[
        "a"
    ].tolist() == [[5, 6], [1, 2], [3, 4]]


def test_coco_categories_with_one_keypoint_each_are_landmarks(tmp_path):
    content = {
        "categories": [
            {"id": 1, "name": "tip", "keypoints": ["point"]},
            {"id": 2, "name": "base", "keypoints": []},
            {"id": 3, "name": "x"},
        ],
        "images": COCO["images"],
        "annotations": [
            {"id": number, "image_id": image, "category_id": category, "keypoints": [x, 5, 2]}
            for number, (image, category, x) in enumerate([(7, 2, 1.0), (7, 1, 2.0), (9, 1, 3.0)])
        ],
    }
    found = read(tmp_path, "coco", content)
    assert found.names == ("base", "tip")
    np.testing.assert_array_equal(found.points["b"], [NAN, [3, 5]])


def test_coco_objects_of_several_categories_keep_their_names_apart(tmp_path):
    content = changed(
        COCO, ("categories",), [{"id": n, "name": side, "keypoints": ["hip", "knee"]} for n, side in ((1, "left"), (2, "right"))]
    )
    content["annotations"] = [{"id": n, "image_id": 7, "category_id": n, "keypoints": [n, 0, 2, n, 1, 2]} for n in (1, 2)]
    assert read(tmp_path, "coco", content).names == ("left hip", "left knee", "right hip", "right knee")


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        (
            ("annotations", 2, "keypoints"),
            [1, 1, 2] * 3,
            r"annotations\[2\]: a second object of category hand in image left/a.png, after .*\[1\]",
        ),
        (("annotations", 1, "keypoints"), [1, 2, 2], r"annotations\[1\].keypoints: expected 9 numbers"),
        (("annotations", 1, "keypoints", 2), 3, r"annotations\[1\].keypoints\[2\]: expected a visibility of 0, 1 or 2, received 3"),
        (("annotations", 1, "keypoints", 0), None, r"keypoints\[0\]: expected a number, received nothing"),
        (("annotations", 1, "keypoints", 0), 10**400, "integer of 401 digits"),
        (("annotations", 1, "image_id"), 8, r"annotations\[1\].image_id: expected the id of one"),
        (("annotations", 1, "image_id"), [7], r"annotations\[1\].image_id: expected the id of one"),
        (("annotations", 1, "category_id"), 8, "category_id: expected the id of one"),
        (("annotations",), [], "expected objects with keypoints, received none"),
        (("images", 1, "id"), 7, r"images\[1\].id: expected a number of its own"),
        (("images", 0, "width"), -4, r"images\[0\].width: expected a size in pixels, received -4"),
        (("images", 0, "file_name"), "../\n", "expected the name of an image file"),
        (("categories", 0, "keypoints"), ["tip", "base", "tip"], r"categories\[0\].keypoints: expected names that differ"),
        (("categories",), None, r"categories: expected a list \[...\], received nothing"),
        (("categories", 0), "hand", r"categories\[0\]: expected an object"),
    ],
)
def test_malformed_coco_files_are_refused_with_the_place(tmp_path, place, value, reason):
    refused(tmp_path, "coco", changed(COCO, place, value), reason)


def test_labelme_points_are_read_beside_other_shapes(tmp_path):
    found = read(tmp_path, "labelme", LABELME)
    assert (found.names, found.frame) == (("tip", "base"), "pixel")
    np.testing.assert_array_equal(found.points["hand 1"], [[10.5, 3.25], [4, 30]])
    assert found.images == {"hand 1": "..\\images\\hand 1.png"}
    assert found.sizes == {"hand 1": (50, 41)}
    more = [*LABELME["shapes"], {"label": "outline", "points": [[1, 2], [3, 4], [5, 6]], "shape_type": "polygon"}]
    with pytest.warns(scn_tf.errors.DataWarning, match=r"1 shapes are no points \(polygon\)"):
        assert read(tmp_path, "labelme", changed(LABELME, ("shapes",), more)).names == ("tip", "base")
    refused(tmp_path, "labelme", changed(LABELME, ("shapes",), more[2:]), "shapes: expected points, received polygon")
    old = {"shapes": [{"label": "tip", "points": [[1, 2]]}]}  # of early versions
    assert list(read(tmp_path, "labelme", old).points) == ["file"]
    assert read(tmp_path, "labelme", {**LABELME, "shapes": []}).points["hand 1"].shape == (0, 2)


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        (("shapes", 1, "label"), "tip", r"shapes\[1\]: the label tip appears twice, first in shapes\[0\]"),
        (("shapes", 1, "points"), [[1, 2], [3, 4]], r"shapes\[1\].points: expected one point"),
        (("shapes", 1, "points"), [[1, 2, 3]], r"shapes\[1\].points\[0\]: expected 2 numbers"),
        (("shapes", 1, "points"), [[1, "2"]], r"points\[0\]\[1\]: expected a number, received '2'"),
        (("shapes", 1, "label"), None, r"shapes\[1\].label: expected a text, received nothing"),
        (("shapes",), {}, r"shapes: expected a list"),
        (("shapes",), [{"label": str(n), "points": [[1, 2]], "shape_type": "point"} for n in range(10_001)], "at most 10,000 landmarks"),
    ],
)
def test_malformed_labelme_files_are_refused_with_the_place(tmp_path, place, value, reason):
    refused(tmp_path, "labelme", changed(LABELME, place, value), reason)


def test_cvat_points_and_skeletons_are_read(tmp_path):
    found = read(tmp_path, "cvat", CVAT)
    assert (found.names, found.frame) == (("root", "tip", "curve_1", "curve_2", "curve_3"), "pixel")
    np.testing.assert_array_equal(found.points["a"], [NAN, [1.5, 2.25], NAN, NAN, NAN])  # hidden points are present
    np.testing.assert_array_equal(found.points["b"], [NAN, [7, 8], [1, 2], [3, 4], [5, 6]])
    assert found.sizes == {"a": (50, 41), "b": (31, 20)}
    assert found.rows == {"a": 11, "b": 15}
    assert found.images["a"] == "left/a.png"
    other = read(tmp_path, "cvat", CVAT.replace("utf-8", "latin-7").replace('label="tip"', 'label="Ü"'))  # what is declared does not matter
    assert "Ü" in other.names


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (
            '<box label="box"',
            '<points label="tip" points="1,2"/><box',
            "line 13: the label tip appears twice in image left/a.png, first in line 12",
        ),
        ("1.50,2.25", "1.50", "line 12: points of label tip: expected x,y as finite numbers, received '1.50'"),
        ("1.50,2.25", "1.50,inf", "line 12: points of label tip"),
        ("1.50,2.25", "1,2;3,4", "line 17: expected 2 points of label tip as in the images before, received 1 in b.jpg"),
        ("1.50,2.25", "1,2;" * 10_000 + "1,2", "line 12: expected at most 10,000 points"),
        ("b.jpg", "left/a.png", "line 15: a second image left/a.png, first in line 11"),
        ('<image id="2"', '<track id="1"', "line 23: holds tracks of a video. Export it as CVAT for images"),
        ("</skeleton>", "", "line .*: is no valid XML .mismatched tag"),
        ("<annotations>", "<dataset>", "line 2: expected <annotations> of CVAT, received <dataset>"),
        ("<annotations>", '<!DOCTYPE x [<!ENTITY e "1,2">]><annotations>', "document type or entities"),
        ("<annotations>", '<!DOCTYPE x SYSTEM "file:///etc/passwd"><annotations>', "document type or entities"),
        ("<version>", "<a>" * 50 + "<version>", "nested more than 40 levels"),
        ("points", "polygon", "expected images with points or skeletons, received none"),
        ("<version>", "\0", "null byte"),
    ],
)
def test_malformed_cvat_files_are_refused_with_the_line(tmp_path, old, new, reason):
    refused(tmp_path, "cvat", CVAT.replace(old, new), reason)


def test_label_studio_percents_become_pixels(tmp_path):
    found = read(tmp_path, "labelstudio", STUDIO)
    assert (found.names, found.frame) == (("tip", "base"), "pixel")
    np.testing.assert_allclose(found.points["1a2b3c4d-hand"], [[12.5, 4], [49.5, 4]])
    assert found.images == {"1a2b3c4d-hand": "/data/upload/3/1a2b3c4d-hand.png"}
    assert found.sizes == {"1a2b3c4d-hand": (50, 40)}
    found = read(tmp_path, "labelstudio", MINIMAL)
    np.testing.assert_allclose(found.points["b"], [[12.5, 4]])
    assert found.images == {"b": "left/b.png"}
    assert recognised(saved(tmp_path, "labelstudio", MINIMAL)) == [ANNOTATIONS["labelstudio"]]
    assert recognised(saved(tmp_path, "labelstudio", STUDIO[0])) == [ANNOTATIONS["labelstudio"]]  # one task
    np.testing.assert_array_equal(read(tmp_path, "labelstudio", STUDIO[0]).points["1a2b3c4d-hand"].shape, (2, 2))


def test_label_studio_points_without_a_size_are_fractions(tmp_path):
    value = {**POINT, "x": 49.6, "y": 52.25}
    task = {"completions": [{"result": [{"id": "a", "type": "keypointlabels", "value": value}]}]}
    task["data"] = {"image": "https://user.fm/files/moon-800x501.jpg?X-Amz=1"}
    found = read(tmp_path, "labelstudio", [task])
    assert found.frame == "fraction"
    np.testing.assert_allclose(found.points["moon-800x501"], [[0.496, 0.5225]])


def test_label_studio_tasks_with_several_annotations_warn_unless_one_is_the_truth(tmp_path):
    content = changed(STUDIO, (0, "annotations", 0, "was_cancelled"), False)
    with pytest.warns(
        scn_tf.errors.DataWarning, match=r"1 task with several annotations, such as that of /data/upload/3/1a2b3c4d-hand.png"
    ):
        assert read(tmp_path, "labelstudio", content).points["1a2b3c4d-hand"][0, 0] == 0.5
    content[0]["annotations"][1]["ground_truth"] = True
    assert read(tmp_path, "labelstudio", content).points["1a2b3c4d-hand"][0, 0] == 12.5


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        (("result", 1, "value", "keypointlabels"), ["tip"], r"result\[1\]: the label tip appears twice"),
        (("result", 1, "value", "keypointlabels"), ["tip", "x"], r"keypointlabels: expected one label"),
        (("result", 1, "value", "x"), None, r"\[0\].annotations\[1\].result\[1\].value.x: expected a number"),
        (("result", 1, "image_rotation"), 90, "image_rotation: expected 0: points of turned images are not read"),
        (("result", 1, "original_width"), 51, "state different sizes"),
        (("result",), [], "expected tasks with annotations of type keypointlabels, received none"),
        (("result",), 5, r"result: expected a list"),
    ],
)
def test_malformed_label_studio_files_are_refused_with_the_place(tmp_path, place, value, reason):
    refused(tmp_path, "labelstudio", changed(STUDIO, (0, "annotations", 1, *place), value), reason)


def test_a_second_task_of_an_image_is_refused(tmp_path):
    refused(tmp_path, "labelstudio", [STUDIO[0], STUDIO[0]], r"\[1\]: a second task of image")
    refused(tmp_path, "labelstudio", [changed(STUDIO[0], ("data",), {"text": "a"})], r"\[0\].data.image: expected a text, received nothing")


@pytest.mark.parametrize("name", SAMPLES)
def test_each_kind_of_json_is_recognised_by_one_format(tmp_path, name):
    assert [row.name for row in recognised(saved(tmp_path, name, SAMPLES[name]))] == [name]
    pretty = json.dumps(SAMPLES[name], indent=4)
    assert [row.name for row in recognised(saved(tmp_path, name, "\ufeff" + pretty))] == [name]


def test_other_json_and_xml_are_of_no_format(tmp_path):
    for content in ({"a": 1}, [], [1, 2], {"scn_tf": "predictions", "images_": []}, "", '{"x": "markups: [1]", ', [{"image": "a.png"}]):
        assert recognised(saved(tmp_path, "json", content)) == []
    assert [row.name for row in recognised(saved(tmp_path, "cvat", CVAT))] == ["cvat"]
    assert ANNOTATIONS["cvat"] not in recognised(saved(tmp_path, "cvat", "<?xml version='1.0'?><dataset><images><annotations/>"))


@pytest.mark.parametrize("name", TOOLS)
def test_what_a_tool_format_writes_it_reads(tmp_path, name):
    row = ANNOTATIONS[name]
    start = Annotations(POINTS, {}, NAMES, "pixel", images={"a": "left/a.png"}, scores={"a": np.array([0.5, np.nan, 1])})
    out = tmp_path / ("out" if row.per_image else f"out{row.endings[0]}")
    written = write_annotations(out, start, row, FACTS)
    assert [row.name] == [one.name for one in recognised(written[0])]
    found = read_any(out, Expected(), row)
    assert found.frame == "pixel"
    assert found.images == {"a": "left/a.png", "b": "b.png"}
    assert found.sizes == {"a": (50, 41), "b": (31, 20)}
    columns = [found.names.index(name) for name in NAMES]
    for image_id, points in POINTS.items():
        np.testing.assert_allclose(found.points[image_id][columns], points, atol=1e-6)
    json_only = name != "cvat"
    assert not json_only or "NaN" not in written[0].read_text(encoding="utf-8")
    write_annotations(out, start, row, FACTS)  # over its own file


@pytest.mark.parametrize("name", TOOLS)
def test_files_of_the_tool_itself_are_never_written_over(tmp_path, name):
    row = ANNOTATIONS[name]
    theirs = {"coco": COCO, "labelme": LABELME, "cvat": CVAT, "labelstudio": STUDIO}[name]
    path = saved(tmp_path, name, theirs)
    before = path.read_bytes()
    one = Annotations({"a": POINTS["a"]}, {}, NAMES, "pixel")
    with pytest.raises(scn_tf.errors.WriteError, match="was not written by scn_tf"):
        row.write(path, one, FACTS)
    assert path.read_bytes() == before


def test_our_label_studio_file_is_another_once_label_studio_exports_it(tmp_path):
    row = ANNOTATIONS["labelstudio"]
    path = tmp_path / "tasks.json"
    row.write(path, Annotations(POINTS, {}, NAMES, "pixel"), FACTS)
    tasks = [{"id": number, **task} for number, task in enumerate(json.loads(path.read_text(encoding="utf-8")))]
    path.write_text(json.dumps(tasks), encoding="utf-8")
    with pytest.raises(scn_tf.errors.WriteError, match="was not written by scn_tf"):
        row.write(path, Annotations(POINTS, {}, NAMES, "pixel"), FACTS)


@pytest.mark.parametrize("name", TOOLS)
def test_what_a_tool_cannot_hold_is_refused_before_writing(tmp_path, name):
    row = ANNOTATIONS[name]
    path = tmp_path / f"a{row.endings[0]}"
    with pytest.raises(scn_tf.DatasetError, match="needs the size of image a; give the folder of the images"):
        row.write(path, Annotations({"a": POINTS["a"]}, {}, NAMES, "pixel"), {})
    with pytest.raises(scn_tf.DatasetError, match="hold points of 2D images; these have three coordinates"):
        row.write(path, Annotations({"a": np.zeros((3, 3))}, {}, NAMES, "pixel"), FACTS)
    assert not path.exists()


@pytest.mark.parametrize("name", ["coco", "labelme", "labelstudio", "slicer", "via", "json"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"a": [1, 2\n', "line 2: is no valid JSON .*cut short"),
        ('{"a": 1,\n"b": -Infinity}', "line 2: expected a finite number, received -Infinity"),
        ('{"a": 1e999}', "expected a finite number, received 1e999"),
        ('{"a": 1, "a": 2}', "has the key 'a' twice"),
        ("[" * 100_000, "nested too deeply"),
        ("[" + "[]," * 4_000_001 + "1]", "more than 4,000,000 values"),
        ("5", "expected"),
        ('"\\ud800"', "expected"),
        ("\x00", "null byte"),
    ],
    ids=["cut", "infinity", "overflow", "duplicate", "deep", "many", "number", "surrogate", "null"],
)
def test_damaged_json_is_refused_quickly(tmp_path, name, content, reason):
    start = time.perf_counter()
    refused(tmp_path, name, content, reason)
    assert time.perf_counter() - start < 2


def test_the_line_of_a_bad_number_is_that_outside_of_texts():
    with pytest.raises(ValueError, match="line 3: expected a finite number, received NaN"):
        json_documents.parse_json('{"NaN": "NaN",\n"a": "x \\" NaN",\n"b": NaN}')
    assert json_documents.top_keys(b'{"a": {"b": 1}, "c:": [{"d": 2}], "e": "f') == ("{", {"a", "c:", "e"})
    assert json_documents.top_keys(b'[{"a": {"b": 1}}, {"c": [') == ("[", {"a", "c"})
