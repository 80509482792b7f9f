"""Rules of settings that find themselves, on facts that are made up."""

import dataclasses
import warnings
from pathlib import Path

import numpy as np
import pytest

from scn_tf.config import Config, from_dict
from scn_tf.config.settings import DataConfig
from scn_tf.suggest import accuracy, cost, machine, measure, memory
from scn_tf.suggest.decide import decide
from scn_tf.suggest.machine import Machine
from scn_tf.suggest.measure import Facts
from scn_tf.suggest.shapes import Shapes, of_points

MACHINE = Machine(cores=2, memory=16 * 2**30, precision="mixed_bfloat16", gpu=False, speed=1.74)
SHAPES = Shapes(diagonal=1100.0, nearest=0.06, closest=0.02, rotation=0.07, scale=0.05, residual=0.02, posed=True)
FLAT = Facts(
    root=Path("set"), dims=2, channels=1, landmarks=37, training=91, validation=21, sampled=48, size=(700, 1050), extent=(700, 1050),
    largest=(900, 1200), pixel=(1, 1), spacing=False, unit="px", same_size=False, shapes=SHAPES, scale_in_image=0.03, translation=0.035,
    brightness=0.2,
)  # fmt: skip
SOLID = dataclasses.replace(
    FLAT, dims=3, landmarks=45, training=16, validation=4, size=(96, 144, 80), extent=(19.2, 28.8, 16.0), largest=(19.2, 28.8, 16.0),
    pixel=(0.2, 0.2, 0.2), spacing=True, unit="mm", same_size=True, shapes=dataclasses.replace(SHAPES, diagonal=26.5), scale_in_image=0.05,
)  # fmt: skip


def decisions(facts=FLAT, machine=MACHINE, **given):
    """Decided values by name; settings are given as ``section__field``."""
    values = {}
    for name, value in given.items():
        section, field = name.split("__")
        values.setdefault(section, {})[field] = value
    named = frozenset(name.replace("__", ".") for name in given)
    case, decided = decide(facts, machine, from_dict(values), named)
    resolved = {section: {} for section in Config.model_fields} | values
    for one in decided:
        section, field = one.name.split(".")
        resolved[section] = {**resolved[section], field: one.value}
    from_dict(resolved).resolved(facts.dims)  # whatever is decided can be trained
    return {one.name: one.value for one in decided} | {"case": case, "reasons": {one.name: one.reason for one in decided}}


def pixels(found):
    return np.prod(found["model.image_size"])


@pytest.mark.parametrize("facts", [FLAT, SOLID], ids=["2D", "3D"])
def test_more_time_never_makes_the_expected_error_larger_and_soon_an_input_finer(facts):
    found = [decisions(facts, train__minutes=minutes) for minutes in (3, 10, 30, 120)]
    errors = [one["case"].plan.error for one in found]
    assert errors == sorted(errors, reverse=True)
    assert pixels(found[0]) <= pixels(found[1]) < pixels(found[2])


def test_a_slow_machine_gets_a_smaller_network_and_a_small_one_too():
    usual, slow = decisions(), decisions(machine=dataclasses.replace(MACHINE, speed=0.2))
    assert pixels(slow) < pixels(usual)
    small = decisions(SOLID, dataclasses.replace(MACHINE, memory=1.6 * 2**30), train__minutes=120)
    assert pixels(small) < pixels(decisions(SOLID, train__minutes=120))
    assert "would not fit into 1.6 GiB" in small["reasons"]["model.image_size"]
    assert small["case"].plan.bytes + memory.PROGRAM <= memory.SHARE * 1.6 * 2**30


def test_given_settings_stay_and_what_depends_on_them_follows():
    found = decisions(model__image_size=[128, 96], train__minutes=10)
    assert "model.image_size" not in found
    assert found["heatmap.sigma"] == 1.5
    assert found["heatmap.gamma"] == 10
    assert decisions(model__filters=24)["case"].plan.layout.shape.filters == 24
    assert decisions(augment__scale=0.4)["augment.axis_scale"] == 0.2
    epochs = decisions(train__epochs=5)
    assert not {"train.epochs", "train.minutes"} & set(epochs)
    assert epochs["case"].plan.epochs == 5
    assert decisions(SOLID, model__spacing_mm=0.8)["model.image_size"] == (20, 36, 24)


@pytest.mark.parametrize("size", [(36, 52), (50, 50), (35, 45), (512, 40)])
def test_poolings_divide_an_input_that_is_given(size):
    found = decisions(model__image_size=size)
    assert all(side % found["model.spatial_pooling"] == side % 2 ** (found["model.levels"] - 1) == 0 for side in size)


