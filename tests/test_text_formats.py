"""Annotation formats of text files: what other tools write is read, what is written is read again, and what is wrong is named."""

import dataclasses
import struct
import zipfile

import numpy as np
import pytest

import scn_tf
from scn_tf.data.annotations import ANNOTATIONS, Annotations, Expected, converted, read_any, recognised, write_annotations
from scn_tf.data.images.facts import ImageFacts
from tests import annotation_samples as samples
from tests.annotation_samples import EXACT, FACTS, NAMES, NAN, SAMPLES, assert_same, saved

ids = [f"{name}-{writer.__name__}" for name, writer in SAMPLES]


@pytest.mark.parametrize(("name", "writer"), SAMPLES, ids=ids)
def test_exactly_one_format_recognises_a_file_and_reads_its_points(tmp_path, name, writer):
    place = writer(tmp_path)
    for file in [place] if place.is_file() else sorted(place.iterdir()):
        assert [row.name for row in recognised(file)] == [name]
    found = read_any(place, Expected(), ANNOTATIONS[name])
    assert_same(
        converted(dataclasses.replace(found, frame="pixel") if found.frame == "stated" else found, "pixel", FACTS), **ROUNDED.get(name, {})
    )
    if found.images:
        assert [image.rpartition("/")[2] for image in found.images.values()] == ["a.png", "b.png"]


ROUNDED = {"dlib-xml": {"atol": 0.5}}
WRITTEN = ["csv-wide", "csv-long", "tps", "dlib-xml", "isbi", "napari", "yolo-pose", "imagej", "pts", "via", "json"]


@pytest.mark.parametrize("name", WRITTEN)
def test_points_that_are_written_are_read_again(tmp_path, name):
    row = ANNOTATIONS[name]
    path = tmp_path / "out" if row.per_image else tmp_path / f"out{row.endings[0]}"
    start = Annotations(EXACT, {}, NAMES, "pixel", {"a": "films/a.png"})
    files = write_annotations(path, start, row, FACTS)
    assert all([found.name for found in recognised(file)] == [name] for file in files)
    found = read_any(path, Expected(), row)
    if found.frame == "stated":
        found = dataclasses.replace(found, frame="pixel")
    assert_same(converted(found, "pixel", FACTS), EXACT)
    assert found.images.get("a", "films/a.png") == "films/a.png"


@pytest.mark.parametrize("name", WRITTEN)
def test_an_image_without_any_point_can_be_written(tmp_path, name):
    row = ANNOTATIONS[name]
    none = Annotations({"a": EXACT["a"], "b": np.full((3, 2), NAN)}, {}, NAMES, "pixel")
    path = tmp_path / "out" if row.per_image else tmp_path / f"out{row.endings[0]}"
    write_annotations(path, none, row, FACTS)
    found = read_any(path, Expected(), row)
    assert np.isfinite(found.points["a"]).all(axis=1).sum() == 2
    assert not np.isfinite(found.points.get("b", [NAN])).any()


@pytest.mark.parametrize("name", ["csv-wide", "csv-long", "napari", "imagej", "json"])
def test_points_of_a_volume_keep_their_third_coordinate(tmp_path, name):
    row = ANNOTATIONS[name]
    points = {"v": np.array([[1.25, 2.5, 3.75], [NAN, NAN, NAN], [7, 8.125, 9.0625]])}
    path = tmp_path / "out" if row.per_image else tmp_path / f"out{row.endings[0]}"
    write_annotations(path, Annotations(points, {}, NAMES, "pixel"), row, {})
    assert_same(read_any(path, Expected(), row) if name != "napari" else named(read_any(path, Expected(NAMES, 3), row)), points)


def named(found):
    """napari's file leaves the absent landmark out."""
    assert found.names == ("tip", "root")
    return dataclasses.replace(found, names=NAMES, points={"v": np.insert(found.points["v"], 1, NAN, axis=0)})


