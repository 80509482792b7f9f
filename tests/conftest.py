"""Shared fixtures: small synthetic sets, one trained run, the real data where it is there."""

import contextlib
import dataclasses
import math
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import scn_tf  # noqa: F401  (sets the log level before TensorFlow is imported)
from scn_tf import config
from scn_tf.data import synthetic
from scn_tf.storage import caches

REPOSITORY = Path(__file__).resolve().parents[1]

# The one home of tolerances, in pixels.
EXACT = 1e-4
SUBPIXEL = 0.05
# The same of radii, as a share of them.
SAME_RADIUS = 0.01


@pytest.fixture(scope="session", autouse=True)
def own_caches(tmp_path_factory):
    """Nothing that this machine keeps changes a test, and no test pays for a measurement of it but those about it."""
    from scn_tf.environment import speed

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(caches.FOLDER, str(tmp_path_factory.mktemp("caches")))
        patch.setattr(speed, "LONG", math.inf)
        yield


@pytest.fixture(scope="session")
def hands_2d(tmp_path_factory):
    root = tmp_path_factory.mktemp("hands_2d")
    synthetic.generate(root, dims=2, train=7, val=3, seed=5)
    return root


@pytest.fixture
def hands(hands_2d, tmp_path):
    """A copy of ``hands_2d``, which a test may change."""
    return Path(shutil.copytree(hands_2d, tmp_path / "hands"))


@pytest.fixture(scope="session")
def hands_3d(tmp_path_factory):
    root = tmp_path_factory.mktemp("hands_3d")
    synthetic.generate(root, dims=3, train=3, val=2, seed=5)
    return root


@contextlib.contextmanager
def interrupted_after(epochs):
    """The block trains, and is interrupted when so many epochs have ended."""
    from scn_tf.training import validation

    original = validation.Validation.on_epoch_end

    def interrupt(self, epoch, logs=None):
        original(self, epoch, logs)
        if epoch + 1 == epochs:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validation.Validation, "on_epoch_end", interrupt)
        with pytest.raises(KeyboardInterrupt):
            yield


def small_config(root, dims=2, **changes):
    """A network that trains in seconds; unequal sides."""
    from scn_tf import build

    size = [48, 32] if dims == 2 else [8, 16, 12]
    values = {
        "data": {"root": str(root)},
        "model": {"image_size": size, "filters": 6, "levels": 2, "spatial_pooling": 4, "spatial_kernel": 5, "dropout": 0.1},
        "train": {"epochs": 2, "batch_size": 3, "validate_every": 1, "precision": "float32"},
    }
    for name, value in changes.items():
        section, field = name.split("__")
        values.setdefault(section, {})[field] = value
    settings = config.from_dict(values)
    for field in build.unused(settings.model, dims):
        if f"model__{field}" not in changes:
            del values["model"][field]
    return config.from_dict(values)


def with_settings(info, **changes):
    """A model's facts with other settings, as ``section__field``."""
    from scn_tf.runs.info import ModelInfo

    stated = info.to_json()
    for name, value in changes.items():
        section, field = name.split("__")
        stated["config"][section][field] = value
    return ModelInfo.from_json(stated)


def without_training(monkeypatch):
    """In what follows, runs are prepared and nothing is trained, as after a kill before the first checkpoint."""
    from scn_tf import systems

    of = systems.of
    monkeypatch.setattr(systems, "of", lambda config: dataclasses.replace(of(config), train=lambda job: None))


def with_errors(monkeypatch, errors):
    """In what follows, validations of networks measure these errors, in order."""
    from scn_tf.systems import network

    original, values = network._measure, iter(errors)

    def measured(trainer, job):
        measure = original(trainer, job)

        def changed():
            found, error = measure(), next(values)
            return found._replace(error=error, values={**found.values, f"val_pe_mean_{found.unit}": error})

        return changed

    monkeypatch.setattr(network, "_measure", measured)


def weights(run):
    """Weights of a run's network, arrays."""
    from scn_tf.runs import checkpoints

    return checkpoints.load_model(run / "model.keras")[0].get_weights()


def state(run):
    """Everything in a run's checkpoint that going on needs, arrays."""
    with np.load(run / "checkpoints" / "last.npz", allow_pickle=False) as archive:
        return [archive[name] for name in sorted(archive.files) if name != "progress"]


def errors_table(path, errors, prefix="image"):
    """Write errors (I, N) as an ``errors.csv``; returns its path."""
    lines = ["id,landmark,error_mm", *(f"{prefix}{i},{n},{'' if np.isnan(e) else e}" for (i, n), e in np.ndenumerate(errors))]
    path.write_text("\n".join(lines))
    return path


class Here:
    """A process of a study that is none: its command line runs in this one, which has TensorFlow already."""

    ALONE = threading.Lock()  # sys.stdout is one for all threads

    def __init__(self, command, *, stdout, stderr, env):
        assert command[:4] == [sys.executable, "-P", "-m", "scn_tf"]
        assert stderr is subprocess.STDOUT
        from scn_tf import cli

        with self.ALONE, contextlib.redirect_stdout(stdout), contextlib.redirect_stderr(stdout):
            self.returncode = cli.main(command[4:])

    def __enter__(self):
        return self

    def __exit__(self, *ended):
        pass

    def poll(self):
        return self.returncode

    def wait(self, timeout=None):
        return self.returncode


