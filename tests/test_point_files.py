"""Files of VGG Image Annotator, plain JSON and the points files of 300-W: what names a point, refusals, pixels counted from 1."""

import json

import numpy as np
import pytest

import scn_tf
from scn_tf import cli
from scn_tf.data.annotations import ANNOTATIONS, Annotations, Expected, read_annotations, read_any, recognised
from scn_tf.data.dataset import open_dataset
from scn_tf.storage import json_documents, ownership
from tests import annotation_samples as samples
from tests.annotation_samples import FACTS, NAMES, NAN, POINTS, saved
from tests.conftest import EXACT
from tests.test_convert import convert
from tests.test_init import init, picture
from tests.test_tool_formats import changed

HEADER = "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes\n"
TIP = '"{""name"":""point"",""cx"":1.5,""cy"":2}","{""name"":""tip""}"'
BASE = TIP.replace("tip", "base")


def region(x, y, shape="point", **attributes):
    return {"shape_attributes": {"name": shape, "cx": x, "cy": y}, "region_attributes": attributes}


def exported(**images):
    """Annotations as VIA exports them; ``images``: name -> regions."""
    return {f"{name}.png7": {"filename": f"{name}.png", "size": 7, "regions": own, "file_attributes": {}} for name, own in images.items()}


def read(folder, name, content, ending=".json"):
    text = content if isinstance(content, str) else json.dumps(content)
    return read_any(saved(folder / f"file{ending}", text), Expected(), ANNOTATIONS[name])


def refused(folder, name, content, reason, ending=".json"):
    with pytest.raises(scn_tf.DatasetError, match=reason) as error:
        read(folder, name, content, ending)
    assert str(error.value).startswith(str(folder / f"file{ending}"))
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    "attributes",
    [
        {"keypoint": "tip"},
        {"keypoint": "tip", "remark": " ", "visible": {"yes": True}, "sure": 0.5, "seen": True},
        {"Label": "tip", "side": "left"},
        {"landmark": "tip", "score": "0.5"},
    ],
)
def test_one_attribute_of_via_names_the_points(attributes, tmp_path):
    found = read(tmp_path, "via", exported(a=[region(1.5, 2, **attributes)], b=[]))
    assert (found.names, found.frame, found.images) == (("tip",), "pixel", {"a": "a.png"})
    assert found.points["a"].tolist() == [[1.5, 2]]


def test_attributes_of_via_that_are_ambiguous_are_listed(tmp_path):
    content = exported(a=[region(1, 2, part="tip", side="left")])
    refused(tmp_path, "via", content, "several attributes may name the points: part, side. Keep one of them in VIA, or call it name.")
    content = exported(a=[region(1, 2, name="tip", side="left")], b=[region(1, 2, label="tip")])
    refused(tmp_path, "via", content, "several attributes may name the points: name, label. Keep one of them in VIA.")