@pytest.mark.parametrize("name", ["tps", "dlib-xml", "isbi", "yolo-pose"])
def test_formats_of_2d_images_name_the_way_out_for_volumes(tmp_path, name):
    row = ANNOTATIONS[name]
    start = Annotations({"v": np.ones((3, 3))}, {}, NAMES, row.writes)
    with pytest.raises(scn_tf.DatasetError, match=r"2D images\. Choose another format, such as slicer"):
        write_annotations(tmp_path / "out", start, row, {})


WRONG = {
    ("csv-wide", "image,tip_x,tip_y\na,1,east\n"): r"line 2, column tip_y: expected a number, received 'east'",
    ("csv-wide", "image,tip_x,tip_y\na,1,inf\n"): r"line 2, column tip_y: expected a number, received 'inf'",
    ("csv-wide", "image,tip_x,tip_y\na,1,1_0\n"): "received '1_0'",
    ("csv-wide", 'image,tip_x,tip_y\na,1,"1,234"\n'): r"received '1,234'\. Remove the marks of thousands",
    ("csv-wide", "image;tip_x;tip_y\na;1;1.234,5\n"): r"received '1\.234,5'\. Remove the marks of thousands",
    ("csv-wide", "image,tip_x,tip_y\na,1,\n"): "line 2: landmark tip has only some of its coordinates",
    ("csv-wide", "image,tip_x,tip_y\na,1\n"): "line 2: expected 3 columns as in the header, received 2. Is the file cut short",
    ("csv-wide", "image,tip_x,tip_y\na,1,2,3\n"): "line 2: expected 3 columns as in the header, received 4",
    ("csv-wide", "image,tip_x,tip_y\na,1,2\na,1,2\n"): r"line 3: a appears twice \(first in line 2\)",
    ("csv-wide", "image,tip_x,tip_y\n,1,2\n"): "line 2: the name of the image is missing",
    ("csv-wide", "image,tip_x,tip_y\n..,1,2\n"): "expected the name of an image file",
    ("csv-wide", "image,tip_x,base_x,base_y\na,1,2,3\n"): "line 1: column tip_x is the only one of landmark tip. Expected x and y",
    ("csv-wide", "image,tip_x,tip_y,tip_x\na,1,2,3\n"): "landmark tip has two columns for x",
    ("csv-wide", "image,tip_x,tip_y,tip_z,base_x,base_y\na,1,2,3,4,5\n"): "landmark base has no column for z",
    ("csv-wide", "image,tip_x_mm,tip_y_px\na,1,2\n"): r"different units \(mm and px\)",
    ("csv-wide", "tip_x,tip_y\n1,2\n3,4\n"): "line 1: no column names the images",
    ("csv-wide", "image,tip,,base,\na,1,2,3,4\n"): "Are cells merged",
    ("csv-wide", "a,1,2,3,4\n"): "There is no header",
    ("csv-wide", "image,width\na,1\n"): "Spell them as tip_x, tip_y",
    ("csv-wide", "image,tip_x,tip_y\n"): "holds no row with points",
    ("csv-wide", ""): "the table is empty",
    ("csv-wide", 'image,tip_x,tip_y\n"a,1,2\nb,1,2\n'): "line 2: a quotation mark is left open",
    ("csv-wide", "image,tip_x,tip_y" + "," * 70000 + "\n"): "line 1: expected at most 60,000 columns",
    ("csv-wide", "image,tip_x,tip_y\n" + "a" * 4000001 + ",1,2\n"): "line 2: expected at most 60,000 columns and 4,000,000 characters",
    ("csv-wide", "image,tip_x,tip_y\na\0,1,2\n"): "it holds a null byte in line 2",
    ("csv-wide", "scorer,n,n\nbodyparts,tip,tip\na.png,1,2\n"): "expected rows bodyparts and coords below scorer",
    ("csv-long", "image,landmark,x,y\na,tip,1,2\na,tip,3,4\n"): "line 3: image a has landmark tip twice, first in line 2",
    ("csv-long", "image,landmark,x,y\na,tip,1,-inf\n"): "line 2, column y: expected a number, received '-inf'",
    ("csv-long", "image,landmark,x,y\na,tip,1\n"): "line 2: expected 4 columns as in the header, received 3",
    ("csv-long", "image,landmark,x,y\na,,1,2\n"): "line 2: expected the name of a landmark",
    ("csv-long", "image,landmark,x,y\na,tip,,2\n"): "line 2: landmark tip has only some of its coordinates",
    ("csv-long", "image,landmark,x,y,z\na,tip,1,2,\na,base,1,2,3\n"): "some points have z and others have none",
    ("csv-long", "image,landmark,x\na,tip,1\n"): "expected a header with columns x and y",
    ("csv-long", "image,x,y\na,1,2\na,3,4\nb,1,2\n"): "no column names the landmarks, and image b has 1 points, fewer than others",
    ("csv-long", "id,x,y\na,1,2\nb,3,4\n"): "column id may name images or landmarks",
    ("csv-long", "image,landmark,x,y\n"): "holds no points",
    ("tps", "LM=2\n1 2\n"): "ends after 1 of 2 points of its last image",
    ("tps", "LM=2\n1 2\nIMAGE=a.png\n"): r"line 3: expected 2 coordinates of point 2 of 2, received 'IMAGE=a\.png'",
    ("tps", "LM=1\n1 2\n"): "line 1: expected IMAGE= or ID=",
    ("tps", "LM=many\n1 2\n"): "line 1: expected a number of points",
    ("tps", "LM=99999999999\n"): "line 1: expected a number of points",
    ("tps", "LM=1\n1 2\nCURVES=1\nPOINTS=2\n1 2\n3 4\nIMAGE=a\n"): "line 3: holds curves.*save their points as landmarks",
    ("tps", "LM=1\n1 2\nIMAGE=a\nLM=2\n1 2\n3 4\nIMAGE=b\n"): "line 4: b has 2 points of 2 coordinates. Expected 1 of 2 as in line 1",
    ("tps", "LM=1\n1 2\nIMAGE=a\nLM=1\n1 2\nIMAGE=a\n"): "line 4: a appears twice",
    ("tps", "LM=1\n1 x\nIMAGE=a\n"): "line 2, column y: expected a number, received 'x'",
    ("tps", "LM=1\n1 2\nIMAGE=a\nIMAGE=b\n"): "line 4: IMAGE appears twice",
    ("tps", "LM=1\n1 2\nhello\n"): "line 3: expected LM= or a line such as IMAGE=",
    ("tps", "IMAGE=a\n"): "line 1: expected LM=",
    (
        "dlib-xml",
        "<dataset><images><image file='a'><box><part name='t' x='1' y='2'/></box><box/></image></images></dataset>",
    ): "several boxes",
    ("dlib-xml", "<dataset><images><image file='a'><box><part name='t' x='1'/></box></image></images></dataset>"): "attribute y of <part>",
    (
        "dlib-xml",
        "<dataset>\n<image file='a'><box><part name='t' x='1' y='e'/></box></image></dataset>",
    ): "line 2, column y of part t: expected",
    ("dlib-xml", "<dataset><image file='a'><box><part name='t' x='1' y='2'/></box></image>\n"): "no valid XML.*Is it cut short",
    ("dlib-xml", "<dataset><image file='a'/><image file='a'/></dataset>"): "image a appears twice",
    ("dlib-xml", "<dataset><image/></dataset>"): "attribute file of <image>",
    ("dlib-xml", "<dataset><image file='a'/></dataset>"): "holds no points",
    ("dlib-xml", "<annotations/>"): "expected <dataset> of imglab, received <annotations>",
    ("dlib-xml", "<dataset>" + "<a>" * 1000): "nested too deeply",
    ("dlib-xml", '<!DOCTYPE d [<!ENTITY a "b">]><dataset>&a;</dataset>'): "document type or entities",
    ("isbi", "1,2\n3,4\nfive\n"): "line 3: expected x,y of a landmark, received 'five'",
    ("isbi", "1,2\n1\n3,4\n"): "line 3: expected a diagnosis, received '3,4'",
    ("isbi", "1,2\n3,inf\n"): "line 2, column y: expected a number",
    ("isbi", "1,2\n" + "1" * 300): "line 2: expected x,y of a landmark, received 300 characters",
    ("isbi", "\n"): "expected lines x,y, found none",
    ("napari", "index,shape-type,vertex-index,axis-0,axis-1\n0,polygon,0,1,2\n"): "is a shapes layer of napari",
    ("napari", "index,axis-0,axis-1\n0,1\n"): "line 2: expected 3 columns, received 2",
    ("napari", "index,axis-0,axis-1\n0,1,x\n"): "line 2, column axis-1: expected a number",
    ("napari", "index,axis-0,axis-1,axis-2,axis-3\n0,1,2,3,4\n"): "expected axis-0, axis-1 and at most axis-2",
    ("napari", "index,axis-0,axis-1,label\n0,1,2,tip\n1,1,2,tip\n"): "line 3: image t has landmark tip twice",
    ("yolo-pose", "0 .5 .5 .1 .1 .5 .5\n1 .5 .5 .1 .1 .5 .5\n"): "line 2: holds 2 objects. Expected one per image",
    ("yolo-pose", "0 .5 .5 .1 .1\n"): "line 1: expected class cx cy w h and keypoints",
    ("yolo-pose", "0 .5 .5 .1 .1 .5 .5 .5 .5 .5\n"): "expected 2 or 3 numbers per keypoint, received 5",
    ("yolo-pose", "0 .5 .5 .1 .1 120 240\n"): "expected fractions of the image's sides.*Are they pixels",
    ("yolo-pose", "0 .5 .5 .1 .1 .5 nought\n"): "line 1, column 7: expected a number",
    ("imagej", " ,X,Y\n1,2\n"): "line 2: expected 3 columns, received 2",
    ("imagej", " ,Label,X,Y\n1,a.png,2,3\n2,b.png,2,3\n3,b.png,4,5\n"): "holds points of several images",
    ("imagej", " ,Area\n1,2\n"): "expected the columns X and Y",
}
ENDING = {"tps": "tps", "dlib-xml": "xml", "isbi": "txt", "yolo-pose": "txt"}


