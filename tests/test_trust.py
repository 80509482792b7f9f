"""What a calibrated model states of its errors, against the errors that it made: figures, files and report of an evaluation."""

import csv
import json
import math
import shutil

import numpy as np
import pytest

import scn_tf
from scn_tf import evaluate_run
from scn_tf.data.dataset import open_dataset
from scn_tf.figures import charts
from scn_tf.runs import checkpoints
from scn_tf.runs.training_images import calibrated_on
from scn_tf.scoring import evaluation, localization, scores, trust
from scn_tf.scoring.trust import Stated
from scn_tf.systems import network
from tests.calibrated import calibrated, expected_errors, radii

NAN = np.nan
ERRORS = np.array([[1.0, 2, NAN], [3, 0.5, NAN], [0.5, 4, 1]])
RADII = np.array([[2.0, 1, 9], [3, 1, 9], [1, 5, 3]])
STATED = Stated(RADII / 2, RADII)


def test_figures_are_those_counted_by_hand():
    found = trust.summarize(ERRORS, STATED, ("a", "b", "c"), "mm", 2)
    # Points (error, radius): (1, 2) (2, 1) (3, 3) (0.5, 1) (0.5, 1) (4, 5) (1, 3): only the second is outside.
    assert found["coverage95_percent"] == pytest.approx(100 * 6 / 7)
    assert found["radius95_mean"] == pytest.approx(16 / 7)
    assert found["area95_mean"] == pytest.approx(math.pi * (4 + 1 + 9 + 1 + 1 + 25 + 9) / 7)
    details = found["trust"]
    assert details["error_mean"] == pytest.approx(12 / 7)
    assert details["expected_error_mean"] == pytest.approx(8 / 7)
    assert (details["radius95_median"], details["area95_median"]) == pytest.approx((2, 4 * math.pi))
    assert details["area_unit"] == "mm^2"
    assert details["by_landmark"]["b"] == pytest.approx(
        {"points": 3, "coverage95_percent": 200 / 3, "radius95_mean": 7 / 3, "expected_error": 7 / 6, "error": 6.5 / 3}
    )
    assert details["by_landmark"]["c"]["points"] == 1
    # Beyond 2 mm (at least): errors 2, 3 and 4 with radii 1, 3, 5 against 2, 1, 1, 3.
    assert details["auroc"] == {"2": pytest.approx((1 + 3.5 + 4) / 12), "4": 1.0}
    assert (details["points_not_present"], details["images_not_ok"], found["presence"]) == (None, None, None)


def test_a_landmark_without_a_point_is_in_no_figure():
    alone = np.where([True, True, False], ERRORS, NAN)
    assert list(trust.summarize(alone, STATED, ("a", "b", "c"), "mm", 2)["trust"]["by_landmark"]) == ["a", "b"]


def test_a_model_that_is_not_calibrated_states_nothing():
    assert trust.summarize(ERRORS, None, ("a", "b", "c"), "mm", 2) == dict.fromkeys(trust.KEYS)
    assert trust.intervals(ERRORS, None) == {}
    assert trust.lines({"unit": "mm"}) == []


def test_volumes_take_the_place_of_areas_in_3d():
    found = trust.summarize(ERRORS[:1], Stated(RADII[:1], RADII[:1]), ("a", "b", "c"), "mm", 3)
    assert found["area95_mean"] == pytest.approx(4 / 3 * math.pi * (8 + 1) / 2)
    assert found["trust"]["area_unit"] == "mm^3"


def test_without_mm_large_errors_are_relative_to_the_image():
    percent = np.array([0.5, 0.1, NAN])  # of the third image the length is not known
    found = trust.summarize(ERRORS, STATED, ("a", "b", "c"), "px", 2, percent_per_px=percent)["trust"]
    # In percent (error, radius): (0.5, 1) (1, 0.5) (0.3, 0.3) (0.05, 0.1).
    assert found["auroc"] == {"1": pytest.approx(2 / 3), "2": None}
    assert found["auroc_unit"] == "%"
    assert trust.summarize(ERRORS, STATED, ("a", "b", "c"), "px", 2)["trust"]["auroc"] == {"1": None, "2": None}