def test_points_of_via_without_attributes_keep_their_order_if_they_are_as_many_everywhere(tmp_path):
    content = exported(a=[region(1, 2), region(3, 4)], b=[region(5, 6), region(7, 8)])
    found = read(tmp_path, "via", content)
    assert found.names is None
    assert found.points["b"].tolist() == [[5, 6], [7, 8]]
    content["b.png7"]["regions"].pop()
    refused(tmp_path, "via", content, r"no attribute names the points, and image b\.png has 1, but a\.png 2\. Give them an attribute name")


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        (
            ("a.png7", "regions", 1, "shape_attributes", "name"),
            "rect",
            r"a\.png7\.regions\[1\]\.shape_attributes\.name: expected point \(rem",
        ),
        (("a.png7", "regions", 1, "region_attributes"), {"name": "tip"}, r"regions\[1\]: the name tip appears twice, first in a.*\[0\]"),
        (("a.png7", "regions", 1, "region_attributes"), {}, r"regions\[1\]: expected the name of a landmark in attribute name, found none"),
        (("a.png7", "regions", 1, "region_attributes"), None, r"regions\[1\]\.region_attributes: expected an object"),
        (("a.png7", "regions", 0, "shape_attributes", "cy"), None, r"regions\[0\]\.shape_attributes\.cy: expected a number, received noth"),
        (("a.png7", "regions", 0, "shape_attributes", "cy"), "2", r"cy: expected a number, received '2'"),
        (("a.png7", "regions"), None, r"a\.png7\.regions: expected a list"),
        (("a.png7", "regions"), [], "expected regions of shape point, received none"),
        (("a.png7", "filename"), None, r"a\.png7\.filename: expected a text, received nothing"),
        (("a.png7", "filename"), "../", "expected the name of an image file"),
        (("a.png7", "regions"), [region(1, 2, name=str(n)) for n in range(10_001)], "at most 10,000 landmarks"),
        (("a\n" * 99,), {"filename": "a.png", "regions": []}, r"\.filename: expected the file of one image alone, received 'a\.png'"),
    ],
)
def test_malformed_annotations_of_via_are_refused_with_the_place(place, value, reason, tmp_path):
    content = exported(a=[region(1, 2, name="tip"), region(3, 4, name="base")])
    refused(tmp_path, "via", changed(content, place, value), reason)


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (f"a.png,7,{{}},1,0,{TIP.replace('point', 'polygon')}\n", r"line 2, region_shape_attributes\.name: expected point"),
        (f"a.png,7,{{}},1,0,{TIP.replace('1.5', 'NaN')}\n", "line 2, column region_shape_attributes: expected a finite number"),
        (f"a.png,7,{{}},1,0,{TIP.replace('}', '')}\n", "line 2, column region_shape_attributes: is no valid JSON"),
        (f"a.png,7,{{}},2,0,{TIP}\na.png,7,{{}},2,1,{TIP}\n", "line 3: the name tip appears twice, first in line 2"),
        (f"a.png,7,{{}},2,0,{TIP}\n", r"line 2: region_count of image a\.png is '2', but it has 1 regions\. Is the file cut short"),
        (f"a.png,7,{{}},1,0,{TIP}\na.png,8,{{}},1,0,{BASE}\n", "line 3: image a.png has another file_size or region_count than in line 2"),
        ("a.png,7,{},1,0\n", "line 2: expected 7 columns, received 5. Is the file cut short"),
        (f"a.png,7,{{}},1,0,{TIP[:-1]}\n", "line 2: a quotation mark is left open"),
        (f"a.png,7,{{}},1,0,{TIP[:-3]}\n", "line 2, column region_attributes: is no valid JSON"),
        ('a.png,7,{},0,0,"{}","{}"\n', "expected regions of shape point, received none"),
        (f",7,{{}},1,0,{TIP}\n", "expected the name of an image file"),
    ],
)
def test_malformed_tables_of_via_are_refused_with_the_line(rows, reason, tmp_path):
    refused(tmp_path, "via", HEADER + rows, reason, ".csv")


def test_tables_of_the_first_version_of_via_are_read(tmp_path):
    found = read(tmp_path, "via", f"#{HEADER}a.png,7,{{}},2,0,{TIP}\na.png,7,{{}},2,1,{BASE}\n", ".csv")
    assert found.names == ("tip", "base")
    assert [row.name for row in recognised(tmp_path / "file.csv")] == ["via"]
    refused(tmp_path, "via", "a,1,2\n", "expected a first line filename,file_size", ".csv")


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        (("metadata", "1_0", "xy"), [2, 1, 2, 3, 4], r"metadata\.1_0\.xy: expected 1, x and y of a point \(remove regions of other shapes"),
        (("metadata", "1_0", "xy"), [1, 2], r"metadata\.1_0\.xy: expected 3 numbers"),
        (("metadata", "1_0", "z"), [0.5], r"metadata\.1_0\.z: expected no times: videos are not read"),
        (("metadata", "1_0", "vid"), "9", r"metadata\.1_0\.vid: expected the ID of one that the file lists, received '9'"),
        (("metadata", "1_0", "av"), {"4": "x"}, r"metadata\.1_0\.av\.4: expected an attribute that the project lists"),
        (("view", "1", "fid_list"), ["1", "2"], r"view\.1\.fid_list: expected one file"),
        (("file", "2", "fname"), "a.png", r"metadata\.2_0\.vid: expected 1, the view of a\.png in the regions above, received '2'"),
    ],
)
def test_malformed_projects_of_via_3_are_refused_with_the_place(place, value, reason, tmp_path):
    content = json.loads(samples.via_project_3(tmp_path).read_text())
    refused(tmp_path, "via", changed(content, place, value), reason)


def test_a_project_for_via_states_its_images_and_names_and_is_ours_until_via_saves_it(tmp_path):
    path = tmp_path / "project.json"
    start = Annotations(POINTS, {}, NAMES, "pixel", scores={"a": np.array([0.25, NAN, 1])})
    ANNOTATIONS["via"].write(path, start, FACTS)
    content = json.loads(path.read_text())
    assert content["_via_image_id_list"] == list(content["_via_img_metadata"]) == ["a.png-1", "b.png-1"]
    assert list(content["_via_attributes"]["region"]["name"]["options"]) == list(NAMES)
    assert content["_via_img_metadata"]["a.png-1"]["regions"][0] == region(12.5, 7.25, name="tip", score="0.25")
    assert read_any(path, Expected(), ANNOTATIONS["via"]).names == NAMES
    assert ownership.is_ours(path)
    path.write_text(json.dumps({key: value for key, value in content.items() if key != "scn_tf"}))
    assert not ownership.is_ours(path)


