"""Files of a run: whole whatever happens while they are written, refused when they are damaged."""

import json
import os
import signal
import subprocess
import sys
import time
import zipfile

import keras
import numpy as np
import pytest

from scn_tf.runs import checkpoints
from scn_tf.runs.info import ENTRY
from scn_tf.storage import files
from tests.conftest import REPOSITORY, state


def test_a_full_disk_at_checkpoint_time_is_one_clear_error_and_keeps_the_file_before(tmp_path, monkeypatch):
    variables = [keras.Variable(np.ones(3, "float32"))]
    path = tmp_path / "last.npz"
    checkpoints.save_state(variables, path, {"epoch": 1})

    def full(*arguments, **keywords):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(files.WriteError, match=r"last\.npz: cannot be written \(No space left on device\).*kept"):
        checkpoints.save_state(variables, path, {"epoch": 2})
    assert checkpoints.load_state(variables, path) == {"epoch": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_kill_at_any_moment_leaves_loadable_files(hands_2d, tmp_path):
    folder = tmp_path / "run"
    command = [sys.executable, "train.py", "--run-dir", str(folder), "--data.root", str(hands_2d), "--model.image_size", "32", "32"]
    command += ["--model.filters", "4", "--train.epochs", "500", "--train.validate_every", "1"]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not (folder / "model.keras").exists():
            assert process.poll() is None
            time.sleep(0.02)
        time.sleep(1.0)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert checkpoints.load_model(folder / "model.keras")
    assert all(np.isfinite(array).all() for array in state(folder))


def test_damaged_and_foreign_files_are_refused(tmp_path, run_2d):
    (tmp_path / "cut.keras").write_bytes((run_2d / "model.keras").read_bytes()[:5000])
    (tmp_path / "cut.npz").write_bytes((run_2d / "checkpoints" / "last.npz").read_bytes()[:5000])
    with pytest.raises(checkpoints.CheckpointError, match=r"cut\.keras: cannot be loaded"):
        checkpoints.load_model(tmp_path / "cut.keras")
    with pytest.raises(checkpoints.CheckpointError, match=r"cut\.npz: cannot be loaded"):
        checkpoints.load_state([], tmp_path / "cut.npz")
    with pytest.raises(checkpoints.CheckpointError, match="belongs to another network"):
        checkpoints.load_state([keras.Variable(np.ones(3))], run_2d / "checkpoints" / "last.npz")


def with_statement(source, target, text):
    """A model file that says something else of itself."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, text if name == ENTRY else old.read(name))
    return target


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ("{}", "is damaged: its facts are incomplete"),
        ("[]", "is damaged: its facts are incomplete"),
        ("[" * 100_000, "cannot be loaded"),
        ({"landmarks": []}, "is damaged: its facts are incomplete"),
        ({"landmarks": ["one"], "calibration": None}, r"its network answers with \(48, 32, 21\), its settings say \(48, 32, 1\)"),
        ({"dims": 3}, "is damaged: its facts are incomplete"),
        ({"config": {"heatmap": {"decoder": "guess"}}}, "is damaged: its facts are incomplete"),
    ],
)
def test_a_model_file_that_says_nonsense_of_itself_is_refused(changes, message, run_2d, tmp_path):
    own = checkpoints.read_info(run_2d / "model.keras").to_json()
    text = changes if isinstance(changes, str) else json.dumps({**own, **changes})
    path = with_statement(run_2d / "model.keras", tmp_path / "model.keras", text)
    with pytest.raises(checkpoints.CheckpointError, match=message):
        checkpoints.load_model(path)


def test_a_packed_model_file_with_a_changed_byte_is_refused(run_2d, tmp_path):
    checkpoints.halve(run_2d / "model.keras", tmp_path / "packed.keras", checkpoints.read_info(run_2d / "model.keras"))
    content = bytearray((tmp_path / "packed.keras").read_bytes())
    refused = 0
    for place in range(100, len(content), len(content) // 25):
        changed = content.copy()
        changed[place] ^= 0x55
        (tmp_path / "changed.keras").write_bytes(changed)
        try:
            checkpoints.load_model(tmp_path / "changed.keras")
        except checkpoints.CheckpointError:
            refused += 1
    assert refused > 20
