import numpy as np
import pytest
import tensorflow as tf

from scn_tf import geometry
from scn_tf.data.preprocess import BACKGROUND, network_input, resample


def fitted(array, size):
    fit = geometry.fit_to_input(array.shape[-2::-1], np.ones(len(size)), size[::-1])
    return fit, network_input(array, fit.scale, fit.translation, size).numpy()


@pytest.mark.parametrize(("shape", "size"), [((61, 40), (48, 32)), ((30, 61, 40), (24, 48, 32))])
def test_a_blob_lands_where_the_matrix_says(shape, size):
    centre = np.array(shape[::-1]) * 0.43
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij")[::-1], axis=-1)
    blob = np.exp(-np.sum((grid - centre) ** 2, axis=-1) / (2 * 3.0**2))[..., None]
    fit = geometry.fit_to_input(shape[::-1], np.ones(len(size)), size[::-1])
    image = resample(tf.constant(blob, tf.float32), tf.constant(fit.scale, tf.float32), tf.constant(fit.translation, tf.float32), size)
    weights = image.numpy()[..., 0]
    out = np.stack(np.meshgrid(*map(np.arange, size), indexing="ij")[::-1], axis=-1)
    found = (out * weights[..., None]).reshape(-1, len(size)).sum(0) / weights.sum()
    np.testing.assert_allclose(found, geometry.apply(fit.input_from_array, centre), atol=0.02)


def test_resampling_equals_antialiased_resize(rng):
    array = rng.normal(size=(60, 40, 2)).astype("float32")
    fit = geometry.fit_to_input((40, 60), (1.0, 1.0), (20, 30))
    ours = resample(array, tf.constant(fit.scale, tf.float32), tf.constant(fit.translation, tf.float32), (30, 20))
    np.testing.assert_allclose(ours, tf.image.resize(array, (30, 20), antialias=True), atol=1e-5)


def test_intensities_do_not_depend_on_the_range_of_the_file(rng):
    array = rng.uniform(0, 255, (50, 37, 1)).astype("float32")
    _, small = fitted(array, (32, 24))
    _, large = fitted(array * 257 + 1000, (32, 24))
    np.testing.assert_allclose(small, large, atol=1e-4)


def test_outside_the_image_is_background_and_one_bright_pixel_changes_little(rng):
    array = rng.uniform(0, 255, (192, 48, 1)).astype("float32")
    _, image = fitted(array, (96, 96))
    assert (image[:, :36] == BACKGROUND).all()
    array[30, 8] = 1e6
    _, spiked = fitted(array, (96, 96))
    assert np.abs(np.median(spiked[:, 36:60]) - np.median(image[:, 36:60])) < 0.05
    assert spiked.max() <= 2.0


def test_a_constant_image_becomes_zero():
    _, image = fitted(np.full((20, 20, 1), 7.0, "float32"), (16, 16))
    np.testing.assert_array_equal(image, 0.0)


@pytest.mark.parametrize(("grey", "spots"), [(7.0, 250.0), (200.0, 3.0)])
def test_a_nearly_flat_image_keeps_what_is_in_it(grey, spots):
    # 9 of 1600 pixels: both percentiles are the ground's.
    array = np.full((40, 40, 1), grey, "float32")
    array[20:23, 11:14] = spots
    _, image = fitted(array, (40, 40))
    ground, found = np.sign(grey - spots), np.sign(spots - grey)
    np.testing.assert_allclose(image[20:23, 11:14], found, atol=1e-5)
    assert (image == ground).sum() == 40 * 40 - 9