@pytest.mark.parametrize(("name", "text"), WRONG, ids=lambda value: value[:40] if isinstance(value, str) else None)
@pytest.mark.filterwarnings("ignore:.*columns without coordinates are ignored")
def test_malformed_files_are_rejected_by_line_and_fix(tmp_path, name, text):
    path = saved(tmp_path / f"t.{ENDING.get(name, 'csv')}", text)
    with pytest.raises(scn_tf.DatasetError, match=f"t\\.{path.suffix[1:]}.*{WRONG[name, text]}") as caught:
        read_any(path, Expected(), ANNOTATIONS[name])
    assert len(str(caught.value)) < 600
    assert "\n" not in str(caught.value)


def test_tps_reads_ids_blanks_and_three_dimensions(tmp_path):
    path = saved(tmp_path / "t.tps", "lm3=2\n 1.5  2 3 \nNA NA NA\nid = hand 7\nCURVES=0\nVARIABLES=age\n\n")
    found = read_any(path, Expected(), ANNOTATIONS["tps"])
    assert (found.frame, found.names) == ("stated", None)
    np.testing.assert_array_equal(found.points["hand 7"], [[1.5, 2, 3], [NAN, NAN, NAN]])


def test_tps_keeps_a_point_outside_its_image_but_not_one_that_would_read_as_absent(tmp_path):
    row = ANNOTATIONS["tps"]
    path = tmp_path / "t.tps"
    write_annotations(path, Annotations({"a": np.array([[-3.5, 2]])}, {}, None, "bottom"), row, {})
    np.testing.assert_array_equal(read_any(path, Expected(), row).points["a"], [[-3.5, 2]])
    with pytest.raises(scn_tf.DatasetError, match="left of and below its image"):
        write_annotations(path, Annotations({"a": np.array([[-3.5, -2]])}, {}, None, "bottom"), row, {})


