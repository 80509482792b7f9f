"""Training by several processes: real ones, on this machine."""

import csv
import json
import os
import re
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from scn_tf import config, train_run
from scn_tf.data import pipeline
from scn_tf.environment import cluster
from scn_tf.errors import ConfigError
from tests.conftest import REPOSITORY, small_config, state

# `python train.py`, which also keeps the state that this worker ends with. The clock of the second worker is wrong by days.
WORKER = """
import os, signal, sys
import numpy as np
from scn_tf import cli
from scn_tf.environment import workers
from scn_tf.training import callbacks, trainer, validation

fit, begin, end = trainer.Trainer.fit, callbacks.Schedule.on_train_begin, validation.Validation.on_epoch_end

def kept(self, *arguments, **options):
    fit(self, *arguments, **options)
    np.savez(os.environ["STATE"], *[np.asarray(variable) for variable in self.state()])

def late(self, logs=None):
    self.started -= workers.rank() * 1e6

def killed(self, epoch, logs):
    end(self, epoch, logs)
    if os.environ.get("KILL") == str(workers.rank()) and epoch == 0:
        os.kill(os.getpid(), signal.SIGKILL)

trainer.Trainer.fit, callbacks.Schedule.on_train_begin, validation.Validation.on_epoch_end = kept, late, killed
sys.exit(cli.main(["train", *sys.argv[1:]], prog="train.py"))
"""
ADDRESSES = ["127.0.0.1:2222", "127.0.0.1:2223"]
SLURM = {"SLURM_STEP_NODELIST": "node[03-04],gpu1", "SLURM_STEP_TASKS_PER_NODE": "1(x2),2", "SLURM_PROCID": "3"}
TASK = {"cluster": {"chief": ["a:1"], "worker": ["b:1", "c:1"]}, "task": {"type": "worker", "index": 1}}


@pytest.fixture(scope="module")
def settings(hands_2d):
    changes = {f"augment__{name}": 0 for name in ("translation", "rotation", "scale", "axis_scale", "elastic")}
    changes |= {f"augment__{name}": 0 for name in ("intensity_shift", "intensity_scale")}
    return small_config(
        hands_2d,
        train__batch_size=4,
        train__epochs=3,
        train__minutes=1000.0,
        train__schedule="constant",
        train__ema=0.5,
        train__strategy="multi_worker",
        model__dropout=0.0,
        **changes,
    )


