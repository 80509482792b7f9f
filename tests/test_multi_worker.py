"""Training by several processes: real ones, on this machine."""

import contextlib
import csv
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from scn_tf import config, train_run
from scn_tf.data import batching, pipeline, shares, synthetic
from scn_tf.data.dataset import open_dataset
from scn_tf.environment import cluster, workers
from scn_tf.errors import ConfigError, ImageError, WorkerError
from scn_tf.runs import checkpoints
from tests.conftest import LABEL_SETTINGS, REPOSITORY, small_config, state

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
def hands(tmp_path_factory):
    """Thirteen images in batches of six: slots of three and of two images."""
    root = tmp_path_factory.mktemp("hands")
    synthetic.generate(root, dims=2, train=13, val=4, seed=5)
    return root


STILL = ("translation", "rotation", "scale", "axis_scale", "elastic", "intensity_shift", "intensity_scale")
LIKE_ONE = {"train__batch_size": 6, "train__schedule": "constant", "train__strategy": "multi_worker", "model__dropout": 0.0}
LIKE_ONE |= {f"augment__{name}": 0 for name in STILL}


@pytest.fixture(scope="module")
def settings(hands):
    return small_config(hands, train__epochs=3, train__minutes=1000.0, train__ema=0.5, **LIKE_ONE)


def free_addresses(number=2):
    """Addresses at which nothing listens."""
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(number)]
        return [f"127.0.0.1:{listener.getsockname()[1]}" for listener in listeners]


def share(settings, rank, number):
    """IDs of the training and of the validation images that a worker reads."""
    ids = [open_dataset(settings.data.root).split(name) for name in ("train", "val")]
    slots, own = settings.train.batch_size, settings.train.batch_size // number
    training = [image_id for slot in range(own * rank, own * (rank + 1)) for image_id in ids[0][slot::slots]]
    return training, ids[1][rank::number]


def only_readable(settings, rank, number, target):
    """A copy of the data set in which images outside a worker's share are no images. The chief reads all of the validation split."""
    shutil.copytree(settings.data.root, target)
    training, validation = share(settings, rank, number)
    for path in (target / "images").iterdir():
        if path.stem not in {*training, *validation} and not (rank == 0 and path.stem in open_dataset(target).split("val")):
            path.write_bytes(b"no image")
    return target


class Workers:
    """Processes that train together, each with a folder and data of its own."""

    def __init__(self, folder, settings, *options, number=2, **variables):
        folder.mkdir(exist_ok=True)
        (folder / "settings.yaml").write_text(settings.to_yaml())
        (folder / "worker.py").write_text(WORKER)
        self.folder, self.processes, addresses = folder, [], free_addresses(number)
        for rank in range(number):
            place, data = folder / str(rank), folder / f"data{rank}"
            place.mkdir(exist_ok=True)
            if not data.exists():
                only_readable(settings, rank, number, data)
            own = {"SCN_TF_WORKERS": ",".join(addresses), "SCN_TF_RANK": str(rank), "STATE": str(folder / f"state{rank}.npz")}
            environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", **own, **variables}
            given = ["--config", str(folder / "settings.yaml"), "--run-dir", "run", "--data.root", str(data), *options]
            command = [sys.executable, str(folder / "worker.py"), *given]
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
    return train_alone(settings, tmp_path_factory.mktemp("alone") / "run")


def train_alone(settings, run):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCN_TF_WORKERS", "127.0.0.1:1")
        patch.setenv("SCN_TF_RANK", "0")
        train_run.train(settings, run)
    return run


def final(path):
    with np.load(path, allow_pickle=False) as archive:
        return [archive[name] for name in archive.files]


def assert_same_weights(group, alone):
    """All workers have the same weights, those of one process with the same batches."""
    first, *others = (final(group.folder / f"state{rank}.npz") for rank in range(len(group.processes)))
    assert len(first) > 20
    for other in others:
        for one, two in zip(first, other, strict=True):
            np.testing.assert_array_equal(one, two)
    for one, two in zip(state(group.folder / "0" / "run"), state(alone), strict=True):
        np.testing.assert_allclose(one, two, atol=2e-5)