def test_parts_of_the_points_are_of_equal_size_in_the_order_of_what_was_stated():
    expected = np.arange(20.0)[::-1]
    curve = trust.reliability(2 * expected, expected)
    assert [part["points"] for part in curve] == [2] * 10
    assert [part["expected_error"] for part in curve] == [0.5 + 2 * n for n in range(10)]
    assert all(part["error"] == 2 * part["expected_error"] for part in curve)
    assert len(trust.reliability(np.ones(3), np.ones(3))) == 3
    small, middle, large = trust.by_radius(np.array([1.0, 5, 5, 7, 7, 7]), np.array([1.0, 2, 6, 4, 8, 9]))
    assert (small["coverage95_percent"], middle["coverage95_percent"], large["coverage95_percent"]) == (50, 50, 100)
    assert (middle["radius95_from"], middle["radius95_to"], middle["error"]) == (4, 6, 6)


def test_an_auroc_counts_pairs():
    large = np.array([True, True, False, False, False])
    assert trust.auroc(large, np.array([3.0, 1, 1, 0, 2])) == pytest.approx((3 + 1.5) / 6)
    assert trust.auroc(large, np.ones(5)) == 0.5
    assert trust.auroc(np.ones(3, bool), np.ones(3)) is None


def test_presence_counts_landmarks_that_are_known_to_be_absent():
    shown = np.array([[1, 1, 0, 0], [1, 0, 0, 1]], bool)
    absent = np.array([[0, 0, 1, 0], [0, 1, 1, 0]], bool)  # the last of the first image is unknown
    present = np.array([[1, 0, 1, 1], [1, 0, 0, 1]], bool)
    values = np.array([[0.9, 0.2, 0.5, 0.9], [0.8, 0.1, 0.3, 0.7]])
    found = trust.presence(shown, absent, present, values)
    assert found == {
        "precision": 3 / 4,
        "recall": 3 / 4,
        "specificity": pytest.approx(2 / 3),
        "auroc": pytest.approx((3 + 3 + 3 + 1) / 12),
        "shown": 4,
        "absent": 3,
    }
    assert trust.presence(shown, np.zeros_like(absent), present, values) is None


def test_intervals_are_over_images_and_contain_the_figure(rng):
    errors, radius = rng.gamma(2, 1, (40, 6)), np.full((40, 6), 4.0)
    errors[3], errors[5, 2:] = NAN, NAN
    radius[:20] = 5.0
    found = trust.intervals(errors, Stated(radius, radius))
    known = np.isfinite(errors)
    for key, value in (("coverage95_percent", 100 * (errors <= radius)[known].mean()), ("radius95_mean", radius[known].mean())):
        low, high = found[key]
        assert low < value < high
    assert trust.intervals(errors[3:5], Stated(radius[3:5], radius[3:5])) == {}


def rows_of(path):
    return list(csv.DictReader(path.read_text().splitlines()))


@pytest.fixture(scope="module")
def stated_2d(run_2d, tmp_path_factory):
    return calibrated(run_2d, tmp_path_factory.mktemp("stated") / "model.keras")


@pytest.fixture(scope="module")
def evaluated(stated_2d, tmp_path_factory):
    return evaluate_run.evaluate(stated_2d, "val", out=tmp_path_factory.mktemp("stated") / "out")