def test_isbi_files_may_have_blanks_and_any_number_of_landmarks(tmp_path):
    path = saved(tmp_path / "001.txt", "1 2\n 3\t4 \n5 6\n")
    assert [row.name for row in recognised(path)] == ["isbi"]
    np.testing.assert_array_equal(read_any(path, Expected(), ANNOTATIONS["isbi"]).points["001"], [[1, 2], [3, 4], [5, 6]])
    with pytest.raises(scn_tf.DatasetError, match="expected 2 lines x,y, received 3"):
        read_any(path, Expected(("p", "q"), 2), ANNOTATIONS["isbi"])


def test_yolo_tells_visibilities_by_settings_by_count_and_by_values(tmp_path):
    row = ANNOTATIONS["yolo-pose"]
    (tmp_path / "labels").mkdir()
    path = tmp_path / "labels" / "a.txt"
    head = "0 .5 .5 .1 .1 "
    for text, points in [
        (".1 .2 .3 .4", [[0.1, 0.2], [0.3, 0.4]]),
        (".1 .2 1", [[0.1, 0.2]]),
        (".1 .2 2 .3 .4 0", [[0.1, 0.2], [NAN, NAN]]),
        (".1 .2 .3 .4 0 0", [[0.1, 0.2], [0.3, 0.4], [NAN, NAN]]),
    ]:
        found = read_any(saved(path, head + text), Expected(), row)
        assert (found.frame, found.names) == ("fraction", None)
        np.testing.assert_array_equal(found.points["a"], points)
    saved(path, head + ".1 .2 1 .4 0 2")
    saved(tmp_path / "data.yaml", "kpt_shape: [3, 2]\nkpt_names: {0: [tip, base, root]}\n")
    found = read_any(path, Expected(), row)
    assert found.names == NAMES
    np.testing.assert_array_equal(found.points["a"], [[0.1, 0.2], [1, 0.4], [0, 2]])
    saved(tmp_path / "data.yaml", "kpt_shape: [4, 2]\n")
    with pytest.raises(scn_tf.DatasetError, match=r"expected 13 numbers \(4 keypoints\), received 11"):
        read_any(path, Expected(), row)
    saved(tmp_path / "data.yaml", "kpt_shape: many\n")
    with pytest.raises(scn_tf.DatasetError, match=r"data\.yaml: kpt_shape: expected \[number of keypoints, 2 or 3\]"):
        read_any(path, Expected(), row)


