"""Whatever the user's Keras is set to, ours is what the networks need; and nothing is printed that is not ours."""

import json
import os
import re
import subprocess
import sys

import pytest

from scn_tf.environment import keras_environment
from tests.conftest import REPOSITORY

# A whole use: build, open, predict.
PROGRAM = """
import numpy as np, scn_tf
network = scn_tf.build_network(landmarks=3, image_size=(32, 48), filters=4, channels=1)
assert network(np.ones((2, 32, 48, 1), "float32")).shape == (2, 32, 48, 3)
assert {weight.dtype for weight in network.weights} == {"float32"}, network.weights
found = scn_tf.load("hand_xray").predict(np.random.default_rng(0).random((64, 80)))
assert found.landmarks.shape == (37, 2)
from keras import config
print(config.backend(), config.floatx(), config.image_data_format(), config.epsilon(), config.dtype_policy().name)
"""
OURS = "tensorflow float32 channels_last 1e-07 float32\n"


def run(program, home, **environment):
    """A Python of its own, with nothing set but what is given."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT") if name in os.environ}
    environment = {**kept, "HOME": str(home), "PYTHONPATH": str(REPOSITORY), "PYTHONWARNINGS": "ignore", **environment}
    return subprocess.run(
        [sys.executable, "-c", program] if isinstance(program, str) else [sys.executable, "-m", "scn_tf", *program],
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=300,
    )


def settings(text, folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "keras.json").write_text(text if isinstance(text, str) else json.dumps(text))
    return folder


def test_a_fresh_user_sees_and_hears_nothing_of_the_libraries(tmp_path):
    done = run(PROGRAM, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, OURS, "")


def test_settings_of_another_project_do_not_count(tmp_path):
    other = {"floatx": "float16", "epsilon": 0.001, "backend": "torch", "image_data_format": "channels_first"}
    settings(other, tmp_path / ".keras")
    done = run(PROGRAM, tmp_path, KERAS_BACKEND="", KERAS_MAX_EPOCHS="1")
    assert (done.returncode, done.stdout, done.stderr) == (0, OURS, "")
    assert json.loads((tmp_path / ".keras" / "keras.json").read_text()) == other


QUICK = "from scn_tf.models.parts import layers; import keras; print(keras.config.floatx(), keras.config.backend())"


UNREADABLE = [
    '{"floatx": "float8"}',
    '{"floatx": ["float32"]}',
    '{"epsilon": "small"}',
    '{"epsilon": 1}',
    '{"image_data_format": "rgb"}',
    '{"backend": 3}',
    "[1]",
    '"x"',
    '{"floatx": ',
    100000 * "[",
]


@pytest.mark.parametrize("text", UNREADABLE, ids=lambda text: text[:20])
def test_settings_that_keras_cannot_read_are_known_before_it_reads_them(text, tmp_path):
    assert not keras_environment._readable(settings(text, tmp_path) / "keras.json")
    (tmp_path / "keras.json").write_bytes(b"\xff\xfe\x00")
    assert not keras_environment._readable(tmp_path / "keras.json")
    assert not keras_environment._readable(tmp_path)  # a folder of that name
    (tmp_path / "keras.json").write_text('{"floatx": "float16", "epsilon": 1e-05, "backend": "jax", "image_data_format": "channels_first"}')
    assert keras_environment._readable(tmp_path / "keras.json")
    assert keras_environment._readable(tmp_path / "none.json")


def test_settings_that_keras_cannot_read_do_not_count(tmp_path):
    done = run(QUICK, tmp_path, KERAS_HOME=str(settings('{"floatx": "float8"}', tmp_path / "home")), KERAS_MAX_EPOCHS="many")
    assert (done.returncode, done.stdout, done.stderr) == (0, "float32 tensorflow\n", "")


def test_another_backend_is_refused_in_one_line(tmp_path):
    message = "KERAS_BACKEND: scn_tf needs tensorflow, received jax; unset it or set it to tensorflow."
    command = run(["predict", "hand_xray", "none.png"], tmp_path, KERAS_BACKEND="jax")
    assert (command.returncode, command.stdout, command.stderr) == (1, "", f"error: {message}\n")
    program = "import scn_tf\ntry:\n    scn_tf.load('hand_xray')\nexcept scn_tf.ConfigError as error:\n    print(error)"
    assert run(program, tmp_path, KERAS_BACKEND="jax").stdout == f"{message}\n"


def test_a_keras_that_was_imported_with_other_settings_gets_ours_or_is_refused(tmp_path):
    before = "import os; os.environ['KERAS_BACKEND'] = {!r}; import keras; keras.config.set_floatx('float16')\n"
    done = run(before.format("tensorflow") + QUICK, tmp_path)
    assert (done.returncode, done.stdout) == (0, "float32 tensorflow\n")
    pytest.importorskip("jax")
    refused = run(before.format("jax") + "del os.environ['KERAS_BACKEND']\n" + QUICK, tmp_path)
    assert "ConfigError: Keras was imported with the backend jax, scn_tf needs tensorflow" in refused.stderr


def test_keras_is_imported_in_one_place():
    own = re.compile(r"^\s*(import keras\b|from keras\b)", re.MULTILINE)
    importing = {path.name for path in (REPOSITORY / "scn_tf").rglob("*.py") if own.search(path.read_text())}
    assert importing == {"backend.py"}
