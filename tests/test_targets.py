import keras
import numpy as np
import pytest
import tensorflow as tf

from scn_tf import config, geometry
from scn_tf.heatmaps import gaussians
from scn_tf.heatmaps.targets import MIN_SIGMA, GaussianTargets


@pytest.mark.parametrize("size", [(25, 31), (13, 17, 15)])
def test_oriented_targets_take_the_shape_of_what_a_network_predicts(size):
    dims = len(size)
    widths = np.array([[3.0, 1.5, 2.0][:dims]], "float32")
    rotation = geometry.rotations(np.array([[0.6, 0.3, -0.4][: 1 if dims == 2 else 3]], "float32"), dims)
    centre = tf.constant([[[(length - 1) / 2 for length in reversed(size)]]], tf.float32)
    predicted = gaussians.render_oriented_gaussians(centre, tf.constant(widths), rotation, size, gamma=100.0)
    targets = GaussianTargets(1, size, sigma=2.0, mode="anisotropic", gamma=100.0, alpha=0.0)
    optimizer = keras.optimizers.Adam(0.05)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum((targets(centre) - predicted) ** 2)
        optimizer.apply(tape.gradient(loss, targets.trainable_variables), targets.trainable_variables)

    for _ in range(400):
        step()
    expected = rotation[0] @ np.diag(widths[0] ** 2) @ tf.transpose(rotation[0])
    np.testing.assert_allclose(targets.covariances()[0], expected, atol=0.1)


@pytest.mark.parametrize(("mode", "shape", "trainable"), [("fixed", (3,), 0), ("learned", (3,), 1), ("anisotropic", (3, 2), 2)])
def test_the_mode_says_what_is_learned(mode, shape, trainable):
    settings = config.HeatmapConfig(sigma=2.0, sigma_mode=mode).resolved(2)
    targets = GaussianTargets(3, (16, 20), sigma=2.0, mode=mode, gamma=settings.gamma, alpha=settings.alpha)
    assert tuple(targets.sigmas.shape) == shape
    assert len(targets.trainable_variables) == trainable
    np.testing.assert_allclose(targets.covariances(), np.repeat(4.0 * np.eye(2)[None], 3, axis=0))
    np.testing.assert_allclose(targets.peak(), 100.0 / (2 * np.pi * 4.0) * np.ones(3), rtol=1e-6)
    # alpha times half a squared sigma, or times the product of both sigmas, of the visible ones.
    weight = {"fixed": 20.0 * 0.5 * 4.0, "learned": 20.0 * 0.5 * 4.0, "anisotropic": 5.0 * 4.0}[mode]
    np.testing.assert_allclose(targets.sigma_loss(tf.constant([[1.0, 0.0, 1.0]])), 2 * weight, rtol=1e-6)
    assert targets.sigmas.constraint(np.array([0.1], "float32")) == MIN_SIGMA
