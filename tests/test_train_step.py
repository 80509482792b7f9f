import functools

import numpy as np
import pytest
import tensorflow as tf

from scn_tf.training import trainer as trainers
from scn_tf.training.augment import Truth
from scn_tf.training.landmarks import landmark_objective, share_visible, truth_of
from tests.conftest import small_config

STILL = {f"augment__{name}": 0.0 for name in ("translation", "rotation", "scale", "axis_scale", "elastic")}


def all_visible(batch, count, place):
    """Values of a batch whose landmarks all lie at one place."""
    shape = batch, count
    return {"landmarks": tf.fill((*shape, 2), place), "visible": tf.ones(shape), "absent": tf.zeros(shape)}


@pytest.mark.parametrize("kind", ["huber", "adaptive_wing", "cross_entropy"])
def test_every_kind_of_loss_costs_one_for_nothing_and_trains(kind, hands_2d):
    settings = small_config(hands_2d, train__loss=kind, heatmap__sigma_mode="fixed").resolved(2)
    trainer = trainers.build_trainer(settings, landmark_objective, num_maps=21, channels=1)
    maps = tf.zeros((2, 48, 32, 21))
    terms = trainer.loss_terms(maps, truth_of(all_visible(2, 21, 15.0)))
    np.testing.assert_allclose(terms["heatmap_loss"], 1.0, rtol=0.05)  # predicting nothing costs one
    image = tf.random.stateless_uniform((2, 48, 32, 1), [1, 2])
    batch = {"image": image, **all_visible(2, 21, 15.0)}
    before = trainer.network.get_weights()
    trainer.train_step(batch)
    after = trainer.network.get_weights()
    assert all(np.isfinite(weight).all() for weight in after)
    assert max(np.abs(new - old).max() for new, old in zip(after, before, strict=True)) > 0


def test_lower_targets_leave_the_balance_of_the_terms_as_it_is(hands_2d):
    shares = []
    for gamma in (None, 10.0):
        settings = small_config(hands_2d, heatmap__gamma=gamma, heatmap__sigma_mode="learned").resolved(2)
        trainer = trainers.build_trainer(settings, landmark_objective, num_maps=21, channels=1)
        terms = trainer.loss_terms(tf.zeros((1, 48, 32, 21)), truth_of(all_visible(1, 21, 15.0)))
        shares.append({name: float(value) for name, value in terms.items()})
    assert shares[0]["sigma_loss"] > 0.1
    assert shares[1] == pytest.approx(shares[0], rel=1e-4)


def test_learned_sigmas_move_and_fixed_ones_do_not(hands_2d):
    for mode, moves in (("learned", True), ("fixed", False)):
        trainer = trainers.build_trainer(
            small_config(hands_2d, heatmap__sigma_mode=mode).resolved(2), landmark_objective, num_maps=2, channels=1
        )
        batch = {"image": tf.random.stateless_normal((3, 48, 32, 1), [1, 2]), **all_visible(3, 2, 12.0)}
        logs = {name: float(value) for name, value in trainer.train_step(batch).items()}
        assert (np.abs(np.asarray(trainer.objective.targets.sigmas) - 2.0).max() > 0) == moves
        assert logs["loss"] == pytest.approx(logs["heatmap_loss"] + logs.get("sigma_loss", 0.0))
        assert ("sigma_loss" in logs) == moves


def test_a_step_on_mirrored_images_trains_on_exchanged_landmarks(hands_2d):
    """One landmark of two is visible; in the mirrored image the loss counts its counterpart."""
    settings = small_config(hands_2d, heatmap__sigma_mode="fixed", **STILL, augment__mirror=1.0).resolved(2)
    batch = {
        "image": tf.random.stateless_normal((2, 48, 32, 1), [1, 2]),
        "landmarks": tf.fill((2, 2, 2), 12.0),
        "visible": tf.constant([[1.0, 0.0]] * 2),
        "absent": tf.zeros((2, 2)),
    }
    counted = []
    for exchange in (None, (1, 0)):
        objective = functools.partial(landmark_objective, exchange=exchange)
        trainer = trainers.build_trainer(settings, objective, num_maps=2, channels=1)
        own, seen = trainer.loss_terms, []
        trainer.loss_terms = lambda maps, truth, own=own, seen=seen: seen.append(truth.visible) or own(maps, truth)
        trainer.train_step(batch)
        counted.append(seen[0].numpy().tolist())
    assert counted == [[[1, 0]] * 2, [[0, 1]] * 2]


