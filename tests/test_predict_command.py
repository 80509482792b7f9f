"""``scn-tf predict``: which files it takes, what it leaves out, and what it writes."""

import csv
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk

import scn_tf
from scn_tf import cli
from tests import dicom_files
from tests.conftest import REPOSITORY, SUBPIXEL


def table(path):
    """Rows of a table of predictions."""
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def ids(path):
    return list(dict.fromkeys(row["id"] for row in table(path)))


@pytest.fixture
def hand(hands_2d):
    return hands_2d / "images" / "hand_008.png"


@pytest.mark.parametrize("name", ["p.mrk.json", "p.fcsv", "p.xlsx", "p.txt", "p.tsv", "p"])
def test_a_table_under_another_ending_is_refused(run_2d, hand, tmp_path, capsys, name):
    assert cli.main(["predict", str(run_2d), str(hand), "--out", str(tmp_path / name)]) == 1
    error = capsys.readouterr().err
    assert "--out: expected a file name with .csv or .json" in error
    assert not list(tmp_path.iterdir())
    tool = {"p.mrk.json": "slicer", "p.fcsv": "fcsv"}.get(name)
    assert tool is None or f"add --to {tool} --to-dir FOLDER" in error


def test_a_combined_model_under_another_ending_is_refused(run_2d, tmp_path, capsys):
    assert cli.main(["combine", str(run_2d), str(run_2d), "--out", str(tmp_path / "both.tflite")]) == 1
    assert "--out: expected a file name with .keras" in capsys.readouterr().err


def test_what_no_name_or_content_can_do_is_end_the_others(run_2d, hand, tmp_path, capsys):
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a.png", "z.png", "line\nbreak.png", "=1+1.png", "with space.png", "ümlaut.png"):
        shutil.copy(hand, folder / name)
    os.link(folder / "a.png", os.fsencode(folder) + b"/h\xe4nd.png")
    (folder / "cut.png").write_bytes(hand.read_bytes()[:999])
    (folder / "empty.png").write_bytes(b"")
    (folder / "picture.gif").write_bytes(b"GIF8")
    os.mkfifo(folder / "pipe.png")
    (folder / "dangling.png").symlink_to(tmp_path / "nowhere")
    assert cli.main(["predict", str(run_2d), str(folder), "--out", str(tmp_path / "p.csv"), "--overlay", str(tmp_path / "drawn")]) == 1
    found = ids(tmp_path / "p.csv")
    assert len(found) == 7
    assert len((tmp_path / "p.csv").read_text().splitlines()) == 1 + 7 * 21  # no name splits a row
    points = {identity: [(row["x"], row["y"]) for row in table(tmp_path / "p.csv") if row["id"] == identity] for identity in found}
    assert len(set(map(str, points.values()))) == 1  # all are copies of one image
    assert len(list((tmp_path / "drawn").iterdir())) == 7
    lines = capsys.readouterr().err.splitlines()
    for name in ("cut.png", "empty.png", "picture.gif", "pipe.png", "dangling.png"):
        assert sum(name in line for line in lines) == 1, lines
    assert "5 files left out, 7 images predicted." in lines[-1]


def test_equal_names_in_different_folders_are_told_apart(run_2d, hands_2d, tmp_path):
    for folder, number in (("left", 7), ("right", 8)):
        (tmp_path / "study" / folder).mkdir(parents=True)
        shutil.copy(hands_2d / "images" / f"hand_00{number}.png", tmp_path / "study" / folder / "hand.png")
    shutil.copy(hands_2d / "images" / "hand_009.png", tmp_path / "study" / "other.png")
    assert cli.main(["predict", str(run_2d), str(tmp_path / "study"), "--out", str(tmp_path / "p.csv")]) == 0
    assert ids(tmp_path / "p.csv") == ["left_hand", "other", "right_hand"]
    predictor = scn_tf.load(run_2d)
    for identity, number in (("left_hand", 7), ("right_hand", 8)):
        expected = predictor.predict(hands_2d / "images" / f"hand_00{number}.png").landmarks
        found = [(float(row["x"]), float(row["y"])) for row in table(tmp_path / "p.csv") if row["id"] == identity]
        np.testing.assert_allclose(found, expected, atol=SUBPIXEL)  # of one image, not of a batch


def test_a_file_named_twice_is_predicted_once(run_2d, hand, tmp_path):
    assert cli.main(["predict", str(run_2d), str(hand), str(hand), "--out", str(tmp_path / "p.csv")]) == 0
    assert len(table(tmp_path / "p.csv")) == 21


