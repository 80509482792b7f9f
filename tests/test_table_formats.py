"""Tables of points as programs and people write them: their headers, separators, units, rows and limits."""

import re
import time

import numpy as np
import pytest

import scn_tf
from scn_tf.data.annotations import ANNOTATIONS, Annotations, Expected, read_any, recognised, tables, write_annotations
from scn_tf.errors import DataWarning
from tests import annotation_samples as samples
from tests.annotation_samples import EXACT, NAMES, NAN, assert_same, saved

HEADERS = {
    "tip.x,tip.y,base.x,base.y": ("tip", "base"),
    "X tip,Y tip,X base,Y base": ("tip", "base"),
    "x_tip,y_tip,x_base,y_base": ("tip", "base"),
    "tip (x),tip (y),base (x),base (y)": ("tip", "base"),
    "x(tip),y(tip),x(base),y(base)": ("tip", "base"),
    "tipX,tipY,baseX,baseY": ("tip", "base"),
    "xTip,yTip,xBase,yBase": ("Tip", "Base"),
    "lm0x,lm0y,lm1x,lm1y": ("lm0", "lm1"),
    "x1,y1,x2,y2": None,
    "X0,Y0,X1,Y1": None,
    "1_x,1_y,2_x,2_y": None,
    "left hand tip-x,left hand tip-y,base x,base y": ("left hand tip", "base"),
    "tip_x_coord,tip_y_coord,base_x_coord,base_y_coord": ("tip", "base"),
}


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_headers_in_the_usual_spellings_are_understood(tmp_path, header, separator):
    lines = [f"file,{header}", "a.png,1.5,2,3,4", "x/b.nii.gz,5,6,,NaN"]
    path = saved(tmp_path / "t.csv", "\n".join(line.replace(",", separator) for line in lines))
    assert [row.name for row in recognised(path)] == ["csv-wide"]
    found = read_any(path, Expected(), ANNOTATIONS["csv-wide"])
    assert (found.names, found.frame) == (HEADERS[header], "stated")
    assert found.images == {"a": "a.png", "b": "x/b.nii.gz"}
    assert found.rows == {"a": 2, "b": 3}
    np.testing.assert_array_equal(found.points["b"], [[5, 6], [NAN, NAN]])


def test_numbered_landmarks_come_in_the_order_of_their_numbers_unless_they_are_names(tmp_path):
    path = saved(tmp_path / "t.csv", "id,x2,y2,x1,y1\na,1,2,3,4\n")
    row = ANNOTATIONS["csv-wide"]
    found = read_any(path, Expected(), row)
    assert found.names is None
    np.testing.assert_array_equal(found.points["a"], [[3, 4], [1, 2]])
    assert read_any(path, Expected(("2", "1"), 2), row).names == ("2", "1")


UNITS = {
    "tip_x_px,tip_y_px": ("pixel", [1, 2]),
    "tip_x_norm,tip_y_norm": ("fraction", [1, 2]),
    "tip_x (%),tip_y (%)": ("fraction", [0.01, 0.02]),
    "tip_x_mm,tip_y_mm": ("stated", [1, 2]),
    "tip_x_mm,tip_y_mm,tip_z_mm": ("physical", [1, 2, 3]),
    "tip_x_ras,tip_y_ras,tip_z_ras": ("physical", [-1, -2, 3]),
    "x_tip_lps,y_tip_lps,z_tip_lps": ("physical", [1, 2, 3]),
}


@pytest.mark.parametrize("header", UNITS)
def test_units_in_headers_state_the_frame(tmp_path, header):
    frame, point = UNITS[header]
    path = saved(tmp_path / "t.csv", f"image,{header}\na,{','.join('123'[: len(point)])}\n")
    found = read_any(path, Expected(), ANNOTATIONS["csv-wide"])
    assert (found.frame, found.names) == (frame, ("tip",))
    np.testing.assert_allclose(found.points["a"], [point])
    alone = re.sub("_tip|tip_", "", header)
    path = saved(tmp_path / "l.csv", f"image,landmark,{alone}\na,tip,{','.join('123'[: len(point)])}\n")
    found = read_any(path, Expected(), ANNOTATIONS["csv-long"])
    assert found.frame == frame
    np.testing.assert_allclose(found.points["a"], [point])