def test_inputs_are_never_finer_than_the_images_and_have_their_proportion():
    tiny = dataclasses.replace(FLAT, size=(90, 60), extent=(90, 60), largest=(90, 60), shapes=dataclasses.replace(SHAPES, diagonal=70.0))
    height, width = decisions(tiny)["model.image_size"]
    assert (height, width) == (60, 88) or (height <= 64 and width <= 96)
    assert width / height == pytest.approx(1.5, rel=0.1)


def test_spacing_is_for_headers_that_state_it_and_images_of_like_extent():
    assert decisions(FLAT)["model.spacing_mm"] is None
    assert decisions(SOLID)["model.spacing_mm"] <= 0.4
    wide = dataclasses.replace(SOLID, largest=(60.0, 60.0, 60.0))
    assert decisions(wide)["model.spacing_mm"] is None
    assert decisions(dataclasses.replace(SOLID, scale_in_image=0.01))["model.spacing_mm"] is None


def test_images_are_mirrored_only_if_pairs_are_named_and_mirrored_shapes_look_alike():
    assert decisions()["augment.mirror"] == 0
    like = dataclasses.replace(FLAT, pairs=3, shapes=dataclasses.replace(SHAPES, mirrored=0.03))
    assert decisions(like)["augment.mirror"] == 0.5
    unlike = dataclasses.replace(FLAT, pairs=3, shapes=dataclasses.replace(SHAPES, mirrored=0.3))
    assert decisions(unlike)["augment.mirror"] == 0


def test_images_are_cropped_and_volumes_are_not():
    assert (decisions(FLAT)["augment.crop"], decisions(SOLID)["augment.crop"]) == (0.2, 0)


def test_ranges_of_the_augmentation_follow_the_poses():
    turned = dataclasses.replace(FLAT, shapes=dataclasses.replace(SHAPES, rotation=1.8), translation=0.1, brightness=0.0)
    found = decisions(turned)
    assert (found["augment.rotation"], found["augment.intensity_shift"]) == (3.14, 0.1)
    assert found["augment.translation"] > decisions()["augment.translation"]
    bent = dataclasses.replace(FLAT, shapes=dataclasses.replace(SHAPES, residual=0.1))
    assert decisions(bent)["augment.elastic"] == 0.05
    assert decisions(bent, augment__elastic_grid=12)["augment.elastic"] <= 0.45 / 11
    unknown = decisions(dataclasses.replace(FLAT, shapes=Shapes()))
    assert "augment.rotation" not in unknown


def test_crowded_landmarks_get_narrow_targets():
    crowded = dataclasses.replace(FLAT, shapes=dataclasses.replace(SHAPES, nearest=0.006, closest=0.003))
    assert decisions(crowded)["heatmap.sigma"] < decisions()["heatmap.sigma"]
    assert pixels(decisions(crowded, train__minutes=600)) > pixels(decisions(train__minutes=600))


def test_prepared_images_that_would_fill_the_memory_are_kept_on_disk():
    many = dataclasses.replace(FLAT, training=60_000)
    assert decisions(many)["data.cache"] == "disk"
    assert decisions()["data.cache"] == "memory"
    assert decisions(data__service="host:5050")["data.cache"] == "disk"


def test_epochs_are_those_that_are_useful_or_somewhat_more_than_fit():
    assert [accuracy.useful_epochs(images) for images in (10, 91)] == [271, 140]
    assert decisions(train__minutes=500)["train.epochs"] == 140
    short = decisions(train__minutes=10)
    assert short["case"].plan.fitting < short["train.epochs"] < 140


def test_batches_are_for_gpus_that_have_too_many_images():
    gpu = dataclasses.replace(MACHINE, gpu=True, speed=200.0)
    assert decisions(machine=gpu)["train.batch_size"] == 1
    assert decisions(dataclasses.replace(FLAT, training=5000), gpu)["train.batch_size"] > 1


def test_costs_are_those_that_were_measured():
    """Seconds on one core of an AMD EPYC (Zen 5) with bfloat16, ``benchmarks/step_costs.py``."""
    one = dataclasses.replace(MACHINE, cores=1, speed=1.0)
    for shape, seconds in (
        (cost.Shape((128, 96), 37, 32, 4, 32, 11, 8), 0.028),
        (cost.Shape((352, 256), 37, 48, 4, 48, 11, 8), 0.288),
        (cost.Shape((448, 320), 37, 64, 4, 64, 11, 16), 0.646),
        (cost.Shape((40, 72, 48), 45, 16, 3, 32, 5, 4), 0.250),
        (cost.Shape((64, 64, 64), 20, 24, 4, 24, 5, 8), 0.618),
    ):
        assert cost.seconds(shape, one) == pytest.approx(seconds, rel=0.1)


