"""``scn-tf convert``: annotations of one format in another."""

import json
import shutil
import warnings

import numpy as np
import pytest

from scn_tf import cli
from scn_tf.cli import intake as options
from scn_tf.data.annotations import ANNOTATIONS
from scn_tf.data.dataset import open_dataset
from scn_tf.errors import DataWarning
from scn_tf.intake import interpretation
from scn_tf.storage import ownership
from tests.test_init import NAMES, POINTS, coco, everything, markups, picture, table

ELSEWHERE = {"scn", "dicom-sr"}  # dicom-sr needs DICOM images: test_dicom_sr
WRITABLE = [name for name, row in ANNOTATIONS.items() if row.write is not None and name not in ELSEWHERE]
COARSE = {"labelmap": 0.87}  # half the diagonal of a voxel
THREE = {"slicer", "fcsv", "labelmap", "csv-wide", "csv-long", "mat"}


def convert(capfd, *arguments, status=0):
    """Run the command; returns what it printed and its messages."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", DataWarning)
        found = cli.main(["convert", *map(str, arguments)])
    said = capfd.readouterr()
    assert found == status, said
    return said.out, said.err


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A data set of three small pictures, with an absent landmark."""
    root = tmp_path_factory.mktemp("convert") / "set"
    rows = []
    for number, name in enumerate(("b", "a", "c")):
        picture(root / "images" / f"{name}.png", size=(31 + number, 42), seed=number)
        values = np.ravel(np.round(POINTS) + number).astype(str)
        rows.append(",".join([name, *(["", ""] if name == "a" else values[:2]), *values[2:]]))
    (root / "landmarks.csv").write_text("\n".join(rows))
    (root / "dataset.yaml").write_text(f"name: small\ndims: 2\nlandmarks: [{', '.join(NAMES)}]\n")
    return root


@pytest.mark.parametrize("name", WRITABLE)
def test_every_format_is_written_and_read_back(name, small, tmp_path, capfd):
    row = ANNOTATIONS[name]
    place = tmp_path / ("there" if row.per_image else f"there{row.endings[0]}")
    out, _ = convert(capfd, small, place, "--to", name)
    assert f"written   {name}" in out
    convert(capfd, place, tmp_path / "back", "--from", name, "--images", small / "images", "--to", "scn")
    before, after = open_without_images(small), open_without_images(tmp_path / "back")
    assert set(after.landmarks) == set(before.landmarks)
    own = after.description.names
    # Files that leave absent landmarks out have no order of names, and some have no names.
    order = [own.index(name) for name in NAMES] if set(own) == set(NAMES) else [0, 1, 2]
    for image_id, points in before.landmarks.items():
        found = after.landmarks[image_id][order]
        assert np.isnan(found).all(axis=1).tolist() == np.isnan(points).all(axis=1).tolist()
        np.testing.assert_allclose(found, points, atol=COARSE.get(name, 1e-6))


def open_without_images(root):
    (root / "images").mkdir(exist_ok=True)
    return open_dataset(root)


@pytest.mark.parametrize("name", sorted(THREE & set(WRITABLE)))
def test_points_of_volumes_survive_formats_of_volumes(name, hands_3d, tmp_path, capfd):
    row = ANNOTATIONS[name]
    place = tmp_path / ("there" if row.per_image else f"there{row.endings[0]}")
    convert(capfd, hands_3d, place, "--to", name)
    convert(capfd, place, tmp_path / "back", "--from", name, "--images", hands_3d / "images")
    before, after = open_dataset(hands_3d), open_without_images(tmp_path / "back").landmarks
    voxel = before.read("hand_000").spacing.max()
    for image_id, points in before.landmarks.items():
        np.testing.assert_allclose(after[image_id], points, atol=COARSE[name] * voxel if name in COARSE else 1e-6)


def test_frames_are_converted_by_the_images(tmp_path, capfd):
    picture(tmp_path / "a.png", (31, 42))
    source = coco(tmp_path / "points.json", {"a.png": POINTS})
    _, err = convert(capfd, source, tmp_path / "points.tps", status=1)
    assert "Name the folder of the images with --images" in err
    convert(capfd, source, tmp_path / "points.tps", "--images", tmp_path / "a.png")
    assert f"{POINTS[0, 0]:g} {41 - POINTS[0, 1]:g}" in (tmp_path / "points.tps").read_text().replace(".00000", "")
    convert(capfd, tmp_path / "points.tps", tmp_path / "back.csv", "--images", tmp_path / "a.png")
    values = [float(value) for value in (tmp_path / "back.csv").read_text().strip().split(",")[1:]]
    np.testing.assert_allclose(np.reshape(values, (3, 2)), POINTS, atol=1e-6)


