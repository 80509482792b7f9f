"""Measurements between landmarks: the grammar, the geometry, and their way through a model file, an evaluation and a report."""

import csv
import json
import shutil

import numpy as np
import pytest
import yaml

import scn_tf
from scn_tf import cli, combine_runs, evaluate_run, measurements
from scn_tf.data.dataset import open_dataset
from scn_tf.data.description import read_description
from scn_tf.errors import DatasetError
from scn_tf.runs import checkpoints
from scn_tf.runs.info import ModelInfo
from scn_tf.scoring import agreement, evaluation
from scn_tf.storage import ownership

NAMES = ("S", "N", "A", "B", "anterior nasal spine")
POINTS = np.array([[10.0, 20], [40, 20], [40, 60], [10, 60], [25, 20]])


def value(text, points=POINTS, names=NAMES, pixel_size=None):
    points = np.asarray(points, float)
    (found,) = measurements.compute(measurements.read({"x": text}, names, points.shape[-1]), points, pixel_size)
    return found


def refused(text, names=NAMES, dims=2):
    with pytest.raises(ValueError, match=r"^x: ") as caught:
        measurements.read({"x": text}, names, dims)
    return str(caught.value).removeprefix("x: ")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("distance(S, N)", 30),
        ("distance(S, A)", 50),
        ("distance(S, A, B)", 40),  # of S to the line AB
        ("distance(S, 'anterior nasal spine')", 15),
        ('distance("anterior nasal spine", N) * 2 + distance(S,N)/2', 45),
        ("angle(S, N, A)", 90),
        ("angle(A, S, N)", np.degrees(np.arctan2(4, 3))),
        ("angle(S, N, A, B)", 180),  # directions, so opposite ones are 180 degrees apart
        ("angle(S, N, S, S)", np.nan),
        ("signed_angle(S, N, A)", -90),  # from NS (left) to NA (down): against the clock
        ("signed_angle(A, N, S)", 90),
        ("signed_distance(A, S, N)", 40),  # below a line to the right is on its right
        ("signed_distance(A, N, S)", -40),
        ("projection(A, S, N)", 30),
        ("projection(S, A, N, S)", -30),
        ("projection(A, N, S) - projection(B, N, S)", -30),
        ("ratio(distance(S, N), distance(S, B))", 0.75),
        ("distance(S,N)/distance(S,B)", 0.75),
        ("distance(S, S) / distance(S, S)", np.nan),
        ("distance(midpoint(S, N), centroid(S, N, A, B))", 20),
        ("distance(foot(A, S, N), N)", 0),
        ("distance(intersection(S, A, N, B), midpoint(S, A))", 0),
        ("distance(intersection(S, N, A, B), S)", np.nan),
        ("area(S, N, A, B)", 1200),
        ("min(distance(S,N), distance(S,B), distance(S,A)) - max(distance(S,N), distance(S,B))", -10),
        ("mean(distance(S,N), distance(S,B))", 35),
        ("abs(-distance(S,N))", 30),
        ("-(2 - .5e1) * angle(S,N,A)", 270),
        ("distance(S,N) - distance(S,B) - distance(S,A)", -60),
        ("distance(S,N) / 2 / 5", 3),
    ],
)
def test_expressions_have_the_value_of_their_drawing(text, expected):
    np.testing.assert_allclose(value(text), expected, atol=1e-9)


def test_lengths_are_in_mm_where_pixels_have_a_size_and_angles_follow_it():
    assert value("distance(S, A)", pixel_size=(0.5, 2)) == pytest.approx(np.hypot(15, 80))
    assert value("angle(A, S, N)", pixel_size=(0.5, 2)) == pytest.approx(np.degrees(np.arctan2(80, 15)))
    found = measurements.read(
        {"a": "distance(S,N)", "b": "angle(S,N,A)", "c": "ratio(distance(S,N),distance(S,B))", "d": "area(S,N,A)/angle(S,N,A)"}, NAMES, 2
    )
    assert measurements.units(found, "mm") == ["mm", "degrees", "", "mm^2*degrees^-1"]
    assert measurements.units(found, measurements.unit_of_lengths(None))[0] == "px"