def test_weights_and_memory_are_about_those_of_the_network():
    from scn_tf import build

    shape = cost.Shape((64, 48), 9, 12, 3, 16, 7, 8)
    model = build.build_network(
        landmarks=9, image_size=(64, 48), filters=12, levels=3, spatial_filters=16, spatial_kernel=7, spatial_pooling=8, preset="tiny"
    )
    assert shape.weights == pytest.approx(sum(int(np.prod(w.shape)) for w in model.trainable_variables), rel=0.05)
    assert memory.of_step(shape, batch_size=2, precision="float32") > memory.of_step(shape, batch_size=1, precision="mixed_bfloat16")


def moved(shape, angle, factor, shift):
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return factor * shape @ turn + shift


def test_pose_and_what_is_left_of_it_are_told_apart():
    rng = np.random.default_rng(3)
    shape = rng.uniform(0, 100, (12, 2))
    angles, factors = rng.normal(0, 0.2, 40), rng.normal(1, 0.1, 40)
    found = of_points(np.array([moved(shape, a, f, rng.uniform(0, 50, 2)) for a, f in zip(angles, factors, strict=True)]))
    assert found.rotation == pytest.approx(np.std(angles), rel=0.02)
    assert found.scale == pytest.approx(np.std(factors) / np.mean(factors), rel=0.02)
    assert found.residual < 1e-6
    noisy = of_points(np.array([shape + rng.normal(0, 2, shape.shape) for _ in range(40)]))
    assert noisy.residual * noisy.diagonal == pytest.approx(2 * 2**0.5, rel=0.2)


def test_mirrored_shapes_of_a_symmetric_body_look_alike():
    body = np.array([[-30.0, 0], [31, 1], [-20, 50], [20, 51], [0, 80]])
    exchange = [1, 0, 3, 2, 4]
    rng = np.random.default_rng(4)
    points = np.array([body + rng.normal(0, 1, body.shape) for _ in range(9)])
    assert of_points(points, exchange).mirrored < 0.02
    assert of_points(points, [0, 1, 2, 3, 4]).mirrored > 0.2


@pytest.mark.parametrize("points", [np.full((4, 3, 2), np.nan), np.zeros((4, 1, 2)), np.zeros((2, 5, 3)), np.zeros((6, 4, 2))])
def test_shapes_that_cannot_be_measured_are_no_error(points):
    assert not of_points(points).posed


@pytest.mark.parametrize("dims", [2, 3])
def test_absent_points_change_the_measured_poses_little(dims):
    rng = np.random.default_rng(3)
    shape = rng.normal(0, 50, (23, dims))
    turns = [np.linalg.qr(rng.normal(size=(dims, dims)))[0] if dims == 3 else np.eye(2) for _ in range(14)]
    points = np.array(
        [(shape + rng.normal(0, 1, shape.shape)) @ (turn * np.sign(np.linalg.det(turn))) * rng.uniform(0.9, 1.1) for turn in turns]
    )
    whole = of_points(points)
    points[rng.random(points.shape[:2]) < 0.1] = np.nan  # hardly an image is whole
    found = of_points(points)
    assert found.posed
    np.testing.assert_allclose([found.rotation, found.scale, found.residual], [whole.rotation, whole.scale, whole.residual], rtol=0.15)


def test_points_in_one_place_have_no_pose():
    points = np.zeros((5, 6, 2))
    points[0, 0] = np.nan
    points[1:, :2] += 1
    points[2] = 4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        of_points(points)


def test_absent_landmarks_and_images_are_left_out():
    rng = np.random.default_rng(5)
    points = rng.uniform(0, 100, (6, 2)) + rng.normal(0, 1, (20, 6, 2))
    points[3, 2], points[:15, 5] = np.nan, np.nan
    found = of_points(points, [1, 0, 2, 3, 4, 5])
    assert found.posed
    assert found.residual < 0.05


def test_a_set_is_measured_from_a_sample(hands_2d, hands_3d, monkeypatch):
    facts = measure.measure(DataConfig(root=hands_2d))
    assert (facts.training, facts.validation, facts.landmarks, facts.sampled) == (7, 3, 21, 7)
    assert facts.size == (192, 256)
    assert facts.extent == pytest.approx((172.8, 230.4))
    assert (facts.spacing, facts.unit) == (False, "mm")  # dataset.yaml states it, the files do not
    solid = measure.measure(DataConfig(root=hands_3d))
    assert (solid.spacing, solid.extent) == (True, pytest.approx((144.0, 201.6, 115.2)))
    monkeypatch.setattr(measure, "MAX_BYTES", 1)
    assert measure.measure(DataConfig(root=hands_2d)).sampled == 3


def test_the_machine_is_measured():
    found = machine.this_machine("float32")
    assert found.cores >= 1
    assert found.speed > 0
    assert found.memory > 2**26
    assert machine.this_machine("float32").speed == found.speed  # the trial ran once
    assert machine.rounded(1.1) == machine.rounded(0.95) == 1.0
