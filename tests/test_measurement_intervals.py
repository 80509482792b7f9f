"""95 % intervals of measurements: the distribution of a landmark, known normal cases, and their way into every file."""

import csv
import json

import numpy as np
import pytest

import scn_tf
from benchmarks import measurement_intervals
from scn_tf import cli, evaluate_run, measurements
from scn_tf.data.dataset import open_dataset
from scn_tf.measurements import table
from scn_tf.runs import checkpoints
from scn_tf.scoring import agreement
from scn_tf.scoring.agreement import Agreement
from scn_tf.uncertainty import propagation
from tests.calibrated import calibrated, seeing

NAMES = ("A", "B", "C", "D")
# A normal distribution in the plane with standard deviation 1 along each axis: mean and 95 % quantile of the distance from its middle.
MEAN, QUANTILE = np.sqrt(np.pi / 2), np.sqrt(-2 * np.log(0.05))
POINTS = np.array([[0.0, 0], [200, 0], [200, 100], [0, 100]])
TEXTS = {
    "index": "distance(index_mcp, index_tip)",
    "angle": "signed_angle(index_tip, index_mcp, radius)",
    "ratio": "ratio(distance(index_mcp, index_tip), distance(index_mcp, radius))",
}


def read(*texts, dims=2):
    return measurements.read({text: text for text in texts}, NAMES, dims)


def normal(texts, points=POINTS, sd=1.0):
    """Intervals for landmarks with normal errors."""
    count = len(points)
    return propagation.intervals(read(*texts), np.asarray(points, float), np.full(count, sd * MEAN), np.full(count, sd * QUANTILE))


def half(ends):
    return (ends[:, 1] - ends[:, 0]) / 2


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("ratio", [1.4, 1.953, 2.5, 3.5])
def test_draws_of_a_landmark_have_the_stated_mean_and_radius_in_all_directions(dims, ratio):
    scale, shape = propagation.distribution(np.array([2.0]), np.array([2.0 * ratio]))
    distances, directions = propagation._standard(3, dims)
    drawn = (scale * distances ** (1 / shape))[:, None] * directions
    radial = np.linalg.norm(drawn, axis=1)
    assert radial.mean() == pytest.approx(2.0, rel=0.06)
    assert (radial <= 2.0 * ratio).mean() == pytest.approx(0.95, abs=0.012)
    assert np.abs(drawn.mean(axis=0)).max() < 0.2
    assert np.cov(drawn.T) == pytest.approx(np.eye(dims) * (radial**2).mean() / dims, abs=0.1 * (radial**2).mean())


def test_a_normal_distribution_in_the_plane_is_one_of_them():
    scale, shape = propagation.distribution(np.array([MEAN]), np.array([QUANTILE]))
    assert (scale[0], shape[0]) == pytest.approx((np.sqrt(2), 2), rel=1e-3)


def test_beyond_the_range_the_radius_stays_exact():
    scale, shape = propagation.distribution(np.array([1.0, 1.0]), np.array([1.01, 50.0]))
    assert scale * (-np.log(0.05)) ** (1 / shape) == pytest.approx([1.01, 50.0])
    assert shape == pytest.approx([8.0, 0.4])


def test_half_widths_are_those_of_normal_errors():
    # Far apart, the error of a length is that along the line, and the error of an angle that across it over the length of the side.
    found = half(normal(["distance(A, B)", "distance(D, A, B)", "projection(A, D, C)", "angle(B, A, D)", "distance(A, B) / 2"]))
    across = np.sqrt([2, 2, 2.5])  # two points; for the projection also the turn of the line, 100 beside it and 200 long
    corner = np.degrees(np.sqrt(1 / 200**2 + 1 / 100**2 + (1 / 200**2 + 1 / 100**2)))  # B and D, and A, which moves both sides
    assert found[:3] == pytest.approx(1.96 * across, rel=0.05)
    assert found[3] == pytest.approx(1.96 * corner, rel=0.05)
    assert found[4] == pytest.approx(found[0] / 2)
    assert half(normal(["distance(A, B)"], sd=3.0))[0] == pytest.approx(3 * found[0], rel=0.02)