def test_plain_json_may_be_of_one_image_of_volumes_and_of_absent_points(tmp_path):
    for content, image_id in (
        ({"landmarks": {"tip": [1, 2, 3.5], "base": None}}, "file"),
        ({"b.nii.gz": {"tip": [1, 2, 3.5], "base": None}}, "b"),
    ):
        found = read(tmp_path, "json", content)
        assert (found.names, found.frame) == (("tip", "base"), "stated")
        np.testing.assert_array_equal(found.points[image_id], [[1, 2, 3.5], [NAN] * 3])
        assert [row.name for row in recognised(tmp_path / "file.json")] == ["json"]
    found = read(tmp_path, "json", [{"ID": 7, "Points": [[1, 2], [None, None]]}, {"ID": 8, "Points": None}])
    np.testing.assert_array_equal(found.points["7"], [[1, 2], [NAN, NAN]])
    assert (found.names, list(found.points)) == (None, ["7"])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"a.png": {"tip": [1, None]}}, r"a\.png\.tip\[1\]: expected a number, received nothing"),
        ({"a.png": {"tip": [1, "2"]}}, r"a\.png\.tip\[1\]: expected a number, received '2'"),
        ({"a.png": {"tip": [1, 2], "base": [1, 2, 3]}}, r"a\.png\.base: expected 2 numbers"),
        ({"a.png": {"tip": [1]}}, r"a\.png: expected points of two or three coordinates"),
        ({"a.png": {"tip": []}}, r"a\.png: expected points of two or three coordinates"),
        ({"a.png": {"tip": 5}}, r"a\.png\.tip: expected a list"),
        ({"a.png": 5}, r"a\.png: expected a list"),
        ({"a.png": {"tip": [1, 2]}, "b.png": [[1, 2]]}, r"b\.png: expected points with names, as in a\.png"),
        ({"a.png": [[1, 2]], "b.png": [[1, 2], [3, 4]]}, r"b\.png: expected 1 points as in a\.png, received 2\. Write null for none"),
        ({"x/a.png": {"tip": [1, 2]}, "x\\a.png": {"tip": [1, 2]}}, "have the same name"),
        ({"..": {"tip": [1, 2]}}, "expected the name of an image file"),
        ({"a.png": None}, "expected points such as"),
        (
            [{"image": "a.png", "points": [[1, 2]]}, {"image": "a.png", "points": [[1, 2]]}],
            r"\[1\]: image a\.png appears twice, first in \[0\]",
        ),
        ([{"points": [[1, 2]]}], r"\[0\]: expected a key image, file or id"),
        ([{"image": "a.png"}], r"\[0\]: expected one of the keys landmarks, points, keypoints"),
        ([{"image": "a.png", "points": [[1, 2]], "landmarks": [[1, 2]]}], r"\[0\]: expected one of the keys"),
        ([{"image": True, "points": [[1, 2]]}], r"\[0\]\.image: expected a text, received True"),
        ({"a.png": {str(number): [1, 2] for number in range(10_001)}}, "at most 10,000 landmarks"),
        ('{"a.png": {"tip": [1, 2]}, "a.png": {"tip": [1, 2]}}', "has the key 'a.png' twice"),
        ('{"a.png": {"tip": [1,\nNaN]}}', "line 2: expected a finite number, received NaN"),
        ('{"a.png": {"tip": [1,\n', "line 2: is no valid JSON .*cut short"),
    ],
)
def test_malformed_plain_json_is_refused_with_the_place(content, reason, tmp_path):
    refused(tmp_path, "json", content, reason)


def test_json_with_other_contents_is_not_taken_for_points(tmp_path):
    """Facts of images, boxes, results of detectors."""
    for content in (
        {"a.png": {"size": [512, 512], "sex": "f"}},
        {"a.png": [[1, 2, 30, 40]]},
        {"a.png": [1, 2]},
        {"a.png": [], "b.png": {}},
        {"a.png": {"tip": None}},
        {"spacing": [0.1, 0.1], "matrix": [[1, 0], [0, 1]]},
        [{"image_id": 1, "category_id": 1, "keypoints": [1, 2, 2], "score": 0.5}],
        [{"image": "a.png", "landmarks": [{"x": 1, "y": 2}]}],
        [[1, 2], [3, 4]],
        {"filename": "a.png", "regions": []},
        {"project": "hands", "file": "a.png"},
    ):
        assert recognised(saved(tmp_path / "other.json", json.dumps(content))) == []


