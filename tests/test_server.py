"""The prediction server, talked to over real connections; tests/test_server_input.py sends it what is wrong."""

import contextlib
import dataclasses
import gc
import importlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf

import scn_tf
from scn_tf import cli, config
from scn_tf.cli.commands import serve
from scn_tf.serving import batching, requests, routes, servable, server
from tests.conftest import REPOSITORY, SAME_RADIUS, SUBPIXEL
from tests.serving_client import JPEG, SMALL_PNG, ask, b64, eventually, metric, refused, running


@pytest.fixture(scope="module")
def exported(saved_2d):
    return saved_2d.parent


@pytest.fixture(scope="module")
def model(exported):
    loaded = servable.load(exported)
    servable.warm_up(loaded)
    return loaded


@pytest.fixture(scope="module")
def port(model):
    with running(model, max_batch=4, batch_wait_ms=30, max_body_mb=6, max_megapixels=1) as number:
        yield number


@pytest.fixture(scope="module")
def pictures(hands_2d, tmp_path_factory):
    """Four PNG files of different sizes and contents."""
    folder = tmp_path_factory.mktemp("pictures")
    paths = []
    for number in range(4):
        array = tf.io.decode_png((hands_2d / "images" / f"hand_{7 + number % 3:03d}.png").read_bytes()).numpy()
        paths.append(folder / f"{number}.png")
        paths[-1].write_bytes(tf.io.encode_png(array[10 * number : 150 + 5 * number, number:]).numpy())
    return paths


@pytest.fixture(scope="module")
def expected(run_2d, pictures):
    return [found.landmarks for found in predictions(run_2d, pictures)]


def predictions(run, paths):
    predictor = scn_tf.load(run)
    return [predictor.predict(path) for path in paths]


def test_rows_and_columns_give_what_predict_gives_for_images_of_any_size(port, pictures, expected):
    files = [b64(path.read_bytes()) for path in pictures]
    status, answer = ask(
        port, body={"signature_name": "serving_default", "instances": [files[0], *({"image_bytes": f} for f in files[1:])]}
    )
    assert status == 200
    for row, landmarks in zip(answer["predictions"], expected, strict=True):
        np.testing.assert_allclose(row["landmarks"], landmarks, atol=SUBPIXEL)
        assert len(row["scores"]) == 21
    for inputs in (files, {"image_bytes": files}):
        status, columns = ask(port, "/v1/models/scn/versions/1:predict", {"inputs": inputs})
        assert status == 200
        assert columns["outputs"]["landmarks"] == [row["landmarks"] for row in answer["predictions"]]


def test_the_answer_holds_errors_and_radii_with_their_unit(port, pictures, calibrated_2d):
    files = [b64(path.read_bytes()) for path in pictures]
    _, answer = ask(port, body={"instances": files})
    for row, expected in zip(answer["predictions"], predictions(calibrated_2d, pictures), strict=True):
        assert row["error_unit"] == expected.estimates.unit == "mm"
        for name in ("expected_error", "radius95"):
            np.testing.assert_allclose(row[name], getattr(expected.estimates, name), rtol=SAME_RADIUS)
    _, columns = ask(port, body={"inputs": files})
    assert columns["outputs"]["radius95"] == [row["radius95"] for row in answer["predictions"]]
    assert columns["outputs"]["error_unit"] == ["mm"] * len(files)


def test_more_images_than_a_batch_holds_come_back_in_order(port, pictures, expected):
    order = [0, 1, 2, 3, 2, 1, 0]
    status, answer = ask(port, body={"instances": [b64(pictures[index].read_bytes()) for index in order]})
    assert status == 200
    for row, index in zip(answer["predictions"], order, strict=True):
        np.testing.assert_allclose(row["landmarks"], expected[index], atol=SUBPIXEL)


def test_pixels_as_numbers_give_the_same(port, pictures, expected):
    array = tf.io.decode_png(pictures[1].read_bytes(), channels=1).numpy()
    for name in ("serve_image", "serve_image_uint8"):
        status, answer = ask(port, body={"signature_name": name, "instances": [array.tolist()]})
        assert status == 200
        np.testing.assert_allclose(answer["predictions"][0]["landmarks"], expected[1], atol=SUBPIXEL)


