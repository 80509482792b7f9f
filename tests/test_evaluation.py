import csv
import dataclasses
import json
import os
import re
import shutil
import warnings

import numpy as np
import pytest
import SimpleITK as sitk
import tensorflow as tf
import yaml

import scn_tf
from scn_tf import cli, evaluate_run, train_run
from scn_tf.data import images
from scn_tf.data.dataset import open_dataset
from scn_tf.errors import CheckpointError, DatasetError, DataWarning, ImageError
from scn_tf.runs.folder import RunFolder
from scn_tf.scoring import evaluated_data, report, scores
from scn_tf.systems import opening
from tests.conftest import EXACT, small_config


def test_the_summary_counts_as_the_paper_does():
    errors = np.array([[0.5, 2.0, np.nan], [3.0, 10.0, 1.5]])
    summary = scores.summarize(errors, 2 * errors, "mm")
    assert summary["points"] == 5
    assert summary["pe_mean_mm"] == pytest.approx(3.4)
    assert summary["ipe_mean_mm"] == pytest.approx((1.25 + 14.5 / 3) / 2)
    assert summary["pe_mean_px"] == pytest.approx(6.8)
    assert summary["outliers"] == {"2": 3, "4": 1, "10": 1}  # an error equal to the radius is an outlier
    assert summary["sdr_percent"]["2"] == pytest.approx(40.0)


def test_without_a_spacing_the_mm_figures_are_null():
    summary = scores.summarize(np.ones((2, 3)), np.ones((2, 3)), "px")
    assert summary["pe_mean_mm"] is None
    assert summary["unit"] == "px"
    assert summary["pe_mean_px"] == 1.0


@pytest.mark.parametrize(
    ("run", "data", "header"), [("run_2d", "hands_2d", "id,landmark,x,y,score"), ("run_3d", "hands_3d", "id,landmark,x,y,z,score")]
)
def test_an_evaluation_writes_all_files_and_its_figures_follow_from_its_predictions(run, data, header, request, tmp_path):
    run, root = request.getfixturevalue(run), request.getfixturevalue(data)
    summary, out = evaluate_run.evaluate(run, "val", out=tmp_path / "out")
    assert {p.name for p in out.iterdir()} == {
        "predictions.csv",
        "summary.json",
        "errors.csv",
        "per_landmark.csv",
        "ced.png",
        "report.html",
    }
    assert json.loads((out / "summary.json").read_text()) == summary
    errors = [float(line.split(",")[2]) for line in (out / "errors.csv").read_text().splitlines()[1:]]
    np.testing.assert_allclose(np.mean(errors), summary["pe_mean_mm"], rtol=1e-4)
    lines = (out / "predictions.csv").read_text().splitlines()
    assert lines[0] == f"{header},expected_error,radius95,unit,present,image_ok"
    dataset = open_dataset(root)
    names, dims = dataset.description.names, dataset.description.dims
    mm = 1.0 if dataset.description.coordinates == "physical" else dataset.description.spacing_mm[0]
    errors = []
    for row in csv.DictReader(lines):
        found = np.array([float(row[axis]) for axis in "xyz"[:dims]])
        errors.append(np.linalg.norm(found - dataset.landmarks[row["id"]][names.index(row["landmark"])]) * mm)
    assert len(errors) == summary["points"] == len(dataset.split("val")) * len(names)
    assert np.mean(errors) == pytest.approx(summary["pe_mean_mm"], abs=1e-3)
    assert "data:image/png;base64," in (out / "report.html").read_text()