@pytest.mark.parametrize(("name", "writer"), [sample for sample in samples.SAMPLES if sample[0] in ("via", "json")])
def test_long_files_are_recognised_by_their_beginning(name, writer, tmp_path, monkeypatch):
    many = {f"image {number}": POINTS["b"] for number in range(8000)}
    monkeypatch.setattr(samples, "POINTS", many)
    monkeypatch.setattr(samples, "SIZES", dict.fromkeys(many, (50, 41)))
    path = writer(tmp_path)
    content = path.read_text()
    assert len(content) > 2**18
    for blanks in range(0, 300, 29):  # the beginning ends elsewhere
        path.write_text(content[:1] + " " * blanks + content[1:] if path.suffix == ".json" else content)
        assert [row.name for row in recognised(path)] == [name]


def test_the_beginning_of_json_is_cut_behind_what_is_complete():
    assert json_documents.begun(b'{"a": [1, 2], "b, [": [3') == {"a": [1, 2]}
    assert json_documents.begun(b'[{"a": [[1, 2], [3, 4], [5,') == [{"a": [[1, 2], [3, 4]]}]
    assert json_documents.begun(b'{"a": [1, 2], "b": "x, ], ') == {"a": [1, 2]}
    assert json_documents.begun(b'[{"a": [1], "b": [2]}, {"a": [3], "b"') == [{"a": [1], "b": [2]}]
    for other in (b"", b"[1, 2", b"]", b"[1}", b"[" * 60_000, b'{"a": NaN}', b"\xff\xfe{"):
        assert json_documents.begun(other) is None


PTS = "version: 1\nn_points:  2\n{\n1.5 2\n3 4\n}\n"


def test_points_files_are_counted_from_1(tmp_path):
    found = read(tmp_path, "pts", "\ufeff" + PTS.replace("\n", " \r\n"), ".pts")
    assert (found.names, found.frame) == (None, "one-based")
    assert found.points["file"].tolist() == [[1.5, 2], [3, 4]]
    assert [row.name for row in recognised(tmp_path / "file.pts")] == ["pts"]
    known = read_annotations(tmp_path / "file.pts", Expected(("p", "q"), 2), coordinates="pixel")
    assert known.points["file"].tolist() == [[0.5, 1], [2, 3]]
    with pytest.raises(scn_tf.DatasetError, match=r"dataset\.yaml says coordinates: physical"):
        read_annotations(tmp_path / "file.pts", Expected(("p", "q"), 2), coordinates="physical")
    with pytest.raises(scn_tf.DatasetError, match="expected 3 points, received n_points: 2"):
        read_annotations(tmp_path / "file.pts", Expected(NAMES, 2), coordinates="pixel")
    assert recognised(saved(tmp_path / "cloud.pts", "1200\n0.1 0.2 0.3 120 7 7 7\n")) == []


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("3 4\n}\n", "3", r"line 5: expected x y of point 2 of 2, received '3'"),
        ("}\n", "", "ends after 2 of 2 points, without a last line }. Is the file cut short"),
        ("3 4\n", "", "line 5: expected 2 points as n_points states, received 1"),
        ("3 4\n", "3 4\n5 6\n", "line 6: expected 2 points as n_points states, received more"),
        ("3 4", "3 4 5", "line 5: expected x y of point 2 of 2"),
        ("3 4", "3 inf", "line 5, column y: expected a number, received 'inf'"),
        ("3 4", "3 x", "line 5, column y: expected a number, received 'x'"),
        ("}\n", "}\n7 8\n", "line 7: expected nothing below the points, received '7 8'"),
        ("n_points:  2\n", "", "line 2: expected a line n_points: above it, found none"),
        ("version: 1\n", "", "line 2: expected a line version: above it, found none"),
        ("version: 1", "version: 2", "line 1: expected version: 1, received '2'"),
        ("n_points:  2", "n_points: many", "line 2: expected n_points: from 1 to 10,000, received 'many'"),
        ("n_points:  2", "n_points: 99999", "line 2: expected n_points: from 1 to 10,000"),
        ("n_points:  2", "version: 1", "line 2: expected version:, n_points: and {, once each"),
        ("{\n", "", "line 3: expected version:, n_points: and {, once each, received '1.5 2'"),
        ("{\n1.5 2\n3 4\n}\n", "", "expected a line { above the points, found none"),
        ("3 4", "3" * 300, "line 5: expected at most 200 characters"),
    ],
)
def test_malformed_points_files_are_refused_with_the_line(old, new, reason, tmp_path):
    refused(tmp_path, "pts", PTS.replace(old, new), reason, ".pts")


