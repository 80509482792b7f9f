"""What ``scn-tf init`` refuses: one line that names the file and the fix, and nothing is written."""

import json
import os

import numpy as np
import pytest
import SimpleITK as sitk

from scn_tf import cli
from scn_tf.intake import writing
from tests.test_init import NAMES, POINTS, coco, everything, init, markups, picture, table


@pytest.fixture
def raw(tmp_path):
    """A folder with two pictures, and a good table beside it."""
    for name in ("a", "b"):
        picture(tmp_path / "raw" / f"{name}.png")
    table(tmp_path / "raw" / "points.csv", {"a": POINTS, "b": POINTS + 1})
    return tmp_path / "raw"


def several_formats(raw):
    coco(raw / "points.json", {"a.png": POINTS})


def half_written(raw):
    os.remove(raw / "points.csv")
    text = markups(raw / "a.mrk.json", POINTS).read_text()
    (raw / "a.mrk.json").write_text(text[: len(text) // 2])


def of_other_images(raw):
    table(raw / "points.csv", {"x": POINTS, "y": POINTS})


def missing_columns(raw):
    text = (raw / "points.csv").read_text().splitlines()
    (raw / "points.csv").write_text("\n".join([text[0], text[1], text[2].rsplit(",", 2)[0]]))


def infinite(raw):
    (raw / "points.csv").write_text((raw / "points.csv").read_text().replace("10.25", "inf", 1))


def no_number(raw):
    (raw / "points.csv").write_text((raw / "points.csv").read_text().replace("10.25", "merged cell", 1))


def two_of_one_image(raw):
    table(raw / "senior.csv", {"a": POINTS})


def far_outside(raw):
    table(raw / "points.csv", {"a": POINTS, **{name: POINTS for name in "cdefghij"}, "b": POINTS + 90})
    for name in "cdefghij":
        picture(raw / f"{name}.png")


def all_outside(raw):
    table(raw / "points.csv", {"a": POINTS + 300, "b": POINTS + 250})


def without_annotations(raw):
    os.remove(raw / "points.csv")


def without_images(raw):
    for path in raw.glob("*.png"):
        path.unlink()


def turned(raw):
    os.remove(raw / "points.csv")
    coco(raw / "points.json", {"a.png": POINTS}, {"width": 42, "height": 31})


def fractions_as_pixels(raw):
    os.remove(raw / "points.csv")
    coco(raw / "points.json", {"a.png": POINTS / 50})


def entities(raw):
    os.remove(raw / "points.csv")
    (raw / "points.xml").write_text(
        '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]>'
        '<dataset><images><image file="a.png"><box><part name="p" x="1" y="2"/></box></image></images></dataset>&e;'
    )


def in_three_dimensions(raw):
    array = np.random.default_rng(1).integers(0, 255, (9, 20, 30), dtype="uint8")
    for name in ("a", "b"):
        (raw / f"{name}.png").unlink()
        sitk.WriteImage(sitk.GetImageFromArray(array), str(raw / f"{name}.nii.gz"))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (several_formats, ["several formats", "csv-wide: points.csv", "coco: points.json", "--format"]),
        (half_written, ["a.mrk.json"]),
        (of_other_images, ["points.csv", "no annotation belongs to one of the 2 images", "x, y", "a, b"]),
        (missing_columns, ["points.csv, line 3"]),
        (infinite, ["points.csv, line 2", "L_eye"]),
        (no_number, ["points.csv, line 2"]),
        (two_of_one_image, ["second annotation of image a", "senior.csv", "points.csv"]),
        (far_outside, ["points.csv, line 11 (b)", "3 of the 3 landmarks lie outside the image of 31 x 42 pixels"]),
        (all_outside, ["The points lie outside the images", "--set-on", "--frame"]),
        (without_annotations, ["no annotation file found", "Formats: scn"]),
        (without_images, ["no images found"]),
        (turned, ["points.json", "42 x 31", "31 x 42", "EXIF", "--set-on"]),
        (fractions_as_pixels, ["states pixels", "--frame fraction"]),
        (entities, ["points.xml"]),
        (in_three_dimensions, ["points have 2 coordinates"]),
    ],
)
def test_bad_sources_are_refused_by_name_and_nothing_is_written(spoil, said, raw, tmp_path, capfd):
    spoil(raw)
    before = everything(tmp_path)
    out, err = init(capfd, raw, "--out", tmp_path / "new" / "set", status=1)
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert [text for text in said if text not in err] == [], err
    assert everything(tmp_path) == before
    assert out == ""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--format", "cocoo"], "annotation format cocoo: unknown; did you mean coco?"),
        (["--format", "tps"], "expected files of format tps (.tps), found none"),
        (["--frame", "lps", "--y-from", "bottom"], "--frame lps and --y-from"),
        (["--set-on", "big"], "--set-on: expected the size of the copy"),
        (["--seed", "-1"], "--seed: expected a number from 0"),
        (["--patient", "(x"], "--patient: '(x' is no regular expression"),
        (["--patient", "zz"], "matches no image ID"),
        (["--spacing", "1"], "--spacing: expected 2 positive numbers"),
        (["--frame", "mm"], "states no pixel size"),
    ],
)
def test_options_that_cannot_be_used_are_refused(options, said, raw, tmp_path, capfd):
    before = everything(tmp_path)
    _, err = init(capfd, raw, "--out", tmp_path / "set", *options, status=1)
    assert said in err
    assert everything(tmp_path) == before


