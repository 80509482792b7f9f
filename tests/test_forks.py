"""A predictor in other processes and in copies: it answers, or says why not; it never waits without end."""

import copy
import os
import select
import signal
import subprocess
import sys

import numpy as np
import pytest

import scn_tf
from scn_tf import export
from scn_tf.errors import CheckpointError
from tests.conftest import EXACT, REPOSITORY

PROGRAM = """
import multiprocessing, sys
import numpy as np, scn_tf
predictor = scn_tf.load(sys.argv[1])
process = multiprocessing.get_context("fork").Process(
    target=lambda: print("found", predictor.predict(np.arange(600, dtype="uint8").reshape(20, 30)).landmarks.shape, flush=True)
)
process.start()
process.join(60)
print("ends" if process.exitcode == 0 else "waits", flush=True)
process.kill()
"""


def message_of_a_forked_process(call):
    """What an error says in a process that was forked from this one, which has trained."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            call()
            text = "no error"
        except CheckpointError as error:
            text = str(error)
        finally:
            os.write(writer, text.encode())
            os._exit(0)
    os.close(writer)
    try:
        if not select.select([reader], [], [], 60)[0]:
            os.kill(child, signal.SIGKILL)
        return os.read(reader, 4096).decode()
    finally:
        os.close(reader)
        os.waitpid(child, 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork: this system has none")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_after_tensorflow_computed_a_forked_process_gets_an_error_that_says_what_to_do(run_2d, rng):
    predictor, image = scn_tf.load(run_2d), rng.normal(size=(40, 30))
    wanted = predictor.predict(image).landmarks
    for call in (lambda: predictor.predict(image), lambda: scn_tf.load(run_2d)):
        assert 'get_context("spawn") and call scn_tf.load in each' in message_of_a_forked_process(call)
    np.testing.assert_allclose(predictor.predict(image).landmarks, wanted, atol=EXACT)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork: this system has none")
def test_what_was_opened_without_tensorflow_answers_in_a_forked_process(run_2d, tmp_path):
    command = [sys.executable, "-c", PROGRAM, str(export.export_onnx(run_2d, tmp_path / "run.onnx"))]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines() == ["found (21, 2)", "ends"]


def test_a_copy_is_the_same_predictor_and_what_would_leave_the_process_is_refused(run_2d, rng):
    predictor, image = scn_tf.load(run_2d), rng.normal(size=(40, 30))
    wanted = predictor.predict(image).landmarks
    for other in (copy.copy(predictor), copy.deepcopy(predictor)):
        np.testing.assert_allclose(other.predict(image).landmarks, wanted, atol=EXACT)
    with pytest.raises(TypeError, match=r"send its path and call scn_tf\.load there"):
        predictor.__reduce_ex__(4)