def test_two_inputs_are_an_object_in_either_form(run_3d, saved_3d):
    model = servable.load(saved_3d)
    volume = np.random.default_rng(3).normal(size=(9, 14, 11, 1)).round(3)
    wanted = scn_tf.load(run_3d).predict(volume[..., 0].astype("float32"), spacing=(1.0, 1.5, 2.0)).landmarks
    with running(model) as port:
        row = {"volume": volume.tolist(), "spacing": [1, 1.5, 2]}
        status, answer = ask(port, body={"signature_name": "serve_volume", "instances": [row, row]})
        assert status == 200, answer
        np.testing.assert_allclose(answer["predictions"][1]["landmarks"], wanted, atol=SUBPIXEL)
        status, columns = ask(port, body={"signature_name": "serve_volume", "inputs": {name: [value] for name, value in row.items()}})
        np.testing.assert_allclose(columns["outputs"]["landmarks"], [wanted], atol=SUBPIXEL)
        for wrong, words in (
            ({**row, "spacing": [1, 0, 1]}, "positive mm per voxel"),
            ({"volume": row["volume"]}, "an object with spacing and volume"),
        ):
            status, answer = ask(port, body={"signature_name": "serve_volume", "instances": [wrong]})
            assert (status, words in answer["error"]) == (400, True), answer


def test_status_and_metadata_have_the_form_of_tf_serving(port):
    for path in ("/v1/models/scn", "/v1/models/scn/versions/1"):
        assert ask(port, path) == (
            200,
            {"model_version_status": [{"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}]},
        )
    status, answer = ask(port, "/v1/models/scn/metadata")
    assert status == 200
    assert answer["model_spec"] == {"name": "scn", "signature_name": "", "version": "1"}
    definition = answer["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert definition["method_name"] == "tensorflow/serving/predict"
    assert definition["inputs"]["image_bytes"]["dtype"] == "DT_STRING"
    assert [side["size"] for side in definition["outputs"]["landmarks"]["tensor_shape"]["dim"]] == ["-1", "21", "2"]
    assert definition["outputs"]["radius95"]["dtype"] == "DT_FLOAT"
    assert definition["outputs"]["error_unit"]["dtype"] == "DT_STRING"
    assert ask(port, "/healthz") == (200, {"status": "ok"})


def test_concurrent_clients_share_batches_and_get_their_own_answers_while_one_sends_rubbish(port, pictures, expected):
    batches, images = metric(port, "scn_batch_images_count"), metric(port, "scn_batch_images_sum")
    good = [{"instances": [b64(path.read_bytes())]} for path in pictures]
    bad = {"instances": [b64(SMALL_PNG[:-200])]}
    order = list(range(4)) * 8
    with ThreadPoolExecutor(10) as clients:
        rubbish = [clients.submit(ask, port, body=bad) for _ in range(4)]
        answers = list(clients.map(lambda index: ask(port, body=good[index]), order))
        assert [future.result()[0] for future in rubbish] == [400] * 4
    for index, (status, answer) in zip(order, answers, strict=True):
        assert status == 200
        np.testing.assert_allclose(answer["predictions"][0]["landmarks"], expected[index], atol=SUBPIXEL)
    assert metric(port, "scn_batch_images_sum") - images == len(order)
    # Joined: far fewer runs than requests.
    assert metric(port, "scn_batch_images_count") - batches < len(order) * 0.75


def test_a_full_queue_gets_503_and_a_client_that_leaves_frees_its_place(model):
    body = json.dumps({"instances": [b64(SMALL_PNG)] * 2}).encode()
    head = f"POST /v1/models/scn:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with running(model, max_queue=2, batch_wait_ms=60_000) as port:
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(head + body)
            eventually(lambda: metric(port, "scn_waiting_images") == 2)
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models/scn:predict", body, timeout=30)
            with refused.value as answer:
                assert (answer.code, answer.headers["Retry-After"]) == (503, "1")
                assert "busy" in json.load(answer)["error"]
            status, answer = ask(port, body={"instances": [b64(SMALL_PNG)] * 3})
            assert (status, answer["error"]) == (400, "instances: expected at most 2 images in a request, received 3.")
        eventually(lambda: metric(port, 'scn_requests_total{code="499"}') == 1)
        assert metric(port, "scn_waiting_images") == 0
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(head + body)
            eventually(lambda: metric(port, "scn_waiting_images") == 2)
        eventually(lambda: metric(port, 'scn_requests_total{code="499"}') == 2)
        # A client that leaves in the middle of its body.
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(head + body[:50])
        eventually(lambda: metric(port, 'scn_requests_total{code="499"}') == 3)
        assert ask(port, "/healthz")[0] == 200
        assert metric(port, "scn_batch_images_count") == 0


def test_idle_connections_make_room_for_new_ones(model, monkeypatch):
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 5)
    with running(model) as port, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20)) for _ in range(40)]
        assert ask(port, body={"instances": [b64(SMALL_PNG)]})[0] == 200
        closed = 0
        for client in clients:
            client.settimeout(0.05)
            with contextlib.suppress(TimeoutError):
                with contextlib.suppress(ConnectionResetError):
                    assert client.recv(1) == b""
                closed += 1
        assert closed >= 35