def free_addresses():
    """Two addresses at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as two:
        return [f"127.0.0.1:{listener.getsockname()[1]}" for listener in (one, two)]


class Workers:
    """Two processes that train together, each with a folder of its own."""

    def __init__(self, folder, settings, *options, **variables):
        folder.mkdir(exist_ok=True)
        (folder / "settings.yaml").write_text(settings.to_yaml())
        (folder / "worker.py").write_text(WORKER)
        self.folder, self.processes, addresses = folder, [], free_addresses()
        for rank in range(2):
            place = folder / str(rank)
            place.mkdir(exist_ok=True)
            own = {"SCN_TF_WORKERS": ",".join(addresses), "SCN_TF_RANK": str(rank), "STATE": str(folder / f"state{rank}.npz")}
            environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", **own, **variables}
            command = [sys.executable, str(folder / "worker.py"), "--config", str(folder / "settings.yaml"), "--run-dir", "run", *options]
            with (folder / f"output{rank}.txt").open("w") as output:
                self.processes.append(subprocess.Popen(command, cwd=place, env=environment, stdout=output, stderr=subprocess.STDOUT))

    def wait(self, rank, timeout=540):
        return self.processes[rank].wait(timeout)

    def output(self, rank):
        return (self.folder / f"output{rank}.txt").read_text()

    def end(self):
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def start():
    started = []

    def begin(*arguments, **variables):
        started.append(Workers(*arguments, **variables))
        return started[-1]

    yield begin
    for group in started:
        group.end()


@pytest.fixture(scope="module")
def alone(settings, tmp_path_factory):
    """The same training by one process."""
    run = tmp_path_factory.mktemp("alone") / "run"
    single = settings.model_copy(update={"train": settings.train.model_copy(update={"strategy": "single"})})
    train_run.train(single, run)
    return run


def final(path):
    with np.load(path, allow_pickle=False) as archive:
        return [archive[name] for name in archive.files]


def assert_same_end(group, alone):
    """Both workers have the same weights, those of one process with the same batches; the chief alone wrote files."""
    first, second = (final(group.folder / f"state{rank}.npz") for rank in range(2))
    assert len(first) > 20
    for one, two in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, two)
    run = group.folder / "0" / "run"
    for one, two in zip(state(run), state(alone), strict=True):
        np.testing.assert_allclose(one, two, atol=2e-5)
    rows, expected = (list(csv.DictReader((path / "history.csv").read_text().splitlines())) for path in (run, alone))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    for name in ("loss", "learning_rate", "val_pe_mean_mm"):
        np.testing.assert_allclose([float(row[name]) for row in rows], [float(row[name]) for row in expected], rtol=1e-3)
    assert (run / "model.keras").exists()
    assert (run / "evaluation" / "val" / "report.html").exists()
    assert not list((group.folder / "1").iterdir())


def test_two_processes_train_like_one(settings, alone, start, tmp_path):
    group = start(tmp_path / "group", settings)
    assert [group.wait(0), group.wait(1)] == [0, 0], group.output(0) + group.output(1)
    assert_same_end(group, alone)
    assert "on the CPU of each of 2 workers" in group.output(0)
    assert group.output(1) == "Worker 1 of 2 is ready. The chief, worker 0, writes the run.\n"


@pytest.mark.parametrize("lost", [1, 0])
def test_a_lost_worker_ends_the_others_and_resuming_ends_the_same(settings, alone, lost, start, tmp_path):
    group = start(tmp_path / "group", settings, KILL=str(lost))
    assert group.wait(lost) == -9, group.output(lost)
    since = time.monotonic()
    assert group.wait(1 - lost) == 1
    assert time.monotonic() - since < 60
    assert f"error: worker {lost} (127.0.0.1:" in group.output(1 - lost)
    assert "does not answer any more" in group.output(1 - lost)
    assert not list((group.folder / "1").iterdir())
    group = start(tmp_path / "group", settings, "--resume")
    assert [group.wait(0), group.wait(1)] == [0, 0], group.output(0) + group.output(1)
    assert_same_end(group, alone)


def test_a_worker_that_never_comes_is_named(settings, tmp_path):
    (tmp_path / "settings.yaml").write_text(settings.to_yaml())
    addresses = free_addresses()
    environment = {**os.environ, "SCN_TF_WORKERS": ",".join(addresses), "SCN_TF_RANK": "0", "SCN_TF_TIMEOUT": "4"}
    command = [sys.executable, "train.py", "--config", str(tmp_path / "settings.yaml"), "--run-dir", str(tmp_path / "run")]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert f"error: worker 1 ({addresses[1]}) did not come within 4 seconds (SCN_TF_TIMEOUT)." in done.stderr
    assert not (tmp_path / "run").exists()


def test_keras_alone_still_fails(tmp_path):
    """If this fails, Keras is mended: remove scn_tf/training/keras_mend.py, or what it no longer needs, and use Keras' own step."""
    script = """
import numpy as np, tensorflow as tf, keras

class Built(keras.Sequential):
    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        pass

strategy = tf.distribute.MultiWorkerMirroredStrategy()
for kind in (keras.Sequential, Built):
    with strategy.scope():
        model = kind([keras.Input([2]), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
    try:
        model.fit(np.ones([4, 2], "float32"), np.ones([4, 1], "float32"), batch_size=2, verbose=0)
        print(kind.__name__, "works", flush=True)
    except Exception as error:
        print(kind.__name__, "fails:", error, flush=True)
"""
    addresses, outputs, processes = free_addresses(), [], []
    for rank in range(2):
        task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": rank}}
        outputs.append(tmp_path / f"{rank}.txt")
        with outputs[-1].open("w") as output:
            environment = {**os.environ, "TF_CONFIG": json.dumps(task)}
            processes.append(subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=output, stderr=subprocess.STDOUT))
    try:
        for process in processes:
            process.wait(timeout=300)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    for output in outputs:
        said = output.read_text()
        assert re.search("Sequential fails: .*PerReplica.* with an unsupported type", said, flags=re.S), said
        assert "Built fails: Invalid reduction dimension 0" in said