def test_what_exists_is_never_written_into(raw, tmp_path, capfd):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    for name in ("full", "file", "link"):
        before = everything(tmp_path)
        _, err = init(capfd, raw, "--out", tmp_path / name, status=1)
        assert "--out" in err
        assert everything(tmp_path) == before
    init(capfd, raw, "--out", tmp_path / "empty")
    assert (tmp_path / "empty" / "dataset.yaml").is_file()


def test_pixels_or_mm_is_asked_where_nothing_tells(tmp_path, capfd):
    array = np.random.default_rng(2).integers(0, 255, (16, 20, 24), dtype="uint8")
    for name in ("a", "b"):
        image = sitk.GetImageFromArray(array)
        image.SetSpacing([1.5, 1.5, 1.5])
        (tmp_path / "raw").mkdir(exist_ok=True)
        sitk.WriteImage(image, str(tmp_path / "raw" / f"{name}.nii.gz"))
    lines = [f"{name},9,8,7,15,14,13" for name in ("a", "b")]
    (tmp_path / "raw" / "points.csv").write_text("\n".join(lines))
    _, err = init(capfd, tmp_path / "raw", "--out", tmp_path / "set", status=1)
    assert "--frame decides: pixel, lps" in err
    init(capfd, tmp_path / "raw", "--out", tmp_path / "set", "--frame", "lps")
    assert "coordinates: physical" in (tmp_path / "set" / "dataset.yaml").read_text()


def test_names_in_annotations_lead_nowhere_else(tmp_path, capfd):
    picture(tmp_path / "raw" / "a.png")
    coco(tmp_path / "raw" / "points.json", {"../../../a.png": POINTS, "/etc/passwd.png": POINTS, "x\x1b[31m.png": POINTS})
    out, _ = init(capfd, tmp_path / "raw", "--out", tmp_path / "set")
    assert everything(tmp_path / "set") == [
        "dataset.yaml", "images", "images/a.png", "landmarks.csv", "splits", "splits/train.txt", "splits/val.txt"
    ]  # fmt: skip
    assert "\x1b" not in out
    assert everything(tmp_path)[0] == "raw"


def test_links_between_folders_end_and_nested_data_sets_are_no_source(raw, tmp_path, capfd):
    (raw / "loop").symlink_to(raw)
    init(capfd, raw, "--out", raw / "set")
    out, _ = init(capfd, raw, "--out", tmp_path / "other")
    assert f"{raw / 'set'}: a data set of its own" in out
    assert f"{raw / 'loop'}: a link to a folder" in out


@pytest.mark.parametrize("name", ["link", "copyfile"])
def test_a_full_disk_leaves_nothing(name, raw, tmp_path, capfd, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing.os if name == "link" else writing.shutil, name, full)
    before = everything(tmp_path)
    _, err = init(capfd, raw, "--out", tmp_path / "new" / "set", *(["--copy"] if name == "copyfile" else []), status=1)
    assert "No space left on device" in err
    assert everything(tmp_path) == before


def test_a_missing_source_and_a_missing_option_are_named(tmp_path, capfd):
    _, err = init(capfd, tmp_path / "nowhere", "--out", tmp_path / "set", status=1)
    assert f"{tmp_path / 'nowhere'}: no such file or folder." in err
    with pytest.raises(SystemExit) as end:
        cli.main(["init", str(tmp_path)])
    assert end.value.code == 2
    assert "--out" in capfd.readouterr().err


def test_files_that_are_no_annotations_are_named(raw, tmp_path, capfd):
    (raw / "notes.json").write_text(json.dumps({"names": NAMES}))
    _, err = init(capfd, raw / "a.png", raw / "notes.json", "--out", tmp_path / "set", status=1)
    assert "notes.json: no annotation file of the formats with this ending" in err
    init(capfd, raw, "--out", tmp_path / "set")  # in a folder it is one of many files
