"""Points that do not lie where the other points of their image say."""

import json

import numpy as np
import pytest

import scn_tf
from scn_tf import cli
from scn_tf.data import synthetic
from scn_tf.data.dataset import open_dataset
from scn_tf.runs import checkpoints
from scn_tf.types import Located
from scn_tf.uncertainty import places, units
from scn_tf.uncertainty.places import Places
from tests.calibrated import calibrated

NOISE = 0.6  # pixels of 1 mm: how far found points are off


def hands(count, *, seed, dims=2):
    """True points (I, N, d) of drawn hands, and points found."""
    rng = np.random.default_rng(seed)
    true = np.stack([synthetic._hand(rng, dims)[0] for _ in range(count)])
    return true, true + rng.normal(0, NOISE, true.shape)


@pytest.fixture(scope="module")
def usual():
    return places.fit(hands(60, seed=0)[0], hands(20, seed=1)[1])


@pytest.fixture(scope="module")
def found():
    return hands(100, seed=2)[1]


def test_of_ordinary_points_less_than_one_in_a_hundred_is_named(usual, found):
    named = np.stack([places.misplaced(usual, points) for points in found])
    assert named.mean() < 0.01


def test_a_moved_point_is_named_and_seldom_a_neighbour(usual, found):
    rng = np.random.default_rng(3)
    hits = others = 0
    for points in found:
        number, step = rng.integers(points.shape[0]), rng.normal(size=2)
        moved = points.copy()
        moved[number] += 25 * step / np.linalg.norm(step)
        named = places.misplaced(usual, moved)
        hits += named[number]
        others += (named & ~places.misplaced(usual, points)).sum() - named[number]
    assert hits > 90
    assert others < 30


def test_both_of_two_exchanged_points_are_named(usual, found):
    rng = np.random.default_rng(4)
    hits = 0
    for points in found:
        pair = rng.choice(len(points), 2, replace=False)
        exchanged = points.copy()
        exchanged[pair] = points[pair[::-1]]
        hits += places.misplaced(usual, exchanged)[pair].all()
    assert hits > 90


def test_position_size_and_rotation_of_the_whole_do_not_matter(usual, found):
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    moved = found[0].copy()
    moved[4] += [30, 0]
    for points in (found[0], moved):
        other = 1.7 * points @ turn.T + [300, -40]
        assert places.misplaced(usual, other).tolist() == places.misplaced(usual, points).tolist()
    assert np.flatnonzero(places.misplaced(usual, moved)).tolist() == [4]


def test_absent_points_and_images_without_any_shape_have_no_names(usual, found):
    points = found[0].copy()
    points[4] += [30, 0]
    points[[7, 9]] = np.nan
    assert np.flatnonzero(places.misplaced(usual, points)).tolist() == [4]
    assert not places.misplaced(usual, np.random.default_rng(0).uniform(0, 200, points.shape)).any()
    points[3:] = np.nan
    assert not places.misplaced(usual, points).any()


@pytest.mark.parametrize("landmarks", [4, 5, 6])
def test_few_landmarks_have_fewer_modes_and_a_moved_one_is_named(landmarks):
    chosen = [0, 5, 9, 13, 17, 20][:landmarks]
    true, found = (points[:, chosen] for points in hands(100, seed=5))
    usual = places.fit(true[:60], found[60:])
    assert len(usual.modes) < 2 * landmarks
    assert np.mean([places.misplaced(usual, points).any() for points in found[60:]]) < 0.1
    found[60:, 1] += 200.0
    assert np.mean([places.misplaced(usual, points)[1] for points in found[60:]]) > 0.9


def test_too_few_images_have_no_usual_shape():
    true, seen = hands(5, seed=0)
    assert places.fit(true, seen) is None


def test_landmarks_of_few_images_are_never_named():
    true, seen = hands(30, seed=0)
    true[3:, 2] = np.nan
    usual = places.fit(true, hands(20, seed=1)[1])
    points = seen[0].copy()
    points[2] += 60
    assert not places.misplaced(usual, points)[2]


def test_the_shape_survives_a_file_and_damaged_ones_are_refused(usual, found):
    restored = Places.model_validate_json(usual.model_dump_json())
    assert restored == usual
    values = json.loads(usual.model_dump_json())
    for name, wrong in (("reference", values["reference"][1:]), ("modes", [[1.0]]), ("metric", [[1.0] * 9] * len(values["metric"]))):
        with pytest.raises(ValueError, match="places: lists of different lengths"):
            Places.model_validate({**values, name: wrong})


def test_estimates_name_no_point_of_a_strange_image_and_no_absent_one(usual, found, run_2d, tmp_path):
    points = found[0].copy()
    points[[4, 11]] += [[30, 0], [0, 30]]
    calibration = checkpoints.read_info(calibrated(run_2d, tmp_path / "model.keras", places=usual)).calibration
    located = Located(points, np.ones(21), np.ones(21), np.ones(21))
    assert np.flatnonzero(units.in_unit(located, calibration, "mm", 1.0).misplaced).tolist() == [4, 11]
    absent = located._replace(present=(np.arange(21) != 11).astype("int32"), image_ok=1)
    assert np.flatnonzero(units.in_unit(absent, calibration, "mm", 1.0).misplaced).tolist() == [4]
    assert not units.in_unit(absent._replace(image_ok=0), calibration, "mm", 1.0).misplaced.any()
    assert units.in_unit(located, calibration.model_copy(update={"places": None}), "mm", 1.0).misplaced is None


def test_predict_names_the_point_at_the_end_and_in_json(run_2d, hands_2d, tmp_path, capsys):
    """The usual shape is that of the answer itself, but for one point."""
    image = hands_2d / "images" / "hand_008.png"
    plain = calibrated(run_2d, tmp_path / "plain.keras")
    predictor = scn_tf.load(plain)
    points = predictor.predict(image).array_landmarks / 6  # network pixels but for a shift
    rng = np.random.default_rng(0)
    shapes = points + rng.normal(0, 0.4, (40, *points.shape))
    shapes[:, 5] += [15, 0]
    model = calibrated(run_2d, tmp_path / "model.keras", places=places.fit(shapes[:30], shapes[30:]))
    name = predictor.info.landmarks[5]
    capsys.readouterr()
    assert cli.main(["predict", str(model), str(image), "--out", str(tmp_path / "p.json")]) == 0
    assert f"; {name} of hand_008 does not lie where the other points say" in capsys.readouterr().out
    (document,) = json.loads((tmp_path / "p.json").read_text())["images"]
    assert [point["name"] for point in document["landmarks"] if point["misplaced"]] == [name]


def test_a_calibration_learns_the_shape_of_the_training_points(run_2d, hands_2d, tmp_path):
    import shutil

    from scn_tf import calibrate_run

    file = shutil.copy(run_2d / "model.keras", tmp_path / "model.keras")
    found, _ = calibrate_run.calibrate(file, "val", root=hands_2d)
    dataset = open_dataset(hands_2d)
    true = dataset.landmarks[dataset.split("train")[0]]
    assert found.places.shapes.reference.shape == (21, 2)
    centred = [one - one.mean(axis=0) for one in (true, found.places.shapes.reference)]
    similar = np.corrcoef(*[np.linalg.norm(one, axis=1) for one in centred])[0, 1]
    assert similar > 0.95