@pytest.mark.parametrize("replicas", [1, 2])
def test_parts_of_processes_are_the_batches_of_one(replicas):
    import tensorflow as tf

    data = tf.data.Dataset.range(11).map(lambda number: {"number": number})

    def batches(part=None, steps=4):
        found = pipeline.training_batches(data, count=11, batch_size=4, seed=3, first_epoch=2, part=part)
        return [batch["number"].numpy().tolist() for batch in found.take(steps)]

    parts = [np.reshape(batches(pipeline.Part(number, 2, replicas), steps=4 * replicas), [4, 2]) for number in range(2)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), batches())


@pytest.mark.parametrize(
    ("environment", "addresses", "rank"),
    [
        ({"TF_CONFIG": json.dumps(TASK)}, ["a:1", "b:1", "c:1"], 2),
        ({"SCN_TF_WORKERS": ", ".join(ADDRESSES), "SCN_TF_RANK": "1"}, ADDRESSES, 1),
        ({"SCN_TF_WORKERS": "job-0.job:80,job-1.job:80", "JOB_COMPLETION_INDEX": "0"}, ["job-0.job:80", "job-1.job:80"], 0),
        (SLURM, ["node03:12345", "node04:12345", "gpu1:12345", "gpu1:12346"], 3),
        ({**SLURM, "SCN_TF_PORT": "7000"}, ["node03:7000", "node04:7000", "gpu1:7000", "gpu1:7001"], 3),
    ],
)
def test_the_environment_names_the_workers(environment, addresses, rank):
    assert cluster.find(environment) == cluster.Cluster(tuple(addresses), rank)


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "needs to know the workers. Set TF_CONFIG"),
        ({"JOB_COMPLETION_INDEX": "0"}, "SCN_TF_WORKERS: is not set"),
        ({"SCN_TF_WORKERS": "a:1,b:1"}, "JOB_COMPLETION_INDEX: expected a whole number from 0, received ''"),
        ({"SCN_TF_WORKERS": "a:1,b:1", "SCN_TF_RANK": "2"}, "has 2 addresses, and none for the worker of rank 2"),
        ({"SCN_TF_WORKERS": "a:1,a:1", "SCN_TF_RANK": "0"}, "an address is listed twice"),
        ({"SCN_TF_WORKERS": "a:1,b", "SCN_TF_RANK": "0"}, "expected addresses HOST:PORT, received 'b'"),
        ({"SCN_TF_WORKERS": "a:1,b:70000", "SCN_TF_RANK": "0"}, "expected addresses HOST:PORT, received 'b:70000'"),
        ({"TF_CONFIG": "{"}, "TF_CONFIG: expected {"),
        ({"TF_CONFIG": json.dumps({**TASK, "task": {"type": "worker", "index": 2}})}, "worker 2 is not among its 2 addresses"),
        (
            {"TF_CONFIG": json.dumps({**TASK, "task": {"type": "evaluator", "index": 0}})},
            "expected tasks chief and worker, received evaluator",
        ),
        ({**SLURM, "SLURM_STEP_TASKS_PER_NODE": "x"}, "SLURM_STEP_NODELIST, SLURM_STEP_TASKS_PER_NODE: cannot be read"),
        ({**SLURM, "SLURM_PROCID": "4"}, "none for the worker of rank 4"),
    ],
)
def test_an_environment_that_names_none_is_refused(environment, message):
    with pytest.raises(ConfigError) as raised:
        cluster.find(environment)
    assert message in str(raised.value)


def test_forests_train_in_one_process(hands_2d, tmp_path):
    forest = config.from_dict({"data": {"root": str(hands_2d)}, "model": {"name": "forest"}, "train": {"strategy": "multi_worker"}})
    with pytest.raises(ConfigError, match=r"multi_worker trains networks; model\.name forest trains in one process"):
        train_run.train(forest, tmp_path / "run")
    assert not (tmp_path / "run").exists()