def test_yolo_folders_may_have_images_without_objects(tmp_path):
    saved(tmp_path / "a.txt", "")
    saved(tmp_path / "b.txt", "0 .5 .5 .1 .1 .5 .5\n")
    saved(tmp_path / "classes.txt", "hand\n")
    found = read_any(tmp_path, Expected(), ANNOTATIONS["yolo-pose"])
    assert list(found.points) == ["b"]
    assert recognised(tmp_path / "classes.txt") == []


def test_imglab_files_hold_whole_pixels_and_the_exact_ones_until_a_part_is_moved(tmp_path):
    row = ANNOTATIONS["dlib-xml"]
    path = tmp_path / "t.xml"
    write_annotations(path, Annotations({"a": np.array([[12.25, 7], [3, 4]])}, {}, ("tip", "base"), "pixel"), row, FACTS)
    text = path.read_text()
    assert '<part name="tip" x="12" y="7" exact_x="12.25" />' in text
    assert '<image file="a.png" width="50" height="41">' in text
    found = read_any(path, Expected(), row)
    assert found.sizes == {"a": (50, 41)}
    assert found.points["a"][0].tolist() == [12.25, 7]
    saved(path, text.replace('x="12"', 'x="15"'))
    assert read_any(path, Expected(), row).points["a"][0].tolist() == [15, 7]
    saved(path, text.replace("<box ", "<box ignore='1' />\n<box "))
    assert read_any(path, Expected(), row).points["a"][0].tolist() == [12.25, 7]


