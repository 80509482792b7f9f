"""Annotation formats as a whole: recognition, folders of one file per image, frames, writing."""

import dataclasses
import json

import numpy as np
import pytest

import scn_tf
from scn_tf.data.annotations import (
    ANNOTATIONS,
    AnnotationFormat,
    Annotations,
    Expected,
    converted,
    merged,
    read_any,
    recognised,
    write_annotations,
)
from scn_tf.data.annotations.formats.scn import SCN
from scn_tf.data.images.facts import ImageFacts, read_facts

NAMES = ("tip", "base", "root")
POINTS = {"a": np.array([[1.5, 2], [np.nan, np.nan], [30, 40]]), "b": np.array([[7, 8], [9, 10.25], [0, 19]])}
FRAME = np.array([[0, -2.0, 100], [0.5, 0, -7], [0, 0, 1]])
FACTS = {"a": ImageFacts("a.png", (50, 41), (0.5, 2.0), FRAME), "b": ImageFacts("b.png", (31, 20), None, None)}


def read_one(path, expected):
    content = json.loads(path.read_text(encoding="utf-8"))
    points = np.array([[np.nan, np.nan] if xy is None else xy for xy in content.values()])
    return Annotations({path.stem: points}, {}, tuple(content), "pixel")


def write_one(path, annotations, facts):
    (values,) = annotations.points.values()
    path.write_text(json.dumps({name: xy.tolist() for name, xy in zip(annotations.names, values, strict=True) if np.isfinite(xy).all()}))


SINGLE = AnnotationFormat("single", (".one",), "one file per image", read_one, write_one, per_image=True, writes="pixel")


@pytest.mark.parametrize("frame", ["physical", "bottom", "fraction", "one-based"])
def test_points_go_to_another_frame_and_back(frame):
    start = Annotations(POINTS, {}, NAMES, "pixel")
    there = converted(start, frame, FACTS)
    assert there.frame == frame
    assert there.names == NAMES
    assert not np.allclose(there.points["a"][0], POINTS["a"][0])
    back = converted(there, "pixel", FACTS)
    for image_id, points in POINTS.items():
        np.testing.assert_allclose(back.points[image_id], points, atol=1e-9)


def test_frames_have_their_stated_meaning():
    start = Annotations({"a": np.array([[10.0, 40.0]]), "b": np.array([[3.0, 4.0]])}, {}, frame="pixel")
    assert converted(start, "bottom", FACTS).points["a"].tolist() == [[10, 0]]  # the last row
    np.testing.assert_allclose(converted(start, "fraction", FACTS).points["a"], [[0.2, 40 / 41]])
    one_based = converted(start, "one-based", {})  # which needs no image
    assert one_based.points["a"].tolist() == [[11, 41]]
    np.testing.assert_allclose(converted(one_based, "fraction", FACTS).points["a"], [[0.2, 40 / 41]])
    np.testing.assert_allclose(converted(start, "physical", FACTS).points["a"], [[20, -2]])
    assert converted(start, "physical", FACTS).points["b"].tolist() == [[3, 4]]  # no frame: a pixel counts as 1 mm


def test_what_a_conversion_lacks_is_named():
    start = Annotations(POINTS, {}, NAMES, "pixel")
    with pytest.raises(scn_tf.DatasetError, match="b: its image is needed to convert pixel coordinates to physical"):
        converted(start, "physical", {"a": FACTS["a"]})
    with pytest.raises(scn_tf.DatasetError, match="a: its landmarks have 2 coordinates, but its image has 3 dimensions"):
        converted(start, "bottom", {"a": ImageFacts("a.nii", (5, 6, 7), None, None)})
    with pytest.raises(scn_tf.DatasetError, match="pixels or mm"):
        converted(dataclasses.replace(start, frame="stated"), "physical", FACTS)


def test_a_folder_of_one_file_per_image_is_one_set_of_annotations(tmp_path):
    written = write_annotations(tmp_path / "out", Annotations(POINTS, {}, NAMES, "pixel"), SINGLE, FACTS)
    assert [path.name for path in written] == ["a.one", "b.one"]
    (tmp_path / "out" / "notes.txt").write_text("of another kind")
    found = read_any(tmp_path / "out", Expected(), SINGLE)
    assert found.names == NAMES  # base is absent in the first file, and between the others in the second
    assert found.sources["b"] == tmp_path / "out" / "b.one"
    for image_id, points in POINTS.items():
        np.testing.assert_array_equal(found.points[image_id], points)