def test_drawn_truths_lie_inside_in_95_of_100_cases(rng):
    texts = ["distance(A, B)", "angle(A, B, C)", "area(A, B, C, D)", "ratio(distance(A, B), distance(B, C))"]
    truth = POINTS / 10 + rng.normal(size=(2000, 4, 2))
    ends = normal(texts, POINTS / 10)
    values = measurements.compute(read(*texts), truth)
    assert ((ends[:, 0] <= values) & (values <= ends[:, 1])).mean(axis=0) == pytest.approx(0.95, abs=0.02)


def test_a_short_denominator_makes_the_interval_of_a_ratio_longer_above():
    (low, high), value = normal(["ratio(distance(A, B), distance(B, C))"], POINTS / [1, 20])[0], 40.0
    assert high - value > 2 * (value - low) > 0


def test_intervals_are_the_same_whenever_and_beside_whatever_they_are_computed():
    alone = normal(["angle(A, B, C)"])
    propagation._standard.cache_clear()
    np.testing.assert_array_equal(normal(["distance(C, D)", "angle(A, B, C)"])[1:], alone)


def test_the_interval_of_a_signed_angle_goes_on_past_180_degrees():
    straight = np.array([[10.0, 0], [0, 0], [-10, -0.001], [5, 5]])  # -180 at the other side of the border
    text = "signed_angle(A, B, C)"
    low, high = normal([text], straight, sd=0.5)[0]
    expected = 1.96 * np.degrees(0.5 * np.sqrt(1 + 1 + 2**2) / 10)  # both ends, and the corner, which turns both sides
    value = measurements.compute(read(text), straight)[0]
    assert abs(value) == pytest.approx(180, abs=0.01)
    assert (value - low, high - value) == pytest.approx((expected, expected), rel=0.1)


def test_the_value_of_the_found_points_is_always_inside():
    flat = np.array([[0.0, 0], [10, 0], [20, 0], [5, 5]])
    ends = normal(["angle(A, B, C)", "distance(A, A)", "distance(B, A, C)"], flat)  # at the end of what is possible
    assert (ends[:, 0] <= [180, 0, 0]).all()
    assert (ends[:, 1] >= [180, 0, 0]).all()


def test_what_is_absent_or_unknown_has_no_interval():
    points, radius = POINTS.copy(), np.full(4, QUANTILE)
    points[0], radius[3] = np.nan, np.nan
    ends = propagation.intervals(read("distance(A, B)", "distance(B, C)", "distance(C, D)"), points, np.full(4, MEAN), radius)
    np.testing.assert_array_equal(np.isfinite(ends).all(axis=1), [False, True, False])
    assert propagation.intervals((), points, radius, radius).shape == (0, 2)
    assert np.isnan(normal(["distance(intersection(A, B, D, C), A)"])).all()  # parallel lines


def test_coverage_is_counted_by_hand():
    chosen = read("distance(A, B)", "signed_angle(A, B, C)", "angle(A, B, C)")
    nan = np.nan
    found = np.array([[10.0, 179, nan], [20, -170, 5]])
    annotated = np.array([[11.0, -179, 3], [25, nan, 5]])
    ends = np.array([[[8, 12], [176, 182], [nan, nan]], [[17, 23], [-171, -169], [4, 8]]], float)
    compared = Agreement(chosen, found, annotated, ["mm", "degrees", "degrees"], ends)
    own = agreement.summarize(compared)
    assert [one["coverage95_percent"] for one in own.values()] == [50.0, 100.0, 100.0]
    assert [one["half_width95_mean"] for one in own.values()] == [2.5, 3.0, 2.0]
    share, interval = agreement.coverage(compared)
    assert share == 75.0
    assert interval == pytest.approx([50, 100])
    assert agreement.coverage(compared._replace(annotated=np.full((2, 3), nan))) == (None, None)
    assert agreement.summarize(compared._replace(annotated=np.full((2, 3), nan)))["distance(A, B)"]["coverage95_percent"] is None
    assert agreement.coverage(Agreement(chosen, found[:1], annotated[:1], compared.units, ends[:1])) == (100.0, None)
    assert agreement.coverage(compared._replace(intervals=None)) == (None, None)
    rows = agreement.rows(["a", "b"], compared)
    assert rows[0][-3:] == ("unit", "low95", "high95")
    assert rows[2][-3:] == ("degrees", "176", "182")
    assert rows[3][-2:] == ("", "")