def test_a_summary_states_the_data_that_it_is_of(run_2d, label_run_2d, hands_2d, tmp_path):
    own = os.path.realpath(hands_2d)
    info = opening.read_info(run_2d / "model.keras")
    copy = shutil.copytree(hands_2d, tmp_path / "\udce4copy")
    for run, root, split in ((run_2d, None, "val"), (label_run_2d, None, "val"), (run_2d, copy, "val"), (run_2d, copy, "val+train")):
        with warnings.catch_warnings(action="ignore"):  # of training images
            summary, out = evaluate_run.evaluate(run, split, root=root, out=tmp_path / "out")
        found = evaluated_data.read(out)
        assert summary["data"] == dataclasses.asdict(found)
        assert (found.name, found.root, found.run_root) == ("synthetic_hands_2d", os.path.realpath(root or hands_2d), own)
        assert found.units["unit"] == "mm"
        assert (found.digest == info.data["validation"]["digest"]) == (split == "val")
        assert found.is_of(info) == (split == "val")
    description = yaml.safe_load((copy / "dataset.yaml").read_text())
    (copy / "dataset.yaml").write_text(yaml.safe_dump(description | {"spacing_mm": [9.0, 9.0]}))
    with pytest.warns(DataWarning, match="other units"):
        evaluate_run.evaluate(run_2d, "val", root=copy, out=tmp_path / "wide")
    evaluate_run.evaluate(run_2d, "val", out=tmp_path / "out")
    assert not evaluated_data.read(tmp_path / "wide").is_same(evaluated_data.read(tmp_path / "out"))