@pytest.mark.parametrize("frame", ["physical", "fraction"])
@pytest.mark.parametrize("name", ["csv-wide", "csv-long"])
def test_tables_state_the_frame_that_they_are_written_in(tmp_path, name, frame):
    path = tmp_path / "t.csv"
    write_annotations(path, Annotations(EXACT, {}, NAMES, frame), ANNOTATIONS[name], {})
    found = read_any(path, Expected(), ANNOTATIONS[name])
    assert found.frame == frame
    assert_same(found, EXACT)
    with pytest.raises(scn_tf.DatasetError, match="counts y from the top"):
        write_annotations(path, Annotations(EXACT, {}, NAMES, "bottom"), ANNOTATIONS[name], {})


def test_two_rows_of_headers_are_one(tmp_path):
    for number, head in enumerate(
        [",tip,,base,\nimage,x,y,x,y", "image,tip,tip,base,base\n,X,Y,X,Y", "image,tip,,,base,,\n,x,y,likelihood,x,y,likelihood"]
    ):
        row = "a.png,1,2,0.5,3,4,0.25" if "likelihood" in head else "a.png,1,2,3,4"
        path = saved(tmp_path / f"{number}.csv", f"{head}\n{row}\n")
        assert [found.name for found in recognised(path)] == ["csv-wide"]
        found = read_any(path, Expected(), ANNOTATIONS["csv-wide"])
        assert found.names == ("tip", "base")
        np.testing.assert_array_equal(found.points["a"], [[1, 2], [3, 4]])
    np.testing.assert_array_equal(found.scores["a"], [0.5, 0.25])


def test_deeplabcut_in_its_older_shape_with_likelihoods(tmp_path):
    path = saved(tmp_path / "t.csv", "scorer,net,net,net\nbodyparts,tip,tip,tip\ncoords,x,y,likelihood\nlabeled-data/film/a.png,1,2,0.75\n")
    found = read_any(path, Expected(), ANNOTATIONS["csv-wide"])
    assert found.images == {"a": "labeled-data/film/a.png"}
    assert found.scores["a"] == [0.75]
    several = "scorer,n,n\nindividuals,one,two\nbodyparts,tip,tip\ncoords,x,y\na.png,1,2\n"
    with pytest.raises(scn_tf.DatasetError, match=r"line 2: has several individuals per image"):
        read_any(saved(tmp_path / "several.csv", several), Expected(), ANNOTATIONS["csv-wide"])


def test_spreadsheet_exports_are_read(tmp_path):
    rows = '\ufeffFile;Tip X;Tip Y;Base X;Base Y;;\r\n"a.png";1,5;2,25;-;NA;;\r\n;;;;;;\r\nb.png;3;4;1e1;,5;;\r\n;;;;;;\r\n'
    for encoding in ("utf-8", "utf-16"):
        path = saved(tmp_path / f"{encoding}.csv", rows, encoding)
        assert [row.name for row in recognised(path)] == ["csv-wide"]
        found = read_any(path, Expected(), ANNOTATIONS["csv-wide"])
        assert found.names == ("Tip", "Base")
        np.testing.assert_array_equal(found.points["a"], [[1.5, 2.25], [NAN, NAN]])
        np.testing.assert_array_equal(found.points["b"], [[3, 4], [10, 0.5]])


def test_latin_1_is_read_with_a_warning(tmp_path):
    path = saved(tmp_path / "t.csv", "image,Schädel_x,Schädel_y\na,1,2\n", "latin-1")
    assert [row.name for row in recognised(path)] == ["csv-wide"]
    with pytest.warns(DataWarning, match=r"no UTF-8 text \(line 1\); read as Windows Latin-1"):
        assert read_any(path, Expected(), ANNOTATIONS["csv-wide"]).names == ("Schädel",)


