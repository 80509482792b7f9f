"""Precision, XLA and threads of this machine: measured once, kept, overridden by settings, and never at the price of a training."""

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import tensorflow as tf

from scn_tf import config, train_run
from scn_tf.environment import devices, processors, speed
from scn_tf.storage import caches
from scn_tf.training import trainer as trainers
from tests.conftest import REPOSITORY, small_config

TWICE = {"float32": 0.02, "mixed_bfloat16": 0.01}
DAY = "2026-01-02"


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """Folder of what is kept. The processor computes in bfloat16, whatever it is."""
    monkeypatch.setenv(caches.FOLDER, str(tmp_path / "kept"))
    monkeypatch.setattr(devices, "precision", lambda name: "mixed_bfloat16" if name == "auto" else name)
    monkeypatch.setattr(speed, "LONG", 600.0)
    return caches.folder("speed")


@pytest.fixture
def trials(monkeypatch):
    """Answers of the process that measures, by variant, and the calls of it: [(variants, threads), ...]."""

    class Trials(list):
        answer = TWICE

    calls = Trials()

    def steps(dims, variants, *, threads=None):
        calls.append((list(variants), threads))
        found = calls.answer if threads is None else {name: calls.answer[threads] for name in variants}
        return {name: seconds for name, seconds in found.items() if name in variants}

    monkeypatch.setattr(speed, "_steps", steps)
    return calls


def keep(dims=2, threads=(), **steps):
    """Write what a measurement of this machine would; ``xla`` stands for a compiled mixed_bfloat16."""
    steps = {name.replace("xla", "mixed_bfloat16+xla"): seconds for name, seconds in steps.items()}
    values = {"machine": speed.machine(dims), "date": DAY, "steps": steps, "threads": dict(threads)}
    path = speed._file(dims)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))
    return path


@pytest.mark.parametrize(
    ("steps", "precision", "why"),
    [
        ({"float32": 0.03, "mixed_bfloat16": 0.02}, "mixed_bfloat16", "mixed_bfloat16, 1.5 times as fast as float32"),
        ({"float32": 0.02, "mixed_bfloat16": 0.0195}, "float32", "float32, since mixed_bfloat16 is 1.03 times as fast"),
        ({"float32": 0.02, "mixed_bfloat16": 0.05}, "float32", "float32, since mixed_bfloat16 is 0.40 times as fast"),
        ({"float32": 0.02}, "float32", "float32, since mixed_bfloat16 cannot be computed"),
    ],
)
def test_precision_is_the_faster_one_and_a_line_tells_by_how_much(steps, precision, why, kept):
    keep(**steps)
    found = speed.decide("auto", "auto", 2, seconds=1)
    assert (found.precision, found.compiled) == (precision, "off")
    assert found.line.startswith(f"Speed    {why}; ")
    assert found.line.endswith(f"no XLA on a CPU (measured on {DAY}, kept in {kept})")
    assert speed.precision("auto", 2) == precision
    assert speed.precision("auto", 3) == "mixed_bfloat16"  # volumes are another measurement


def test_what_is_set_is_kept_and_not_measured(kept, trials):
    found = speed.decide("mixed_bfloat16", "xla", 2, seconds=1e6)
    assert (found.precision, found.compiled) == ("mixed_bfloat16", "xla")
    assert "mixed_bfloat16, as set; " in found.line
    assert found.line.endswith("; XLA, as set")
    assert speed.decide("float32", "auto", 2, seconds=1e6)[:2] == ("float32", "off")
    assert trials == []


def test_a_long_training_measures_once_and_a_short_one_never(kept, trials):
    short = speed.decide("auto", "auto", 2, seconds=599)
    assert short.precision == "mixed_bfloat16"
    assert short.line.endswith("(not measured, the training is too short)")
    assert (trials, kept.exists()) == ([], False)
    first, second = (speed.decide("auto", "auto", 2, seconds=600) for _ in range(2))
    assert first == second
    assert "2.0 times as fast" in first.line
    assert trials == [(["float32", "mixed_bfloat16"], None)]
    assert speed.decide("auto", "auto", 2, seconds=1) == first  # a short one uses what is kept
    assert [path.suffix for path in kept.iterdir()] == [".json"]


def test_where_there_is_no_choice_nothing_is_measured(kept, trials, monkeypatch):
    monkeypatch.setattr(devices, "precision", lambda name: "float32")
    monkeypatch.setattr(processors, "physical_cores", processors.count_cores)
    found = speed.decide("auto", "auto", 2, seconds=1e6)
    assert (found.precision, trials) == ("float32", [])
    assert found.line.endswith("; no XLA on a CPU")


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: text.replace("0.02", "NaN"),
        lambda text: text.replace("0.02", "-1"),
        lambda text: text.replace("float32", "float64"),
        lambda text: text.replace('"dims": 2', '"dims": 3'),
        lambda text: text.replace(tf.__version__, "2.0.0"),
        lambda text: text.replace('"date"', '"day"'),
        lambda text: "[1]",
        lambda text: "\0",
    ],
    ids=["empty", "cut", "nan", "negative", "other variants", "volumes", "other version", "other key", "list", "null byte"],
)
def test_a_damaged_or_foreign_file_is_measured_again(change, kept, trials):
    path = keep(**TWICE)
    whole = path.read_text()
    path.write_text(change(whole))
    assert path.read_text() != whole
    assert speed.measured(2, measure=False) is None
    assert speed.decide("auto", "auto", 2, seconds=1e6).precision == "mixed_bfloat16"
    assert len(trials) == 1
    assert speed.measured(2, measure=False).steps == TWICE


