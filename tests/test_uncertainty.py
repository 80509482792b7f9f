"""Expected errors and radii: what maps show, the model of errors, the quantile, the whole calibration."""

import numpy as np
import pytest

from scn_tf.heatmaps.gaussians import render_gaussians
from scn_tf.uncertainty import conformal, error_model, fitting, ordinary
from scn_tf.uncertainty.calibration import Calibration
from scn_tf.uncertainty.estimates import estimate
from scn_tf.uncertainty.peak_statistics import CUT, peak_statistics


def maps_of(points, sigmas, size, *, gamma=100.0):
    return np.asarray(render_gaussians(np.array(points, "float32"), np.array(sigmas, "float32"), size, gamma=gamma))


@pytest.mark.parametrize("size", [(30, 44), (14, 18, 22)])
def test_statistics_of_a_gaussian_are_those_computed_pixel_by_pixel(size):
    dims, points = len(size), [[[9.0, 8.0, 7.0][: len(size)], [12.4, 6.3, 5.8][: len(size)], [10.0, 9.0, 6.0][: len(size)]]]
    maps = maps_of(points, [1.2, 2.0, 1.6], size)
    found = np.asarray(peak_statistics(maps))[0]
    grid = np.stack(np.meshgrid(*map(np.arange, size), indexing="ij"), axis=-1).reshape(-1, dims)
    for number in range(3):
        values = maps[0, ..., number].reshape(-1)
        above = np.maximum(values / values.max() - CUT, 0)
        squared = ((grid - grid[values.argmax()]) ** 2).sum(axis=1)
        expected = [values.max(), above.sum(), (above * squared).sum() / above.sum() + CUT]
        assert np.exp(found[number]) == pytest.approx(expected, rel=2e-4)


def test_a_second_peak_makes_the_spread_large_and_an_empty_map_is_finite():
    one = maps_of([[[20.0, 10.0]]], [1.5], (24, 40))
    two = one + 0.6 * maps_of([[[5.0, 18.0]]], [1.5], (24, 40))
    empty = np.zeros_like(one)
    spread = [np.exp(np.asarray(peak_statistics(maps)))[0, 0, 2] for maps in (one, two)]
    assert spread[1] > 20 * spread[0]
    assert np.isfinite(np.asarray(peak_statistics(empty))).all()


def test_the_quantile_is_that_of_a_finite_sample():
    assert conformal.LEAST == 19
    assert conformal.quantile(np.arange(1.0, 20.0)) == 19
    assert conformal.quantile(np.arange(1.0, 19.0)) == np.inf
    assert conformal.quantile(np.arange(1.0, 100.0)) == 95


def drawn(images, *, seed=0, landmarks=7, missing=0.0):
    """Errors whose size depends on the landmark and on the first statistic."""
    rng = np.random.default_rng(seed)
    statistics = rng.normal(size=(images, landmarks, 3))
    size = np.exp(0.5 * statistics[..., 0] + np.linspace(-0.7, 0.7, landmarks))
    errors = size * np.linalg.norm(rng.normal(size=(images, landmarks, 2)), axis=-1)
    return np.where(rng.random(errors.shape) < missing, np.nan, errors), statistics, size


def test_the_model_of_errors_finds_what_errors_depend_on():
    errors, statistics, size = drawn(150)
    model = error_model.fit(errors, statistics)
    expected = np.asarray(error_model.expected_error(model, statistics.astype("float32")))
    assert np.corrcoef(np.log(expected).ravel(), np.log(size).ravel())[0, 1] > 0.98
    assert expected.mean() == pytest.approx(errors.mean(), rel=0.05)


