import numpy as np
import pytest
import tensorflow as tf

from scn_tf import geometry
from scn_tf.heatmaps import decoders, gaussians
from tests.conftest import SUBPIXEL


def test_a_rendered_gaussian_has_the_papers_values():
    maps = gaussians.render_gaussians(tf.constant([[[2.0, 1.0]]]), tf.constant([1.5]), (3, 5), gamma=100.0)
    peak = 100.0 / (2 * np.pi * 1.5**2)
    assert maps.shape == (1, 3, 5, 1)
    np.testing.assert_allclose(maps[0, 1, 2, 0], peak, rtol=1e-5)
    np.testing.assert_allclose(maps[0, 2, 4, 0], peak * np.exp(-5 / (2 * 1.5**2)), rtol=1e-5)


def test_a_rendered_volume_integrates_to_gamma():
    maps = gaussians.render_gaussians(tf.constant([[[9.3, 10.1, 8.2]]]), tf.constant([1.7]), (17, 21, 19), gamma=1000.0)
    np.testing.assert_allclose(np.sum(maps), 1000.0, rtol=1e-3)


@pytest.mark.parametrize("size", [(23, 31), (11, 17, 13)])
def test_decoders_invert_rendering(size, rng):
    points = rng.uniform(2, min(size) - 3, (2, 5, len(size))).astype("float32")
    maps = gaussians.render_gaussians(tf.constant(points), tf.constant(rng.uniform(1.8, 2.5, 5), tf.float32), size, gamma=100.0)
    whole, scores = decoders.DECODERS["argmax"].decode(maps)
    np.testing.assert_array_equal(whole, np.round(points))
    fine, fine_scores = decoders.DECODERS["quadratic"].decode(maps)
    np.testing.assert_allclose(fine, points, atol=SUBPIXEL)
    np.testing.assert_array_equal(scores, fine_scores)
    # A Gaussian's logarithm is a parabola.
    np.testing.assert_allclose(decoders.DECODERS["gaussian"].decode(maps)[0], points, atol=1e-3)
    # A window of whole pixels cuts a Gaussian unevenly and pulls towards its own centre.
    assert np.abs(decoders.DECODERS["centroid"].decode(maps)[0] - points).mean() < 0.75 * np.abs(whole - points).mean()


def test_the_centroid_leaves_out_what_lies_beyond_a_border_or_below_zero():
    maps = np.full((1, 5, 6, 2), -1.0, "float32")
    maps[0, 0, 5, 0], maps[0, 1, 5, 0] = 3.0, 1.0
    maps[0, 2, 3, 1] = 2.0
    points = decoders.DECODERS["centroid"].decode(tf.constant(maps))[0][0]
    np.testing.assert_allclose(points, [[5.0, 0.25], [3.0, 2.0]])


@pytest.mark.parametrize("size", [(23, 31), (11, 17, 13)])
def test_an_oriented_gaussian_with_equal_sigmas_is_a_round_one_and_turns_with_its_rotation(size, rng):
    dims = len(size)
    points = tf.constant(rng.uniform(3, min(size) - 4, (2, 3, dims)), tf.float32)
    angles = tf.constant(rng.uniform(-1, 1, (3, 1 if dims == 2 else 3)), tf.float32)
    rotations = geometry.rotations(angles, dims)
    round_ones = gaussians.render_gaussians(points, tf.constant([2.0, 1.5, 1.0]), size, gamma=100.0)
    equal = tf.repeat(tf.constant([[2.0], [1.5], [1.0]]), dims, axis=1)
    np.testing.assert_allclose(gaussians.render_oriented_gaussians(points, equal, rotations, size, gamma=100.0), round_ones, atol=1e-4)
    # By the formula, one pixel at a time.
    sigmas = rng.uniform(1, 2, (3, dims)).astype("float32")
    maps = gaussians.render_oriented_gaussians(points, tf.constant(sigmas), rotations, size, gamma=100.0).numpy()
    pixel = np.array([4, 3, 5][:dims])  # x, y, z
    for landmark in range(3):
        covariance = rotations[landmark].numpy() @ np.diag(sigmas[landmark] ** 2) @ rotations[landmark].numpy().T
        offset = pixel - points[1, landmark].numpy()
        height = 100.0 / np.sqrt((2 * np.pi) ** dims * np.linalg.det(covariance))
        expected = height * np.exp(-0.5 * offset @ np.linalg.solve(covariance, offset))
        np.testing.assert_allclose(maps[(1, *pixel[::-1], landmark)], expected, rtol=1e-3, atol=1e-6)