@pytest.mark.parametrize("obstacle", ["file", "folder"])
def test_what_cannot_be_kept_is_measured_each_time_without_an_error(obstacle, kept, trials):
    if obstacle == "file":
        kept.parent.mkdir()
        kept.write_text("in the way of the folder")
    else:
        speed._file(2).mkdir(parents=True)
    for number in (1, 2):
        found = speed.decide("auto", "auto", 2, seconds=1e6)
        assert "2.0 times as fast" in found.line
        assert found.line.endswith("which cannot be kept)")
        assert len(trials) == number


def test_two_at_once_do_no_harm(kept, monkeypatch):
    together = threading.Barrier(2)

    def steps(dims, variants, *, threads=None):
        together.wait(60)
        return TWICE

    monkeypatch.setattr(speed, "_steps", steps)
    with ThreadPoolExecutor(2) as pool:
        found = [task.result() for task in [pool.submit(speed.measured, 2, measure=True) for _ in range(2)]]
    assert found[0] == found[1] == speed.measured(2, measure=False)
    assert len(list(kept.iterdir())) == 1


@pytest.mark.parametrize(
    ("xla", "alone", "compiled", "why"),
    [
        (0.005, True, "xla", "XLA, 2.0 times as fast"),
        (0.02, True, "off", "no XLA, which is 0.50 times as fast"),
        (None, True, "off", "no XLA, which was not measured"),
        (0.005, False, "off", "no XLA, which was not measured"),
    ],
)
def test_xla_is_for_a_gpu_where_it_is_faster(xla, alone, compiled, why, kept, trials, monkeypatch):
    """There is no GPU here: only the decision is tested."""
    monkeypatch.setattr(devices, "kind", lambda: "GPU")
    trials.answer = {**TWICE, **({} if xla is None else {"mixed_bfloat16+xla": xla})}
    found = speed.decide("auto", "auto", 2, seconds=1e6, alone=alone)
    assert (found.precision, found.compiled) == ("mixed_bfloat16", compiled)
    assert f"; {why} (measured" in found.line
    assert trials == [(["float32", "mixed_bfloat16", "mixed_bfloat16+xla"], None)]
    assert speed.decide("auto", "off", 2, seconds=1e6).compiled == "off"


@pytest.mark.parametrize(("number", "strategies"), [(1, {"single", "auto", "mirrored"}), (2, {"single"})])
def test_one_device_trains_alone(number, strategies, monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: [kind] * number)
    assert {name for name in ("single", "auto", "mirrored", "multi_worker") if devices.alone(name)} == strategies


def test_hyper_threads_are_tried_and_left_out_where_that_is_faster(kept, trials, monkeypatch):
    monkeypatch.delenv(processors.VARIABLE, raising=False)
    monkeypatch.setattr(processors, "count_cores", lambda: 16)
    monkeypatch.setattr(processors, "physical_cores", lambda: 8)
    trials.answer = {**TWICE, 16: 0.01, 8: 0.008}
    found = speed.measured(2, measure=True)
    assert trials == [(["float32", "mixed_bfloat16"], None), (["mixed_bfloat16"], 16), (["mixed_bfloat16"], 8)]
    assert found.threads == {16: 0.01, 8: 0.008}
    assert speed.kept() == found == speed.measured(2, measure=False)
    monkeypatch.setenv(processors.VARIABLE, "3")  # the user's number counts, and nothing is to be chosen
    assert speed.use_threads(found) == 3
    assert "; 3 threads; " in speed.decide("auto", "auto", 2, seconds=1).line


def test_tensorflow_takes_no_more_threads_than_the_quota_and_the_number_that_was_fastest(tmp_path):
    """A process of its own, since a number of threads stays once TensorFlow has computed."""
    (tmp_path / "cpu.max").write_text("300000 100000\n")
    script = (
        "from scn_tf.environment import memory, processors\n"
        f"processors.CGROUP = type(processors.CGROUP)({str(tmp_path)!r})\n"
        "processors.numbers = lambda: set(range(16))\n"
        "import tensorflow as tf\n"
        "print(tf.config.threading.get_intra_op_parallelism_threads())\n"
        "from scn_tf.environment import speed\n"
        f"found = speed.Measured(machine={{}}, date='{DAY}', steps={{'float32': 1}}, threads={{4: 0.02, 2: 0.01}})\n"
        "print(speed.use_threads(found), tf.config.threading.get_intra_op_parallelism_threads())\n"
        "tf.constant(1) + 1\n"
        "print(speed.use_threads(found.model_copy(update={'threads': {4: 0.01, 2: 0.02}})))\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != processors.VARIABLE}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env={**environment, "PYTHONPATH": str(REPOSITORY)}, check=True
    )
    assert done.stdout.split() == ["3", "2", "2", "2"]


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 16),
        ({"cpu.max": "max 100000"}, 16),
        ({"cpu.max": "250000 100000"}, 2),
        ({"cpu.max": "20000 100000"}, 1),
        ({"cpu.max": "damaged"}, 16),
        ({"cpu/cpu.cfs_quota_us": "400000", "cpu/cpu.cfs_period_us": "100000"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 16),
    ],
)
def test_cores_are_those_of_the_containers_quota(files, cores, tmp_path, monkeypatch):
    monkeypatch.setattr(processors, "CGROUP", tmp_path)
    monkeypatch.setattr(processors, "numbers", lambda: set(range(16)))
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    assert processors.count_cores() == cores


