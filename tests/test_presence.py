"""Absent landmarks after the training: calibration, evaluation, and files for other tools."""

import csv
import json

import numpy as np
import pytest

from scn_tf import calibrate_run, evaluate_run
from scn_tf.data import pipeline, synthetic
from scn_tf.data.annotations import ANNOTATIONS, Expected, absent_of, converted, read_any, write_annotations
from scn_tf.data.dataset import open_dataset
from scn_tf.prediction import tables
from scn_tf.runs import checkpoints
from scn_tf.scoring import calibration, localization
from scn_tf.uncertainty import fitting
from tests.calibrated import calibrated
from tests.test_calibrated_predictions import NAMES, SAID, found_of


@pytest.fixture(scope="module")
def odd_2d(tmp_path_factory):
    """Usual hands, and hands of which parts are cut off, covered or missing."""
    root = tmp_path_factory.mktemp("odd_2d")
    synthetic.generate(root, train=3, val=3, odd=9, seed=5)
    return root


def rows_of(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def restated(file, **changes):
    """The model file with changed facts of its calibration."""
    info = checkpoints.read_info(file)
    checkpoints.restate(file, info.model_copy(update={"calibration": info.calibration.model_copy(update=changes)}))
    return file


def test_the_presence_of_a_split_follows_from_its_tables(run_2d, odd_2d, tmp_path):
    model = calibrated(run_2d, tmp_path / "model.keras")
    _, out = evaluate_run.evaluate(model, "odd", root=odd_2d, out=tmp_path / "first")
    scores = np.array([float(row["score"]) for row in rows_of(out / "predictions.csv")])
    restated(model, lowest_presence=float(np.log(np.median(scores))))
    summary, out = evaluate_run.evaluate(model, "odd", root=odd_2d, out=tmp_path / "second")
    table = {row[0]: row[1:] for row in csv.reader((odd_2d / "landmarks.csv").read_text().splitlines())}
    ids = (odd_2d / "splits" / "odd.txt").read_text().split()
    absent = np.array([table[image_id][::2] for image_id in ids]).ravel() == "absent"
    present = np.array([row["present"] == "1" for row in rows_of(out / "predictions.csv")])
    assert 5 < absent.sum() < absent.size / 2
    assert 0 < present.sum() < present.size
    found = json.loads((out / "summary.json").read_text())["presence"]
    assert (found["shown"], found["absent"]) == ((~absent).sum(), absent.sum())
    assert found["precision"] == pytest.approx((present & ~absent).sum() / present.sum())
    assert found["recall"] == pytest.approx(present[~absent].mean())
    assert found["specificity"] == pytest.approx((~present)[absent].mean())
    pairs = scores[~absent][:, None] - scores[absent]  # all medians of the calibration are equal
    assert found["auroc"] == pytest.approx((pairs > 0).mean() + (pairs == 0).mean() / 2, abs=1e-3)
    shares = 100 * found["recall"], 100 * found["specificity"]
    line = "holds {:.2f} % of the {} landmarks in an image   refuses {:.2f} % of the {} absent ones"
    assert line.format(shares[0], found["shown"], shares[1], found["absent"]) in evaluate_run.table(summary)
    # Errors count what is there, whatever the model says of it.
    assert summary["points"] == (~absent).sum()
    errors = np.array([row["error_mm"] for row in rows_of(out / "errors.csv")])
    np.testing.assert_array_equal(errors == "", absent)
    assert summary["pe_mean_mm"] == pytest.approx(errors[~absent].astype(float).mean(), abs=1e-4)


def test_a_split_without_absent_landmarks_has_no_presence(run_2d, odd_2d, tmp_path):
    dataset = open_dataset(odd_2d)
    assert not any(dataset.absent[image_id].any() for image_id in dataset.split("val"))
    summary, _ = evaluate_run.evaluate(calibrated(run_2d, tmp_path / "model.keras"), "val", root=odd_2d, out=tmp_path / "out")
    assert summary["presence"] is None


def test_calibration_counts_landmarks_in_the_image_and_refuses_few_of_them(run_2d, odd_2d, tmp_path):
    model = calibrated(run_2d, tmp_path / "model.keras")
    found, _ = calibrate_run.calibrate(model, "odd", root=odd_2d)
    dataset = open_dataset(odd_2d)
    shown = sum(np.isfinite(dataset.landmarks[image_id]).all(axis=1).sum() for image_id in dataset.split("odd"))
    assert found.points == shown
    # Parts cut from the images have fewer than 200 landmarks, so none may be refused: the lowest of them is the limit.
    summary, _ = evaluate_run.evaluate(model, "odd", root=odd_2d, out=tmp_path / "out")
    assert shown < 200
    assert summary["presence"]["recall"] == 1
    assert summary["trust"]["points_not_present"] == 0
    judged = restated(model, lowest_presence=found.lowest_presence + 100.0)
    summary, _ = evaluate_run.evaluate(judged, "odd", root=odd_2d, out=tmp_path / "out")
    assert summary["trust"]["points_not_present"] == shown


def test_a_point_outside_the_image_calibrates_nothing(run_2d, odd_2d):
    info = checkpoints.read_info(run_2d / "model.keras")
    dataset = open_dataset(odd_2d)
    (image_id, *_) = dataset.split("val")
    dataset.landmarks[image_id][4] = [-7.0, 50.0]
    with pytest.warns(UserWarning, match="trained as absent"):
        examples = pipeline.examples(dataset, [image_id], info.config)
    observe = localization.observer(checkpoints.load_model(run_2d / "model.keras")[0], info.config.heatmap.decoder)
    errors = calibration.of_result(localization.localize(observe, examples), info).errors[0]
    assert np.flatnonzero(np.isnan(errors)).tolist() == [4]


def test_images_without_any_point_calibrate_nothing(rng):
    errors, statistics = rng.gamma(2.0, size=(8, 6)), rng.normal(size=(8, 6, 3))
    plain = fitting.calibrate(fitting.Observed(errors, statistics), None, split="val", decoder="quadratic")
    blank = np.concatenate([errors, np.full((2, 6), np.nan)]), np.concatenate([statistics, np.full((2, 6, 3), -9.0)])
    assert fitting.calibrate(fitting.Observed(*blank), None, split="val", decoder="quadratic") == plain
    few = np.where(np.isin(np.arange(10), [0, 1])[:, None], blank[0], np.nan)
    with pytest.raises(ValueError, match="it has 2 images with 12 points; needed are 3 and 19"):
        fitting.calibrate(fitting.Observed(few, blank[1]), None, split="val", decoder="quadratic")


TELLING = ("scn", "csv-wide", "csv-long", "coco", "slicer")
OTHERS = [name for name, row in ANNOTATIONS.items() if row.write is not None and name not in (*TELLING, "dicom-sr")]


@pytest.mark.parametrize("name", [*TELLING, *OTHERS])
def test_files_of_answers_leave_out_what_a_model_takes_for_absent_and_say_so_where_they_can(name, tmp_path):
    found = found_of(SAID)._replace(points=np.array([[5.0, 6], [7, 8], [9, 12]]))
    points, facts = tables.annotations([found], NAMES)
    assert (points.absent["a"].tolist(), np.isnan(points.points["a"]).any(axis=1).tolist()) == ([False, True, False],) * 2
    row = ANNOTATIONS[name]
    path = tmp_path / ("out" if row.per_image else f"all{row.endings[0]}")
    write_annotations(path, points, row, facts)
    back = read_any(path, Expected(NAMES, 2), row)
    back = back if back.frame == "stated" else converted(back, "pixel", facts)
    order = [back.names.index(one) for one in NAMES if one in back.names] if back.names else range(3)
    kept = back.points["a"][order]
    np.testing.assert_allclose(kept[np.isfinite(kept).all(axis=1)], [[5, 6], [9, 12]], atol=1e-6)
    if name in TELLING:
        assert absent_of(back, "a")[order].tolist() == [False, True, False]


def test_tables_keep_the_most_likely_point_of_a_landmark_that_may_be_absent(tmp_path):
    about = tables.Written("hands", "0", NAMES, 2, [])
    tables.write(tmp_path / "p.csv", [found_of(SAID)], about)
    tables.write(tmp_path / "p.json", [found_of(SAID)], about)
    row = rows_of(tmp_path / "p.csv")[1]
    assert (float(row["x"]), float(row["y"]), row["present"]) == (5, 5, "0")
    landmark = json.loads((tmp_path / "p.json").read_text())["images"][0]["landmarks"][1]
    assert (landmark["x"], landmark["y"], landmark["present"]) == (5, 5, False)