def test_a_folder_of_slices_is_one_volume_for_a_3d_model(run_3d, hands_3d, tmp_path, capsys):
    volume = sitk.ReadImage(str(hands_3d / "images" / "hand_003.nii.gz"))
    array, spacing, origin = sitk.GetArrayFromImage(volume).astype("uint16"), volume.GetSpacing(), np.array(volume.GetOrigin())
    for number, plane in enumerate(array):
        place = (origin + np.array([0, 0, number * spacing[2]])).tolist()
        tags = dict(ImagePositionPatient=place, ImageOrientationPatient=[1, 0, 0, 0, 1, 0], PixelSpacing=[spacing[1], spacing[0]])
        dicom_files.write(tmp_path / "archive" / "series" / f"I{(number * 7) % 32:03d}", plane, SeriesInstanceUID="1.2.3", **tags)
    assert cli.main(["predict", str(run_3d), str(tmp_path / "archive"), "--out", str(tmp_path / "p.csv")]) == 0
    assert ids(tmp_path / "p.csv") == ["series"]
    expected = scn_tf.load(run_3d).predict(hands_3d / "images" / "hand_003.nii.gz").landmarks
    found = [[float(row[axis]) for axis in "xyz"] for row in table(tmp_path / "p.csv")]
    np.testing.assert_allclose(found, expected, atol=0.02)
    capsys.readouterr()
    slices = sorted((tmp_path / "archive" / "series").iterdir())
    assert cli.main(["predict", str(run_3d), str(slices[0]), str(slices[1]), "--out", str(tmp_path / "q.csv")]) == 1
    assert capsys.readouterr().err.count("single slice") == 2
    assert not (tmp_path / "q.csv").exists()
    slices[5].unlink()
    assert cli.main(["predict", str(run_3d), str(tmp_path / "archive"), "--out", str(tmp_path / "q.csv")]) == 1
    assert "slices are missing" in capsys.readouterr().err


def test_a_set_of_volumes_may_hold_a_dicom_series_for_an_image(hands_3d, tmp_path):
    from scn_tf.data.dataset import open_dataset

    root = shutil.copytree(hands_3d, tmp_path / "set")
    path = root / "images" / "hand_001.nii.gz"
    volume = sitk.ReadImage(str(path))
    expected = open_dataset(root).read("hand_001")
    for number, plane in enumerate(sitk.GetArrayFromImage(volume)):
        place = np.add(volume.GetOrigin(), (0, 0, number * volume.GetSpacing()[2])).tolist()
        tags = dict(ImagePositionPatient=place, ImageOrientationPatient=[1, 0, 0, 0, 1, 0], PixelSpacing=list(volume.GetSpacing()[1::-1]))
        dicom_files.write(root / "images" / "hand_001" / f"{99 - number}.dcm", plane.astype("uint16"), SeriesInstanceUID="1.2", **tags)
    path.unlink()
    found = open_dataset(root).read("hand_001")
    np.testing.assert_array_equal(found.array, expected.array)
    np.testing.assert_allclose(found.physical_from_array, expected.physical_from_array, atol=1e-4)


def test_a_spacing_given_counts_where_files_state_none(run_2d, hand, tmp_path):
    predictor = scn_tf.load(run_2d)
    assert cli.main(["predict", str(run_2d), str(hand), "--spacing", "0.5", "1.5", "--out", str(tmp_path / "p.csv")]) == 0
    found = [(float(row["x"]), float(row["y"])) for row in table(tmp_path / "p.csv")]
    np.testing.assert_allclose(found, predictor.predict(hand, spacing=(0.5, 1.5)).landmarks, atol=1e-3)
    assert np.abs(found - predictor.predict(hand).landmarks).max() > 1


@pytest.mark.parametrize("spacing", [["1"], ["0", "1"], ["nan", "1"], ["1", "1", "1"]])
def test_a_spacing_that_cannot_be_is_refused(run_2d, hand, tmp_path, capsys, spacing):
    assert cli.main(["predict", str(run_2d), str(hand), "--out", str(tmp_path / "p.csv"), "--spacing", *spacing]) == 1
    assert "spacing: expected 2 positive numbers" in capsys.readouterr().err


def test_the_client_writes_no_table_under_another_ending(hand, tmp_path):
    command = [sys.executable, "export/client.py", str(hand), "--rest", "http://127.0.0.1:1", "--out", str(tmp_path / "p.json")]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert ended.returncode == 1
    assert "--out: expected a file name with .csv" in ended.stderr
