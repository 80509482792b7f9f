import numpy as np
import pytest

from scn_tf import geometry


def test_fit_maps_borders_to_borders_and_keeps_the_aspect_ratio():
    fit = geometry.fit_to_input((100, 50), (1.0, 1.0), (64, 64))
    corners = geometry.apply(fit.input_from_array, [[-0.5, -0.5], [99.5, 49.5]])
    np.testing.assert_allclose(corners, [[-0.5, 15.5], [63.5, 47.5]])


def test_fit_has_no_half_pixel_bias():
    # A pixel centre at 20 in an image reduced 16 times lies at (20.5 / 16) - 0.5.
    fit = geometry.fit_to_input((256, 128), (1.0, 1.0), (16, 8))
    np.testing.assert_allclose(geometry.apply(fit.input_from_array, [[20.0, 20.0]]), [[0.78125, 0.78125]])


def test_fit_makes_anisotropic_pixels_square():
    fit = geometry.fit_to_input((40, 80), (0.6, 0.3), (48, 48))
    np.testing.assert_allclose(fit.scale, [1.2, 0.6])


def test_fit_with_a_spacing_has_that_spacing():
    fit = geometry.fit_to_input((96, 144, 80), (0.2, 0.2, 0.3), (48, 72, 40), spacing=0.4)
    np.testing.assert_allclose(fit.scale, [0.5, 0.5, 0.75])
    np.testing.assert_allclose(fit.translation, [0.0, 0.0, -10.0])


def test_apply_keeps_absent_points_absent():
    assert np.isnan(geometry.apply(np.eye(3), [[np.nan, 1.0]])).any()


def test_physical_from_index_honours_a_turned_direction():
    matrix = geometry.physical_from_index((10.0, 20.0), (2.0, 3.0), (0.0, -1.0, 1.0, 0.0))
    np.testing.assert_allclose(geometry.apply(matrix, [[1.0, 2.0]]), [[4.0, 22.0]])


@pytest.mark.parametrize("size", [(7, 5), (7, 5, 9)])
def test_inverse_of_the_fit_brings_points_back(size, rng):
    fit = geometry.fit_to_input(size, np.linspace(0.5, 2, len(size)), np.array(size) * 2 + 3)
    points = rng.uniform(0, 5, (6, len(size)))
    there = geometry.apply(fit.input_from_array, points)
    np.testing.assert_allclose(geometry.apply(np.linalg.inv(fit.input_from_array), there), points)