def test_what_training_errors_say_of_landmarks_helps_where_images_are_few():
    errors, statistics, _ = drawn(4, seed=1)
    truth = np.linspace(-0.7, 0.7, 7)
    alone, helped = error_model.fit(errors, statistics), error_model.fit(errors, statistics, truth)
    apart = [np.abs(model.offsets - model.offsets.mean() - truth).mean() for model in (alone, helped)]
    assert apart[1] < 0.8 * apart[0]


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_radii_contain_the_stated_share_of_new_points(missing):
    shares = []
    for seed in range(12):
        errors, statistics, _ = drawn(20, seed=seed, missing=missing)
        calibration = fitting.calibrate(fitting.Observed(errors, statistics), None, split="val", decoder="quadratic")
        new, shown, _ = drawn(200, seed=100 + seed)
        expected = np.asarray(error_model.expected_error(calibration.error_model, shown.astype("float32")))
        shares.append((new <= calibration.factor * expected**calibration.power).mean())
    assert 0.935 < np.mean(shares) < 0.965


def test_too_few_images_or_points_are_refused_with_what_is_needed():
    errors, statistics, _ = drawn(2)
    with pytest.raises(ValueError, match="2 images with 14 points; needed are 3 and 19"):
        fitting.calibrate(fitting.Observed(errors, statistics), None, split="val", decoder="quadratic")


def test_estimates_are_those_of_the_model_and_survive_a_file():
    errors, statistics, _ = drawn(20, landmarks=2)
    fitted = fitting.calibrate(fitting.Observed(errors, statistics), None, split="val", decoder="quadratic")
    calibration = Calibration.model_validate_json(fitted.model_dump_json())
    assert calibration == fitted
    maps = maps_of([[[20.0, 10.0], [8.0, 12.0]], [[5.0, 4.0], [30.0, 6.0]]], [1.5, 2.5], (24, 40))
    found = estimate(calibration, maps)
    expected = np.asarray(error_model.expected_error(calibration.error_model, peak_statistics(maps)))
    assert np.asarray(found["expected_error"]) == pytest.approx(expected)
    assert np.asarray(found["radius95"]) == pytest.approx(calibration.factor * expected**calibration.power, rel=1e-5)


def ordinary_statistics(images, *, seed=0, landmarks=9):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(images, landmarks, 3)) * 0.2 + np.linspace(0, 1, landmarks)[:, None]).astype("float32")


def test_low_peaks_are_called_absent_and_few_others():
    shown = ordinary_statistics(60)
    usual = ordinary.fit(shown, np.ones(shown.shape[:2], bool))
    limit = ordinary.lowest_presence(np.asarray(ordinary.presence(usual, shown)).ravel())
    new = ordinary_statistics(400, seed=1)
    assert (np.asarray(ordinary.presence(usual, new)) < limit).mean() < 2 * ordinary.REFUSED
    new[:, 3, 0] -= 3
    assert (np.asarray(ordinary.presence(usual, new)) < limit)[:, 3].all()


@pytest.mark.parametrize("images", [8, 21, 150])
def test_strange_images_are_told_from_ordinary_ones_of_which_a_third_is_covered(images):
    shown = ordinary_statistics(images)
    usual = ordinary.fit(shown, np.ones(shown.shape[:2], bool))
    limit = ordinary.largest_strangeness(np.asarray(ordinary.strangeness(usual, shown)))
    new, strange = ordinary_statistics(400, seed=1), ordinary_statistics(400, seed=2) - 1.5
    new[:, 2:5] -= 3
    assert (np.asarray(ordinary.strangeness(usual, new)) > limit).mean() < 0.05
    assert (np.asarray(ordinary.strangeness(usual, strange)) > limit).mean() > 0.99


def test_a_landmark_that_no_image_shows_has_the_figures_of_all():
    shown, known = ordinary_statistics(20), np.ones((20, 9), bool)
    known[:, 4] = False
    usual = ordinary.fit(shown, known)
    assert np.isfinite(usual.median).all()
    assert (usual.deviation > 0).all()
    np.testing.assert_allclose(usual.median[4], np.median(shown[:, [0, 1, 2, 3, 5, 6, 7, 8]], axis=(0, 1)))
