"""Raw folders as tools and people leave them: what belongs together is found, and what is printed about it is true."""

import json
import os
import re
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image as Picture

from scn_tf import __main__, cli
from scn_tf.data.annotations import Expected, read_any, recognised
from scn_tf.data.annotations.order import common_order
from scn_tf.data.dataset import open_dataset
from scn_tf.data.images.facts import read_facts
from scn_tf.intake import on_demand
from scn_tf.intake.patients import patients
from tests import dicom_files
from tests.test_init import init, picture

POINTS = {"a": [[3.5, 4], [10.25, 20], [21, 30.5]], "b": [[5, 6], [12, 19], [20, 33.25]]}
NAMES = ("tip", "base", "root")


def pictures(folder, names=POINTS):
    for seed, name in enumerate(names):
        picture(folder / f"{name}.png", seed=seed)
    return folder


def volume(path, size=(6, 7, 8)):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(np.random.default_rng(len(str(path))).integers(0, 99, size[::-1], dtype="int16"))
    sitk.WriteImage(image, str(path))


def markups(path, points):
    path.parent.mkdir(parents=True, exist_ok=True)
    controls = [{"label": name, "position": point, "positionStatus": "defined"} for name, point in points.items()]
    text = {"markups": [{"type": "Fiducial", "coordinateSystem": "LPS", "coordinateUnits": "mm", "controlPoints": controls}]}
    path.write_text(json.dumps({"@schema": "https://raw.githubusercontent.com/slicer/markups-schema-v1.0.3.json#", **text}))


def landmarks(folder):
    return {image_id: points.tolist() for image_id, points in open_dataset(folder).landmarks.items()}


def table_of(separator, header, rows):
    return "".join(separator.join(map(str, row)) + "\n" for row in [header, *rows])


WIDE = ["image", *(f"{name}_{axis}" for name in NAMES for axis in "xy")]
ROWS = [[f"{name}.png", *np.ravel(points)] for name, points in POINTS.items()]
TABLES = {
    "blanks": table_of(" ", WIDE, ROWS),
    "several blanks": table_of("   ", WIDE, ROWS).replace("\n", "  \n"),
    "title": "Hand study 2024\n\n" + table_of(",", WIDE, ROWS),
    "title of a sheet": "Hand study 2024;;;;;;\n" + table_of(";", WIDE, ROWS),
    "repeated axes": table_of(",", ["image", *"xyxyxy"], ROWS),
    "repeated axes of pandas": table_of(",", ["image", "x", "y", "x.1", "y.1", "x.2", "y.2"], ROWS),
    "count": "2\n" + table_of(" ", WIDE[1:], ROWS),
    "rows of R": table_of("\t", WIDE[1:], ROWS),
    "rows of R with names": table_of(" ", WIDE, [[f'"{number}"', *row] for number, row in enumerate(ROWS, start=1)]),
}


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.filterwarnings("ignore:.*columns without coordinates are ignored")
def test_tables_of_other_programs_are_read(name, tmp_path, capfd):
    raw = pictures(tmp_path / "raw")
    (raw / "points.txt").write_text(TABLES[name])
    init(capfd, raw, "--out", tmp_path / "set")
    assert landmarks(tmp_path / "set") == POINTS
    assert open_dataset(tmp_path / "set").description.names == (("0", "1", "2") if "axes" in name else NAMES)


def test_sheets_and_other_files_that_are_not_read_have_a_fix(tmp_path, capfd):
    for name, said in (("points.xlsx", "Save the sheet as CSV"), ("a.npy", "as a table"), ("a.asf", "one line x,y"), ("s.mrb", "mrk.json")):
        raw = pictures(tmp_path / name / "raw")
        (raw / name).write_bytes(b"PK\3\4")
        assert said in init(capfd, raw, "--out", tmp_path / "set", status=1)[1]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("points.csv", "image,tip,,base,\na.png,1,2,3,4\n", "points.csv: line 1.*Are cells merged"),
        ("points.csv", "", "points.csv: is empty"),
        ("points.json", '{"images": [', "points.json: line 1: is no valid JSON"),
        ("points.xml", "<dataset><images>", "points.xml: line 1: is no valid XML"),
    ],
)
def test_damaged_files_are_refused_with_their_line(name, text, said, tmp_path, capfd):
    raw = pictures(tmp_path / "raw")
    (raw / name).write_text(text if name != "points.json" else text.replace("images", "picture list"))
    assert re.search(said, init(capfd, raw, "--out", tmp_path / "set", status=1)[1])


