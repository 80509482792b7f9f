"""Parts cut from images, which say how low the peak of a landmark may be."""

import numpy as np
import pytest
import tensorflow as tf

from scn_tf import calibrate_run
from scn_tf.data import pipeline
from scn_tf.data.dataset import open_dataset
from scn_tf.runs import checkpoints
from scn_tf.scoring import localization
from scn_tf.training.parts import PER_IMAGE, parts
from scn_tf.uncertainty import fitting, ordinary


def listed(examples):
    return [{name: value.numpy() for name, value in one.items()} for one in examples]


@pytest.fixture(scope="module")
def marked(run_2d, hands_2d):
    """Settings, and examples whose images are bright around the landmarks alone."""
    config = checkpoints.read_info(run_2d / "model.keras").config
    dataset = open_dataset(hands_2d)

    def mark(example):
        height, width = example["image"].shape[:2]
        x, y = tf.meshgrid(tf.range(width, dtype=tf.float32), tf.range(height, dtype=tf.float32))
        squared = (x[..., None] - example["landmarks"][:, 0]) ** 2 + (y[..., None] - example["landmarks"][:, 1]) ** 2
        return {**example, "image": tf.reduce_max(tf.exp(-squared / 8.0), axis=-1)[..., None] * 2.0 - 1.0}

    return config, pipeline.examples(dataset, dataset.split("val"), config).map(mark)


def test_landmarks_move_with_their_part_and_those_outside_are_absent(marked):
    config, examples = marked
    whole, cut = listed(examples), listed(parts(examples, config))
    assert len(cut) == PER_IMAGE * len(whole)
    for number, part in enumerate(cut):
        own = whole[number // PER_IMAGE]
        np.testing.assert_array_equal(part["visible"] + part["absent"], own["visible"] + own["absent"])
        seen = np.round(part["landmarks"][part["visible"] > 0]).astype(int)
        # A pixel on the border of a part may be cut off, its neighbour is not.
        assert all(part["image"][max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].max() > 0.5 for x, y in seen)
        assert part["image"].shape == own["image"].shape
    shown = np.array([part["visible"] for part in cut])
    assert 0.3 < shown.mean() < 0.95


def test_parts_are_the_same_in_each_call_and_differ_among_themselves(marked):
    config, examples = marked
    first, second = (listed(parts(examples, config)) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one["image"], other["image"])
    assert len({part["image"].tobytes() for part in first}) == len(first)


def test_parts_set_the_limit_of_presence_and_nothing_else(rng):
    errors, statistics = rng.gamma(2.0, size=(9, 6)), rng.normal(size=(9, 6, 3))
    lower = fitting.Observed(np.where(rng.uniform(size=(36, 6)) < 0.3, np.nan, 1.0), rng.normal(size=(36, 6, 3)) - 2.0)
    plain, with_parts = (
        fitting.calibrate(fitting.Observed(errors, statistics), None, cut, split="val", decoder="quadratic") for cut in (None, lower)
    )
    usual = ordinary.Ordinary(*(np.float32(values) for values in (plain.median, plain.usual)))
    evidence = np.asarray(ordinary.presence(usual, lower.statistics.astype("float32")))[np.isfinite(lower.errors)]
    assert with_parts.lowest_presence == pytest.approx(evidence.min(), abs=1e-5)  # of fewer than 200
    assert with_parts.lowest_presence < plain.lowest_presence
    assert with_parts.model_copy(update={"lowest_presence": plain.lowest_presence}) == plain


def test_a_calibrated_run_keeps_the_landmarks_of_parts(run_2d, hands_2d, tmp_path):
    """By the limit that ``scn-tf calibrate`` stores, which the training has stored before."""
    file = tmp_path / "model.keras"
    file.write_bytes((run_2d / "model.keras").read_bytes())
    found, _ = calibrate_run.calibrate(file, "val", root=hands_2d)
    network, info = checkpoints.load_model(file)
    assert found.lowest_presence == checkpoints.read_info(run_2d / "model.keras").calibration.lowest_presence
    dataset = open_dataset(hands_2d)
    locate = localization.localizer(network, info.config.heatmap.decoder, info.calibration)
    result = localization.localize(locate, parts(pipeline.examples(dataset, dataset.split("val"), info.config), info.config))
    assert result["present"][result["visible"] > 0].all()