def test_files_that_do_not_belong_together_are_rejected(tmp_path):
    one = Annotations({"a": np.zeros((2, 2))}, {}, None, "pixel")
    for other, reason in [
        (Annotations({"a": np.zeros((2, 2))}, {}, None, "pixel"), "a second file for image a, after a.one"),
        (Annotations({"b": np.zeros((3, 2))}, {}, None, "pixel"), r"expected 2 landmarks of 2 coordinates as in a.one, received \(3, 2\)"),
        (Annotations({"b": np.zeros((2, 2))}, {}, None, "physical"), "states another frame"),
    ]:
        with pytest.raises(scn_tf.DatasetError, match=reason):
            merged([(tmp_path / "a.one", one), (tmp_path / "c.one", other)])
    (tmp_path / "empty").mkdir()
    with pytest.raises(scn_tf.DatasetError, match="expected files of format single"):
        read_any(tmp_path / "empty", Expected(), SINGLE)


def test_our_table_is_recognised_and_read_without_a_description(tmp_path):
    path = tmp_path / "landmarks.csv"
    SCN.write(path, Annotations(POINTS, {}), {})
    assert SCN in recognised(path)
    found = read_any(path, Expected(dims=2), SCN)
    np.testing.assert_array_equal(found.points["a"], POINTS["a"])
    path.write_text("id,x1,y1\na,1,2\n")
    assert SCN not in recognised(path)
    with pytest.raises(scn_tf.DatasetError, match="two or three coordinates"):
        read_any(path, Expected(), SCN)


def test_coordinates_that_need_the_image_do_not_come_from_a_data_set(tmp_path):
    row = AnnotationFormat("below", (".below",), "y from below", lambda path, expected: Annotations(POINTS, {}, NAMES, "bottom"))
    (tmp_path / "a.below").write_text("")
    scn_tf.register_annotation_format(row)
    try:
        with pytest.raises(scn_tf.DatasetError, match=r"pixels counted from the bottom\. Make a data set of the file with scn-tf init"):
            scn_tf.data.annotations.read_annotations(tmp_path / "a.below", Expected(NAMES, 2), coordinates="pixel")
    finally:
        scn_tf.data.annotations.ANNOTATIONS.unregister("below")


def test_facts_of_a_turned_volume_are_those_of_its_file(tmp_path):
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.arange(2 * 3 * 4, dtype="uint8").reshape(2, 3, 4))
    image.SetSpacing((0.5, 1.5, 3.0))
    image.SetOrigin((10, 20, 30))
    image.SetDirection((0, 0, 1, -1, 0, 0, 0, -1, 0))
    sitk.WriteImage(image, str(tmp_path / "a.mha"))
    facts = read_facts(tmp_path / "a.mha", dims=3)
    assert facts.size == (4, 3, 2)
    assert facts.spacing == (0.5, 1.5, 3.0)
    point = facts.physical_from_pixel @ [1, 2, 1, 1]
    np.testing.assert_allclose(point[:3], image.TransformIndexToPhysicalPoint((1, 2, 1)))


@pytest.mark.parametrize("row", [row for row in ANNOTATIONS.values() if row.write], ids=lambda row: row.name)
def test_every_format_recognises_and_returns_what_it_wrote(row, tmp_path):
    """In two dimensions, or in three where a format is of volumes alone. Nobody else takes the file for its own."""
    if row.name == "dicom-sr":
        pytest.skip("needs DICOM images; see test_dicom_sr")
    flat = row.writes != "physical"
    sizes = (50, 41) if flat else (50, 41, 30)
    facts = {name: ImageFacts(tmp_path / f"{name}.nii", sizes, (1.0,) * len(sizes), np.eye(len(sizes) + 1)) for name in ("left", "right_2")}
    values = {"left": [[1.5, 2.25, 3], [40, 33.125, 7]], "right_2": [[11, 0, 12], [20.0625, 39, 9]]}
    if row.name == "labelmap":  # voxels
        values = {name: np.round(points) for name, points in values.items()}
    points = {name: np.array(points)[:, : len(sizes)] for name, points in values.items()}
    frame = "pixel" if flat else "physical"
    start = Annotations(points, {}, ("tip", "base"), frame)
    written = write_annotations(tmp_path / "out" if row.per_image else tmp_path / f"all{row.endings[0]}", start, row, facts)
    for path in written:
        assert recognised(path) == [row]
    found = read_any(written[0].parent if row.per_image else written[0], Expected(dims=len(sizes)), row)
    ready = dataclasses.replace(found, frame=frame) if found.frame == "stated" else converted(found, frame, facts)
    assert ready.points.keys() == points.keys()
    for name, expected in points.items():
        order = [ready.names.index(landmark) for landmark in start.names] if ready.names else [0, 1]
        np.testing.assert_allclose(ready.points[name][order], expected, atol=1e-6)