def test_one_damaged_file_of_many_is_not_left_out(tmp_path, capfd):
    raw = pictures(tmp_path / "raw", [*POINTS, "c"])
    for name, points in POINTS.items():
        (raw / f"{name}.txt").write_text("".join(f"{x},{y}\n" for x, y in points))
    (raw / "c.txt").write_text("1,2\n3,")
    assert "c.txt: no annotation file" in init(capfd, raw, "--out", tmp_path / "set", status=1)[1]
    (raw / "c.txt").write_text("")  # as YOLO's labels of an image without objects
    assert "without annotations: c" in init(capfd, raw, "--out", tmp_path / "set")[0]


def test_facts_of_images_in_json_are_no_damaged_annotations(tmp_path, capfd):
    raw = tmp_path / "raw"
    for name in ("a", "b"):
        volume(raw / f"{name}.nii.gz")
        markups(raw / f"{name}.mrk.json", {"tip": [1.5, 2, 3]})
        (raw / f"{name}.json").write_text('{"Modality": "MR"}')
    init(capfd, raw, "--out", tmp_path / "set")
    (raw / "b.json").write_text('{"Modality": ')
    assert "b.json: line 1" in init(capfd, raw, "--out", tmp_path / "other", status=1)[1]


def test_selections_in_archives_are_not_printed_as_left_out(tmp_path, capfd):
    roifile = pytest.importorskip("roifile")
    raw = pictures(tmp_path / "raw")
    for name, points in POINTS.items():
        with zipfile.ZipFile(raw / f"{name}_RoiSet.zip", "w") as archive:
            for label, point in zip(NAMES, points, strict=True):
                one = roifile.ImagejRoi.frompoints([point])
                one.roitype, one.name = roifile.ROI_TYPE.POINT, label
                archive.writestr(f"{label}.roi", one.tobytes())
    (raw / "other.zip").write_bytes(b"PK\3\4")
    said = init(capfd, raw, "--out", tmp_path / "set")[0]
    assert said.count("left out") == 2  # the line, and its text
    assert "other.zip" in said
    assert landmarks(tmp_path / "set") == POINTS


RESULTS = " ,Label,Area,X,Y\n"


@pytest.mark.parametrize(
    ("label", "names"), [("{image}.png", None), ("{image}.png:0012-0034", None), ("{image}.png:{name}", NAMES), ("{image}", None)]
)
def test_one_table_of_imagej_holds_the_points_of_several_images(label, names, tmp_path, capfd):
    raw = pictures(tmp_path / "raw")
    lines = [
        f"{number},{label.format(image=image, name=name)},0,{x},{y}\n"
        for number, (image, name, (x, y)) in enumerate(
            ((image, *pair) for image, points in POINTS.items() for pair in zip(NAMES, points, strict=True)), start=1
        )
    ]
    (raw / "Results.csv").write_text(RESULTS + "".join(lines))
    init(capfd, raw, "--out", tmp_path / "set")
    assert landmarks(tmp_path / "set") == POINTS
    assert open_dataset(tmp_path / "set").description.names == (names or ("0", "1", "2"))


def test_tables_of_imagej_with_tabs_are_read(tmp_path):
    for ending in ("xls", "txt", "tsv"):
        path = tmp_path / f"a.{ending}"
        path.write_text(" \tArea\tX\tY\n1\t0\t3.5\t4\n2\t0\t10.25\t20\n")
        (row,) = recognised(path)
        assert row.name == "imagej"
        assert read_any(path, Expected(), row).points["a"].tolist() == [[3.5, 4], [10.25, 20]]


def test_categories_alone_are_no_annotations(tmp_path, capfd):
    raw = pictures(tmp_path / "raw" / "images").parent
    (raw / "labels").mkdir()
    for name, points in POINTS.items():
        (raw / "labels" / f"{name}.txt").write_text("0 .5 .5 .5 .5 " + " ".join(f"{x / 31} {y / 42} 2" for x, y in points))
    (raw / "notes.json").write_text('{"categories": [{"id": 0, "name": "hand"}], "info": {"version": "1.0"}}')
    assert "yolo-pose" in init(capfd, raw, "--out", tmp_path / "set")[0]


def test_a_preview_beside_a_volume_is_not_taken_for_it(tmp_path, capfd):
    raw = tmp_path / "raw"
    for name in ("a", "b"):
        volume(raw / f"{name}.nii.gz")
        picture(raw / f"{name}.png")
        markups(raw / f"{name}.mrk.json", {"tip": [1.5, 2, 3]})
    init(capfd, raw, "--out", tmp_path / "set")
    assert landmarks(tmp_path / "set") == {"a": [[1.5, 2, 3]], "b": [[1.5, 2, 3]]}
    assert sorted(path.name for path in (tmp_path / "set" / "images").iterdir()) == ["a.nii.gz", "b.nii.gz"]


