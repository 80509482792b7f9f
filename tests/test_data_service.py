"""Training with images through a real tf.data service, whose processes have TensorFlow alone."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
import SimpleITK as sitk

from scn_tf import cli, config, train_run
from scn_tf.data import batching, disk_cache, pipeline, service
from scn_tf.data.dataset import open_dataset
from scn_tf.errors import ConfigError, DatasetError, DataWarning
from scn_tf.runs.folder import RunFolder
from tests.conftest import REPOSITORY, interrupted_after, small_config, state, weights
from tests.test_disk_cache import assert_same, values


def free_address():
    """Address at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


PROGRAM = """
import sys
import tensorflow as tf
service, (kind, port) = tf.data.experimental.service, sys.argv[1:]
if kind == "dispatcher":
    server = service.DispatchServer(service.DispatcherConfig(port=int(port)))
else:
    server = service.WorkerServer(service.WorkerConfig(dispatcher_address=f"localhost:{port}", heartbeat_interval_ms=500))
print([name for name in sys.modules if name.startswith("scn_tf")], flush=True)
server.join()
"""


class Service:
    """A dispatcher and workers, each a process outside the repository."""

    def __init__(self, folder, workers=1):
        self.address = free_address()
        variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        self.processes = [
            subprocess.Popen(
                [sys.executable, "-c", PROGRAM, kind, self.address.split(":")[1]],
                cwd=folder,
                env=variables,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            for kind in ("dispatcher", *["worker"] * workers)
        ]
        modules = {process.stdout.readline() for process in self.processes}
        if modules != {"[]\n"}:
            self.kill()
        assert modules == {"[]\n"}
        self.dispatcher, *self.workers = self.processes

    def kill(self):
        for process in self.processes:
            process.kill()
            process.communicate()


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """A service with one worker."""
    found = Service(tmp_path_factory.mktemp("service"))
    yield found
    found.kill()


@pytest.fixture
def several(tmp_path):
    """A service with two workers, which a test may kill."""
    found = Service(tmp_path, workers=2)
    yield found
    found.kill()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(disk_cache.FOLDER, str(tmp_path / "cache"))
    return disk_cache.folder()


@pytest.fixture
def came(monkeypatch):
    """Numbers of the images that came through the service and were used."""
    numbers, original = [], service.Served._whole

    def whole(self, number, element):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            image = original(self, number, element)
        if element is not None and element[1].shape[0] and not caught:
            numbers.append(number)
        for one in caught:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
        return image

    monkeypatch.setattr(service.Served, "_whole", whole)
    return numbers


def opened(root, address=None, rater="mean", ids=None):
    """Examples to train on, and the same through a service if there is an address."""
    dataset, seen = open_dataset(root), service.FirstPass()
    settings = small_config(root, data__cache="disk", data__rater=rater).resolved(2)
    found = pipeline.opened(dataset, ids or dataset.split("train"), settings, measured=False, rater=rater, observe=seen.add)
    return found, None if address is None else service.Served(address, found, seen, parallel=2)


def batches(found, served=None, count=7, first=0, size=3):
    """Batches of some epochs of two."""
    stream = batching.training_batches(found.data, count=7, batch_size=size, seed=4, first_epoch=first, load=found.load, served=served)
    with service.failures_named(served):
        return values(stream.take(count))


def test_a_training_through_the_service_ends_in_the_same_weights(running, run_2d, hands_2d, tmp_path, folder, came, capsys):
    train_run.train(small_config(hands_2d, data__service=f"grpc://{running.address}"), tmp_path / "run")
    assert f"read by the tf.data service at {running.address}\n" in capsys.readouterr().out
    assert len(came) >= 2 * 6
    assert config.load(tmp_path / "run" / "config.yaml").data.cache == "disk"
    for one, other in zip(state(tmp_path / "run"), state(run_2d), strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(weights(tmp_path / "run"), weights(run_2d), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_resumed_training_ends_in_the_same_weights_with_and_without_the_service(
    running, run_2d, hands_2d, tmp_path, folder, monkeypatch, came
):
    with interrupted_after(1):
        train_run.train(small_config(hands_2d, data__service=running.address), tmp_path / "served")
    shutil.copytree(tmp_path / "served", tmp_path / "local")
    came.clear()
    train_run.train(config.from_dict({"data": {"service": None}}), tmp_path / "local", resume=True)
    assert came == []
    train_run.train(config.Config(), tmp_path / "served", resume=True)
    assert len(came) >= 6
    for run in ("served", "local"):
        for one, other in zip(state(tmp_path / run), state(run_2d), strict=True):
            np.testing.assert_array_equal(one, other)


def test_batches_are_the_same_with_two_workers_and_when_one_is_lost(several, hands, folder, came):
    text = (hands / "dataset.yaml").read_text()
    for name in "ab":
        shutil.copy(hands / "landmarks.csv", hands / f"{name}.csv")
    kept = [line for line in text.splitlines() if not line.startswith("annotations")]
    (hands / "dataset.yaml").write_text("\n".join([*kept, "raters: {a: a.csv, b: b.csv}"]) + "\n")
    found, served = opened(hands, several.address, rater="random")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # an image of the slower worker may be late
        assert_same(batches(found, served, 40), batches(found, count=40))
        assert_same(batches(found, served, 3, first=19, size=7), batches(found, count=3, first=19, size=7))
        assert came
        iterator = iter(batching.training_batches(found.data, count=7, batch_size=3, seed=4, served=served))
        received = [next(iterator) for _ in range(10)]
        several.workers[0].kill()
        received += [next(iterator) for _ in range(50)]
    assert_same([{name: value.numpy() for name, value in batch.items()} for batch in received], batches(found, count=60))
    assert len(came) > 100  # of 321


@pytest.mark.parametrize("damage", ["cut", "empty", "flipped"])
def test_damaged_files_change_no_batch(damage, running, hands_2d, folder, came):
    found, served = opened(hands_2d, running.address)
    expected = batches(found)
    path = found.files[4]
    content = path.read_bytes()
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    path.write_bytes({"cut": content[:-99], "empty": b"", "flipped": flipped}[damage])
    with pytest.warns(DataWarning, match=rf"{running.address} did not send the whole image of {path}") as caught:
        assert_same(batches(found, served), expected)
    assert len(caught) == 1
    assert path.read_bytes() == content  # prepared again
    assert_same(batches(found, served), expected)
    assert {*came} == {*range(7)}


def test_an_image_that_cannot_be_kept_is_read_here(running, hands, folder, came):
    file = hands / "images" / f"{open_dataset(hands).split('train')[2]}.png"
    sitk.WriteImage(sitk.GetImageFromArray(np.full((256, 192), 7, "uint8")), str(file))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        found, served = opened(hands, running.address)
        assert_same(batches(found, served), batches(found))
    assert {*came} == {0, 1, 3, 4, 5, 6}
    assert not served.warned


def test_files_that_go_during_a_training_change_no_batch(running, hands_2d, folder):
    """As if another run had needed their room."""
    found, served = opened(hands_2d, running.address)
    expected = batches(found)
    for number in (2, 4):
        found.files[number].unlink()
    with pytest.warns(DataWarning, match=f"{running.address} did not send the whole image") as caught:
        assert_same(batches(found, served), expected)
    assert len(caught) == 1
    assert all(path.exists() for path in found.files)


def test_a_dispatcher_that_is_away_for_a_moment_ends_nothing(running, hands_2d, folder, monkeypatch):
    found, served = opened(hands_2d, running.address)
    expected, original, looks = batches(found), service._Feed._fetch, []

    def late(self):
        time.sleep(2.5)
        original(self)

    def unreachable(address):
        looks.append(address)
        return "timed out" if len(looks) == 1 else None

    monkeypatch.setattr(service._Feed, "_fetch", late)
    monkeypatch.setattr(service, "_unreachable", unreachable)
    assert_same(batches(found, served), expected)
    assert looks


def test_files_that_are_used_stay_longest(running, hands_2d, folder):
    found, served = opened(hands_2d, running.address)
    for path in found.files:
        os.utime(path, (1000, 1000))
    batches(found, served)
    assert all(path.stat().st_mtime > 10_000 for path in found.files)


def test_a_file_with_another_image_is_never_trained_on(running, hands_2d, folder):
    found, served = opened(hands_2d, running.address)
    found.files[4].write_bytes(found.files[0].read_bytes())  # whole, so this process would believe it, too
    changed = pytest.raises(DatasetError, match=rf"{found.files[4]}: image 4 of the split was changed since the training started")
    with pytest.warns(DataWarning, match="did not send the whole image"), changed:
        batches(found, served)


def test_a_service_that_cannot_be_reached_is_named_before_any_image_is_read(hands_2d, tmp_path, folder, capsys):
    address, started = free_address(), time.monotonic()
    (tmp_path / "settings.yaml").write_text(small_config(hands_2d).to_yaml())
    command = ["train", "--config", str(tmp_path / "settings.yaml"), "--run-dir", str(tmp_path / "run"), "--data.service", address]
    assert cli.main(command) == 1
    assert f"error: data.service: {address} cannot be reached (Connection refused). Is its dispatcher running?" in capsys.readouterr().err
    assert time.monotonic() - started < 20
    assert not folder.exists()


def test_a_service_without_workers_or_of_another_kind_is_given_up(hands_2d, tmp_path, folder, monkeypatch):
    monkeypatch.setattr(service, "PATIENCE", 3.0)
    alone = Service(tmp_path, workers=0)
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as other, contextlib.ExitStack() as stack:
        stack.callback(alone.kill)
        for address in (alone.address, f"127.0.0.1:{other.getsockname()[1]}"):
            found, served = opened(hands_2d, address)
            with pytest.raises(
                DatasetError, match=f"{address} sent no image for 3 seconds. Do its workers run, and can they read {folder}?"
            ):
                batches(found, served)


TRAIN = """
import sys
from scn_tf import cli
from scn_tf.data import service
service.PATIENCE = 10.0
sys.exit(cli.main(["train", *sys.argv[1:]]))
"""


def test_trainings_whose_service_is_killed_end_soon_with_its_name(hands_2d, tmp_path, folder):
    """One loses its worker, the other its dispatcher."""
    environment, services, trainings = {**os.environ, "PYTHONPATH": str(REPOSITORY)}, [], []
    try:
        for lost in ("worker", "dispatcher"):
            services.append(Service(tmp_path))
            settings = small_config(hands_2d, train__epochs=100_000, data__service=services[-1].address)
            (tmp_path / f"{lost}.yaml").write_text(settings.to_yaml())
            command = [sys.executable, "-c", TRAIN, "--config", str(tmp_path / f"{lost}.yaml"), "--run-dir", str(tmp_path / lost)]
            with (tmp_path / f"{lost}.txt").open("w") as output:
                trainings.append(subprocess.Popen(command, cwd=REPOSITORY, stdout=output, stderr=subprocess.STDOUT, env=environment))
        for lost, training in zip(("worker", "dispatcher"), trainings, strict=True):
            until = time.monotonic() + 300
            while not RunFolder(tmp_path / lost).state.exists() and time.monotonic() < until:
                assert training.poll() is None, (tmp_path / f"{lost}.txt").read_text()
                time.sleep(0.1)
        services[0].workers[0].kill()
        services[1].dispatcher.kill()
        assert [training.wait(timeout=100) for training in trainings] == [1, 1]
    finally:
        for one in (*trainings, *services):
            one.kill()
    said = (
        f"sent no image for 10 seconds. Do its workers run, and can they read {folder}?",
        "cannot be reached any more (Connection refused).",
    )
    for own, lost, why in zip(services, ("worker", "dispatcher"), said, strict=True):
        last = (tmp_path / f"{lost}.txt").read_text().strip().splitlines()[-1]
        assert last == f"error: data.service: {own.address} {why} --resume continues once the service runs, or with --data.service none."


@pytest.mark.parametrize("text", ["host", "host:", "host:0", "host:65536", "http://host:1", "grpc://host", "a b:1", ":1", "h:1:2", ""])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ConfigError, match=r"data\.service: expected HOST:PORT or grpc://HOST:PORT"):
        config.from_dict({"data": {"service": text}})


def test_addresses_and_what_cannot_be_served(hands_2d):
    for text in ("host-1.example.org:5000", "grpc://host-1.example.org:5000"):
        assert config.from_dict(config.override({}, {"data.service": text})).data.service == "host-1.example.org:5000"
    assert config.from_dict(config.override({}, {"data.service": "none"})).data.service is None
    served = {"data__service": "host:1"}
    for place in ("memory", "none"):
        with pytest.raises(ValueError, match=rf"data\.cache: data\.service reads prepared images from disk; .* received {place}"):
            small_config(hands_2d, **served, data__cache=place).resolved(2)
    with pytest.raises(ValueError, match=r"data\.service: cannot be combined with train\.strategy multi_worker"):
        small_config(hands_2d, **served, train__strategy="multi_worker").resolved(2)
    for name in ("forest", "segmentation"):
        with pytest.raises(ValueError, match=rf"data\.service: is for networks that find landmarks; model\.name {name}"):
            config.from_dict({"model": {"name": name}, "data": {"service": "host:1"}}).resolved(2)
    assert config.differences(small_config(hands_2d, **served), small_config(hands_2d)) == []
