import numpy as np
import tensorflow as tf

from scn_tf import heatmaps, losses


def test_terms_equal_the_papers_sums(rng):
    predicted, target = rng.normal(size=(2, 3, 5, 7, 4)).astype("float32")
    visible = np.ones((3, 4), "float32")
    np.testing.assert_allclose(losses.heatmap_loss(predicted, target, visible), 0.5 * ((predicted - target) ** 2).sum() / 3, rtol=1e-5)
    sigmas = np.array([1.0, 2.0, 3.0, 4.0], "float32")
    np.testing.assert_allclose(losses.sigma_loss(sigmas, visible, alpha=20.0), 300.0, rtol=1e-6)
    np.testing.assert_allclose(losses.weight_decay([tf.ones((3, 2)), 2 * tf.ones(2)], factor=0.5), 3.5)


def test_an_absent_landmark_contributes_to_no_term(rng):
    predicted = tf.Variable(rng.normal(size=(2, 5, 7, 3)).astype("float32"))
    sigmas = tf.Variable([2.0, 2.0, 2.0])
    landmarks = tf.constant(rng.uniform(0, 5, (2, 3, 2)), tf.float32)
    visible = tf.constant([[1.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    with tf.GradientTape() as tape:
        target = heatmaps.render_gaussians(landmarks, sigmas, (5, 7), gamma=10.0)
        loss = losses.heatmap_loss(predicted, target, visible) + losses.sigma_loss(sigmas, visible, alpha=5.0)
    to_maps, to_sigmas = tape.gradient(loss, [predicted, sigmas])
    used = np.abs(to_maps).sum(axis=(1, 2)) > 0
    np.testing.assert_array_equal(used, visible.numpy() > 0)
    assert to_sigmas[1] == 0
    assert to_sigmas[0] != 0


def test_predicting_nothing_costs_about_one_energy():
    target = heatmaps.render_gaussians(tf.constant([[[20.0, 20.0]]]), tf.constant([2.0]), (41, 43), gamma=100.0)
    loss = losses.heatmap_loss(tf.zeros_like(target), target, tf.ones((1, 1)))
    np.testing.assert_allclose(loss, losses.target_energy(2.0, 100.0, 2), rtol=1e-3)