def test_annotations_find_the_one_image_in_the_folders_below_theirs(tmp_path, capfd):
    raw = tmp_path / "raw"
    for number, name in enumerate(("one", "two")):
        if number:
            volume(raw / name / "scan" / "image.nii.gz")
        else:
            dicom_files.write_series(
                raw / name / "DICOM", np.arange(6 * 7 * 8).reshape(8, 7, 6).astype("int16"), [1.0 * z for z in range(8)]
            )
        markups(raw / name / "points" / "F.mrk.json", {"tip": [0.5 + number, 1, 1]})
    init(capfd, raw, "--out", tmp_path / "set")
    assert sorted(points[0][0] for points in landmarks(tmp_path / "set").values()) == [0.5, 1.5]


def test_bids_derivatives_find_their_image_by_what_both_names_state(tmp_path, capfd):
    raw = tmp_path / "raw"
    for number in (1, 2):
        for session in ("a", "b"):
            name = f"sub-0{number}_ses-{session}"
            volume(raw / f"sub-0{number}" / f"{name}_T1w.nii.gz")
            markups(raw / "derivatives" / f"{name}_space-T1w_desc-rater1_afids.mrk.json", {"tip": [number, ord(session) - 96, 3]})
    init(capfd, raw, "--out", tmp_path / "set")
    expected = {f"sub-0{number}_ses-{session}_T1w": [[number, place, 3]] for number in (1, 2) for place, session in ((1, "a"), (2, "b"))}
    assert landmarks(tmp_path / "set") == expected


def test_files_of_one_name_are_counted_and_shown_with_their_folders(tmp_path, capfd):
    for name, points in POINTS.items():
        picture(tmp_path / "raw" / name / "image.png", seed=ord(name))
        rows = "".join(f"{label},{x},{y}\n" for label, (x, y) in zip(NAMES, points, strict=True))
        (tmp_path / "raw" / name / "points.csv").write_text("landmark,x,y\n" + rows)
    said = init(capfd, tmp_path / "raw", "--out", tmp_path / "set", "--dry-run")[0]
    assert f"2 files of format csv-long: {os.path.join('a', 'points.csv')}, {os.path.join('b', 'points.csv')}" in said


def test_mm_of_images_without_a_pixel_size_are_read_with_spacing(tmp_path, capfd):
    raw = pictures(tmp_path / "raw")
    scale = np.array([0.5, 0.25])
    (raw / "points.csv").write_text(table_of(",", WIDE, [[name, *np.ravel(np.array(points) * scale)] for name, points in POINTS.items()]))
    assert "--spacing" in init(capfd, raw, "--out", tmp_path / "set", "--frame", "mm", status=1)[1]
    init(capfd, raw, "--out", tmp_path / "set", "--frame", "mm", "--spacing", 0.5, 0.25)
    assert landmarks(tmp_path / "set") == POINTS


def test_placeholders_are_no_points_and_said(tmp_path, capfd):
    raw = pictures(tmp_path / "raw")
    rows = [["a.png", 3.5, 4, -1, -1, 21, 30.5], ["b.png", 0, 0, 12, 19, 20, 33.25]]
    (raw / "points.csv").write_text(table_of(",", WIDE, rows))
    said, warned = init(capfd, raw, "--out", tmp_path / "set")
    assert "2 are -1,-1 or 0,0, which count as no point" in said
    assert warned == ""
    found = open_dataset(tmp_path / "set").landmarks
    assert np.isnan(found["a"][1]).all()
    assert np.isnan(found["b"][0]).all()


def test_a_single_corner_point_is_a_point(tmp_path, capfd):
    raw = pictures(tmp_path / "raw")
    (raw / "points.csv").write_text(table_of(",", WIDE, [["a.png", 0, 0, 1, 2, 21, 30.5], ["b.png", 1, 1, 12, 19, 20, 33.25]]))
    init(capfd, raw, "--out", tmp_path / "set")
    assert open_dataset(tmp_path / "set").landmarks["a"][0].tolist() == [0, 0]