def test_the_table_of_an_evaluation_states_what_a_prediction_states(evaluated, stated_2d, hands_2d):
    summary, out = evaluated
    rows = rows_of(out / "predictions.csv")
    # 256 x 192 pixels of 0.9 mm on 48 x 32.
    mm = 0.9 * max(256 / 48, 192 / 32)
    assert [float(row["expected_error"]) for row in rows[:21]] == pytest.approx(expected_errors(21) * mm, rel=1e-3)
    assert [float(row["radius95"]) for row in rows[:21]] == pytest.approx(radii(21) * mm, rel=1e-3)
    assert {(row["unit"], row["present"], row["image_ok"]) for row in rows} == {("mm", "1", "1")}
    found = scn_tf.load(stated_2d).predict(hands_2d / "images" / "hand_008.png")
    own = [row for row in rows if row["id"] == "hand_008"]
    assert [float(row["radius95"]) for row in own] == pytest.approx(found.estimates.radius95, rel=1e-3)
    assert found.array_radii[0] == pytest.approx(found.estimates.radius95[0] / 0.9)
    # The figures follow from the tables.
    errors = np.array([float(row["error_mm"]) for row in rows_of(out / "errors.csv")])
    stated = np.array([float(row["radius95"]) for row in rows])
    assert summary["coverage95_percent"] == pytest.approx(100 * (errors <= stated).mean())
    assert summary["radius95_mean"] == pytest.approx(stated.mean(), rel=1e-3)
    assert summary["area95_mean"] == pytest.approx((math.pi * stated**2).mean(), rel=1e-3)
    assert json.loads((out / "summary.json").read_text()) == summary
    first = rows_of(out / "per_landmark.csv")[0]
    assert float(first["radius95_mean"]) == pytest.approx(stated[0], rel=1e-3)
    assert float(first["coverage95_percent"]) == pytest.approx(100 * (errors[::21] <= stated[0]).mean(), abs=1e-3)
    assert list(first)[-3:] == ["coverage95_percent", "radius95_mean", "trained"]


def test_figures_are_printed_and_shown_with_a_caution_about_images_that_calibrated(evaluated, stated_2d):
    summary, out = evaluated
    text = evaluate_run.table(summary)
    assert f"holds {summary['coverage95_percent']:.2f} % of the points" in text
    assert "3 of these 3 images calibrated the model: judge its radii by others" in text
    page = (out / "report.html").read_text()
    assert "<h2>How far to trust the answers</h2>" in page
    low, high = summary["intervals95"]["coverage95_percent"]
    assert f"% of the points (interval {low:.1f} to {high:.1f} %) lie within the radius" in page
    assert "All of the evaluated images are among them" in page
    assert "points within their 95 % radius (%)" in page
    assert page.index('alt="reliability curve"') < page.index('alt="errors and radii"')
    assert "<td class=text>large</td><td>21</td>" in page
    info = checkpoints.read_info(stated_2d)
    dataset = open_dataset(info.config.data.root)
    assert calibrated_on(info, dataset) == dataset.split("val")
    elsewhere = info.model_copy(update={"calibration": info.calibration.model_copy(update={"split": "no such list"})})
    assert calibrated_on(elsewhere, dataset) == []
    assert calibrated_on(info.model_copy(update={"calibration": None}), dataset) == []


def test_radii_are_judged_by_other_images_without_a_caution(run_2d, tmp_path):
    model = calibrated(run_2d, tmp_path / "model.keras", split="train")
    summary, out = evaluate_run.evaluate(model, "val", out=tmp_path / "out")
    assert summary["trust"]["calibration"] == {"split": "train", "images": 3, "points": 63, "among_these": 0}
    assert "calibrated the model" not in evaluate_run.table(summary)
    assert "among them" not in (out / "report.html").read_text()


def test_a_model_without_calibration_has_empty_columns_and_no_section(run_2d, tmp_path):
    model = calibrated(run_2d, tmp_path / "model.keras", split=None)
    summary, out = evaluate_run.evaluate(model, "val", out=tmp_path / "out")
    assert {name: summary[name] for name in trust.KEYS} == dict.fromkeys(trust.KEYS)
    assert "coverage95_percent" not in summary["intervals95"]
    assert {row["radius95"] + row["unit"] for row in rows_of(out / "predictions.csv")} == {""}
    assert "radius95_mean" not in (out / "per_landmark.csv").read_text()
    page = (out / "report.html").read_text()
    assert "How far to trust" not in page
    assert "Blue circles" not in page
    assert "95 % radius" not in evaluate_run.table(summary)