def test_an_evaluation_that_fails_leaves_no_table_that_says_it_is_done(run_2d, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError("no space left on device")

    monkeypatch.setattr(report, "write", full)
    with pytest.raises(OSError, match="no space"):
        evaluate_run.evaluate(run_2d, "val", out=tmp_path)
    assert not (tmp_path / "errors.csv").exists()


def test_training_images_in_the_measured_split_are_told(run_2d, hands_2d, tmp_path):
    with pytest.warns(DataWarning, match=r"7 of the 7 images of split train are, by the settings, trained on, too \(the first: hand_000\)"):
        evaluate_run.evaluate(run_2d, "train", out=tmp_path / "train")
    copy = tmp_path / "set"
    shutil.copytree(hands_2d, copy)
    (copy / "splits" / "val.txt").write_text("hand_008\nhand_002\n")
    with pytest.warns(DataWarning, match=r"1 of the 2 images of split val are, by the settings, trained on, too \(the first: hand_002\)"):
        evaluate_run.evaluate(run_2d, "val", root=copy, out=tmp_path / "mixed")
    with pytest.warns(DataWarning, match="1 of the 2 images of split val"):
        train_run.prepare(small_config(copy), RunFolder(tmp_path / "run"), resume=False)
    (copy / "dataset.yaml").write_text((copy / "dataset.yaml").read_text().replace("synthetic_hands_2d", "others"))
    # No warning, which would be an error: another set may give its images the same numbers.
    evaluate_run.evaluate(run_2d, "val", root=copy, out=tmp_path / "other")
    evaluate_run.evaluate(run_2d, "val", out=tmp_path / "val")


def test_what_prediction_gives_is_short_when_printed(run_2d, hands_2d):
    predictor = scn_tf.load(run_2d)
    found = predictor.predict(hands_2d / "images" / "hand_007.png")
    assert re.fullmatch(r"Prediction\(21 landmarks, pixel coordinates, scores \S+ to \S+\)", repr(found))
    assert repr(predictor) == "Predictor(21 landmarks of synthetic_hands_2d, 2D)"


def test_prediction_agrees_with_evaluation_and_takes_files_and_arrays(run_2d, hands_2d, tmp_path):
    _, out = evaluate_run.evaluate(run_2d, "val", out=tmp_path / "out")
    rows = [row for row in csv.DictReader((out / "predictions.csv").read_text().splitlines()) if row["id"] == "hand_008"]
    expected = [[float(row["x"]), float(row["y"])] for row in rows]
    model = scn_tf.load(run_2d)
    path = hands_2d / "images" / "hand_008.png"
    np.testing.assert_allclose(model.predict(path).landmarks, expected, atol=1e-3)
    array = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    np.testing.assert_allclose(model.predict(array).landmarks, expected, atol=1e-3)
    assert model.predict(path).names[0] == "thumb_mcp"


def test_prediction_in_3d_is_physical_for_files_and_pixels_for_arrays(run_3d, hands_3d):
    path = hands_3d / "images" / "hand_003.nii.gz"
    model = scn_tf.load(run_3d / "model.keras")
    physical = model.predict(path)
    image = sitk.ReadImage(str(path))
    pixels = model.predict(sitk.GetArrayFromImage(image), spacing=image.GetSpacing())
    assert (physical.coordinates, pixels.coordinates) == ("physical", "pixel")
    np.testing.assert_allclose(physical.landmarks, pixels.landmarks * 3.6 + np.array(image.GetOrigin()), atol=1e-3)


def test_transparency_is_ignored(run_2d, hands_2d, tmp_path):
    grey = tf.io.decode_png((hands_2d / "images" / "hand_008.png").read_bytes()).numpy()
    (tmp_path / "clear.png").write_bytes(tf.io.encode_png(np.dstack([grey, 255 - grey])).numpy())
    predictor = scn_tf.load(run_2d)
    found = predictor.predict(tmp_path / "clear.png").landmarks
    np.testing.assert_array_equal(found, predictor.predict(hands_2d / "images" / "hand_008.png").landmarks)


def test_mistakes_are_named(run_2d, hands_3d, tmp_path):
    with pytest.raises(DatasetError, match="12 landmarks in 3D, but the model finds 21 in 2D"):
        evaluate_run.evaluate(run_2d, "val", root=hands_3d)
    with pytest.raises(DatasetError, match="no such split; there are: train, val"):
        evaluate_run.evaluate(run_2d, "test")
    with pytest.raises(CheckpointError, match="no model there; expected a run folder"):
        scn_tf.load(tmp_path)
    with pytest.raises(ImageError, match="expected rank 2 or 3"):
        scn_tf.load(run_2d).predict(np.zeros(5))
    with pytest.raises(ImageError, match="NaN"):
        scn_tf.load(run_2d).predict(np.full((5, 5), np.nan))


def test_a_set_with_other_landmarks_or_channels_than_the_model_is_refused(run_2d, hands_2d, tmp_path):
    shutil.copytree(hands_2d, tmp_path / "set")
    described = yaml.safe_load((hands_2d / "dataset.yaml").read_text())

    def evaluate(**changes):
        (tmp_path / "set" / "dataset.yaml").write_text(yaml.safe_dump({**described, **changes}))
        return evaluate_run.evaluate(run_2d, "val", root=tmp_path / "set", out=tmp_path / "out")

    names = described["landmarks"]
    with pytest.raises(DatasetError, match=r"dataset\.yaml: landmark 0 is .*, but the model's is thumb_mcp"):
        evaluate(landmarks=names[::-1])
    with pytest.raises(DatasetError, match="landmark 20 is other, but the model's is"):
        evaluate(landmarks=[*names[:-1], "other"])
    with pytest.raises(DatasetError, match="channels 3, but the model takes images of 1"):
        evaluate(channels=3)
    assert evaluate(landmarks=len(names))[0]["points"] > 0  # counted, not named


def test_missing_images_are_left_out_of_an_evaluation_on_request(run_2d, hands_2d, tmp_path, capsys):
    shutil.copytree(hands_2d, tmp_path / "set")
    (tmp_path / "set" / "images" / "hand_008.png").unlink()
    options = ["evaluate", str(run_2d), "--data.root", str(tmp_path / "set"), "--out", str(tmp_path / "out")]
    assert cli.main(options) == 1
    assert "With data.missing skip the run continues without them" in capsys.readouterr().err
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert cli.main([*options, "--data.missing", "skip"]) == 0
    printed = capsys.readouterr()
    assert "2 images, 42 points" in printed.out
    assert re.search(r"hand_008\.\*: missing image .*; continuing with 2", printed.err)


def test_mm_need_the_frame_of_a_file_and_no_other_spacing(run_3d, hands_3d, tmp_path):
    predictor = scn_tf.load(run_3d)
    path = hands_3d / "images" / "hand_003.nii.gz"
    with pytest.raises(ImageError, match="so spacing cannot be given"):
        predictor.predict(path, spacing=(1, 1, 1))
    flat = scn_tf.load(run_3d)
    flat.info = flat.info.model_copy(update={"dims": 2})
    sitk.WriteImage(sitk.GetImageFromArray(np.arange(48, dtype="uint8").reshape(8, 6)), str(tmp_path / "plain.png"))
    with pytest.raises(ImageError, match="this file states none; pass an array for pixels"):
        flat.predict(tmp_path / "plain.png")


def test_what_is_left_out_of_a_folder_is_reported(hands_2d, tmp_path):
    for name in ("a.gif", "b.WEBP", "notes.txt", ".hidden.gif", "set.zip"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "series").mkdir()
    found, left_out = images.collect([tmp_path], dims=2)
    assert not found
    assert [line.split(": ")[0].split("/")[-1] for line in left_out] == ["a.gif", "b.WEBP", "set.zip"]
    shutil.copy(hands_2d / "images" / "hand_008.png", tmp_path / "series")
    found, left_out = images.collect([tmp_path], dims=2)
    assert [source.path.name for source in found] == ["hand_008.png"]
    assert len(left_out) == 3
    (tmp_path / "nothing").mkdir()
    with pytest.raises(ImageError, match="no images there"):
        images.collect([tmp_path / "nothing"], dims=2)


@pytest.mark.parametrize("spacing", [(1.0,), (1.0, 1.0, 1.0), 0.5, (0, 0), (-1, -1), (np.nan, 1), (1e300, 1), "fine"])
def test_a_spacing_that_cannot_be_is_refused(spacing, run_2d, hands_2d, rng):
    for image in (rng.normal(size=(20, 30)), hands_2d / "images" / "hand_008.png"):
        with pytest.raises(ImageError, match="expected 2 positive numbers of mm per pixel"):
            scn_tf.load(run_2d).predict(image, spacing=spacing)


def test_a_given_spacing_counts_for_files_as_for_arrays(run_2d, hands_2d):
    predictor, path = scn_tf.load(run_2d), hands_2d / "images" / "hand_008.png"
    array = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    predictor.info = predictor.info.model_copy(update={"spacing_mm": (0.9, 0.9)})
    for spacing in ((0.9, 0.9), (0.3, 0.7)):
        of_file, of_array = (predictor.predict(image, spacing=spacing).landmarks for image in (path, array))
        np.testing.assert_allclose(of_file, of_array, atol=EXACT)
    assert np.abs(of_file - predictor.predict(path).landmarks).max() > 1


def test_numbers_are_expected(run_2d):
    with pytest.raises(ImageError, match="array: expected numbers, received <U1"):
        scn_tf.load(run_2d).predict(np.full((5, 5), "a"))


def test_an_image_that_holds_nothing_is_told(run_2d):
    with pytest.warns(DataWarning, match="array: every pixel has the same value, nothing can be found"):
        scn_tf.load(run_2d).predict(np.full((40, 30), 7.0))


def test_a_stated_spacing_follows_the_files_axes_and_an_explicit_one_wins(run_3d, rng, tmp_path):
    predictor = scn_tf.load(run_3d)
    volume = sitk.GetImageFromArray(rng.normal(size=(9, 21, 14)).astype("float32"))
    sitk.WriteImage(volume, str(tmp_path / "plain.nii.gz"))
    # The same volume with its axes stored in another order: x is the file's second axis.
    sitk.WriteImage(sitk.PermuteAxes(volume, [2, 0, 1]), str(tmp_path / "turned.nii.gz"))
    predictor.info = predictor.info.model_copy(update={"spacing_mm": (1.0, 1.5, 3.0)})
    plain = predictor.predict(tmp_path / "plain.nii.gz").array_landmarks
    array = sitk.GetArrayFromImage(volume)
    np.testing.assert_allclose(predictor.predict(array).array_landmarks, plain, atol=EXACT)
    explicit = predictor.predict(array, spacing=[3.0, 1.0, 1.0]).array_landmarks
    predictor.info = predictor.info.model_copy(update={"spacing_mm": (3.0, 1.0, 1.5)})
    np.testing.assert_allclose(predictor.predict(tmp_path / "turned.nii.gz").array_landmarks, plain, atol=EXACT)
    predictor.info = predictor.info.model_copy(update={"spacing_mm": (3.0, 1.0, 1.0)})
    np.testing.assert_allclose(predictor.predict(array).array_landmarks, explicit, atol=EXACT)
    assert np.abs(explicit - plain).max() > 10 * EXACT
