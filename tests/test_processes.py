"""``scn-tf predict --processes``: the same answers as one process, in order, whatever happens to a process."""

import contextlib
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from scn_tf import cli
from scn_tf.data import images
from scn_tf.environment import cores, devices, processors
from scn_tf.errors import CheckpointError, ConfigError, DataWarning
from scn_tf.prediction import processes, run, streaming
from scn_tf.prediction.processes import Work
from scn_tf.storage import tables
from tests.conftest import EXACT

BATCH = 2


@pytest.fixture(autouse=True)
def requests_are_small(monkeypatch):
    monkeypatch.setattr(streaming, "batch_size", lambda image_size: BATCH)
    monkeypatch.setattr(processes, "BATCHES", 1)


@pytest.fixture
def folder(hands_2d, tmp_path):
    """Ten images and a broken one in the middle."""
    copied = shutil.copytree(hands_2d / "images", tmp_path / "images")
    (copied / "hand_004b.png").write_bytes(b"\x89PNG broken")
    return copied


def predicted(model, folder, out, *more):
    return cli.main(["predict", str(model), str(folder), "--out", str(out), *map(str, more)])


def values(path):
    header, *rows = tables.read(path)
    return [row[:2] for row in rows], np.array([[float(value) for value in row[2:7]] for row in rows]), [row[7:] for row in rows], header


def sources(folder):
    return images.collect([folder], dims=2)[0]


def test_two_processes_answer_like_one_and_in_order(calibrated_2d, folder, tmp_path, capsys):
    more = ("--overlay", "drawn", "--to", "labelme", "--to-dir", "answers")
    found = {}
    for count in (1, 2):
        home = tmp_path / str(count)
        home.mkdir()
        with contextlib.chdir(home):
            assert predicted(calibrated_2d, folder, "p.csv", *more, "--processes", count) == 1
        assert "hand_004b.png" in capsys.readouterr().err
        found[count] = values(home / "p.csv"), sorted(path.relative_to(home).as_posix() for path in home.rglob("*"))
    (one, files_of_one), (two, files_of_two) = found.values()
    assert one[0] == two[0]
    np.testing.assert_allclose(one[1], two[1], atol=EXACT)
    assert one[2:] == two[2:]
    assert files_of_one == files_of_two
    assert len(files_of_one) == 10 + 10 + 4  # pictures, answers, both folders, table and journal


def test_images_of_a_killed_process_are_done_again(calibrated_2d, folder):
    todo = sources(folder)
    running = processes.find(Work(calibrated_2d), todo, processes=2, batch=BATCH)
    found = [next(running)]
    victim = children()[0]
    os.kill(victim, signal.SIGKILL)
    with pytest.warns(DataWarning, match=r"one of the `processes` ended without an answer \(killed by signal 9\); \d images? from .*hand_"):
        found += running
    assert [answer.source for answer in found] == todo
    assert [answer.source.id for answer in found if answer.record is None] == ["hand_004b"]
    assert not children()


def children():
    """Processes that this one started for predictions."""
    found = []
    for entry in Path("/proc").glob("[1-9]*"):
        with contextlib.suppress(OSError):
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if parent == os.getpid() and processes.PROGRAM.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return found


KILLING = """
import os
from scn_tf.prediction import processes, streaming
read = streaming.prepare
streaming.prepare = lambda path, *more, **options: os.abort() if path.name == "hand_003.png" else read(path, *more, **options)
processes.serve()
"""


def test_an_image_that_ends_every_process_costs_itself_alone(calibrated_2d, folder, monkeypatch):
    (folder / "hand_004b.png").unlink()
    monkeypatch.setattr(processes, "PROGRAM", KILLING)
    todo = sources(folder)[:6]
    with pytest.warns(DataWarning, match="killed by signal 6"):
        found = list(processes.find(Work(calibrated_2d), todo, processes=2, batch=BATCH))
    assert [answer.source for answer in found] == todo
    (lost,) = [answer for answer in found if answer.record is None]
    assert lost.source.id == "hand_003"
    assert "hand_003.png: ends every process that reads it" in lost.error


def test_an_error_of_a_process_is_that_of_the_call_and_ends_all(calibrated_2d, folder, tmp_path):
    copied = shutil.copy(calibrated_2d, tmp_path / "model.keras")
    running = processes.find(Work(copied), sources(folder), processes=2, batch=BATCH)
    os.truncate(copied, 1000)
    with pytest.raises(CheckpointError, match=r"model\.keras: "):
        list(running)
    assert not children()


def test_who_stops_early_leaves_no_process(calibrated_2d, folder):
    running = processes.find(Work(calibrated_2d), sources(folder), processes=2, batch=BATCH)
    next(running)
    assert len(children()) == 2
    start = time.monotonic()
    running.close()
    assert not children()
    assert time.monotonic() - start < 10


def test_what_is_done_is_not_asked_again(calibrated_2d, folder, tmp_path, monkeypatch):
    table = tmp_path / "p.csv"
    assert predicted(calibrated_2d, folder, table) == 1
    before, asked = table.read_bytes(), []
    original = processes.find
    monkeypatch.setattr(processes, "find", lambda work, todo, **more: asked.append(todo) or original(work, todo, **more))
    assert predicted(calibrated_2d, folder, table, "--resume", "--processes", 2) == 1
    assert [one.id for one in asked[0] if one is not None] == ["hand_004b"]
    assert table.read_bytes() == before


def test_processes_share_cores_and_gpus(monkeypatch):
    monkeypatch.setattr(processors, "count_cores", lambda: 8)
    for name in cores.THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    limits = cores.variables(cores.threads_of_each(3))
    assert limits["TF_NUM_INTRAOP_THREADS"] == "2"
    assert "OMP_NUM_THREADS" not in limits  # the user's holds
    assert cores.variables(cores.threads_of_each(1)) == {}
    monkeypatch.setattr(devices.tf.config, "list_physical_devices", lambda kind: ["a", "b"])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert [devices.of_process(number)["CUDA_VISIBLE_DEVICES"] for number in range(3)] == ["0", "1", "0"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    assert devices.of_process(1) == {"CUDA_VISIBLE_DEVICES": "7"}


def test_no_processes_are_refused(calibrated_2d, folder, tmp_path):
    with pytest.raises(ConfigError, match="`processes`: expected at least 1, received 0"):
        run.predict_files(calibrated_2d, [folder], tmp_path / "p.csv", processes=0)