def test_measurements_of_volumes_do_not_depend_on_how_the_head_lies(rng):
    points = rng.normal(size=(5, 3)) * 30
    texts = {
        "a": "distance(S, N, A)",
        "b": "angle(S, N, A, B)",
        "c": "projection(S, N, A)",
        "d": "area(S, N, A)",
        "e": "distance(foot(S, N, A), B)",
    }
    turned, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turned *= np.sign(np.linalg.det(turned))
    found = measurements.read(texts, NAMES, 3)
    values = measurements.compute(found, points)
    np.testing.assert_allclose(measurements.compute(found, points @ turned.T + 7), values)
    assert values[3] == pytest.approx(np.linalg.norm(np.cross(points[1] - points[0], points[2] - points[0])) / 2)
    assert values[0] == pytest.approx(2 * values[3] / np.linalg.norm(points[2] - points[1]))


def test_an_absent_landmark_makes_its_measurements_absent_and_no_others():
    points = np.stack([POINTS, POINTS])
    points[1, 2] = np.nan
    found = measurements.read({"with": "angle(S, N, A)", "without": "distance(S, N)"}, NAMES, 2)
    assert found[0].landmarks == {0, 1, 2}
    np.testing.assert_allclose(measurements.compute(found, points, np.ones((2, 2))), [[90, 30], [np.nan, 30]])
    assert measurements.compute((), points).shape == (2, 0)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("distance(S, Nn)", "position 13: unknown landmark Nn; did you mean N?"),
        ("distance(s, N)", "position 10: unknown landmark s; did you mean S?"),
        ("distance(anterior nasal spine, N)", 'position 10: unknown landmark anterior; did you mean "anterior nasal spine"?'),
        ("distance(S, 'nasal spine')", 'position 13: unknown landmark "nasal spine"; did you mean "anterior nasal spine"?'),
        ("distnace(S, N)", "position 1: unknown function distnace; did you mean distance?"),
        ("__import__('os')", "position 1: unknown function __import__; known: distance, "),
        ("S.__class__", "position 2: expected a landmark, function, number or sign, received '.'"),
        ("distance(S, N)**2", "position 16: expected a landmark, a function, a number or (, received *"),
        ("distance(S, N) + angle(S, N, A)", "position 16: expected two values of one unit, received a length + an angle"),
        ("distance(S, N) + 1", "received a length + a number without unit"),
        ("ratio(distance(S, N), angle(S, N, A))", "received a length and an angle"),
        ("S * 2", "position 3: expected two numbers, lengths or angles, received a point * a number without unit"),
        ("-S", "position 1: expected a number, length or angle after -, received a point"),
        ("midpoint(S, N)", "received a point; measure it, such as distance(midpoint(S, N), ...)"),
        ("distance(S)", "expected distance(A, B), or distance(P, A, B) of P to the line AB, received 1 argument"),
        ("distance(S, 2)", "position 13: distance expected a landmark or point, received a number without unit"),
        ("abs(S)", "position 5: abs expected a length, angle or number, received a point"),
        ("distance(S, N", "position 14: expected ), received the end"),
        ("distance(S, N) distance(S, N)", "position 16: expected + - * / or the end, received distance"),
        ("distance(S, 'N)", "position 13: expected a landmark, function, number or sign, received a quotation mark without its end"),
        ("2 * 3", "expected an expression of landmarks, such as distance(S, N), received '2 * 3'"),
        ("", "position 1: expected a landmark, a function, a number or (, received the end"),
        ("1e999 * distance(S, N)", "position 1: expected a finite number"),
        ("(" * 40 + "S" + ")" * 40, "position 31: is nested more than 30 levels deep"),
        ("-" * 900 + "distance(S, N)", "is nested more than 30 levels deep"),
        ("distance(S, N)" + " + distance(S, N)" * 99, "expected at most 1000 characters"),
        ("area(S,N,A) * area(S,N,A) * distance(S,N)", "expected units up to the power 4, received mm^5"),
        ("distance(S, \x1b[2J)", "received '\\x1b'"),
    ],
)
def test_a_mistake_is_named_with_its_position_and_the_nearest_name(text, reason):
    found = refused(text)
    assert reason in found
    assert found.isprintable()
    assert len(found) < 400


def test_sides_have_no_meaning_in_volumes():
    for text in ("signed_distance(S, N, A)", "signed_angle(S, N, A)", "distance(intersection(S, N, A, B), S)"):
        assert "is for 2D alone" in refused(text, dims=3)


def test_landmarks_without_names_are_written_with_an_l_or_in_quotation_marks():
    names = ("0", "1", "2", "3", "4")
    assert value("distance(L0, L1)", names=names) == value("distance('0', \"1\")", names=names) == 30
    assert "position 10: distance expected a landmark or point, received a number without unit; landmark 0 is written L0" in refused(
        "distance(0, 1)", names
    )
    assert "unknown landmark L7" in refused("distance(L0, L7)", names)
    assert value("distance(L1, S)", names=("S", "L1", "1", "b", "c")) == 30  # a name comes before a number
    assert "unknown landmark L0" in refused("distance(L0, S)")
    assert 'landmark 1 is written "1"' in refused("distance(S, 1)", ("S", "1"))