def test_selections_of_imagej_keep_names_and_exact_numbers_until_a_point_is_moved(tmp_path):
    import roifile

    row = ANNOTATIONS["imagej"]
    path = tmp_path / "out" / "a.roi"
    write_annotations(path.parent, Annotations({"a": EXACT["a"]}, {}, NAMES, "pixel"), row, {})
    roi = roifile.ImagejRoi.fromfile(path)
    assert roi.roitype == roifile.ROI_TYPE.POINT
    np.testing.assert_allclose(roi.coordinates(), EXACT["a"][[0, 2]], atol=1e-5)
    roi.subpixel_coordinates[1, 0] = 5.5
    path.write_bytes(roi.tobytes())
    found = read_any(path, Expected(), row)
    assert found.names == NAMES
    np.testing.assert_array_equal(found.points["a"], [EXACT["a"][0], [NAN, NAN], [5.5, EXACT["a"][2, 1]]])
    more = roifile.ImagejRoi.frompoints(np.array([[1.0, 2], [3, 4], [5, 6]]))
    more.roitype, more.props = roifile.ROI_TYPE.POINT, roi.props
    path.write_bytes(more.tobytes())
    assert read_any(path, Expected(), row).names is None  # a point was added


def test_a_set_of_selections_can_be_written_and_those_without_names_keep_their_order(tmp_path):
    row = ANNOTATIONS["imagej"]
    path = tmp_path / "a.zip"
    row.write(path, Annotations({"a": EXACT["a"]}, {}, NAMES, "pixel"), {})
    found = read_any(path, Expected(), row)
    assert found.names == ("tip", "root")
    np.testing.assert_array_equal(found.points["a"], EXACT["a"][[0, 2]])
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        for name, point in (("0040-0030", [[30.0, 40]]), ("0002-0001", [[1.0, 2]])):
            archive.writestr(f"{name}.roi", samples.roi(np.array(point), name))
    found = read_any(tmp_path / "b.zip", Expected(), row)
    assert found.names is None
    np.testing.assert_array_equal(found.points["b"], [[30, 40], [1, 2]])