def test_columns_that_hold_no_points_are_listed_or_used(tmp_path):
    text = "patient,image,width,height,tip_x,tip_y,tip_v,bbox_x,bbox_y\np1,a.png,50,41,1,2,1,0,0\np2,b.png,31,20,3,4,0,0,0\n"
    with pytest.warns(DataWarning, match="columns without coordinates are ignored: patient, bbox_x, bbox_y"):
        found = read_any(saved(tmp_path / "t.csv", text), Expected(), ANNOTATIONS["csv-wide"])
    assert found.sizes == samples.SIZES
    np.testing.assert_array_equal(found.points["a"], [[1, 2]])
    np.testing.assert_array_equal(found.points["b"], [[NAN, NAN]])  # not visible
    text = "y,x,label,file,operator\n2,1,tip,a.png,me\n"
    with pytest.warns(DataWarning, match="ignored: operator"):
        found = read_any(saved(tmp_path / "l.csv", text), Expected(), ANNOTATIONS["csv-long"])
    np.testing.assert_array_equal(found.points["a"], [[1, 2]])


LONG = {
    "id,landmark,x,y,score\na,tip,1,2,0.5\na,base,3,4,0.25\n": ("tip", "base"),
    "Landmark;X;Y;Image\ntip;1;2;a.png\nbase;3;4;a.png\n": ("tip", "base"),
    "name,label,pos_x,pos_y,visibility\na.png,tip,1,2,2\na.png,base,3,4,1\n": ("tip", "base"),
    "image,x,y\na.png,1,2\na.png,3,4\n": None,
    "image,point,x,y,z\na.png,1,1,2,\na.png,2,3,4,\n": None,
    "image,landmark,x_px,y_px,x_mm,y_mm\na,tip,1,2,9,9\na,base,3,4,9,9\n": ("tip", "base"),
    ",image,keypoint,x,y\n0,a.png,tip,1,2\n1,a.png,base,3,4\n": ("tip", "base"),
    "id,landmark,x,y,score,expected_error,radius95,unit,present,image_ok\na,tip,1,2,0.5,,,,,\na,base,3,4,0.5,1,2,mm,1,1\n": ("tip", "base"),
}


@pytest.mark.parametrize("text", LONG)
@pytest.mark.filterwarnings("ignore:.*columns without coordinates are ignored")
def test_tables_with_one_row_per_point_are_read(tmp_path, text):
    path = saved(tmp_path / "t.csv", text)
    assert [row.name for row in recognised(path)] == ["csv-long"]
    found = read_any(path, Expected(), ANNOTATIONS["csv-long"])
    assert found.names == LONG[text]
    np.testing.assert_array_equal(found.points["a"], [[1, 2], [3, 4]])
    assert list(found.scores.get("a", [0.5])) in ([0.5], [0.5, 0.25], [0.5, 0.5])


def test_a_table_of_points_without_images_is_of_the_image_with_its_name(tmp_path):
    saved(tmp_path / "a.csv", "landmark,x,y\ntip,1,2\nbase,3,4\n")
    saved(tmp_path / "b.png.csv", "landmark,x,y\nbase,7,8\n")
    found = read_any(tmp_path, Expected(), ANNOTATIONS["csv-long"])
    assert (found.names, found.images) == (("tip", "base"), {})
    np.testing.assert_array_equal(found.points["b"], [[NAN, NAN], [7, 8]])
    saved(tmp_path / "b.png.csv", "x,y\n7,8\n")
    with pytest.raises(scn_tf.DatasetError, match=r"b\.png\.csv: states another frame of its coordinates, or other names"):
        read_any(tmp_path, Expected(), ANNOTATIONS["csv-long"])


def test_images_of_equal_names_in_two_folders_stay_apart(tmp_path):
    text = "image,tip_x,tip_y\nleft/1.png,1,2\nright/1.png,3,4\n"
    found = read_any(saved(tmp_path / "t.csv", text), Expected(), ANNOTATIONS["csv-wide"])
    assert list(found.points) == ["left_1", "right_1"]
    write_annotations(tmp_path / "again.csv", found, ANNOTATIONS["csv-wide"], {})
    assert (tmp_path / "again.csv").read_text() == text.replace(",1,2", ",1.0,2.0").replace(",3,4", ",3.0,4.0")


def test_a_small_table_of_many_images_and_names_cannot_fill_the_memory(tmp_path):
    rows = [f"i{number},l{number},1,2" for number in range(4000)]
    path = saved(tmp_path / "t.csv", "image,landmark,x,y\n" + "\n".join(rows))
    with pytest.raises(scn_tf.DatasetError, match=r"line 3164: expected at most 10,000 landmarks and 20,000,000 coordinates"):
        read_any(path, Expected(), ANNOTATIONS["csv-long"])


