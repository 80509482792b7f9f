"""Several networks as one."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import scn_tf
from scn_tf import cli, combine_runs, evaluate_run, export, train_run
from scn_tf.errors import CheckpointError, DataWarning
from scn_tf.export import parity
from scn_tf.heatmaps.gaussians import gaussian_height
from scn_tf.runs import checkpoints
from tests.conftest import EXACT, SUBPIXEL, small_config, with_settings


@pytest.fixture(scope="module")
def larger(hands_2d, tmp_path_factory):
    """A run of another seed and of half as many pixels again along each side."""
    run = tmp_path_factory.mktemp("runs") / "larger"
    train_run.train(small_config(hands_2d, model__image_size=[72, 48], train__seed=1), run)
    return run


@pytest.fixture(scope="module")
def pair(run_2d, larger, tmp_path_factory):
    out = tmp_path_factory.mktemp("pairs") / "pair.keras"
    assert cli.main(["combine", str(run_2d), str(larger), "--out", str(out)]) == 0
    return out


def network(path):
    return checkpoints.load_model(path / "model.keras" if path.is_dir() else path)[0]


def heights(run):
    """Of the targets that a run ended with: their sigmas are learned."""
    peaks = np.array(checkpoints.read_info(run / "model.keras").peaks)
    heatmap = checkpoints.read_info(run / "model.keras").config.heatmap
    started = gaussian_height(heatmap.sigma, heatmap.gamma, 2)
    assert (peaks != started).all()
    np.testing.assert_allclose(peaks, started, rtol=0.1)
    return peaks


def test_the_heatmaps_are_the_mean_of_those_of_the_members(pair, run_2d, larger, rng):
    image = rng.normal(size=(2, 72, 48, 1)).astype("float32")
    small = network(run_2d)(tf.image.resize(image, (48, 32), "bicubic", antialias=True))
    expected = (tf.image.resize(small, (72, 48), "bicubic") / heights(run_2d) + network(larger)(image) / heights(larger)) / 2
    np.testing.assert_allclose(network(pair)(image), expected, atol=1e-5)


def test_a_network_and_itself_answer_as_it_does_alone(run_2d, hands_2d, tmp_path):
    combine_runs.combine([run_2d, run_2d], tmp_path / "twice.keras")
    combine_runs.combine([run_2d, tmp_path / "twice.keras"], tmp_path / "thrice.keras")
    assert len(checkpoints.read_info(tmp_path / "thrice.keras").members) == 3
    image = hands_2d / "images" / "hand_008.png"
    alone = scn_tf.load(run_2d).predict(image)
    for name in ("twice", "thrice"):
        found = scn_tf.load(tmp_path / f"{name}.keras").predict(image)
        np.testing.assert_allclose(found.landmarks, alone.landmarks, atol=10 * EXACT)
        np.testing.assert_allclose(found.scores, alone.scores / heights(run_2d), rtol=1e-4)


def test_an_ensemble_counts_as_its_members_do(pair, run_2d, larger, tmp_path, rng):
    combine_runs.combine([pair, run_2d], tmp_path / "nested.keras")
    combine_runs.combine([run_2d, larger, run_2d], tmp_path / "flat.keras")
    image = rng.normal(size=(1, 72, 48, 1)).astype("float32")
    np.testing.assert_allclose(network(tmp_path / "nested.keras")(image), network(tmp_path / "flat.keras")(image), atol=1e-5)


def test_logits_are_no_heights(run_2d, tmp_path, rng):
    info = checkpoints.read_info(run_2d / "model.keras")
    logits = with_settings(info, train__loss="cross_entropy", heatmap__sigma_mode="fixed")
    checkpoints.save_model(network(run_2d), tmp_path / "logits.keras", logits)
    combine_runs.combine([tmp_path / "logits.keras"] * 2, tmp_path / "pair.keras")
    image = rng.normal(size=(1, 48, 32, 1)).astype("float32")
    np.testing.assert_allclose(network(tmp_path / "pair.keras")(image), network(run_2d)(image), atol=1e-5)


def test_a_pair_is_evaluated_and_exported_like_any_model(pair, hands_2d, tmp_path):
    summary, _ = evaluate_run.evaluate(pair, "val", root=hands_2d, out=tmp_path / "evaluation")
    assert summary["points"] > 0
    exports = [
        export.export_saved_model(pair, tmp_path / "saved"),
        export.export_tflite(pair, tmp_path / "pair.tflite"),
        export.export_onnx(pair, tmp_path / "pair.onnx"),
    ]
    rows, _ = parity.check(pair, exports, split="val", root=hands_2d)
    assert len(rows) == 5  # Keras, two signatures of the SavedModel, TFLite, ONNX
    assert max(row.largest for row in rows) < SUBPIXEL
    assert str(hands_2d) not in json.dumps(scn_tf.load(exports[1]).info.to_json())


def test_halved_weights_of_a_pair_are_read_back(pair, tmp_path, rng):
    checkpoints.halve(pair, tmp_path / "half.keras", checkpoints.read_info(pair))
    image = rng.normal(size=(1, 72, 48, 1)).astype("float32")
    assert (tmp_path / "half.keras").stat().st_size < 0.7 * pair.stat().st_size
    np.testing.assert_allclose(network(tmp_path / "half.keras")(image), network(pair)(image), atol=0.02)


def test_volumes_are_combined_too(run_3d, hands_3d, tmp_path):
    train_run.train(small_config(hands_3d, 3, model__image_size=[16, 32, 24]), tmp_path / "larger")
    combine_runs.combine([run_3d, tmp_path / "larger"], tmp_path / "pair.keras")
    assert network(tmp_path / "pair.keras").output_shape[1:4] == (16, 32, 24)
    summary, _ = evaluate_run.evaluate(tmp_path / "pair.keras", "val", root=hands_3d, out=tmp_path / "out")
    assert summary["images"] == 2


def test_images_that_any_member_was_trained_on_are_told(hands_2d, run_2d, tmp_path):
    few = tmp_path / "few"
    train_run.train(small_config(hands_2d, data__train_split="val", data__val_split="train"), few)
    combine_runs.combine([run_2d, few], tmp_path / "pair.keras")
    with pytest.warns(DataWarning, match="3 of the 3 images of split val are, by the settings, trained on, too"):
        evaluate_run.evaluate(tmp_path / "pair.keras", "val", root=hands_2d, out=tmp_path / "out")


def test_what_cannot_be_combined_is_said(run_2d, larger, run_3d, hands_2d, tmp_path):
    out = tmp_path / "pair.keras"

    def refused(paths, match, target=out):
        with pytest.raises(CheckpointError, match=match):
            combine_runs.combine(paths, target)
        assert not out.exists()

    refused([run_2d], "at least two")
    refused([run_2d, tmp_path], "no model there yet")
    refused([run_2d, run_3d], "run_3d: has dims 3, .*run_2d has 2")
    refused([run_2d, larger], "already exists", target=run_2d / "model.keras")
    refused([run_2d, larger], r"expected the name of a new model file, such as pair\.tflite\.keras", target=tmp_path / "pair.tflite")

    def changed(**changes):
        """A copy of the run whose settings differ."""
        path, info = tmp_path / "changed.keras", checkpoints.read_info(run_2d / "model.keras")
        checkpoints.save_model(network(run_2d), path, with_settings(info, **changes))
        return path

    square = tmp_path / "square"
    train_run.train(small_config(hands_2d, model__image_size=[48, 48], train__epochs=1), square)
    refused([run_2d, square], r"sees images at \[48, 48\] pixels, .*same proportion")
    refused([run_2d, changed(model__spacing_mm=2.0)], "same proportion")
    refused([run_2d, changed(heatmap__sigma=1.0)], "cannot be averaged")
    refused([run_2d, changed(train__loss="cross_entropy", heatmap__sigma_mode="fixed")], "cannot be averaged")


def test_an_ensemble_in_memory_needs_no_files(rng):
    networks = [
        scn_tf.build_network(landmarks=3, image_size=(side, side), filters=4, levels=2, spatial_pooling=4, dropout=0) for side in (16, 24)
    ]
    together = combine_runs.weighted_sum(networks, [0.5, 0.5], (24, 24))
    assert isinstance(together, keras.Model)
    assert together(rng.normal(size=(2, 24, 24, 1)).astype("float32")).shape == (2, 24, 24, 3)