def test_damaged_and_other_selections_are_rejected(tmp_path):
    row = ANNOTATIONS["imagej"]
    good = samples.roi(np.array([[1.0, 2], [3, 4]]), "two")
    for content, reason in [
        (samples.roi(np.array([[1.0, 2], [3, 4]]), "two", kind=0), "received a selection of type polygon"),
        (good[:40], "is a damaged selection of ImageJ"),
        (good[:70], "is a damaged selection of ImageJ"),
        (good[:16] + b"\xff\xff" + good[18:], "is a damaged selection of ImageJ"),
        (b"Iout" + bytes(2**22), "a selection of at most 4,194,304 bytes"),
        (good.replace(struct.pack(">f", 3), struct.pack(">f", np.inf)), "expected finite coordinates"),
    ]:
        (tmp_path / "t.roi").write_bytes(content)
        with pytest.raises(scn_tf.DatasetError, match=rf"t\.roi: .*{reason}"):
            read_any(tmp_path / "t.roi", Expected(), row)
    (tmp_path / "t.zip").write_bytes(b"PK\3\4 cut")
    with pytest.raises(scn_tf.DatasetError, match="is a damaged archive"):
        read_any(tmp_path / "t.zip", Expected(), row)
    with zipfile.ZipFile(tmp_path / "t.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(20):
            archive.writestr(f"{number}.roi", bytes(2**22))
    with pytest.raises(scn_tf.DatasetError, match="67,108,864 bytes"):
        read_any(tmp_path / "t.zip", Expected(), row)


@pytest.mark.parametrize("name", WRITTEN)
def test_files_of_other_programs_are_never_written_over(tmp_path, name):
    row = ANNOTATIONS[name]
    ours, foreign = tmp_path / f"a{row.endings[0]}", tmp_path / f"b{row.endings[0]}"
    one = {"b": Annotations({"b": EXACT["b"]}, {}, NAMES, row.writes), "a": Annotations({"a": EXACT["b"]}, {}, NAMES, row.writes)}
    foreign.write_bytes(b"Iout" if name == "imagej" else b"of another program")
    before = foreign.read_bytes()
    with pytest.raises(scn_tf.WriteError, match="not written by scn_tf; choose another name"):
        row.write(foreign, one["b"], FACTS)
    assert foreign.read_bytes() == before
    row.write(ours, one["a"], FACTS)
    if name in ("tps", "dlib-xml", "imagej", "via"):  # the others have no place for a mark
        row.write(ours, one["a"], FACTS)
    else:
        with pytest.raises(scn_tf.WriteError, match="not written by scn_tf"):
            row.write(ours, one["a"], FACTS)


def test_names_in_imglab_files_are_read_whatever_encoding_they_state(tmp_path):
    text = (
        "<?xml version='1.0' encoding='ISO-8859-1'?><dataset><image file='é.png'><box><part name='ü' x='1' y='2'/></box></image></dataset>"
    )
    for stated in (text, text.replace("ISO-8859-1", "of-mine")):
        found = read_any(saved(tmp_path / "t.xml", stated), Expected(), ANNOTATIONS["dlib-xml"])
        assert (found.names, list(found.points)) == (("ü",), ["é"])


@pytest.mark.parametrize("name", WRITTEN)
def test_real_hands_survive_every_format(real_data, tmp_path, name):
    dataset = real_data / "hand_xray"
    known = read_any(dataset / "landmarks.csv", Expected(dims=2), ANNOTATIONS["scn"]).points
    points = {image_id: known[image_id] for image_id in sorted(known)[:6]}
    facts = {image_id: ImageFacts(dataset / "images" / f"{image_id}.jpg", (700, 1000), None, None) for image_id in points}
    row = ANNOTATIONS[name]
    path = tmp_path / "out" if row.per_image else tmp_path / f"out{row.endings[0]}"
    write_annotations(path, Annotations(points, {}, None, "pixel"), row, facts)
    found = read_any(path, Expected(), row)
    found = converted(dataclasses.replace(found, frame="pixel") if found.frame == "stated" else found, "pixel", facts)
    assert found.names is None
    for image_id, values in points.items():
        np.testing.assert_allclose(found.points[image_id], values, rtol=0, atol=1e-6)


@pytest.mark.parametrize("ending", [".roi", ".zip", ".csv"])
def test_imagej_keeps_the_slices_of_a_volume(tmp_path, ending):
    points = np.array([[1.25, 2.5, 3.75], [7, 8.125, 9.0625]])
    row = ANNOTATIONS["imagej"]
    row.write(tmp_path / f"v{ending}", Annotations({"v": points}, {}, ("tip", "base"), "pixel"), {})
    found = read_any(tmp_path / f"v{ending}", Expected(), row)
    assert found.names == ("tip", "base")
    np.testing.assert_array_equal(found.points["v"], points)
    with pytest.raises(scn_tf.DatasetError, match="lie in several slices"):
        read_any(tmp_path / f"v{ending}", Expected(dims=2), row)
