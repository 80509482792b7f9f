"""Coverage and radii during a training: each half of the validation images calibrates the other."""

import csv
import time

import numpy as np
import pytest

from scn_tf import train_run
from scn_tf.scoring import calibration
from scn_tf.uncertainty import error_model, fitting, halves
from scn_tf.uncertainty.fitting import Observed
from tests.conftest import small_config
from tests.test_uncertainty import drawn


def test_no_half_knows_its_own_errors():
    errors, statistics, _ = drawn(9)
    observed = Observed(errors, statistics)
    found = halves.radii(observed)
    even = np.arange(9) % 2 == 0
    made = fitting.calibrate(Observed(errors[even], statistics[even]), None, split="", decoder="")
    expected = np.asarray(error_model.expected_error(made.error_model, statistics[~even].astype("float32")))
    np.testing.assert_allclose(found[~even], made.factor * expected**made.power)
    # Larger errors of one half make radii of the other alone larger.
    larger = halves.radii(Observed(np.where(even[:, None], errors, 3 * errors), statistics))
    np.testing.assert_allclose(larger[~even], found[~even])
    assert (larger[even] > 1.5 * found[even]).all()


def test_radii_of_halves_contain_about_the_stated_share():
    shares = []
    for seed in range(12):
        errors, statistics, _ = drawn(30, seed=seed, missing=0.2)
        known = np.isfinite(errors)
        shares.append((errors <= halves.radii(Observed(errors, statistics)))[known].mean())
    assert 0.93 < np.mean(shares) < 0.97


@pytest.mark.parametrize(("images", "landmarks", "enough"), [(5, 20, False), (6, 20, True), (37, 1, False), (38, 1, True)])
def test_halves_need_three_images_and_nineteen_points(images, landmarks, enough):
    errors, statistics, _ = drawn(images, landmarks=landmarks)
    assert (halves.radii(Observed(errors, statistics)) is not None) == enough


def test_a_look_at_many_points_takes_some_of_them(monkeypatch):
    errors, statistics, _ = drawn(400, landmarks=150)
    start = time.process_time()
    found = halves.radii(Observed(errors, statistics))
    assert time.process_time() - start < 20
    assert 6 <= np.isfinite(found).all(axis=1).sum() <= halves.MOST_IMAGES
    assert np.isfinite(found[[0, -1]]).all()
    monkeypatch.setattr(halves, "MOST_NUMBERS", 1)
    assert np.isfinite(halves.radii(Observed(errors[:40], statistics[:40]))).all(axis=1).sum() == 6


def test_the_history_has_coverage_and_radius_beside_what_chooses_the_epoch(hands_2d, tmp_path, monkeypatch):
    train_run.train(small_config(hands_2d, data__train_split="val", data__val_split="train"), tmp_path / "run")
    rows = list(csv.DictReader((tmp_path / "run" / "history.csv").read_text().splitlines()))
    assert all(0 <= float(row["val_coverage95_percent"]) <= 100 and float(row["val_radius95_mean"]) > 0 for row in rows)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    tags = EventAccumulator(str(tmp_path / "run" / "tensorboard"), size_guidance={"tensors": 0}).Reload().Tags()["tensors"]
    assert {"val_coverage95_percent", "val_radius95_mean", "val_pe_mean_mm"} <= set(tags)
    monkeypatch.setattr(calibration, "in_halves", lambda result, info: {})
    train_run.train(small_config(hands_2d, data__train_split="val", data__val_split="train"), tmp_path / "without")
    plain = list(csv.DictReader((tmp_path / "without" / "history.csv").read_text().splitlines()))
    assert "val_radius95_mean" not in plain[0]
    assert [row["val_pe_mean_mm"] for row in plain] == [row["val_pe_mean_mm"] for row in rows]


def test_few_validation_images_have_no_such_columns(run_2d):
    assert "val_coverage95_percent" not in (run_2d / "history.csv").read_text()


def test_lengths_are_in_the_unit_of_the_errors(run_2d):
    from scn_tf.runs import checkpoints

    info = checkpoints.read_info(run_2d / "model.keras")
    errors, statistics, _ = drawn(8, landmarks=21)
    result = {
        "predicted": np.zeros((8, 21, 2)),
        "landmarks": np.stack([errors, np.zeros_like(errors)], axis=-1),
        "visible": np.ones((8, 21)),
        "statistics": statistics,
        "unit_per_pixel": np.full((8, 2), 0.25),
    }
    found = calibration.in_halves(result, info)
    radii = halves.radii(Observed(errors, statistics))
    assert found == pytest.approx({"coverage95_percent": 100 * (errors <= radii).mean(), "radius95_mean": 0.25 * radii.mean()})
    result["visible"][:, 1:] = 0
    assert calibration.in_halves(result, info) == {}