def assert_same_end(group, alone):
    """As :func:`assert_same_weights`, and the history is the same; the chief alone wrote files."""
    assert_same_weights(group, alone)
    run = group.folder / "0" / "run"
    rows, expected = (list(csv.DictReader((path / "history.csv").read_text().splitlines())) for path in (run, alone))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    for name in ("loss", "learning_rate", "val_pe_mean_mm"):
        np.testing.assert_allclose([float(row[name]) for row in rows], [float(row[name]) for row in expected], rtol=1e-3)
    assert (run / "model.keras").exists()
    assert (run / "evaluation" / "val" / "report.html").exists()
    assert checkpoints.read_info(run / "model.keras").calibration is not None
    assert not list((group.folder / "1").iterdir())


@pytest.mark.parametrize("number", [2, 3])
def test_processes_train_like_one_and_each_reads_its_share(settings, alone, number, start, tmp_path):
    group = start(tmp_path / "group", settings, number=number)
    assert {*map(group.wait, range(number))} == {0}, "".join(map(group.output, range(number)))
    assert_same_end(group, alone)
    assert f"on the CPU of each of {number} workers" in group.output(0)
    for rank in range(1, number):
        assert group.output(rank) == f"Worker {rank} of {number} is ready. The chief, worker 0, writes the run.\n"


def test_label_maps_train_like_one(hands, start, tmp_path):
    settings = small_config(hands, **{**LABEL_SETTINGS, **LIKE_ONE, "train__epochs": 1})
    group = start(tmp_path / "group", settings)
    assert [group.wait(0), group.wait(1)] == [0, 0], group.output(0) + group.output(1)
    alone = train_alone(settings, tmp_path / "alone")
    assert_same_weights(group, alone)
    first, second = (list(csv.DictReader((run / "history.csv").read_text().splitlines())) for run in (group.folder / "0" / "run", alone))
    assert float(first[0]["val_dice"]) == pytest.approx(float(second[0]["val_dice"]), abs=1e-3)


def test_the_images_of_others_could_not_be_read(settings, tmp_path):
    """So the test before shows that none is read."""
    data = only_readable(settings, 1, 2, tmp_path / "data")
    training, validation = share(settings, 1, 2)
    assert (len(training), len(validation)) == (6, 2)
    dataset = open_dataset(data)
    for name, own in (("train", training), ("val", validation)):
        for image_id in dataset.split(name):
            if image_id in own:
                dataset.read(image_id)
            else:
                with pytest.raises(ImageError):
                    dataset.read(image_id)


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


def test_who_cannot_meet_says_why(monkeypatch):
    addresses = free_addresses()
    monkeypatch.setenv("SCN_TF_WORKERS", ",".join(addresses))
    monkeypatch.setenv("SCN_TF_RANK", "1")
    monkeypatch.setenv("SCN_TF_TIMEOUT", "0.3")
    with pytest.raises(WorkerError, match=rf"worker 0 \({addresses[0]}\) did not come within 0\.3 seconds"):
        workers.join()
    with (
        socket.create_server(("127.0.0.1", int(addresses[1].split(":")[1]))),
        pytest.raises(ConfigError, match=rf"worker 1 \({addresses[1]}\): cannot listen there"),
    ):
        workers.join()
    monkeypatch.setenv("SCN_TF_TIMEOUT", "soon")
    with pytest.raises(ConfigError, match="SCN_TF_TIMEOUT: expected seconds above 0, received 'soon'"):
        workers.join()
    assert workers.number() == 1


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

    slots = [pipeline.Opened(tf.data.Dataset.from_tensor_slices({"number": list(range(slot, 11, 4))}), None) for slot in range(4)]

    def batches(first=0, last=4, *, epoch=0, steps=6, replicas=1):
        found = batching.batches_of_slots(
            slots[first:last], steps=2, batch_size=4, first_slot=first, seed=3, first_epoch=epoch, replicas=replicas
        )
        return np.array([batch["number"].numpy().tolist() for batch in found.take(steps * replicas)]).reshape(steps, -1)

    whole = batches()
    np.testing.assert_array_equal(np.concatenate([batches(0, 2, replicas=replicas), batches(2, 4, replicas=replicas)], axis=1), whole)
    np.testing.assert_array_equal(batches(epoch=2, steps=2), whole[4:])
    np.testing.assert_array_equal(whole % 4, np.broadcast_to(range(4), whole.shape))
    assert all(len({*epoch.ravel().tolist()}) == 8 for epoch in whole.reshape(3, 2, 4))
    assert len({*map(str, whole.reshape(3, 2, 4))}) == 3
    assert whole[0].tolist() != [0, 1, 2, 3]