@pytest.mark.filterwarnings("ignore:.*has other units than the training data")
def test_mm_that_need_the_truth_are_for_the_figures_alone(stated_2d, hands_2d, tmp_path):
    """The distance of two annotated landmarks gives mm to errors. A prediction knows no such distance."""
    root = shutil.copytree(hands_2d, tmp_path / "set")
    text = (root / "dataset.yaml").read_text()
    normalization = "normalization: {landmarks: [3, 19], distance_mm: 50}\n"
    (root / "dataset.yaml").write_text(text.replace("spacing_mm:\n- 0.9\n- 0.9\n", normalization))
    summary, out = evaluate_run.evaluate(stated_2d, "val", root=root, out=tmp_path / "out")
    rows = rows_of(out / "predictions.csv")
    assert {row["unit"] for row in rows} == {"px"}
    assert float(rows[0]["radius95"]) == pytest.approx(radii(21)[0] * 6, rel=1e-3)
    dataset = open_dataset(root)
    mm = [50 / np.linalg.norm(np.subtract(*dataset.landmarks[one][[3, 19]])) for one in dataset.split("val")]
    assert summary["unit"] == "mm"
    assert summary["radius95_mean"] == pytest.approx(6 * np.mean(mm) * radii(21).mean(), rel=1e-3)


def test_volumes_have_spheres(run_3d, tmp_path):
    model = calibrated(run_3d, tmp_path / "model.keras")
    summary, out = evaluate_run.evaluate(model, "val", out=tmp_path / "out")
    stated = np.array([float(row["radius95"]) for row in rows_of(out / "predictions.csv")])
    assert summary["area95_mean"] == pytest.approx((4 / 3 * math.pi * stated**3).mean(), rel=1e-3)
    assert summary["trust"]["area_unit"] == "mm^3"
    assert "volume" in evaluate_run.table(summary)


def test_untrained_landmarks_count_in_no_figure():
    rows = scores.per_landmark(("a", "b", "c"), ERRORS, "mm", trained=np.array([True, False, True]), stated=STATED)
    assert rows[2][-3:] == ("", "", 0)
    assert rows[1][-3:] == ("100.0000", "2.0000", 1)


def test_flags_of_landmarks_and_images_reach_every_file(stated_2d, hands_2d, tmp_path, monkeypatch):
    locate, maps = network.open_with_heatmaps(stated_2d)
    present = np.ones((1, 21))
    present[0, [2, 5]] = 0
    localize = localization.localize

    def with_absent(*arguments, **options):
        """As for a set that knows some landmarks to be absent."""
        result = localize(*arguments, **options)
        absent = np.zeros((3, 21))
        absent[1, [5, 7]] = 1
        return {**result, "absent": absent, "visible": (1 - absent) * result["visible"]}

    monkeypatch.setattr(localization, "localize", with_absent)
    info, dataset = checkpoints.read_info(stated_2d), open_dataset(hands_2d)

    def flagged(images):
        return locate(images)._replace(present=present, image_ok=np.zeros(1))

    summary = evaluation.evaluate_landmarks(flagged, info, dataset, dataset.split("val"), "val", tmp_path, maps=maps)
    assert summary["trust"]["points_not_present"] == 6
    assert summary["trust"]["images_not_ok"] == 3
    visible = sum(summary["presence"][name] for name in ("shown", "absent"))
    assert summary["presence"]["absent"] == 2
    assert summary["presence"]["specificity"] == 0.5
    assert summary["presence"]["recall"] == pytest.approx(1 - 5 / (visible - 2))
    rows = rows_of(tmp_path / "predictions.csv")
    assert [row["present"] for row in rows[:7]] == ["1", "1", "0", "1", "1", "0", "1"]
    assert {row["image_ok"] for row in rows} == {"0"}
    page = (tmp_path / "report.html").read_text()
    assert "6 annotated points were reported as not in their image." in page
    assert "3 of 3 images were reported as unlike the training images." in page
    assert "2 landmarks are known to be absent, of which 50.0 % were found to be so." in page


def test_charts_of_many_points_stay_small(rng):
    errors, radius = rng.gamma(2, 1, 60_000), rng.gamma(2, 2, 60_000)
    assert len(charts.errors_and_radii(errors, radius, "mm")) < 200_000
    assert charts.errors_and_radii(errors, radius, "mm") == charts.errors_and_radii(errors, radius, "mm")
