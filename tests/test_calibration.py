"""``scn-tf calibrate``: what it stores, what it refuses, and what predictions then state."""

import csv
import json
import shutil

import numpy as np
import pytest

import scn_tf
from scn_tf import calibrate_run, cli, evaluate_run
from scn_tf.data.dataset import open_dataset
from scn_tf.errors import CheckpointError, DatasetError
from scn_tf.predict import Predictor
from scn_tf.runs import checkpoints, pretrained

SPLIT = "held_out"


@pytest.fixture(scope="module")
def calibrated(run_2d, hands_2d, tmp_path_factory):
    """A copy of a run and of its data with a further split, after ``scn-tf calibrate``; path of the run and of the data."""
    folder = tmp_path_factory.mktemp("calibrated")
    run, root = folder / "run", folder / "set"
    shutil.copytree(run_2d, run)
    shutil.copytree(hands_2d, root)
    (root / "splits" / f"{SPLIT}.txt").write_text((root / "splits" / "val.txt").read_text())
    assert cli.main(["calibrate", str(run), "--split", SPLIT, "--data.root", str(root)]) == 0
    return run, root


def test_the_network_and_the_other_facts_stay(calibrated, run_2d):
    run, root = calibrated
    network, info = checkpoints.load_model(run / "model.keras")
    before, known = checkpoints.load_model(run_2d / "model.keras")
    assert known.calibration.split == "val"  # of its training
    for one, other in zip(network.get_weights(), before.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert info.model_copy(update={"calibration": known.calibration}) == known
    stored = info.calibration
    images = open_dataset(root).split(SPLIT)
    assert (stored.split, stored.images, stored.points) == (SPLIT, len(images), len(images) * len(info.landmarks))


def test_radii_contain_the_points_that_they_were_measured_on(calibrated):
    run, root = calibrated
    dataset, predictor = open_dataset(root), scn_tf.load(run)
    inside = []
    for image_id in dataset.split(SPLIT):
        found = predictor.predict(dataset.files[image_id])
        assert found.estimates.unit == "mm"
        errors = np.linalg.norm((found.landmarks - dataset.landmarks[image_id]) * dataset.description.spacing_mm, axis=-1)
        inside += list(errors <= found.estimates.radius95)
        assert found.estimates.image_ok
    assert np.mean(inside) >= 0.9


def test_lengths_are_in_mm_where_a_spacing_is_given_and_else_in_pixels(calibrated):
    run, root = calibrated
    dataset, own = open_dataset(root), scn_tf.load(run)
    predictor = Predictor(own.locate, own.info.model_copy(update={"spacing_mm": None}))
    array = dataset.read(dataset.split(SPLIT)[0]).array
    pixels, mm = predictor.predict(array).estimates, predictor.predict(array, spacing=(0.25, 0.25)).estimates
    assert (pixels.unit, mm.unit) == ("px", "mm")
    np.testing.assert_allclose(mm.radius95, 0.25 * pixels.radius95, rtol=1e-4)
    np.testing.assert_allclose(mm.expected_error, 0.25 * pixels.expected_error, rtol=1e-4)


def test_tables_carry_the_estimates(calibrated, tmp_path):
    run, root = calibrated
    dataset = open_dataset(root)
    image = dataset.files[dataset.split(SPLIT)[0]]
    estimates = scn_tf.load(run).predict(image).estimates
    for name in ("out.csv", "out.json"):
        assert cli.main(["predict", str(run), str(image), "--out", str(tmp_path / name)]) == 0
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    found = json.loads((tmp_path / "out.json").read_text())["images"][0]
    np.testing.assert_allclose([float(row["radius95"]) for row in rows], estimates.radius95, atol=1e-3)
    np.testing.assert_allclose([one["radius95"] for one in found["landmarks"]], estimates.radius95, atol=1e-3)
    assert [row["present"] for row in rows] == [str(int(one)) for one in estimates.present]
    assert [one["present"] for one in found["landmarks"]] == estimates.present.tolist()
    assert {row["image_ok"] for row in rows} == {"1"}
    assert (found["image_ok"], found["error_unit"]) == (True, "mm")


def test_a_calibrated_run_is_evaluated_as_before(calibrated, run_2d, tmp_path):
    run, root = calibrated
    summaries = [evaluate_run.evaluate(path, "val", root=root, out=tmp_path / path.parent.name)[0] for path in (run, run_2d)]
    assert summaries[0]["pe_mean_mm"] == pytest.approx(summaries[1]["pe_mean_mm"])


def test_images_that_trained_the_model_are_refused(calibrated):
    run, root = calibrated
    with pytest.raises(DatasetError, match="images of split train trained this model"):
        calibrate_run.calibrate(run, "train", root=root)


def test_a_split_that_is_too_small_is_refused_and_the_model_stays(calibrated):
    run, root = calibrated
    (root / "splits" / "two.txt").write_text("\n".join(open_dataset(root).split(SPLIT)[:2]))
    before = (run / "model.keras").read_bytes()
    with pytest.raises(DatasetError, match=r"split two: cannot calibrate: it has 2 images with \d+ points; needed are 3 and 19"):
        calibrate_run.calibrate(run, "two", root=root)
    assert (run / "model.keras").read_bytes() == before


def test_a_bundled_model_is_refused(calibrated):
    with pytest.raises(CheckpointError, match="is a bundled model, which stays as it is"):
        calibrate_run.calibrate(pretrained.names()[0])


def test_a_calibration_of_another_decoder_is_refused(calibrated):
    run, _ = calibrated
    info = checkpoints.read_info(run / "model.keras")
    stated = info.to_json()
    stated["calibration"]["decoder"] = "argmax"
    with pytest.raises(ValueError, match=r"calibration: of heatmap\.decoder argmax, the settings say quadratic"):
        type(info).from_json(stated)