def test_argmax_returns_one_of_the_tied_maxima():
    # Separate maxima of rows and columns would give (3, 0): no maximum at all.
    maps = np.zeros((1, 4, 5, 1), "float32")
    maps[0, 0, 1, 0] = maps[0, 2, 3, 0] = 1.0
    maps[0, 0, 4, 0] = maps[0, 3, 3, 0] = 0.9
    point = decoders.DECODERS["argmax"].decode(tf.constant(maps))[0][0, 0].numpy()
    assert maps[0, int(point[1]), int(point[0]), 0] == 1.0


@pytest.mark.parametrize("decoder", decoders.DECODERS)
def test_of_equal_maxima_the_first_counts(decoder):
    maps = np.zeros((1, 5, 6, 3), "float32")
    maps[0, 2, 4, 0] = maps[0, 2, 1, 0] = maps[0, 4, 5, 0] = 1.0
    maps[..., 2] = -3.0
    landmarks, scores = decoders.DECODERS[decoder].decode(tf.constant(maps))
    np.testing.assert_array_equal(np.round(landmarks[0]), [[1, 2], [0, 0], [0, 0]])
    np.testing.assert_array_equal(scores[0], [1, 0, -3])


@pytest.mark.parametrize("decoder", decoders.DECODERS)
def test_a_score_shows_that_one_pixel_is_not_a_number(decoder, rng):
    maps = rng.normal(size=(20, 9, 7, 3)).astype("float32")
    for image, one in enumerate(maps):
        one[image % 9, image % 7, 1] = np.nan
    _, scores = decoders.DECODERS[decoder].decode(tf.constant(maps))
    np.testing.assert_array_equal(np.isnan(scores), [[False, True, False]] * 20)


@pytest.mark.parametrize("decoder", decoders.DECODERS)
@pytest.mark.parametrize("size", [(23, 31), (11, 17, 13)])
def test_decoders_do_not_copy_the_maps(decoder, size):
    """Copies and transposes of all maps once took longer than half of the network."""
    shape = (1, *size, 5)
    traced = tf.function(decoders.DECODERS[decoder].decode).get_concrete_function(tf.TensorSpec(shape))
    large = {one.op.type for one in traced.graph.get_operations() for one in one.outputs if np.prod(one.shape) >= np.prod(shape)}
    assert large <= {"Placeholder", "Reshape"}


def test_the_quadratic_step_is_guarded_at_borders_and_on_plateaus():
    maps = np.zeros((1, 5, 7, 3), "float32")
    maps[0, 0, 6, 0] = 1.0  # a corner
    maps[0, 2, 2:5, 1] = 1.0  # a plateau
    maps[0, 4, 3, 2], maps[0, 4, 4, 2] = 1.0, 0.99  # a step towards the equal neighbour
    points = decoders.DECODERS["quadratic"].decode(tf.constant(maps))[0][0].numpy()
    np.testing.assert_array_equal(points[0], [6, 0])
    np.testing.assert_array_equal(points[1][1], 2)
    np.testing.assert_allclose(points[2], [3 + 0.5 * 0.99 / 1.01, 4], atol=1e-5)


def test_the_gradient_reaches_sigmas():
    sigmas = tf.Variable([2.0, 3.0])
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(gaussians.render_gaussians(tf.constant([[[4.0, 4.0], [2.0, 3.0]]]), sigmas, (9, 8), gamma=10.0) ** 2)
    assert (tape.gradient(loss, sigmas).numpy() < 0).all()


@pytest.mark.filterwarnings("ignore")  # the converter's own
@pytest.mark.parametrize("decoder", decoders.DECODERS)
def test_decoders_convert_to_tflite_builtins(decoder, rng):
    maps = rng.normal(size=(1, 9, 14, 4)).astype("float32")
    function = tf.function(lambda m: decoders.DECODERS[decoder].decode(m)[0]).get_concrete_function(tf.TensorSpec(maps.shape))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    content = converter.convert()
    interpreter = tf.lite.Interpreter(model_content=content)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], maps)
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(found, decoders.DECODERS[decoder].decode(tf.constant(maps))[0], atol=1e-5)