def measuring(model, out):
    """Copy of a model file that measures."""
    network, info = checkpoints.load_model(model)
    checkpoints.save_model(network, out, info.model_copy(update={"measurements": TEXTS}))
    return out


def rows_of(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def test_predictions_of_a_calibrated_model_have_intervals_in_every_file(calibrated_2d, hands_2d, tmp_path):
    model = measuring(seeing(calibrated_2d, tmp_path / "seeing.keras"), tmp_path / "model.keras")
    image = hands_2d / "images" / "hand_001.png"
    found = scn_tf.load(model).predict(image)
    for out in ("p.csv", "p.json"):
        assert cli.main(["predict", str(model), str(image), "--out", str(tmp_path / out)]) == 0
    rows = rows_of(tmp_path / "p.measurements.csv")
    assert list(rows[0]) == ["id", "measurement", "value", "unit", "low95", "high95"]
    (in_json,) = json.loads((tmp_path / "p.json").read_text())["images"]
    assert in_json["measurements"] == found.measurements
    chosen = measurements.read(TEXTS, found.names, 2)
    expected = propagation.intervals(chosen, found.landmarks * 0.9, found.estimates.expected_error, found.estimates.radius95)
    for row, own, ends in zip(rows, found.measurements.values(), expected, strict=True):
        assert list(own) == ["value", "unit", "low95", "high95"]
        assert [own["low95"], own["high95"]] == pytest.approx(list(ends), rel=1e-4)
        assert [float(row[name]) for name in ("value", "low95", "high95")] == [own["value"], own["low95"], own["high95"]]
        assert own["low95"] <= own["value"] <= own["high95"]
        assert own["low95"] < own["high95"]


def test_a_landmark_without_training_images_has_no_interval(calibrated_2d, hands_2d):
    predictor = scn_tf.load(calibrated_2d)
    predictor.info = predictor.info.model_copy(update={"measurements": TEXTS, "untrained": ("index_tip",)})
    own = predictor.predict(hands_2d / "images" / "hand_001.png").measurements["index"]
    assert (own["low95"], own["high95"]) == (None, None)
    assert own["value"] > 0


def test_a_landmark_that_the_model_takes_for_absent_has_no_interval(run_2d, hands_2d, tmp_path):
    medians = [(0.0,) * 3] * 21
    medians[checkpoints.read_info(run_2d / "model.keras").landmarks.index("index_tip")] = (1e3, 0.0, 0.0)
    model = measuring(calibrated(run_2d, tmp_path / "drawn.keras", median=tuple(medians)), tmp_path / "model.keras")
    found = scn_tf.load(model).predict(hands_2d / "images" / "hand_001.png")
    assert found.estimates.present.sum() == 20
    assert found.measurements["index"]["value"] > 0
    assert {found.measurements[name]["low95"] for name in TEXTS} == {None}
    summary, out = evaluate_run.evaluate(model, "val", out=tmp_path / "out")
    assert {row["low95"] + row["high95"] for row in rows_of(out / "measurements.csv")} == {""}
    assert summary["measurements_coverage95_percent"] is None


def test_a_model_that_is_not_calibrated_states_none(bare_2d, hands_2d, tmp_path):
    model, image = measuring(bare_2d, tmp_path / "model.keras"), hands_2d / "images" / "hand_001.png"
    assert cli.main(["predict", str(model), str(image), "--out", str(tmp_path / "p.csv")]) == 0
    assert {row["low95"] + row["high95"] for row in rows_of(tmp_path / "p.measurements.csv")} == {""}
    summary, out = evaluate_run.evaluate(model, "val", out=tmp_path / "out")
    assert "coverage95_percent" not in summary["measurements"]["index"]
    assert summary["measurements_coverage95_percent"] is None
    assert {row["low95"] + row["high95"] for row in rows_of(out / "measurements.csv")} == {""}
    assert "95 % interval" not in (out / "report.html").read_text()
    assert "95 % intervals" not in evaluate_run.table(summary)


def test_tables_of_before_are_recognised(tmp_path):
    for head in ("id,measurement,value,unit", "id,measurement,value,unit,low95,high95"):
        (tmp_path / "m.csv").write_text(f"{head}\n")
        assert table.is_table(tmp_path / "m.csv")
    (tmp_path / "m.csv").write_text("id,measurement,value,unit,mine\n")
    assert not table.is_table(tmp_path / "m.csv")
    table.write_table(tmp_path / "m.csv", [("a", {"length": {"value": 1.5, "unit": "mm"}})])  # from a journal of before
    assert (tmp_path / "m.csv").read_text().splitlines()[1] == "a,length,1.5,mm,,"


@pytest.mark.parametrize("dims", [2, 3])
def test_an_evaluation_judges_them_by_the_annotations(dims, run_2d, run_3d, tmp_path):
    model = calibrated({2: run_2d, 3: run_3d}[dims], tmp_path / "calibrated.keras")
    names = checkpoints.read_info(model).landmarks
    texts = TEXTS if dims == 2 else {"index": f'distance("{names[0]}", "{names[1]}")'}
    network, info = checkpoints.load_model(model)
    checkpoints.save_model(network, model, info.model_copy(update={"measurements": texts}))
    summary, out = evaluate_run.evaluate(model, "val", out=tmp_path / "out")
    rows = rows_of(out / "measurements.csv")
    assert list(rows[0])[-2:] == ["low95", "high95"]
    own = [row for row in rows if row["measurement"] == "index"]
    low, high, found, true = (np.array([float(row[key]) for row in own]) for key in ("low95", "high95", "found", "annotated"))
    assert ((low <= found) & (found <= high) & (low < high)).all()
    assert summary["measurements"]["index"]["coverage95_percent"] == pytest.approx(100 * ((low <= true) & (true <= high)).mean())
    assert summary["measurements"]["index"]["half_width95_mean"] == pytest.approx((high - low).mean() / 2, rel=1e-3)
    share = summary["measurements_coverage95_percent"]
    assert share == pytest.approx(np.mean([one["coverage95_percent"] for one in summary["measurements"].values()]))
    low, high = summary["intervals95"]["measurements_coverage95_percent"]
    assert low - 1e-6 <= share <= high + 1e-6
    assert json.loads((out / "summary.json").read_text()) == summary
    page = (out / "report.html").read_text()
    assert "inside 95 % interval (%)" in page
    assert f"{share:.1f} % of the annotated values lie in the interval" in page
    assert "measured values inside their 95 % interval (%)" in page
    assert f"95 % intervals hold {share:.2f} % of the values" in evaluate_run.table(summary)
    # As a prediction of the same image states them.
    image = open_dataset(info.config.data.root).files[rows[0]["id"]]
    predicted = scn_tf.load(model).predict(image).measurements["index"]
    assert [predicted["low95"], predicted["high95"]] == pytest.approx([float(rows[0]["low95"]), float(rows[0]["high95"])], rel=1e-3)


def test_the_benchmark_leaves_each_image_out(run_2d, hands_2d, tmp_path):
    model = measuring(run_2d / "model.keras", tmp_path / "model.keras")
    found = measurement_intervals.measured(model, hands_2d, "train+val")
    scaled = measurement_intervals.scaled(found, False)
    assert scaled.found.shape == (10, 3)
    factors = np.ptp(scaled.intervals, axis=-1) / np.ptp(found.intervals, axis=-1)
    assert np.ptp(factors, axis=1).max() < 1e-6  # one per image, from the 27 values of the others
    share, _ = agreement.coverage(scaled)
    assert share >= 80
    np.testing.assert_allclose(scaled.intervals.mean(axis=-1), found.intervals.mean(axis=-1))
    assert np.isinf(measurement_intervals.scaled(found, True).intervals).all()  # 9 values are too few
