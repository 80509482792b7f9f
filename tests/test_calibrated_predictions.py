"""Predictions of a calibrated model: tables, journal, other tools' files, pictures, the line at the end."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import scn_tf
from scn_tf import cli
from scn_tf.data.annotations import ANNOTATIONS, Annotations, Expected, read_any, write_annotations
from scn_tf.data.images.facts import ImageFacts
from scn_tf.figures import marks, pictures, sheets
from scn_tf.figures.marks import Marks
from scn_tf.prediction import tables
from scn_tf.prediction.doubts import Doubts
from scn_tf.prediction.steps import Prediction
from scn_tf.types import Estimates, Located
from scn_tf.uncertainty import doubt, units
from tests.calibrated import calibrated, expected_errors, radii

NAMES = ("tip", "base", "root")
ESTIMATES = Estimates("mm", np.array([0.8049, 12.31, 150.0]), np.array([2.1, 0.0302, 400.0]))
SAID = Estimates("mm", np.array([0.8, 0.4, 1.5]), np.array([2.1, 1.0, 4.0]), np.array([True, False, True]), False, np.array([True] * 3))


@pytest.fixture(scope="module")
def stated_2d(run_2d, tmp_path_factory):
    return calibrated(run_2d, tmp_path_factory.mktemp("stated") / "model.keras")


def answered(model, images, out, *more):
    assert cli.main(["predict", str(model), *map(str, images), "--out", str(out), *map(str, more)]) == 0
    return out


def test_csv_and_json_state_the_same_errors(stated_2d, hands_2d, tmp_path, capsys):
    images = [hands_2d / "images" / f"hand_00{number}.png" for number in (7, 8)]
    table = answered(stated_2d, images, tmp_path / "p.csv")
    assert "expected errors are in mm; no point looks doubtful\n" in capsys.readouterr().out
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [float(row["radius95"]) for row in rows] == pytest.approx(2 * (radii(21) * 5.4).tolist(), rel=1e-3)
    document = json.loads(answered(stated_2d, images, tmp_path / "p.json").read_text())
    for image, own in zip(document["images"], (rows[:21], rows[21:]), strict=True):
        assert (image["error_unit"], image["image_ok"]) == ("mm", True)
        for point, row in zip(image["landmarks"], own, strict=True):
            assert list(point) == ["name", "x", "y", "score", "expected_error", "radius95", "present"]
            assert (point["present"], row["present"], row["image_ok"]) == (True, "1", "1")
            assert (point["expected_error"], point["radius95"]) == (float(row["expected_error"]), float(row["radius95"]))


def test_a_resumed_table_keeps_the_errors_of_before(stated_2d, hands_2d, tmp_path, capsys):
    images = [hands_2d / "images" / f"hand_00{number}.png" for number in (7, 8)]
    whole = answered(stated_2d, images, tmp_path / "whole.csv").read_text().splitlines()
    answered(stated_2d, images[:1], tmp_path / "p.csv")
    resumed = answered(stated_2d, images, tmp_path / "p.csv", "--resume").read_text().splitlines()
    assert [line.split(",")[5:] for line in resumed] == [line.split(",")[5:] for line in whole]  # points: another size of batch
    assert "(1 done earlier)" in capsys.readouterr().out


def test_a_file_without_pixel_size_has_errors_in_its_pixels(stated_2d, hands_2d):
    predictor = scn_tf.load(stated_2d)
    predictor.info = predictor.info.model_copy(update={"spacing_mm": None})
    found = predictor.predict(hands_2d / "images" / "hand_008.png")
    assert found.estimates.unit == "px"
    assert found.estimates.expected_error == pytest.approx(expected_errors(21) * 6, rel=1e-5)
    assert found.array_radii == pytest.approx(np.outer(radii(21) * 6, [1, 1]), rel=1e-5)
    # A pixel that is twice as high as wide: the radius is one length in mm, and half as many pixels downward.
    predictor.info = predictor.info.model_copy(update={"spacing_mm": (0.5, 1.0)})
    found = predictor.predict(hands_2d / "images" / "hand_008.png")
    assert found.array_radii * [0.5, 1.0] == pytest.approx(np.outer(found.estimates.radius95, [1, 1]), rel=1e-5)


def test_volumes_have_radii_along_all_axes(run_3d, hands_3d, tmp_path):
    model = calibrated(run_3d, tmp_path / "model.keras")
    found = scn_tf.load(model).predict(hands_3d / "images" / "hand_003.nii.gz")
    assert found.estimates.unit == "mm"
    spacing = np.array(found.image.spacing)
    assert found.array_radii * spacing == pytest.approx(np.outer(found.estimates.radius95, [1, 1, 1]), rel=1e-4)


def test_answers_without_estimates_have_none_in_any_unit(stated_2d):
    located = Located(np.zeros((21, 2)), np.ones(21))
    assert units.in_unit(located, None, "px", 1.0) is None
    calibration = scn_tf.load(stated_2d).info.calibration
    flagged = located._replace(expected_error=np.ones(21), radius95=np.ones(21), present=np.arange(21) % 2, image_ok=np.float32(1))
    found = units.in_unit(flagged, calibration, "mm", 2.0)
    assert (found.image_ok, found.present.tolist()[:3]) == (True, [False, True, False])
    assert found.expected_error.tolist() == [2.0] * 21
    assert not found.doubtful.any()


def test_a_point_is_doubtful_with_twice_the_usual_error_of_its_landmark(stated_2d):
    calibration = scn_tf.load(stated_2d).info.calibration
    usual = expected_errors(21)
    factors = np.where(np.arange(21) < 4, 2.001, 1.99)
    assert doubt.doubtful(calibration, usual * factors).sum() == 4


def found_of(estimates, image_id="a"):
    prediction = Prediction(np.full((3, 2), 5.0), np.array([0.9, 0.02, 0.8]), NAMES, "pixel", np.full((3, 2), 5.0), None, {}, estimates)
    facts = ImageFacts(Path(f"{image_id}.png"), (50, 41), (1.0, 1.0), None)
    return tables.restored(json.loads(json.dumps(tables.record(image_id, prediction, facts))), facts.path)


def test_what_a_model_states_survives_the_journal():
    found = found_of(SAID).estimates
    assert found._replace(doubtful=None, present=None, expected_error=None, radius95=None) == Estimates("mm", None, None, image_ok=False)
    for name in ("expected_error", "radius95", "present", "doubtful"):
        np.testing.assert_array_equal(getattr(found, name), getattr(SAID, name))
    assert found_of(None).estimates is None


@pytest.mark.parametrize(
    ("estimates", "text"),
    [
        ([None], None),
        ([SAID], "expected errors are in mm; 2 of 2 points look doubtful; 1 landmark not in the image; 1 image unlike the training images"),
        ([SAID, ESTIMATES], "2 of 5 points in 1 image look doubtful; "),
        ([ESTIMATES, ESTIMATES._replace(unit="px")], "expected errors are in mm or px; no point looks doubtful"),
    ],
)
def test_the_last_line_counts_what_looks_doubtful(estimates, text):
    doubts = Doubts(NAMES)
    found = [found_of(one, str(number)) for number, one in enumerate(estimates)]
    assert [one.id for one in doubts.watch(found)] == [one.id for one in found]
    assert doubts.text() is None if text is None else text in doubts.text()


def test_other_tools_show_errors_and_know_absent_landmarks(tmp_path):
    points, facts = tables.annotations([found_of(SAID)], NAMES)
    said = ["expected error 0.8 mm, 95 % within 2.1 mm, score 0.9", "not in the image, score 0.02"]
    (slicer,) = write_annotations(tmp_path / "slicer", points, ANNOTATIONS["slicer"], facts)
    controls = json.loads(slicer.read_text())["markups"][0]["controlPoints"]
    assert [one["description"] for one in controls[:2]] == said
    assert [one["positionStatus"] for one in controls] == ["defined", "missing", "defined"]
    back = read_any(slicer, Expected(dims=2), ANNOTATIONS["slicer"])
    assert np.isnan(back.points["a"][1]).all()
    assert back.points["a"][2].tolist() == [5, 5]
    (fcsv,) = write_annotations(tmp_path / "fcsv", points, ANNOTATIONS["fcsv"], facts)
    rows = [row for row in csv.reader(fcsv.read_text().splitlines()) if not row[0].startswith("#")]
    assert [(row[11], row[12]) for row in rows] == [("tip", said[0]), ("root", "expected error 1.5 mm, 95 % within 4 mm, score 0.8")]
    (labelme,) = write_annotations(tmp_path / "labelme", points, ANNOTATIONS["labelme"], facts)
    assert json.loads(labelme.read_text())["shapes"][0]["description"] == said[0]
    write_annotations(tmp_path / "coco.json", points, ANNOTATIONS["coco"], facts)
    (answer,) = json.loads((tmp_path / "coco.json").read_text())["annotations"]
    assert answer["keypoints"] == [5, 5, 2, 0, 0, 0, 5, 5, 2]
    assert answer["keypoint_scores"] == [0.9, 0.02, 0.8]


def test_numbers_in_remarks_have_two_digits_and_no_exponent(tmp_path):
    points = Annotations({"a": np.ones((3, 3))}, {"a": 1}, NAMES, "physical", estimates={"a": ESTIMATES})
    path = tmp_path / "a.mrk.json"
    ANNOTATIONS["slicer"].write(path, points, {})
    controls = json.loads(path.read_text())["markups"][0]["controlPoints"]
    assert [one["description"] for one in controls] == [
        "expected error 0.8 mm, 95 % within 2.1 mm",
        "expected error 12 mm, 95 % within 0.03 mm",
        "expected error 150 mm, 95 % within 400 mm",
    ]


def colours(picture):
    """Masks (blue, orange) of the colours of circles and squares."""
    red, green, blue = picture.astype(int).transpose(2, 0, 1)
    return (blue > 200) & (red < 80), (red > 200) & (abs(green - 165) < 40) & (blue < 80)


def test_circles_have_their_radius_along_both_axes():
    image, points = np.zeros((100, 200, 1)), np.array([[60.0, 50], [150, 50]])
    plain = pictures.overlay_figure(image, points, ["", ""])
    assert not colours(plain)[0].any()
    picture = pictures.overlay_figure(image, points, ["", ""], Marks(np.array([[40.0, 20], [10, 5]]), np.array([True, False])))
    blue, orange = colours(picture)
    rows, columns = np.nonzero(blue)
    scale = picture.shape[1] / 200
    assert [columns.min(), columns.max()] == pytest.approx([20.5 * scale, 100.5 * scale], abs=3)
    assert [rows.min(), rows.max()] == pytest.approx([30.5 * scale, 70.5 * scale], abs=3)
    rows, columns = np.nonzero(orange)  # the absent landmark: a square, no circle
    assert [columns.mean(), rows.mean()] == pytest.approx([150.5 * scale, 50.5 * scale], abs=3)
    assert np.ptp(columns) > 4


def test_a_misplaced_point_has_a_cross_and_its_circle():
    image, points = np.zeros((100, 200, 1)), np.array([[60.0, 50], [150, 50]])
    picture = pictures.overlay_figure(image, points, ["", ""], Marks(np.full((2, 2), 20.0), misplaced=np.array([False, True])))
    blue, orange = colours(picture)
    scale = picture.shape[1] / 200
    assert np.nonzero(orange)[1].mean() == pytest.approx(150.5 * scale, abs=3)
    assert np.nonzero(blue)[1].max() == pytest.approx(170.5 * scale, abs=3)
    assert marks.of_point(Marks(np.full((2, 2), 20.0), misplaced=np.array([False, True])), 1).misplaced.tolist() == [True]


def test_an_image_unlike_the_others_is_marked_at_its_top():
    image, points = np.full((60, 90, 1), 0.5), np.array([[45.0, 40]])
    good, bad = (pictures.overlay_figure(image, points, [""], Marks(np.ones((1, 2)), None, ok)) for ok in (True, False))
    changed = np.nonzero((good != bad).any(axis=(1, 2)))[0]
    assert 0 < len(changed) < len(good) / 4
    assert changed.max() < len(good) / 3


def test_marks_of_volumes_are_seen_from_both_sides_and_points_without_truth_have_none(rng):
    image = rng.random((10, 30, 40, 1))
    truth, found = np.array([[10.0, 10, 5], [np.nan] * 3]), np.array([[12.0, 10, 5], [30, 20, 5]])
    stated = Marks(np.array([[5.0, 5, 2], [5, 5, 2]]))
    both, none = (sheets.compared(image, truth, found, ["", ""], None, one) for one in (stated, None))
    assert both != none
    alone = sheets.compared(image, truth, found, ["", ""], None, Marks(stated.radii * [[1], [3]]))
    assert alone == both
    one = marks.of_point(Marks(stated.radii, np.array([False, True]), False), 1)
    assert (one.radii.shape, one.present.tolist(), one.image_ok) == ((1, 3), [True], None)
    assert sheets.close_up(image, truth, found, 0, ["", ""], None, stated) != sheets.close_up(image, truth, found, 0, ["", ""], None)


def test_overlays_of_a_calibrated_model_have_circles(stated_2d, hands_2d, tmp_path):
    from PIL import Image

    answered(stated_2d, [hands_2d / "images" / "hand_008.png"], tmp_path / "p.csv", "--overlay", tmp_path / "drawn")
    blue, orange = colours(np.asarray(Image.open(tmp_path / "drawn" / "hand_008.png")))
    assert blue.sum() > 100
    assert not orange.any()