@pytest.mark.parametrize("kind", ["l2", "huber", "adaptive_wing", "cross_entropy"])
def test_an_absent_landmark_asks_for_an_empty_map_and_an_unknown_one_for_nothing(kind, hands_2d):
    """Three landmarks lie just outside the input, so that their Gaussians would reach into it. The first is absent, the second unknown."""
    settings = small_config(hands_2d, train__loss=kind, heatmap__sigma_mode="fixed", **STILL).resolved(2)
    trainer = trainers.build_trainer(settings, landmark_objective, num_maps=3, channels=1)
    places = tf.constant([[[-1.0, 20.0]] * 3])
    maps = tf.Variable(tf.random.stateless_normal((1, 48, 32, 3), [1, 2]))
    with tf.GradientTape() as tape:
        terms = trainer.loss_terms(maps, Truth(places, tf.zeros((1, 3)), tf.constant([[1.0, 0.0, 0.0]])))
    slope = tape.gradient(terms["heatmap_loss"], maps).numpy()[0]
    np.testing.assert_array_equal(slope[..., 1:], 0)
    flat = maps.numpy()[0, ..., 0]
    centre = flat.mean() if kind == "cross_entropy" else 0.0
    high = np.abs(flat - centre) > 1
    assert (np.sign(slope[..., 0]) == np.sign(flat - centre))[high].mean() > 0.95  # downhill is towards a flat map, also at the border
    nothing = trainer.loss_terms(tf.zeros((1, 48, 32, 3)), Truth(places, tf.zeros((1, 3)), tf.ones((1, 3))))
    assert float(nothing["heatmap_loss"]) == pytest.approx(0, abs=1e-4)


def test_a_landmark_drawn_out_of_view_is_trained_as_absent(hands_2d):
    settings = small_config(hands_2d, heatmap__sigma_mode="fixed", **{**STILL, "augment__crop": 1.0}).resolved(2)
    trainer = trainers.build_trainer(settings, landmark_objective, num_maps=2, channels=1)
    batch = {
        "image": tf.zeros((8, 48, 32, 1)),
        "landmarks": tf.tile(tf.constant([[[1.0, 1.0], [30.0, 46.0]]]), (8, 1, 1)),
        "visible": tf.tile(tf.constant([[1.0, 0.0]]), (8, 1)),
        "absent": tf.zeros((8, 2)),
        "size": tf.fill((8, 2), 12.0),
        "file_per_pixel": tf.fill((8, 2), 0.25),
    }
    _, truth = trainer.objective.draw(batch, tf.constant([3, 4]))
    assert 0 < truth.visible.numpy()[:, 0].sum() < 8
    np.testing.assert_array_equal(truth.absent[:, 0], 1 - truth.visible[:, 0])
    np.testing.assert_array_equal(truth.absent[:, 1], 0)


def test_the_share_of_visible_landmarks_counts_what_draws_leave_in_view(hands_2d):
    example = {**all_visible(7, 2, 1.0), "size": tf.fill((7, 2), 12.0), "file_per_pixel": tf.fill((7, 2), 0.25)}
    example["visible"] = tf.constant([[1.0, 0.0]] * 7)
    examples = tf.data.Dataset.from_tensor_slices(example)
    whole, cropped = (
        share_visible(small_config(hands_2d, **{**STILL, "augment__crop": crop}).resolved(2), examples, (48, 32)) for crop in (0.0, 1.0)
    )
    assert whole == 0.5
    assert 0 < cropped < 0.5