def test_names_that_a_header_cannot_hold_are_refused(tmp_path):
    start = Annotations({"a": np.ones((2, 2))}, {}, ("tip", "bbox"), "pixel")
    with pytest.raises(scn_tf.DatasetError, match="Write csv-long instead"):
        write_annotations(tmp_path / "t.csv", start, ANNOTATIONS["csv-wide"], {})
    write_annotations(tmp_path / "t.csv", start, ANNOTATIONS["csv-long"], {})
    assert read_any(tmp_path / "t.csv", Expected(), ANNOTATIONS["csv-long"]).names == ("tip", "bbox")


def test_the_authors_tables_are_our_format(tmp_path):
    """The hand radiographs: ID and pixels. The spines of VerSe: ID and mm, with nan for vertebrae that are not in the image."""
    for text, dims, shape in [("3142,297,1913,324,1812\n4321,1,2,3,4\n", 2, (2, 2)), ("verse004,nan,nan,nan,1.5,2.5,-3\n", 3, (2, 3))]:
        path = saved(tmp_path / "all.csv", text)
        assert [row.name for row in recognised(path)] == ["scn"]
        assert next(iter(read_any(path, Expected(dims=dims), ANNOTATIONS["scn"]).points.values())).shape == shape


def test_the_authors_table_of_real_hands_is_our_format(real_data):
    path = real_data / "hand_xray" / "official" / "all.csv"
    assert [row.name for row in recognised(path)] == ["scn"]
    found = read_any(path, Expected(dims=2), ANNOTATIONS["scn"])
    assert len(found.points) > 890
    assert {points.shape for points in found.points.values()} == {(37, 2)}


def test_long_headers_are_recognised_in_the_first_bytes_and_hostile_ones_take_no_time(tmp_path):
    names = [f"landmark number {number}" for number in range(3000)]
    header = ",".join(f"{name}_{axis}" for name in names for axis in "xy")
    path = saved(tmp_path / "t.csv", f"image,{header}\na.png,{','.join(['1'] * 6000)}\n")
    assert path.stat().st_size > 2**17
    assert [row.name for row in recognised(path)] == ["csv-wide"]
    assert read_any(path, Expected(), ANNOTATIONS["csv-wide"]).names == tuple(names)
    saved(path, ",".join("_" * 230 + str(number) for number in range(1000)) + "\n")
    start = time.monotonic()
    assert recognised(path) == []
    assert time.monotonic() - start < 5  # 20 s with a pattern of quadratic time


def test_a_file_of_empty_lines_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "MAX_LINES", 1000)
    path = saved(tmp_path / "t.csv", "image,tip_x,tip_y\n" + "\n" * 2000)
    with pytest.raises(scn_tf.DatasetError, match="expected at most 1,000 lines"):
        read_any(path, Expected(), ANNOTATIONS["csv-wide"])


def test_a_row_without_a_name_is_of_the_image_with_the_name_of_its_table(tmp_path):
    saved(tmp_path / "a.csv", "tip_x,tip_y\n1,2\n")
    saved(tmp_path / "b.csv", "tip_x,tip_y\n3,4\n")
    found = read_any(tmp_path, Expected(), ANNOTATIONS["csv-wide"])
    assert {image_id: points.tolist() for image_id, points in found.points.items()} == {"a": [[1, 2]], "b": [[3, 4]]}


@pytest.mark.parametrize("header", ["x,y,x,y,x,y", "x,y,x.1,y.1,x.2,y.2", "X (px),Y (px),X (px),Y (px),X (px),Y (px)"])
def test_a_header_that_repeats_its_axes_has_landmarks_without_names(header, tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(f"image,{header}\na.png,1,2,3,4,5.5,6\nb.png,7,8,,,9,10\n")
    (row,) = recognised(path)
    assert row.name == "csv-wide"
    found = read_any(path, Expected(dims=2), row)
    assert found.names is None
    assert found.points["a"].tolist() == [[1, 2], [3, 4], [5.5, 6]]