def test_one_file_of_one_image_keeps_its_name(tmp_path, capfd):
    source = markups(tmp_path / "head.mrk.json", POINTS, system="RAS")
    convert(capfd, source, tmp_path / "other.fcsv")
    convert(capfd, tmp_path / "other.fcsv", tmp_path / "table.csv")
    values = [float(value) for value in (tmp_path / "table.csv").read_text().strip().split(",")[1:]]
    np.testing.assert_allclose(np.reshape(values, (3, 3))[:, :2], -POINTS, atol=1e-6)
    assert everything(tmp_path) == ["head.mrk.json", "other.fcsv", "table.csv"]


def test_several_images_of_one_file_each_need_a_folder(small, tmp_path, capfd):
    _, err = convert(capfd, small, tmp_path / "x.fcsv", status=1)
    assert "one file per image, and there are 3. Name a folder." in err
    assert everything(tmp_path) == []


def test_a_bare_table_needs_its_frame_only_where_the_other_format_has_one(tmp_path, capfd):
    source = table(tmp_path / "points.csv", {"a": POINTS})
    convert(capfd, source, tmp_path / "same.csv", "--to", "csv-long")
    _, err = convert(capfd, source, tmp_path / "x.json", "--to", "coco", status=1)
    assert "pixels or mm? --frame says it" in err
    _, err = convert(capfd, source, tmp_path / "set", status=1)
    assert "--frame pixel" in err
    convert(capfd, source, tmp_path / "set", "--frame", "pixel")
    assert "coordinates: pixel" in (tmp_path / "set" / "dataset.yaml").read_text()
    headerless = tmp_path / "bare.csv"
    headerless.write_text("a,1,2,3,4\n")
    _, err = convert(capfd, headerless, tmp_path / "y.csv", status=1)
    assert "two or three coordinates" in err
    convert(capfd, headerless, tmp_path / "y.csv", "--axes", "yx")
    assert (tmp_path / "y.csv").read_text() == "a,2.0,1.0,4.0,3.0\n"


def test_files_of_other_programs_are_never_replaced(small, tmp_path, capfd):
    (tmp_path / "mine.json").write_text(json.dumps({"mine": 1}))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "c.fcsv").write_text("mine")
    before = {name: (tmp_path / name).read_bytes() for name in ("mine.json", "folder/c.fcsv")}
    for arguments in ([tmp_path / "mine.json", "--to", "coco"], [tmp_path / "folder", "--to", "fcsv"], [tmp_path / "folder"]):
        _, err = convert(capfd, small, *arguments, status=1)
        assert "not written by scn_tf" in err or "not empty" in err
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    assert everything(tmp_path) == ["folder", "folder/c.fcsv", "mine.json"]
    convert(capfd, small, tmp_path / "ours.json", "--to", "coco")
    assert ownership.is_ours(tmp_path / "ours.json")
    convert(capfd, small, tmp_path / "ours.json", "--to", "coco")


def test_formats_that_cannot_be_told_are_asked_for(small, tmp_path, capfd):
    _, err = convert(capfd, small, tmp_path / "x.json", status=1)
    assert "may be of format" in err
    assert "--to" in err
    _, err = convert(capfd, small, tmp_path / "x.json", "--to", "cooc", status=1)
    assert "did you mean coco?" in err
    _, err = convert(capfd, tmp_path / "nothing.json", tmp_path / "x.csv", status=1)
    assert "no such file" in err
    shutil.copy(small / "landmarks.csv", tmp_path / "x.tps")
    _, err = convert(capfd, tmp_path / "x.tps", tmp_path / "y.csv", status=1)
    assert "x.tps" in err


def test_help_names_the_formats_of_the_registry(capfd):
    for command, option in (("convert", "--from"), ("init", "--format")):
        with pytest.raises(SystemExit) as end:
            cli.main([command, "--help"])
        text = " ".join(capfd.readouterr().out.split())
        assert end.value.code == 0
        assert f"{', '.join(ANNOTATIONS)}" in text
        assert option in text


def test_the_command_line_offers_every_unit_and_order():
    assert set(options.FRAMES) == set(interpretation.UNITS)
    assert options.AXES == interpretation.AXES