def test_the_table_of_an_image_has_empty_cells_for_what_is_absent(tmp_path):
    found = measurements.read({"=SNA": "angle(S, N, A)", "length": "distance(S, N)", "index": "distance(S,N)/distance(S,B)"}, NAMES, 2)
    values = np.array([81.23456789, np.nan, 0.75])
    measured = {unit: measurements.as_json(found, values, unit) for unit in ("px", "mm")}
    measurements.write_table(tmp_path / "m.csv", [("a,b", measured["px"]), ("c", measured["mm"])])
    assert (tmp_path / "m.csv").read_text().splitlines()[:5] == [
        "id,measurement,value,unit,low95,high95",
        '"a,b",\'=SNA,81.2346,degrees,,',
        '"a,b",length,,px,,',
        '"a,b",index,0.75,,,',
        "c,'=SNA,81.2346,degrees,,",
    ]
    assert ownership.is_ours(tmp_path / "m.csv")
    assert measured["mm"]["length"] == {"value": None, "unit": "mm"}


def described(root, out, texts, **more):
    """A copy of a data set with measurements."""
    shutil.copytree(root, out)
    path = out / "dataset.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"measurements": texts} | more, sort_keys=False))
    return out


TEXTS = {
    "index": "distance(index_mcp, index_tip)",
    "angle": "signed_angle(index_tip, index_mcp, radius)",
    "ratio": "ratio(distance(index_mcp, index_tip), distance(index_mcp, radius))",
}


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (
            {"SNA": "angle(index_tip, index_mpc, radius)"},
            "measurements: SNA: position 18: unknown landmark index_mpc; did you mean index_mcp?",
        ),
        ({"SNA": 5}, "measurements.SNA: expected names with expressions (SNA: angle(S, N, A)), received 5"),
        (["angle"], "measurements: expected names with expressions"),
        ({"": "distance(index_tip, radius)"}, "measurements: expected names in one line"),
        ({f"m{n}": "distance(index_tip, radius)" for n in range(501)}, "measurements: expected at most 500 measurements, received 501"),
    ],
)
def test_a_mistake_in_a_data_set_names_the_file_and_the_measurement(hands_2d, tmp_path, texts, reason):
    root = described(hands_2d, tmp_path / "set", texts)
    with pytest.raises(DatasetError) as caught:
        read_description(root / "dataset.yaml")
    assert str(caught.value).startswith(f"{root / 'dataset.yaml'}: {reason}")


