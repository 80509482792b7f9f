import contextlib
import csv
import os
import shutil
import subprocess
import sys
import time
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from scn_tf import config, geometry, train_run
from scn_tf.environment import devices
from scn_tf.errors import DatasetError, DataWarning
from scn_tf.export.forms.tflite.writing import training_images
from scn_tf.figures import pictures
from scn_tf.runs import checkpoints
from scn_tf.runs.folder import RunFolder
from scn_tf.training import callbacks, fit
from scn_tf.training import trainer as trainers
from scn_tf.training.landmarks import landmark_objective
from tests.conftest import REPOSITORY, small_config, state, weights, with_errors

NO_AUGMENTATION = {
    f"augment__{n}": 0 for n in ("translation", "rotation", "scale", "axis_scale", "elastic", "intensity_shift", "intensity_scale")
}


@pytest.mark.parametrize("run", ["run_2d", "run_3d"])
def test_a_run_writes_everything_that_was_promised(run, request):
    folder = request.getfixturevalue(run)
    for name in ("config.yaml", "model.keras", "history.csv", "checkpoints/last.npz"):
        assert (folder / name).is_file(), name
    assert any((folder / "tensorboard").iterdir())
    rows = list(csv.DictReader((folder / "history.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[-1]["val_pe_mean_mm"]) > 0
    assert float(rows[-1]["loss"]) > 0
    assert not [p for p in folder.rglob(".*") if p.is_file()]  # no temporary file left


def test_tensorboard_holds_scalars_sigmas_and_pictures(run_2d):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run_2d / "tensorboard"), size_guidance={"tensors": 0}).Reload()
    tags = events.Tags()["tensors"]
    assert {"loss", "learning_rate", "val_pe_mean_mm", "mean_sigma", "sigma/thumb_mcp", "validation", "targets"} <= set(tags)


def test_training_learns(hands_2d, tmp_path):
    settings = small_config(hands_2d, train__epochs=80, train__validate_every=80, train__learning_rate=5e-3)
    train_run.train(settings, tmp_path / "run")
    losses = [float(row["heatmap_loss"]) for row in csv.DictReader((tmp_path / "run" / "history.csv").read_text().splitlines())]
    assert losses[-1] < 0.8 * losses[0]


def test_the_same_seed_gives_the_same_weights_and_another_one_others(hands_2d, run_2d, tmp_path):
    train_run.train(small_config(hands_2d), tmp_path / "again")
    train_run.train(small_config(hands_2d, train__seed=1), tmp_path / "other")
    for first, second in zip(weights(run_2d), weights(tmp_path / "again"), strict=True):
        np.testing.assert_allclose(first, second, atol=1e-6)
    assert np.abs(weights(run_2d)[0] - weights(tmp_path / "other")[0]).max() > 1e-3


def test_a_run_says_the_precision_it_was_trained_in(hands_2d, tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "precision", lambda name: "mixed_bfloat16" if name == "auto" else name)
    job = train_run.prepare(small_config(hands_2d, train__precision="auto"), RunFolder(tmp_path / "run"), resume=False)
    assert job.config.train.precision == "mixed_bfloat16"
    repeated = small_config(hands_2d, train__precision="auto")
    assert config.differences(job.config, repeated) == []
    assert config.differences(job.config, small_config(hands_2d, train__precision="float32")) == ["train.precision"]


def test_settings_that_a_network_does_not_have_are_told(hands_2d, tmp_path):
    settings = small_config(hands_2d, model__name="payer2016", model__dropout=0.1, model__levels=2)
    with pytest.warns(config.ConfigWarning, match=r"^model\.levels, model\.dropout: not used by model\.name payer2016"):
        train_run.prepare(settings, RunFolder(tmp_path / "run"), resume=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        own = small_config(hands_2d, model__name="payer2016").resolved(2)  # with every field set, by its preset
        train_run.prepare(config.from_dict(own.model_dump()), RunFolder(tmp_path / "own"), resume=False)
        train_run.prepare(small_config(hands_2d), RunFolder(tmp_path / "other"), resume=False)


@pytest.mark.parametrize("name", ["payer2016", "forest_shape"])
def test_one_landmark_alone_is_refused_by_what_places_landmarks_by_each_other(name, hands_2d, tmp_path):
    root = tmp_path / "set"
    shutil.copytree(hands_2d, root)
    rows = [line.split(",")[:3] for line in (root / "landmarks.csv").read_text().splitlines()]
    (root / "landmarks.csv").write_text("\n".join(map(",".join, rows)))
    (root / "dataset.yaml").write_text("{name: one, dims: 2, landmarks: 1}")
    with pytest.raises(config.ConfigError, match=f"{name} locates landmarks relative to each other"):
        train_run.train(small_config(root, model__name=name), tmp_path / "run")


@pytest.mark.parametrize("pairs", [[], [[0, 2], [5, 1]]])
def test_mirrored_images_exchange_the_pairs_of_the_data_set_and_without_them_a_warning_says_so(pairs, hands_2d, tmp_path, monkeypatch):
    class Built(Exception):
        pass

    def build(config, objective, **options):
        raise Built(objective(config, 21, (48, 32)).exchange)

    monkeypatch.setattr(fit, "build_trainer", build)
    root = shutil.copytree(hands_2d, tmp_path / "set")
    (root / "dataset.yaml").write_text((root / "dataset.yaml").read_text() + f"flip_pairs: {pairs}\n")
    expected = [2, 5, 0, 3, 4, 1, *range(6, 21)] if pairs else [*range(21)]
    warned = pytest.warns(DataWarning, match=r"has no flip_pairs, so augment\.mirror 0\.5 mirrors images without")
    with contextlib.nullcontext() if pairs else warned, pytest.raises(Built) as built:
        train_run.train(small_config(root, augment__mirror=0.5), tmp_path / "run")
    assert list(built.value.args[0]) == expected


def test_batches_larger_than_the_set_are_warned_of(hands_2d, tmp_path):
    with pytest.warns(config.ConfigWarning, match="1000, but there are 7 training images: each epoch is one step with all of them"):
        train_run.train(small_config(hands_2d, train__batch_size=1000, train__epochs=1), tmp_path / "run")


def test_a_diverging_loss_stops_with_advice_and_keeps_the_last_good_weights(hands_2d, tmp_path, monkeypatch):
    original = trainers.Trainer.loss_terms

    def diverge(self, *arguments):
        terms = original(self, *arguments)
        late = tf.cast(self.optimizer.iterations, tf.float32) >= 3.0  # in the second epoch of two steps
        return {**terms, "heatmap_loss": tf.where(late, float("nan"), terms["heatmap_loss"])}

    monkeypatch.setattr(trainers.Trainer, "loss_terms", diverge)
    with pytest.raises(callbacks.TrainingDiverged, match=r"nan in epoch 2, step 2.*`train\.learning_rate`"):
        train_run.train(small_config(hands_2d), tmp_path / "run")
    assert all(np.isfinite(array).all() for array in (*weights(tmp_path / "run"), *state(tmp_path / "run")))


def test_weights_that_broke_in_the_last_step_of_an_epoch_are_not_kept(hands_2d, tmp_path, monkeypatch):
    """The loss of that step was still finite; the maximum of a map of NaN would be a point like any other."""

    def spoil(self, epoch, logs=None):
        if epoch == 2:
            self.trainer.network.trainable_variables[0].assign(self.trainer.network.trainable_variables[0] * np.nan)

    monkeypatch.setattr(callbacks.GoBackAfterCollapse, "on_epoch_end", spoil)
    settings = small_config(hands_2d, train__epochs=4, train__validate_every=1, train__keep="last")
    with pytest.raises(callbacks.TrainingDiverged, match="weights became nan at the end of epoch 3"):
        train_run.train(settings, tmp_path / "run")
    assert all(np.isfinite(weight).all() for weight in weights(tmp_path / "run"))
    assert all(np.isfinite(value).all() for value in state(tmp_path / "run"))


def test_a_collapse_is_taken_back(hands_2d, tmp_path, monkeypatch, capsys):
    """Late in the fourth epoch every weight is set to zero, as a spike would do; losses are told to be those of a trained network."""
    settings = small_config(hands_2d, train__epochs=6, train__validate_every=6)
    seen, original = [], callbacks.GoBackAfterCollapse.on_epoch_end

    def spoil(self, epoch, logs=None):
        if epoch == 3:
            for weight in self.trainer.network.trainable_variables:
                weight.assign(weight * 0)
        original(self, epoch, {**logs, "heatmap_loss": [0.9, 0.5, 0.25, 0.24, 0.97, 0.21][epoch]})
        seen.append((sum(np.abs(w).sum() for w in self.trainer.network.get_weights()), int(self.trainer.optimizer.iterations)))

    monkeypatch.setattr(callbacks.GoBackAfterCollapse, "on_epoch_end", spoil)
    train_run.train(settings, tmp_path / "run")
    assert "Epoch 5: the loss jumped from 0.24 to 0.97; training continues from an earlier state." in capsys.readouterr().out
    size, steps = zip(*seen, strict=True)
    assert size[3] == 0
    assert size[4] == size[2]  # the weights of the third epoch again, whose end was still good
    assert size[5] not in (0, size[4])
    assert steps == (2, 4, 6, 8, 10, 12)  # but draws that were not seen yet


def test_a_collapse_is_seen_where_most_landmarks_are_absent_too(hands_2d, tmp_path, monkeypatch, capsys):
    """Predicting nothing then costs what share is visible, here at most a third; losses are told."""
    root = shutil.copytree(hands_2d, tmp_path / "set")
    lines = [line.split(",") for line in (root / "landmarks.csv").read_text().splitlines()]
    for cells in lines:
        present = (len(cells) - 1) // 2 // 3
        cells[1 + 2 * present :] = [""] * (len(cells) - 1 - 2 * present)
    (root / "landmarks.csv").write_text("\n".join(map(",".join, lines)))
    original = callbacks.GoBackAfterCollapse.on_epoch_end

    def told(self, epoch, logs=None):
        original(self, epoch, {**logs, "heatmap_loss": [0.3, 0.16, 0.09, 0.32][epoch]})

    monkeypatch.setattr(callbacks.GoBackAfterCollapse, "on_epoch_end", told)
    with pytest.warns(DataWarning, match="no training image shows middle_mcp, .*, ulna"):
        train_run.train(small_config(root, train__epochs=4, train__validate_every=4), tmp_path / "run")
    assert "Epoch 4: the loss jumped from 0.09 to 0.32" in capsys.readouterr().out


def test_a_new_run_never_goes_back_to_the_network_it_began_with(hands_2d):
    trainer = trainers.build_trainer(small_config(hands_2d).resolved(2), landmark_objective, num_maps=2, channels=1)
    guard = callbacks.GoBackAfterCollapse(trainer)
    guard.on_train_begin()
    for value, loss in ((1.0, 0.25), (0.0, 0.9)):  # learned within the first epoch, collapsed in the second
        for weight in trainer.network.trainable_variables:
            weight.assign(keras.ops.full_like(weight, value))
        guard.on_epoch_end(0, {"heatmap_loss": loss})
    assert {float(np.unique(weight)[0]) for weight in trainer.network.get_weights()} == {1.0}


def test_an_image_to_train_on_needs_no_landmarks_that_give_its_mm(hands_2d, tmp_path):
    root = shutil.copytree(hands_2d, tmp_path / "set")
    description = (root / "dataset.yaml").read_text()
    (root / "dataset.yaml").write_text(
        description.replace("spacing_mm:\n- 0.9\n- 0.9\n", "normalization: {landmarks: [0, 5], distance_mm: 50}\n")
    )
    lines = [line.split(",") for line in (root / "landmarks.csv").read_text().splitlines()]
    lines[0][1:3] = "", ""
    (root / "landmarks.csv").write_text("\n".join(",".join(line) for line in lines))
    train_run.train(small_config(root), tmp_path / "run")
    with (
        pytest.warns(DataWarning, match="trained on, too"),
        pytest.raises(DatasetError, match="line 1: landmarks 0 and 5 of hand_000 have no point"),
    ):
        train_run.train(small_config(root, data__val_split="train"), tmp_path / "judged")
    _, info = checkpoints.load_model(tmp_path / "run" / "model.keras")
    assert len(training_images(info)) == 7  # an export with integers measures nothing either


def test_a_unet_too_narrow_for_its_maps_is_warned_of(hands_2d, tmp_path):
    settings = small_config(hands_2d, model__name="unet", model__filters=20)
    with pytest.warns(config.ConfigWarning, match="20 channels for 21 landmarks"):
        train_run.prepare(settings, RunFolder(tmp_path / "run"), resume=False)
    train_run.prepare(small_config(hands_2d, model__name="unet", model__filters=21), RunFolder(tmp_path / "run"), resume=False)


def test_two_replicas_train_like_one(hands_2d, tmp_path):
    # The logical devices must exist before TensorFlow starts: a process of its own.
    script = tmp_path / "two.py"
    script.write_text(
        "import sys, scn_tf, tensorflow as tf\n"
        "cpu = tf.config.list_physical_devices('CPU')[0]\n"
        "tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)\n"
        "from scn_tf import config\n"
        "scn_tf.train(config.load(sys.argv[1]), sys.argv[2])\n"
    )
    for name in ("single", "mirrored"):
        settings = small_config(
            hands_2d,
            train__strategy=name,
            train__batch_size=4,
            train__epochs=3,
            train__clip_norm=0.05,
            train__ema=0.5,
            train__keep="last",
            model__dropout=0.0,
            **NO_AUGMENTATION,
        )
        if name == "single":
            train_run.train(settings, tmp_path / name)
            continue
        (tmp_path / f"{name}.yaml").write_text(settings.to_yaml())
        arguments = [sys.executable, str(script), str(tmp_path / f"{name}.yaml"), str(tmp_path / name)]
        subprocess.run(arguments, check=True, cwd=REPOSITORY, env={**os.environ, "PYTHONPATH": str(REPOSITORY)}, capture_output=True)
    for one, two in zip(weights(tmp_path / "single"), weights(tmp_path / "mirrored"), strict=True):
        np.testing.assert_allclose(one, two, atol=2e-5)


def test_the_schedule_decays_with_the_larger_of_steps_and_time():
    assert callbacks.decay("cosine", 1.0) == pytest.approx(0.0, abs=1e-12)
    assert callbacks.decay("cosine", 0.5) == pytest.approx(0.5)
    assert callbacks.decay("exponential", 1.0) == pytest.approx(0.1)
    run = dict(highest=1e-3, decay="cosine", epochs=10, minutes=1.0, steps=5, started=time.monotonic() - 45.0)
    assert callbacks.Schedule(**run, steps_done=10).progress() == pytest.approx(0.75, abs=0.01)
    assert callbacks.Schedule(**run, steps_done=40).progress() == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize(("dims", "root"), [(2, "hands_2d"), (3, "hands_3d")])
def test_oriented_gaussians_learn_widths_and_angles(dims, root, request, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    settings = small_config(request.getfixturevalue(root), dims, heatmap__sigma_mode="anisotropic", train__learning_rate=0.02)
    train_run.train(settings, tmp_path / "run")
    trainer = trainers.build_trainer(settings.resolved(dims), landmark_objective, num_maps={2: 21, 3: 12}[dims], channels=1)
    checkpoints.load_state(trainer.state(), tmp_path / "run" / "checkpoints" / "last.npz")
    sigmas, angles = np.asarray(trainer.objective.targets.sigmas), np.asarray(trainer.objective.targets.angles)
    assert sigmas.shape[-1] == dims
    assert np.abs(sigmas - 2.0).min() > 0
    assert np.abs(angles).max() > 0
    covariances = trainer.objective.targets.covariances()
    np.testing.assert_allclose(np.sort(np.linalg.eigvalsh(covariances)), np.sort(sigmas**2), rtol=1e-4)
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"), size_guidance={"tensors": 0}).Reload()
    assert f"sigma/index_mcp/{dims - 1}" in events.Tags()["tensors"]


def test_an_ellipse_shows_the_widest_direction():
    turn = geometry.rotations(np.array([[0.5]], "float32"), 2)[0].numpy()
    covariance = turn @ np.diag([9.0, 1.0]) @ turn.T
    width, height, angle = (float(value[0]) for value in pictures.target_ellipses(covariance[None]))
    np.testing.assert_allclose([width, height], [6.0, 2.0], rtol=1e-5)
    np.testing.assert_allclose((np.degrees(0.5) - angle + 90) % 180 - 90, 0, atol=1e-3)


def test_averaged_weights_are_what_is_validated_and_kept_and_training_goes_on_with_its_own(hands_2d, tmp_path):
    settings = small_config(hands_2d, train__ema=0.9, train__keep="last", train__learning_rate=0.01)
    plain = small_config(hands_2d, train__keep="last", train__learning_rate=0.01)
    train_run.train(settings, tmp_path / "averaged")
    train_run.train(plain, tmp_path / "plain")
    trainer = trainers.build_trainer(settings.resolved(2), landmark_objective, num_maps=21, channels=1)
    checkpoints.load_state(trainer.state(), tmp_path / "averaged" / "checkpoints" / "last.npz")
    own = trainer.network.get_weights()
    for mine, theirs in zip(own, weights(tmp_path / "plain"), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)  # averaging changes nothing about the training
    with trainer.averaged_weights():
        averaged = trainer.network.get_weights()
    for first, second in zip(trainer.network.get_weights(), own, strict=True):
        np.testing.assert_array_equal(first, second)
    kept = weights(tmp_path / "averaged")
    assert max(np.abs(a - b).max() for a, b in zip(kept, own, strict=True)) > 1e-4
    for first, second in zip(kept, averaged, strict=True):
        np.testing.assert_allclose(first, second, atol=1e-7)


def test_the_last_weights_are_kept_on_request(hands_2d, tmp_path, monkeypatch):
    with_errors(monkeypatch, [1.0, 2.0])
    best = train_run.train(small_config(hands_2d, train__keep="last"), tmp_path / "run")
    assert (best["epoch"], best["error"]) == (2, 2.0)


def test_a_validation_split_without_landmarks_is_refused(hands_2d, tmp_path):
    root = shutil.copytree(hands_2d, tmp_path / "set")
    lines = (root / "landmarks.csv").read_text().splitlines()
    empty = [line.split(",")[0] + "," * line.count(",") for line in lines[7:]]
    (root / "landmarks.csv").write_text("\n".join([*lines[:7], *empty]))
    with pytest.raises(DatasetError, match="split val has no annotated landmark"):
        train_run.train(small_config(root), tmp_path / "run")
    with pytest.raises(DatasetError, match="split val has no annotated landmark to train on"):
        train_run.train(small_config(root, data__train_split="val", data__val_split="train"), tmp_path / "run")
