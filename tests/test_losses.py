import numpy as np
import pytest
import tensorflow as tf

from scn_tf.heatmaps import gaussians, losses


def test_terms_equal_the_papers_sums(rng):
    predicted, target = rng.normal(size=(2, 3, 5, 7, 4)).astype("float32")
    visible = np.ones((3, 4), "float32")
    np.testing.assert_allclose(
        losses.heatmap_loss(predicted, target, visible, 1 - visible), 0.5 * ((predicted - target) ** 2).sum() / 3, rtol=1e-5
    )
    sigmas = np.array([1.0, 2.0, 3.0, 4.0], "float32")
    np.testing.assert_allclose(losses.sigma_loss(0.5 * sigmas**2, visible, alpha=20.0), 300.0, rtol=1e-6)
    np.testing.assert_allclose(losses.weight_decay([tf.ones((3, 2)), 2 * tf.ones(2)], factor=0.5), 3.5)


def test_an_unknown_landmark_contributes_to_no_term_and_an_absent_one_to_that_of_its_map(rng):
    predicted = tf.Variable(rng.normal(size=(2, 5, 7, 3)).astype("float32"))
    sigmas = tf.Variable([2.0, 2.0, 2.0])
    landmarks = tf.constant(rng.uniform(0, 5, (2, 3, 2)), tf.float32)
    visible = tf.constant([[1.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    absent = tf.constant([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    with tf.GradientTape() as tape:
        target = gaussians.render_gaussians(landmarks, sigmas, (5, 7), gamma=10.0)
        loss = losses.heatmap_loss(predicted, target, visible, absent) + losses.sigma_loss(0.5 * sigmas**2, visible, alpha=5.0)
    to_maps, to_sigmas = tape.gradient(loss, [predicted, sigmas])
    used = np.abs(to_maps).sum(axis=(1, 2)) > 0
    np.testing.assert_array_equal(used, (visible + absent).numpy() > 0)
    np.testing.assert_allclose(to_maps[1, ..., 1], predicted[1, ..., 1] / 2, rtol=1e-6)  # towards zero, whatever its place
    assert to_sigmas[1] == 0
    assert to_sigmas[0] != 0


def test_a_loss_without_empty_targets_ignores_absent_landmarks(rng):
    row = losses.Loss(name="own", description="", map_losses=losses.LOSSES["l2"].map_losses, empty_targets=False)
    predicted, target = rng.normal(size=(2, 1, 5, 7, 2)).astype("float32")
    visible, absent = np.array([[1, 0]], "float32"), np.array([[0, 1]], "float32")
    losses.register_loss(row)
    try:
        alone = losses.heatmap_loss(predicted, target, visible, 0 * absent)
        np.testing.assert_allclose(losses.heatmap_loss(predicted, target, visible, absent, kind="own"), alone)
        assert losses.heatmap_loss(predicted, target, visible, absent) > alone
    finally:
        losses.LOSSES.unregister("own")


@pytest.mark.parametrize("size", [(5, 7), (3, 5, 4)])
def test_cross_entropy_of_an_empty_target_is_the_divergence_from_a_flat_map(size, rng):
    predicted = rng.normal(size=(1, *size, 1)).astype("float32")
    found = losses.map_losses(predicted, np.zeros_like(predicted), kind="cross_entropy", peak=1.0)
    chance = np.exp(predicted) / np.exp(predicted).sum()
    np.testing.assert_allclose(found, [[-np.mean(np.log(chance * predicted.size))]], rtol=1e-5)


def test_predicting_nothing_costs_the_energy_of_a_target():
    # 0.5 * integral g^2 = gamma^2 / (2 (4 pi)^(d/2) sigma^d)
    np.testing.assert_allclose(losses.cost_of_nothing("l2", 2.0, 100.0, (41, 43)), 0.5 * 100.0**2 / (4 * np.pi * 4.0), rtol=1e-3)
    energy = 0.5 * 1000.0**2 / ((4 * np.pi) ** 1.5 * 8.0)
    np.testing.assert_allclose(losses.cost_of_nothing("l2", 2.0, 1000.0, (21, 25, 23)), energy, rtol=1e-3)
    np.testing.assert_allclose(losses.cost_of_nothing("cross_entropy", 2.0, 100.0, (41, 43)), np.log(41 * 43), rtol=1e-5)


@pytest.mark.parametrize("kind", losses.LOSSES)
def test_every_kind_of_loss_is_lowest_at_the_truth_and_has_finite_gradients(kind):
    truth = gaussians.render_gaussians(tf.constant([[[8.0, 9.0]]]), tf.constant([1.5]), (19, 17), gamma=100.0)
    peak = gaussians.gaussian_height(1.5, 100.0, 2)
    zeros = tf.Variable(tf.zeros_like(truth))
    with tf.GradientTape() as tape:
        nothing = losses.map_losses(zeros, truth, kind=kind, peak=peak)[0, 0]
    moved = losses.map_losses(tf.roll(truth, 1, axis=1), truth, kind=kind, peak=peak)[0, 0]
    assert losses.map_losses(truth, truth, kind=kind, peak=peak)[0, 0] < moved < nothing
    gradient = tape.gradient(nothing, zeros).numpy()
    assert np.isfinite(gradient).all()
    assert gradient[0, 9, 8, 0] < 0  # upwards where the landmark is


def test_huber_and_adaptive_wing_have_their_papers_values():
    target, predicted = np.full((1, 1, 1, 1), 4.0, "float32"), np.full((1, 1, 1, 1), 1.0, "float32")
    # Distance 3 with delta 1: 1 * (3 - 0.5).
    np.testing.assert_allclose(losses.map_losses(predicted, target, kind="huber", peak=4.0), [[2.5]])
    # Wang et al., eq. 4: y = 1, distance 0.25 < theta: omega * ln(1 + 0.25^(2.1 - 1)).
    value = losses.map_losses(0.75 * target, target, kind="adaptive_wing", peak=4.0)
    np.testing.assert_allclose(value, [[14.0 * np.log1p(0.25**1.1)]], rtol=1e-5)
    # Continuous where the pieces meet.
    near, far = (losses.map_losses((0.5 + e) * target, target, kind="adaptive_wing", peak=4.0)[0, 0] for e in (1e-4, -1e-4))
    assert abs(near - far) < 0.01