def test_a_data_set_may_have_points_files(tmp_path):
    for name in POINTS:
        picture(tmp_path / "images" / f"{name}.png")
    (tmp_path / "points").mkdir()
    samples.pts(tmp_path / "points")
    (tmp_path / "dataset.yaml").write_text("name: faces\ndims: 2\nlandmarks: 3\nannotations: points\nannotation_format: pts\n")
    np.testing.assert_allclose(open_dataset(tmp_path).landmarks["b"], POINTS["b"])


def test_the_number_of_the_first_pixel_is_an_option_for_points_files(tmp_path, capfd):
    for name in POINTS:
        picture(tmp_path / "raw" / f"{name}.png", samples.SIZES[name])
    samples.pts(tmp_path / "raw")
    for number, (options, first) in enumerate([((), 1), (("--first", 1), 1), (("--first", 0), 0)]):
        said = init(capfd, tmp_path / "raw", "--out", tmp_path / f"set{number}", *options)[0]
        assert ("counted from 1" in said) == (first == 1)
        np.testing.assert_allclose(open_dataset(tmp_path / f"set{number}").landmarks["b"], POINTS["b"] + 1 - first)
        said, _ = convert(capfd, tmp_path / "raw" / "b.pts", tmp_path / f"{number}.csv", *options)
        assert ("counted from 1" in said) == (first == 1)
        values = (tmp_path / f"{number}.csv").read_text().split(",")[1:]
        np.testing.assert_allclose(np.reshape([float(value) for value in values], (3, 2)), POINTS["b"] + 1 - first, atol=1e-9)


@pytest.mark.parametrize("name", ["via", "pts"])
def test_points_of_volumes_are_refused_by_formats_of_2d_images(name, tmp_path):
    path = tmp_path / f"v{ANNOTATIONS[name].endings[0]}"
    with pytest.raises(scn_tf.DatasetError, match="hold points of 2D images; these have three coordinates"):
        ANNOTATIONS[name].write(path, Annotations({"v": np.ones((3, 3))}, {}, NAMES, "pixel"), {})
    assert not path.exists()


def test_volumes_go_to_plain_json_in_voxels_and_back(hands_3d, tmp_path, capfd):
    convert(capfd, hands_3d, tmp_path / "points.json", "--to", "json")
    init(capfd, hands_3d / "images", tmp_path / "points.json", "--out", tmp_path / "back", "--frame", "pixel")
    before, after = open_dataset(hands_3d), open_dataset(tmp_path / "back")
    assert (before.description.coordinates, after.description.coordinates) == ("physical", "pixel")
    assert after.description.names == before.description.names
    for image_id in before.landmarks:
        image = before.read(image_id)
        np.testing.assert_allclose(after.truth_in_array(image_id, image), before.truth_in_array(image_id, image), atol=EXACT)


@pytest.mark.parametrize(("name", "writer"), [sample for sample in samples.SAMPLES if sample[0] in ("via", "json", "pts")])
def test_init_finds_the_files_beside_their_images(name, writer, tmp_path, capfd):
    for image_id, size in samples.SIZES.items():
        picture(tmp_path / "raw" / "images" / f"{image_id}.png", size)
    writer(tmp_path / "raw")
    said = init(capfd, tmp_path / "raw", "--out", tmp_path / "set")[0]
    assert f"of format {name}" in said
    dataset = open_dataset(tmp_path / "set")
    order = [dataset.description.names.index(part) for part in NAMES] if set(dataset.description.names) == set(NAMES) else [0, 1, 2]
    for image_id, points in POINTS.items():
        np.testing.assert_allclose(dataset.landmarks[image_id][order], points)


def test_one_half_written_file_of_many_is_named(tmp_path, capfd):
    for name in POINTS:
        picture(tmp_path / "raw" / f"{name}.png", samples.SIZES[name])
    samples.pts(tmp_path / "raw")
    path = tmp_path / "raw" / "b.pts"
    path.write_text(path.read_text()[:-4])
    assert "b.pts" in init(capfd, tmp_path / "raw", "--out", tmp_path / "set", status=1)[1]
    assert cli.main(["convert", str(tmp_path / "raw" / "a.pts"), str(tmp_path / "x.pts")]) == 0  # by its ending