def test_an_evaluation_measures_found_and_annotated_points(run_2d, hands_2d, tmp_path):
    root = described(hands_2d, tmp_path / "set", TEXTS)
    summary, out = evaluate_run.evaluate(run_2d, "val", root=root, out=tmp_path / "out")
    dataset = open_dataset(root)
    with open(out / "measurements.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["id"], row["measurement"]) for row in rows] == [(i, name) for i in dataset.split("val") for name in TEXTS]
    assert [row["unit"] for row in rows[:3]] == ["mm", "degrees", ""]
    chosen = measurements.read(TEXTS, dataset.description.names, 2)
    predicted = {}
    for line in csv.DictReader((out / "predictions.csv").read_text().splitlines()):
        predicted.setdefault(line["id"], []).append((float(line["x"]), float(line["y"])))
    for number, identity in enumerate(dataset.split("val")):
        for column, points in (("annotated", dataset.landmarks[identity]), ("found", predicted[identity])):
            expected = measurements.compute(chosen, points, (0.9, 0.9))
            np.testing.assert_allclose([float(row[column]) for row in rows[3 * number :][:3]], expected, rtol=1e-3, atol=1e-2)
    errors = np.array([[float(row["error"]) for row in rows[n::3]] for n in range(3)])
    found = summary["measurements"]["index"]
    assert found["mean_error"] == pytest.approx(errors[0].mean(), rel=1e-3)
    assert found["mean_absolute_error"] == pytest.approx(np.abs(errors[0]).mean(), rel=1e-3)
    assert found["limits_of_agreement"] == pytest.approx(errors[0].mean() + np.array([-1.96, 1.96]) * errors[0].std(ddof=1), rel=1e-3)
    assert (found["n"], found["unit"]) == (3, "mm")
    assert np.abs(errors[1]).max() <= 180
    assert json.loads((out / "summary.json").read_text())["measurements"] == summary["measurements"]
    assert "limits of agreement" in (out / "report.html").read_text()
    evaluation._write_measurements(out / "measurements.csv", [], agreement.Agreement([], np.empty((0, 0)), np.empty((0, 0)), []))
    assert not (out / "measurements.csv").exists()  # of an earlier evaluation


def test_errors_of_angles_do_not_jump_by_a_whole_turn():
    chosen = measurements.read({"a": "signed_angle(L0, L1, L2)"}, ("0", "1", "2"), 2)
    sides = np.radians([[179.0], [-179.0]])
    points = [np.stack([[1.0, 0], [0, 0], [np.cos(a), np.sin(a)]])[None] for a in sides[:, 0]]
    found = agreement.compare(chosen, points[0], points[1], np.ones((1, 2)), "px")
    np.testing.assert_allclose(found.errors, [[-2.0]], atol=1e-9)
    figures = agreement.summarize(found)["a"]
    assert (figures["n"], figures["sd"], figures["limits_of_agreement"]) == (1, None, None)
    nothing = agreement.summarize(found._replace(found=np.full((1, 1), np.nan)))["a"]
    assert (nothing["n"], nothing["mean_error"]) == (0, None)


def test_a_model_file_carries_the_measurements_of_its_training_data(run_2d, tmp_path):
    info = checkpoints.read_info(run_2d / "model.keras")
    assert info.measurements == {}
    assert "measurements" not in info.to_json()
    measuring = ModelInfo.from_json({**info.to_json(), "measurements": TEXTS})
    assert measuring.measurements == ModelInfo.from_json(json.loads(json.dumps(measuring.public().to_json()))).measurements == TEXTS
    for wrong in ({"a": "distance(nobody, radius)"}, {"a": 5}, [1]):
        with pytest.raises(ValueError, match="measurements"):
            ModelInfo.from_json({**info.to_json(), "measurements": wrong})
    network, _ = checkpoints.load_model(run_2d / "model.keras")
    for name, texts in (("a", TEXTS), ("b", {"index": "distance(radius, index_tip)", "more": "distance(radius, index_mcp)"})):
        checkpoints.save_model(network, tmp_path / f"{name}.keras", measuring.model_copy(update={"measurements": texts}))
    combine_runs.combine([tmp_path / "a.keras", tmp_path / "b.keras"], tmp_path / "both.keras")
    both = checkpoints.read_info(tmp_path / "both.keras").measurements
    assert both == {**TEXTS, "more": "distance(radius, index_mcp)"}  # of the first that has a name


def test_a_model_measures_where_the_data_set_names_no_measurements(run_2d, hands_2d, tmp_path):
    network, info = checkpoints.load_model(run_2d / "model.keras")
    checkpoints.save_model(network, tmp_path / "model.keras", info.model_copy(update={"measurements": TEXTS}))
    summary, _ = evaluate_run.evaluate(tmp_path / "model.keras", "val", root=hands_2d, out=tmp_path / "out")
    assert list(summary["measurements"]) == list(TEXTS)


def test_predict_measures_every_image_and_says_where(run_2d, hands_2d, tmp_path, capsys):
    network, info = checkpoints.load_model(run_2d / "model.keras")
    checkpoints.save_model(network, tmp_path / "model.keras", info.model_copy(update={"measurements": TEXTS, "spacing_mm": (0.5, 0.25)}))
    image = hands_2d / "images" / "hand_001.png"
    found = scn_tf.load(tmp_path / "model.keras").predict(image)
    chosen = measurements.read(TEXTS, found.names, 2)
    expected = measurements.compute(chosen, found.landmarks, np.array([0.5, 0.25]))
    assert [one["value"] for one in found.measurements.values()] == pytest.approx(expected, rel=1e-5)
    for out in ("p.csv", "p.json"):
        assert cli.main(["predict", str(tmp_path / "model.keras"), str(image), "--out", str(tmp_path / out)]) == 0
    assert f"measurements: {tmp_path / 'p.measurements.csv'}" in capsys.readouterr().out
    rows = [line.split(",") for line in (tmp_path / "p.measurements.csv").read_text().splitlines()[1:]]
    assert [row[:2] for row in rows] == [["hand_001", name] for name in TEXTS]
    assert [float(row[2]) for row in rows] == pytest.approx(expected, rel=1e-3)
    (in_json,) = json.loads((tmp_path / "p.json").read_text())["images"]
    assert in_json["measurements"].keys() == TEXTS.keys()
    assert in_json["measurements"][next(iter(TEXTS))]["unit"] == "mm"