@pytest.mark.parametrize("number", [1, 2])
def test_each_image_of_a_share_is_decoded_once_and_no_other(settings, number, monkeypatch):
    reads = []
    original = pipeline.prepare
    monkeypatch.setattr(pipeline, "prepare", lambda *a, **k: reads.append(a[1]) or original(*a, **k))
    monkeypatch.setattr(workers, "rank", lambda: number - 1)
    monkeypatch.setattr(workers, "number", lambda: number)
    dataset, config = open_dataset(settings.data.root), settings.resolved(2)
    own = shares.training(config.train, dataset.split("train"))
    slots = pipeline.opened_by_slot(dataset, own, config, measured=False, rater="mean", observe=None)
    found = batching.batches_of_slots(slots, steps=2, batch_size=6, first_slot=6 - len(slots), seed=4)
    assert {tuple(batch["image"].shape) for batch in found.take(6)} == {(6 // number, 48, 32, 1)}
    assert sorted(reads) == sorted(share(settings, number - 1, number)[0])
    order = shares.training_in_order(config.train, dataset.split("train"))
    for image_id, example in zip(order, pipeline.joined([one.data for one in slots]), strict=True):
        np.testing.assert_array_equal(example["landmarks"], original(dataset, image_id, config.model)["landmarks"])
    assert not found.options().autotune.enabled


def test_raters_are_drawn_alike_by_any_number_of_processes():
    import tensorflow as tf

    def slot(count):
        each = np.broadcast_to(np.arange(2.0)[:, np.newaxis, np.newaxis], [count, 2, 1, 2])  # the points of a rater are its number
        known = {"visible": np.ones([count, 1]), "absent": np.zeros([count, 1])}
        by_rater = {"rater_landmarks": each, "rater_visible": np.ones([count, 2, 1]), "rater_absent": np.zeros([count, 2, 1])}
        values = {"landmarks": np.full([count, 1, 2], 0.5), **known, **by_rater}
        return pipeline.Opened(tf.data.Dataset.from_tensor_slices({name: value.astype("float32") for name, value in values.items()}), None)

    slots = [slot(3), slot(3), slot(2), slot(2)]

    def drawn(first, last):
        found = batching.batches_of_slots(slots[first:last], steps=2, batch_size=4, first_slot=first, seed=3)
        return np.stack([batch["landmarks"].numpy()[:, 0, 0] for batch in found.take(6)])

    whole = drawn(0, 4)
    assert {*whole.ravel().tolist()} == {0.0, 1.0}
    np.testing.assert_array_equal(np.concatenate([drawn(0, 2), drawn(2, 4)], axis=1), whole)


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


@pytest.mark.parametrize(("number", "images"), [(1, 4), (3, 4), (3, 2)])
def test_measurements_of_shares_are_in_the_order_of_the_split(number, images, monkeypatch):
    ids = [str(image) for image in range(images)]
    parts = []
    for rank in range(number):
        monkeypatch.setattr(workers, "rank", lambda rank=rank: rank)
        monkeypatch.setattr(workers, "number", lambda: number)
        parts.append({"of": np.array(shares.validation(ids))})
    monkeypatch.setattr(workers, "gather", lambda arrays: parts)
    assert shares.measured(parts[0], images)["of"].tolist() == ids


def test_forests_train_in_one_process(hands_2d, tmp_path):
    forest = config.from_dict({"data": {"root": str(hands_2d)}, "model": {"name": "forest"}, "train": {"strategy": "multi_worker"}})
    with pytest.raises(ConfigError, match=r"multi_worker trains networks; model\.name forest trains in one process"):
        train_run.train(forest, tmp_path / "run")
    assert not (tmp_path / "run").exists()