def test_small_requests_are_answered_while_large_ones_come_in_slowly(model):
    head = b"POST /v1/models/scn:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1990000\r\n\r\n"
    with running(model, max_body_mb=2) as port, contextlib.ExitStack() as stack:

        def no_more_fit():
            # Four fit. What asks may itself keep one of them out: then another comes.
            client = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
            client.sendall(head + b" " * 1_980_000)
            return ask(port, body=b" " * 1_500_000)[0] == 503

        eventually(no_more_fit)
        assert ask(port, body={"instances": [b64(SMALL_PNG)]})[0] == 200


def test_what_would_take_minutes_or_gigabytes_is_refused(model, monkeypatch):
    monkeypatch.setattr(routes, "REQUEST_PIXELS", 5000)
    monkeypatch.setattr(requests, "MAX_NUMBERS", 150_000)
    heatmaps = {"signature_name": "serve_heatmaps", "instances": np.zeros((1, 48, 32, 1)).tolist()}
    with running(model) as port:
        status, answer = ask(port, body={"instances": [b64(SMALL_PNG)] * 2})
        assert (status, answer["error"]) == (400, "expected images of at most 5000 pixels in all, received 6000; send fewer at once.")
        assert ask(port, body=heatmaps)[0] == 200  # 3 maps of 48 x 32 x 21
        status, answer = ask(port, body={**heatmaps, "instances": heatmaps["instances"] * 2})
        assert (status, answer["error"].split(",")[0]) == (400, "serve_heatmaps: the answer would have 193536 numbers")
    assert gc.isenabled()


def test_memory_that_runs_out_is_no_fault_of_the_neighbours(model, monkeypatch):
    """Two requests share a batch; the graph finds no memory for the images of one."""
    original = servable.run

    def run(signature, inputs):
        if JPEG in inputs["image_bytes"].tolist():
            raise servable.Exhausted("OOM")
        return original(signature, inputs)

    monkeypatch.setattr(servable, "run", run)
    with running(model, batch_wait_ms=300) as port, ThreadPoolExecutor(2) as clients:
        answers = [clients.submit(ask, port, body={"instances": [b64(image)]}) for image in (SMALL_PNG, JPEG)]
        assert [answer.result()[0] for answer in answers] == [200, 503]


def test_a_graph_without_memory_is_told_from_bad_input():
    def full(**_):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")

    signature = servable.Signature("serve_input", {"image": tf.TensorSpec((None, 1), tf.float32)}, {}, full)
    with pytest.raises(servable.Exhausted, match="OOM when allocating"):
        servable.run(signature, {"image": np.ones((1, 1))})