def test_percent_are_not_believed_if_another_size_of_pixels_agrees_better(hands_2d, tmp_path, capfd):
    dataset = open_dataset(hands_2d)
    raw = tmp_path / "raw"
    raw.mkdir()
    rows = []
    for image_id, points in dataset.landmarks.items():
        source = dataset.files[image_id]
        image = Picture.open(source)
        wide = Picture.new("L", (image.width * 2, image.height))  # percent of x are not those of y
        wide.paste(image)
        wide.resize((wide.width * 4, wide.height * 4)).save(raw / f"{image_id}.png")
        rows.append([image_id, *np.ravel(points * 4 * 0.11)])
    (raw / "points.csv").write_text("".join(",".join(map(str, row)) + "\n" for row in rows))
    said = init(capfd, raw, "--out", tmp_path / "set", status=1)[1]
    assert "--set-on" in said
    assert not (tmp_path / "set").exists()


def test_short_names_of_patients_keep_images_together(tmp_path):
    paths = {f"P{number:02d}_{when}": tmp_path / f"P{number:02d}" / when / "image.png" for number in range(4) for when in ("pre", "now")}
    assert patients(paths, None).number == 4


def test_the_order_of_landmarks_agrees_with_every_list():
    assert common_order([["a", "c", "d"], ["a", "b", "c"]]) == ["a", "b", "c", "d"]
    assert common_order([["2", "10"], ["1", "2"], ["3"]]) == ["1", "2", "3", "10"]
    assert common_order([["tip", "left"], ["left", "tip"], ["base"]]) == ["tip", "left", "base"]  # they contradict each other
    assert common_order([["b", "a"], ["d", "c"]]) == ["b", "a", "d", "c"]
    assert common_order([]) == []


def test_formats_without_absent_points_keep_the_order(tmp_path, capfd):
    (tmp_path / "raw").mkdir()
    picture(tmp_path / "raw" / "a.png")
    picture(tmp_path / "raw" / "b.png", seed=1)
    (tmp_path / "raw" / "points.csv").write_text(table_of(",", WIDE, [["a.png", "", "", 1, 2, 3, 4], ["b.png", 5, 6, 7, 8, "", ""]]))
    init(capfd, tmp_path / "raw", "--out", tmp_path / "set")
    for number, name in enumerate(("labelme", "labelstudio", "fcsv", "dlib-xml", "napari")):
        out = tmp_path / f"{number}{'.json' if name == 'labelstudio' else '.xml' if name == 'dlib-xml' else ''}"
        assert cli.main(["convert", str(tmp_path / "set"), str(out), "--to", name]) == 0
        back = tmp_path / f"back{number}.csv"
        said = cli.main(["convert", str(out), str(back), "--from", name, "--to", "csv-wide", "--images", str(tmp_path / "raw")])
        assert said == 0
        assert read_any(back, Expected(), recognised(back)[0]).names == NAMES


def test_a_conversion_without_another_frame_reads_no_image(tmp_path, capfd, monkeypatch):
    raw = pictures(tmp_path / "raw")
    (raw / "points.csv").write_text(TABLES["title"])
    init(capfd, raw, "--out", tmp_path / "set")
    read = []
    monkeypatch.setattr(on_demand, "read_facts", lambda path, **named: read.append(path.name) or read_facts(path, **named))
    for name, ending, images in (("csv-long", ".csv", []), ("isbi", "", []), ("tps", ".tps", ["a.png", "b.png"])):
        assert cli.main(["convert", str(tmp_path / "set"), str(tmp_path / f"{name}{ending}"), "--to", name]) == 0
        assert sorted(read) == images
    assert "IMAGE=a.png" in (tmp_path / "tps.tps").read_text()


def test_messages_of_a_conversion_name_the_file_that_was_asked_for(tmp_path, capfd):
    (tmp_path / "points.csv").write_text("image,tip_x_px,tip_y_px,tip_z_px\na,1,2,3\n")
    assert cli.main(["convert", str(tmp_path / "points.csv"), str(tmp_path / "out.json"), "--to", "coco"]) == 1
    said = capfd.readouterr().err
    assert str(tmp_path / "out.json") in said
    assert ".convert-" not in said


@pytest.mark.parametrize("arguments", [["models"], ["--help"], ["init", "--help"]])
def test_a_closed_pipe_is_no_error(arguments):
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as closed:
        ended = subprocess.run([sys.executable, "-m", "scn_tf", *arguments], stdout=closed, stderr=subprocess.PIPE, check=False)
    assert ended.stderr == b""
    assert ended.returncode == (cli.CLOSED_PIPE if arguments == ["models"] else 0)  # argparse tells nobody


def test_ctrl_c_while_modules_are_imported_has_no_traceback(monkeypatch, capfd):
    def interrupted(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "main", interrupted)
    assert __main__.run() == 130
    assert capfd.readouterr().err == "error: interrupted.\n"
