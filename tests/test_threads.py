"""One predictor used by several threads: every answer as in sequence, in every form."""

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import scn_tf
from scn_tf import combine_runs, export, train_run
from scn_tf.environment import quiet
from scn_tf.export.forms import tflite
from scn_tf.runs import checkpoints
from tests.conftest import EXACT, small_config

THREADS, CALLS = 8, 40
FOREST = dict(forest__trees=2, forest__features=20, forest__samples=40, forest__leaf=3)
FORMS = ("run", "halved", "ensemble", "forests", "saved_model", "onnx", *tflite.QUANTIZATIONS)


@pytest.fixture(scope="module")
def forms(run_2d, saved_2d, files_2d, hands_2d, tmp_path_factory):
    """Path of every form by name."""
    folder = tmp_path_factory.mktemp("forms")
    train_run.train(small_config(hands_2d, model__name="forest", **FOREST), folder / "forests")
    combine_runs.combine([run_2d, run_2d], folder / "pair.keras")
    checkpoints.halve(run_2d / "model.keras", folder / "half.keras", checkpoints.read_info(run_2d / "model.keras"))
    return {
        "run": run_2d,
        "halved": folder / "half.keras",
        "ensemble": folder / "pair.keras",
        "forests": folder / "forests" / "model.npz",
        "saved_model": saved_2d,
        **files_2d,
    }


def compare(path, images):
    """Answers of a fresh predictor whose first calls come from all threads at once, beside those of another one in sequence."""
    expected = list(map(scn_tf.load(path).predict, images))
    assert max(np.abs(expected[0].landmarks - other.landmarks).max() for other in expected[1:]) > 1  # an exchange would be seen
    predictor, start = scn_tf.load(path), threading.Barrier(THREADS)

    def job(number):
        if number < THREADS:
            start.wait(30)
        return predictor.predict(images[number % len(images)])

    with ThreadPoolExecutor(THREADS) as pool:
        for number, found in enumerate(pool.map(job, range(CALLS))):
            wanted = expected[number % len(images)]
            np.testing.assert_allclose(found.landmarks, wanted.landmarks, atol=EXACT)
            np.testing.assert_allclose(found.scores, wanted.scores, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("form", FORMS)
def test_eight_threads_get_the_answers_of_one(form, forms, rng):
    compare(forms[form], [rng.integers(0, 256, (40 + 7 * k, 70 - 5 * k)).astype("uint8") for k in range(7)])


def test_eight_threads_get_the_answers_of_one_in_volumes_and_files(run_3d, hands_3d, tmp_path, rng):
    volumes = [rng.normal(size=(9 + k, 14 - k, 11 + 2 * k)).astype("float32") for k in range(3)]
    compare(export.export_onnx(run_3d, tmp_path / "run.onnx"), volumes)
    compare(run_3d, [*sorted((hands_3d / "images").iterdir())[:2], *volumes[:1]])


def test_threads_that_open_models_at_once_leave_standard_error_as_it_was(forms, monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    assert sys.stderr is not None
    before = os.fstat(2)
    with ThreadPoolExecutor(THREADS) as pool:
        opened = list(pool.map(lambda _: scn_tf.load(forms["none"]), range(3 * THREADS)))
    assert len(opened) == 3 * THREADS
    assert os.path.samestat(os.fstat(2), before)


def test_redirections_that_overlap_end_with_the_last(monkeypatch):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    before = os.fstat(2)
    first, second = quiet.quiet_stderr(), quiet.quiet_stderr()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not os.path.samestat(os.fstat(2), before)
    second.__exit__(None, None, None)
    assert os.path.samestat(os.fstat(2), before)