def test_the_queue_is_limited_by_pixels_too():
    release = threading.Event()
    queue = batching.Batcher(
        lambda signature, inputs: (release.wait(20), inputs)[1],
        max_batch=1,
        max_pixels=100,
        max_queue=99,
        max_queue_pixels=250,
        wait=0,
        observe=lambda rows: None,
    )
    signature, row = servable.Signature("s", {}, {}, None), {"image": np.ones((1, 1))}
    first = queue.submit(signature, row, [1000])  # alone, however large
    eventually(lambda: queue.waiting() == 0)
    waiting = [queue.submit(signature, row, [100]) for _ in range(2)]
    with pytest.raises(batching.QueueFull):
        queue.submit(signature, row, [100])
    release.set()
    assert len([future.result(20) for futures in (first, *waiting) for future in futures]) == 3
    queue.close()


def test_slow_clients_are_not_waited_for(model, monkeypatch):
    monkeypatch.setattr(server, "IDLE_SECONDS", 0.3)
    with running(model, body_seconds=0.5) as port:
        with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
            client.sendall(b"POST /v1/models/scn:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
            answer = b"".join(iter(lambda: client.recv(4096), b""))  # until the server closes
            assert answer.startswith(b"HTTP/1.1 408")
        with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
            client.sendall(b"GET /healthz HT")
            with contextlib.suppress(ConnectionResetError):
                assert client.recv(10) == b""
        with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
            client.sendall(b"no http at all\r\n\r\n")
            assert client.recv(4096).startswith(b"HTTP/1.1 400")
        assert ask(port, "/healthz")[0] == 200


def test_a_stopped_server_answers_what_it_has_takes_nothing_new_and_writes_nothing(exported, tmp_path, pictures, expected):
    before = sorted((path, path.stat().st_mtime_ns) for path in exported.rglob("*"))
    command = [sys.executable, str(REPOSITORY / "export" / "serve.py"), str(exported), "--port", "0", "--batch_wait_ms", "2500"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            port = int(re.fullmatch(r"Serving scn version 1 at http://127\.0\.0\.1:(\d+) \(Ctrl-C stops it\)\. Try\n", line)[1])
            assert ":predict" in process.stdout.readline()
            memory = metric(port, "process_resident_memory_bytes")
            assert ask(port, body=b"0" * 100_000_000)[0] == 413
            assert metric(port, "process_resident_memory_bytes") < memory + 50e6  # less than the limit of 32 MB and its copy
            with ThreadPoolExecutor(1) as client:
                answer = client.submit(ask, port, body={"instances": [b64(pictures[0].read_bytes())]})
                eventually(lambda: metric(port, "scn_waiting_images") == 1)
                process.send_signal(signal.SIGTERM)
                eventually(lambda: refused(port))
                assert not answer.done()
                status, found = answer.result(timeout=30)
            assert status == 200
            np.testing.assert_allclose(found["predictions"][0]["landmarks"], expected[0], atol=SUBPIXEL)
            assert process.wait(timeout=30) == 0
            assert process.stdout.read() == ""
            assert "Traceback" not in process.stderr.read()
        finally:
            process.kill()
    assert list(tmp_path.iterdir()) == []
    assert sorted((path, path.stat().st_mtime_ns) for path in exported.rglob("*")) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--max_batch", "0"], "error: max_batch: expected a positive number"),
        (["--name", "a/b"], "error: name: expected a word"),
        (["--port", "70000"], "error: port 70000: expected 0 to 65535"),
        ([], "is no exported SavedModel; write one with scn-tf export RUN FOLDER"),
    ],
)
def test_mistakes_on_the_command_line_are_named(arguments, words, tmp_path, capsys):
    assert cli.main(["serve", str(tmp_path), *(arguments or ["--port", "0"])]) == 1
    assert words in capsys.readouterr().err


def test_the_options_of_the_command_are_the_limits_of_the_server():
    defaults = {field.name: field.default for field in dataclasses.fields(server.Limits)}
    assert {name: usual for name, (_, usual, _) in serve.LIMITS.items()} == defaults


def test_a_taken_port_is_named(port, exported, capsys):
    assert cli.main(["serve", str(exported), "--port", str(port)]) == 1
    assert f"error: port {port}: cannot listen on 127.0.0.1" in capsys.readouterr().err


def test_a_missing_library_is_named_with_the_way_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(config.ConfigError, match=r"uvicorn; .*pip install 'scn-tf\[all\]'"):
        importlib.reload(server)
