import functools

import numpy as np
import pytest
import tensorflow as tf

from scn_tf.training import trainer as trainers
from scn_tf.training.landmarks import landmark_objective
from tests.conftest import small_config

STILL = {f"augment__{name}": 0.0 for name in ("translation", "rotation", "scale", "axis_scale", "elastic")}


@pytest.mark.parametrize("kind", ["huber", "adaptive_wing", "cross_entropy"])
def test_every_kind_of_loss_costs_one_for_nothing_and_trains(kind, hands_2d):
    settings = small_config(hands_2d, train__loss=kind, heatmap__sigma_mode="fixed").resolved(2)
    trainer = trainers.build_trainer(settings, landmark_objective, num_maps=21, channels=1)
    maps = tf.zeros((2, 48, 32, 21))
    terms = trainer.loss_terms(maps, (tf.fill((2, 21, 2), 15.0), tf.ones((2, 21))))
    np.testing.assert_allclose(terms["heatmap_loss"], 1.0, rtol=0.05)  # predicting nothing costs one
    image = tf.random.stateless_uniform((2, 48, 32, 1), [1, 2])
    batch = {"image": image, "landmarks": tf.fill((2, 21, 2), 15.0), "visible": tf.ones((2, 21))}
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
        terms = trainer.loss_terms(tf.zeros((1, 48, 32, 21)), (tf.fill((1, 21, 2), 15.0), tf.ones((1, 21))))
        shares.append({name: float(value) for name, value in terms.items()})
    assert shares[0]["sigma_loss"] > 0.1
    assert shares[1] == pytest.approx(shares[0], rel=1e-4)


def test_learned_sigmas_move_and_fixed_ones_do_not(hands_2d):
    for mode, moves in (("learned", True), ("fixed", False)):
        trainer = trainers.build_trainer(
            small_config(hands_2d, heatmap__sigma_mode=mode).resolved(2), landmark_objective, num_maps=2, channels=1
        )
        batch = {
            "image": tf.random.stateless_normal((3, 48, 32, 1), [1, 2]),
            "landmarks": tf.fill((3, 2, 2), 12.0),
            "visible": tf.ones((3, 2)),
        }
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
    }
    counted = []
    for exchange in (None, (1, 0)):
        objective = functools.partial(landmark_objective, exchange=exchange)
        trainer = trainers.build_trainer(settings, objective, num_maps=2, channels=1)
        own, seen = trainer.loss_terms, []
        trainer.loss_terms = lambda maps, truth, own=own, seen=seen: seen.append(truth[1]) or own(maps, truth)
        trainer.train_step(batch)
        counted.append(seen[0].numpy().tolist())
    assert counted == [[[1, 0]] * 2, [[0, 1]] * 2]