def test_hyper_threads_and_memory_nodes_are_counted_among_the_own_processors(tmp_path, monkeypatch, kept):
    monkeypatch.setattr(processors, "SYSTEM", tmp_path)
    monkeypatch.setattr(processors, "numbers", lambda: {0, 1, 2, 6})
    assert (processors.physical_cores(), processors.memory_nodes()) == (processors.count_cores(), 1)  # the system does not tell
    for number in range(8):
        topology = tmp_path / "cpu" / f"cpu{number}" / "topology"
        topology.mkdir(parents=True)
        (topology / "core_cpus_list").write_text(f"{number % 4},{number % 4 + 4}\n")
    for node, numbers in enumerate(("0-1,4-5", "2-3,6-7", "8-9")):
        (tmp_path / "node" / f"node{node}").mkdir(parents=True)
        (tmp_path / "node" / f"node{node}" / "cpulist").write_text(f"{numbers}\n")
    assert (processors.physical_cores(), processors.memory_nodes()) == (3, 2)
    assert "; 2 memory nodes, to none of which it is bound" in speed.decide("float32", "auto", 2, seconds=1).line


def test_a_step_is_really_measured_and_what_fails_is_no_error(monkeypatch):
    monkeypatch.setattr(speed, "LIMIT", 600)  # other tests may keep the processor busy
    found = speed._steps(2, ["float32", "no_such_precision"], threads=1)
    assert list(found) == ["float32"]
    assert 1e-4 < found["float32"] < 60
    monkeypatch.setattr(speed, "LIMIT", 0.01)
    assert speed._steps(2, ["float32"]) == {}
    monkeypatch.setattr(speed.sys, "executable", "/no/such/python")
    assert speed._steps(2, ["float32"]) == {}


def test_a_failed_measurement_leaves_the_usual_precision_and_keeps_nothing(kept, trials):
    trials.answer = {}
    found = speed.decide("auto", "auto", 2, seconds=1e6)
    assert found.precision == "mixed_bfloat16"
    assert found.line.endswith("(the measurement failed)")
    assert not kept.exists()


def test_expected_length_is_the_time_or_that_of_the_epochs():
    sizes = {"images": 100, "pixels": 256 * 256, "filters": 64}
    assert 1000 < speed.expected_seconds(minutes=None, epochs=50, **sizes) < 5000  # 0.26 to 0.39 s for an image
    assert speed.expected_seconds(minutes=2, epochs=50, **sizes) == 120
    assert speed.expected_seconds(minutes=None, epochs=100, images=16, pixels=128 * 128, filters=32) < speed.LONG  # the first training


def test_a_run_says_what_was_decided_and_is_resumed_with_its_precision(hands_2d, kept, tmp_path, monkeypatch, capsys):
    compiled = []

    def fit(trainer, *arguments, **named):
        compiled.append(trainer.jit_compile)
        raise KeyboardInterrupt

    monkeypatch.setattr(trainers.Trainer, "fit", fit)

    def line(run, *, resume=False, **changes):
        with pytest.raises(KeyboardInterrupt):
            train_run.train(small_config(hands_2d, train__precision="auto", **changes), run, resume=resume)
        (found,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Speed ")]
        return found

    path, run = keep(float32=0.01, mixed_bfloat16=0.02), tmp_path / "run"
    assert line(run).startswith("Speed    float32, since mixed_bfloat16 is 0.50 times as fast; ")
    own = config.load(run / "config.yaml").train
    assert (own.precision, own.compile) == ("float32", "auto")

    path.unlink()
    keep(float32=0.02, mixed_bfloat16=0.01)
    assert line(run, resume=True).startswith("Speed    float32, as set; ")
    assert config.load(run / "config.yaml").train == own
    assert line(tmp_path / "compiled", train__compile="xla").startswith("Speed    mixed_bfloat16, 2.0 times as fast as float32; ")
    assert compiled == [False, False, True]


def test_runs_before_this_setting_are_the_same_runs(hands_2d):
    now, before, compiled = (small_config(hands_2d, train__compile=value) for value in ("auto", "off", "xla"))
    assert config.differences(now, before) == []
    assert config.differences(before, compiled) == ["train.compile"]