@pytest.fixture
def in_this_process(monkeypatch):
    """Runs without processes of their own: six seconds less each. The tests about processes start real ones."""
    from scn_tf.study import execute

    monkeypatch.setattr(execute.subprocess, "Popen", Here)


@pytest.fixture(scope="session")
def run_2d(hands_2d, tmp_path_factory):
    from scn_tf import train_run

    run = tmp_path_factory.mktemp("runs") / "run_2d"
    train_run.train(small_config(hands_2d), run)
    return run


@pytest.fixture(scope="session")
def run_3d(hands_3d, tmp_path_factory):
    from scn_tf import train_run

    run = tmp_path_factory.mktemp("runs") / "run_3d"
    train_run.train(small_config(hands_3d, 3), run)
    return run


def drawn_calibration(landmarks, decoder="quadratic"):
    """A calibration of random errors and statistics."""
    from scn_tf.uncertainty import fitting, peak_statistics

    rng = np.random.default_rng(1)
    drawn = fitting.Observed(rng.gamma(2.0, size=(9, landmarks)), rng.normal(size=(9, landmarks, len(peak_statistics.NAMES))) * 3)
    return fitting.calibrate(drawn, None, split="val", decoder=decoder)


def calibrate_at_random(file):
    """Give a model file a drawn calibration; returns it."""
    from scn_tf.runs import checkpoints

    info = checkpoints.read_info(file)
    drawn = drawn_calibration(len(info.landmarks), info.config.heatmap.decoder)
    checkpoints.restate(file, info.model_copy(update={"calibration": drawn}))
    return file


@pytest.fixture(scope="session")
def bare_2d(run_2d, tmp_path_factory):
    """Model file of ``run_2d`` without a calibration, as earlier versions wrote it."""
    from scn_tf.runs import checkpoints

    file = Path(shutil.copy(run_2d / "model.keras", tmp_path_factory.mktemp("bare") / "bare_2d.keras"))
    checkpoints.restate(file, checkpoints.read_info(file).model_copy(update={"calibration": None}))
    return file


@pytest.fixture(scope="session")
def calibrated_2d(run_2d, tmp_path_factory):
    """Model file of ``run_2d`` with a drawn calibration."""
    return calibrate_at_random(Path(shutil.copy(run_2d / "model.keras", tmp_path_factory.mktemp("calibrated") / "calibrated_2d.keras")))


@pytest.fixture(scope="session")
def calibrated_3d(run_3d, tmp_path_factory):
    """Model file of ``run_3d`` with a drawn calibration."""
    return calibrate_at_random(Path(shutil.copy(run_3d / "model.keras", tmp_path_factory.mktemp("calibrated") / "calibrated_3d.keras")))


LABEL_SETTINGS = dict(model__name="segmentation", model__filters=8, train__loss="cross_entropy", train__learning_rate=3e-3)


@pytest.fixture(scope="session")
def label_run_2d(hands_2d, tmp_path_factory):
    """A run that finds label maps."""
    from scn_tf import train_run

    run = tmp_path_factory.mktemp("runs") / "label_run_2d"
    train_run.train(small_config(hands_2d, **LABEL_SETTINGS), run)
    return run


@pytest.fixture(scope="session")
def saved_2d(calibrated_2d, tmp_path_factory):
    """SavedModel of ``calibrated_2d``, folder of version 1; for reading alone."""
    from scn_tf import export

    return export.export_saved_model(calibrated_2d, tmp_path_factory.mktemp("saved_2d") / "hands")


@pytest.fixture(scope="session")
def saved_3d(run_3d, tmp_path_factory):
    """SavedModel of ``run_3d``, folder of version 1; for reading alone."""
    from scn_tf import export

    return export.export_saved_model(run_3d, tmp_path_factory.mktemp("saved_3d") / "hands")


@pytest.fixture(scope="session")
def files_2d(calibrated_2d, tmp_path_factory):
    """Every TFLite form and ONNX of ``calibrated_2d``, by name; for reading alone."""
    from scn_tf import export
    from scn_tf.export.forms import tflite

    folder = tmp_path_factory.mktemp("files_2d")
    made = {form: export.export_tflite(calibrated_2d, folder / f"{form}.tflite", quantize=form) for form in tflite.QUANTIZATIONS}
    return {**made, "onnx": export.export_onnx(calibrated_2d, folder / "run.onnx")}


@pytest.fixture(scope="session")
def real_data():
    """Folder of real radiographs and volumes; see CONTRIBUTING.md."""
    root = Path(os.environ.get("SCN_TF_DATA", REPOSITORY.parent / "shared" / "data"))
    if not root.is_dir():
        pytest.skip(f"real data: {root} is not there (SCN_TF_DATA names another folder)")
    return root


@pytest.fixture
def rng():
    return np.random.default_rng(11)
