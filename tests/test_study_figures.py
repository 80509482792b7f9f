"""What a study says of the errors of its runs: statistics, intervals and curves."""

import numpy as np
import pytest

from scn_tf import config
from scn_tf.figures import pictures
from scn_tf.study import statistics
from tests.conftest import errors_table


def test_a_system_that_fails_does_not_press_the_other_curves_together():
    good, near, failed = (np.full(20, error) for error in (1.0, 2.5, 30.0))
    axis = pictures.image_error_curves({("A", "9"): good, ("B", "9"): near}, unit="mm", systems=["A", "B", "C"]).axes[0]
    assert (axis.get_xscale(), axis.get_xlim()) == ("linear", pytest.approx((0, 2.75)))
    axis = pictures.image_error_curves({("A", "9"): good, ("C", "9"): failed}, unit="mm", systems=["A", "B", "C"]).axes[0]
    assert axis.get_xscale() == "log"
    assert axis.get_xlim()[0] < 1.0  # and neither curve leaves the picture
    assert axis.get_xlim()[1] > 30.0


def test_a_system_keeps_its_colour_and_no_two_curves_look_alike():
    few = {("B", "all"): np.ones(3), ("C", "all"): np.ones(3)}
    many = {(system, size): np.ones(3) for size in ("5", "10", "25", "50", "91", "all") for system in ("A", "B", "C")}
    looks = []
    for errors in (few, many):
        lines = pictures.image_error_curves(errors, unit="mm", systems=["A", "B", "C"]).axes[0].get_lines()
        looks.append(dict(zip(errors, [(line.get_color(), str(line._unscaled_dash_pattern)) for line in lines], strict=True)))
    assert looks[0] == {key: looks[1][key] for key in few}
    assert len(set(looks[1].values())) == len(many)


def test_figures_are_those_of_hand_made_errors(tmp_path):
    first = np.array([[1.0, 3.0], [np.nan, 2.0], [0.5, 12.0]])
    tables = {("a", 0): errors_table(tmp_path / "a0", first), ("a", 1): errors_table(tmp_path / "a1", first + 1)}
    tables["b", 0] = errors_table(tmp_path / "b0", first, "other")
    tables["b", 1] = tmp_path / "b1"  # does not exist: seed 1 lacks a fold
    assert statistics.collect(tables).points.shape == (1, 6, 2)
    del tables["b", 1]  # left out: a list of its own for each seed, with no image that is there
    assert statistics.collect(tables).points.shape == (1, 6, 2)
    errors = statistics.collect({key: path for key, path in tables.items() if key[0] == "a"})
    found = statistics.figures(errors)
    assert (found["seeds"], found["images"], found["points"]) == (2, 3, 5)
    np.testing.assert_allclose(found["pe_mean"], 3.7 + 0.5)
    np.testing.assert_allclose(found["ipe_mean"], (2 + 2 + 6.25) / 3 + 0.5)
    np.testing.assert_allclose(found["seed_std"], np.std([3.7, 4.7], ddof=1))
    uneven = statistics.Errors((0, 1), ("x", "y"), np.array([[[1.0, 1.0], [2.0, np.nan]], [[1.0, 1.0], [6.0, np.nan]]]), "mm")
    np.testing.assert_allclose(statistics.figures(uneven)["seed_std"], np.std([1.5, 3.5], ddof=1))  # of image errors, as the mean beside it
    assert found["outliers_10"] == 1.0
    np.testing.assert_allclose(found["sdr_2"], 100 * 3 / 10)


def test_an_image_without_landmarks_is_left_out_and_other_images_are_refused(tmp_path):
    errors = np.array([[1.0, 3.0], [np.nan, np.nan], [2.0, np.nan]])
    found = statistics.collect({("a", 0): errors_table(tmp_path / "0", errors)})
    assert found.ids == ("a/image0", "a/image2")
    assert np.isfinite(list(statistics.figures(found)[name] for name in ("ipe_mean", "ipe_low", "ipe_high"))).all()
    with pytest.raises(config.ConfigError, match="not the same images"):
        statistics.collect({("a", 0): errors_table(tmp_path / "0", errors), ("a", 1): errors_table(tmp_path / "1", errors[:2])})


def test_a_paired_interval_is_narrower_than_the_difference_of_two_alone(rng):
    hard = rng.uniform(0, 10, (1, 40, 1))  # images differ a lot, systems by 0.5
    ids = tuple(map(str, range(40)))
    worse, better = (statistics.Errors((0,), ids, hard + a, "mm") for a in (rng.normal(0.5, 0.1, hard.shape), 0.0))
    found = statistics.difference(worse, better)
    assert 0.4 < found["low"] < found["mean"] < found["high"] < 0.6
    alone = statistics.interval(better.images.mean(axis=0))
    assert alone[1] - alone[0] > 1
    np.testing.assert_allclose(alone[1] - alone[0], 2 * 1.96 * hard.std() / np.sqrt(40), rtol=0.1)  # the normal approximation
    assert statistics.difference(worse, better._replace(ids=tuple("x" * 40))) is None


def test_a_difference_says_what_single_seeds_gave():
    first, second = (
        statistics.Errors(seeds, ("a", "b"), np.array(values, float)[:, None, None] + np.zeros((1, 2, 1)), "mm")
        for seeds, values in (((0, 1, 2), (1.0, 7.0, 3.0)), ((2, 0), (3.5, 0.8)))
    )
    found = statistics.difference(first, second)
    assert (found["mean"], found["least"], found["most"]) == pytest.approx((-0.15, -0.5, 0.2))  # of the seeds 0 and 2
    assert statistics.difference(first, second._replace(seeds=(8, 9))) is None
