"""The client of TensorFlow Serving against real servers that run the exported model by its rules."""

import base64
import concurrent.futures
import contextlib
import http.server
import json
import re
import socket
import subprocess
import sys
import threading
import time

import grpc
import numpy as np
import pytest
import SimpleITK as sitk
import tensorflow as tf
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2, prediction_service_pb2_grpc

import scn_tf
from scn_tf.export import warmup
from scn_tf.serving import client
from scn_tf.storage import tables
from scn_tf.types import Estimates
from tests.conftest import REPOSITORY, SAME_RADIUS, SUBPIXEL


@pytest.fixture(scope="module")
def exported(saved_2d):
    return saved_2d


@pytest.fixture(scope="module")
def pictures(hands_2d, tmp_path_factory):
    """Files of different sizes and encodings; more than one batch of three."""
    folder = tmp_path_factory.mktemp("pictures")
    paths = [hands_2d / "images" / "hand_007.png", folder / "wide.png", folder / "small.bmp", folder / "colour.png"]
    array = sitk.GetArrayFromImage(sitk.ReadImage(str(paths[0])))
    sitk.WriteImage(sitk.GetImageFromArray(array[40:160, ::-1]), str(paths[1]))
    sitk.WriteImage(sitk.GetImageFromArray(array[:, 20:120]), str(paths[2]))
    sitk.WriteImage(sitk.GetImageFromArray(np.stack([array, array // 2, array // 3], axis=-1), isVector=True), str(paths[3]))
    return paths


class Refused(Exception):
    """What TF Serving answers instead of landmarks: gRPC code, HTTP status, message."""


class Servable:
    """The exported model behind TF Serving's rules for names."""

    def __init__(self, folder):
        self.folder, self.module = folder, tf.saved_model.load(str(folder))
        self.release, self.batches = threading.Event(), []

    def run(self, spec, inputs):
        if spec.name == "sleeper":
            self.release.wait(20)
        if spec.name != "scn" or spec.version.value not in (0, 1):
            raise Refused(grpc.StatusCode.NOT_FOUND, 404, f"Servable not found for request: Latest({spec.name})")
        if spec.signature_name not in self.module.signatures:
            raise Refused(grpc.StatusCode.FAILED_PRECONDITION, 400, f'Serving signature key "{spec.signature_name}" not found.')
        self.batches.append(len(next(iter(inputs.values()))))
        try:
            return self.module.signatures[spec.signature_name](**{name: tf.constant(value) for name, value in inputs.items()})
        except (tf.errors.InvalidArgumentError, TypeError) as error:
            # gRPC carries messages of 16 kB at most; TensorFlow's may hold the whole input.
            raise Refused(grpc.StatusCode.INVALID_ARGUMENT, 400, str(error)[:4000]) from None


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, servable):
        self.servable = servable

    def Predict(self, request, context):
        try:
            outputs = self.servable.run(request.model_spec, {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()})
        except Refused as error:
            context.abort(error.args[0], error.args[2])
        return predict_pb2.PredictResponse(outputs={name: tf.make_tensor_proto(value.numpy()) for name, value in outputs.items()})

    def GetModelMetadata(self, request, context):
        response = get_model_metadata_pb2.GetModelMetadataResponse(model_spec=request.model_spec)
        signatures = get_model_metadata_pb2.SignatureDefMap(signature_def=warmup._signatures(self.servable.folder))
        response.metadata["signature_def"].Pack(signatures)
        return response


class RestHandler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        known = self.path == "/v1/models/scn"
        status = {"model_version_status": [{"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}]}
        self.answer(200 if known else 404, status if known else {"error": "Could not find any versions of model"})

    def do_POST(self):
        name, version, route = re.fullmatch(r"/v1/models/([^/:]+)(?:/versions/(\d+))?:(\w+)", self.path).groups()
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        spec = predict_pb2.PredictRequest().model_spec
        spec.name, spec.signature_name, spec.version.value = name, body["signature_name"], int(version or 0)
        assert route == "predict"
        try:
            columns = {}
            for row in body["instances"]:
                for key, value in row.items():
                    columns.setdefault(key, []).append(base64.b64decode(value["b64"], validate=True))
            outputs = self.server.servable.run(spec, columns)
        except Refused as error:
            return self.answer(error.args[1], {"error": error.args[2]})
        outputs = {key: value.numpy().tolist() for key, value in outputs.items()}
        rows = [dict(zip(outputs, values, strict=True)) for values in zip(*outputs.values(), strict=True)]
        return self.answer(200, {"predictions": rows})

    def answer(self, status, body):
        content = json.dumps(body, default=bytes.decode).encode()  # TF Serving writes strings of a tensor as text
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with contextlib.suppress(BrokenPipeError):  # the one who asked did not wait
            self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def servable(exported):
    servable = Servable(exported)
    yield servable
    servable.release.set()


@pytest.fixture(scope="module")
def grpc_address(servable):
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(4), options=[("grpc.max_receive_message_length", -1)])
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(PredictionService(servable), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    servable.release.set()
    server.stop(None).wait()


@pytest.fixture(scope="module")
def rest_url(servable):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), RestHandler) as server:
        server.daemon_threads, server.servable = True, servable
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        servable.release.set()
        server.shutdown()
        thread.join()


@pytest.fixture(params=["rest", "grpc"])
def remote(request):
    """One of the two clients, its server, and the address of a server that is not there."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        nobody = f"127.0.0.1:{free.getsockname()[1]}"
    if request.param == "rest":
        return client.predict_rest, request.getfixturevalue("rest_url"), f"http://{nobody}"
    return client.predict_grpc, request.getfixturevalue("grpc_address"), nobody


def test_a_remote_server_finds_what_the_run_finds_in_images_of_any_size(remote, pictures, calibrated_2d, servable):
    predict, server, _ = remote
    servable.batches.clear()
    found = predict(server, pictures, version=1, batch_size=3)
    assert servable.batches == [3, 1]
    model = scn_tf.load(calibrated_2d)
    for one, path in zip(found, pictures, strict=True):
        expected = model.predict(path)
        np.testing.assert_allclose(one.landmarks, expected.landmarks, atol=SUBPIXEL)
        np.testing.assert_allclose(one.scores, expected.scores, rtol=1e-3)
        assert one.estimates.unit == expected.estimates.unit == "mm"
        for name in ("expected_error", "radius95"):
            np.testing.assert_allclose(getattr(one.estimates, name), getattr(expected.estimates, name), rtol=SAME_RADIUS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "hip"}, r"refused with (NOT_FOUND|status 404): Servable not found for request: Latest\(hip\)"),
        ({"version": 7}, r"refused with (NOT_FOUND|status 404)"),
        ({"signature": "serve_nothing"}, r'refused with (FAILED_PRECONDITION|status 400): Serving signature key "serve_nothing" not found'),
        ({"signature": "serve_input"}, r"refused with (INVALID_ARGUMENT|status 400)"),
        ({"model": "sleeper", "timeout": 0.3}, r"no answer within 0.3 s; raise the timeout"),
        ({"batch_size": 0}, r"batch_size: expected at least 1"),
    ],
)
def test_refusals_name_the_server_and_what_it_says(remote, pictures, changes, message):
    predict, server, _ = remote
    with pytest.raises(client.ClientError, match=message):
        predict(server, pictures[:1], **changes)


def test_a_damaged_image_is_refused_and_the_server_goes_on(remote, pictures, tmp_path):
    predict, server, _ = remote
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(pictures[0].read_bytes()[:60])
    with pytest.raises(client.ClientError, match=r"refused with (INVALID_ARGUMENT|status 400)"):
        predict(server, [damaged])
    assert len(predict(server, pictures[:1])) == 1


def test_a_server_that_is_not_there_or_no_such_address_is_named(remote, pictures):
    predict, _, nobody = remote
    with pytest.raises(client.ClientError, match=rf"{nobody}.*cannot be reached"):
        predict(nobody, pictures[:1], timeout=5)
    with pytest.raises(client.ClientError, match=r"somewhere: expected"):
        predict("somewhere", pictures[:1])


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), 1e12])
def test_a_timeout_that_cannot_be_is_named(remote, pictures, timeout):
    predict, server, _ = remote
    with pytest.raises(client.ClientError, match="timeout: expected a positive number of seconds"):
        predict(server, pictures[:1], timeout=timeout)


@pytest.mark.parametrize("url", ["http://[::1", "http://a..b:80"])
def test_an_address_that_cannot_be_is_named(pictures, url):
    with pytest.raises(client.ClientError, match="cannot be reached"):
        client.predict_rest(url, pictures[:1])


def test_a_server_that_answers_drop_by_drop_is_not_waited_for(pictures):
    class Drops(RestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            with contextlib.suppress(OSError):
                for _ in range(200):
                    self.wfile.write(b" ")
                    self.wfile.flush()
                    time.sleep(0.1)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Drops) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(client.ClientError, match="no answer within 1 s"):
            client.predict_rest(f"http://127.0.0.1:{server.server_port}", pictures[:1], timeout=1)
        server.shutdown()


def test_files_that_a_server_could_not_read_are_not_sent(remote, servable, tmp_path):
    predict, server, _ = remote
    servable.batches.clear()
    (tmp_path / "hand.tif").write_bytes(b"II*\0")
    for path, message in ((tmp_path / "gone.png", "gone.png: cannot be read"), (tmp_path / "hand.tif", "expected PNG, JPEG, BMP")):
        with pytest.raises(client.ClientError, match=message):
            predict(server, [path])
    assert servable.batches == []


def test_a_web_server_that_is_no_tf_serving_is_named(pictures):
    class Page(RestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            answers = {
                "ragged": {"landmarks": [[1, 2]], "scores": 3},
                "plain": {"landmarks": [[1, 2]], "scores": [3]},
                "half": {"landmarks": [[1, 2]], "scores": [3], "error_unit": "mm", "radius95": [1]},
                "miles": {"landmarks": [[1, 2]], "scores": [3], "error_unit": "miles", "radius95": [1], "expected_error": [1]},
                "whole": {
                    **{"landmarks": [[1, 2]], "scores": [3], "error_unit": "px", "radius95": [4.5], "expected_error": [1.5]},
                    **{"present": [0], "image_ok": 1},
                },
            }
            row = answers.get(re.split("[/:]", self.path)[-2])
            self.answer(200, {"predictions": [row]} if row else {"hello": 1})

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        with pytest.raises(client.ClientError, match="expected landmarks and scores of each image"):
            client.predict_rest(url, pictures[:1])
        with pytest.raises(client.ClientError, match=r"received \(1, 1, 2\), \(1,\)"):
            client.predict_rest(url, pictures[:1], model="ragged")
        for model in ("half", "miles"):
            with pytest.raises(client.ClientError, match=r"expected error_unit mm or px and .*'expected_error': \(1, 1\)"):
                client.predict_rest(url, pictures[:1], model=model)
        assert client.predict_rest(url, pictures[:1], model="plain")[0].estimates is None
        found = client.predict_rest(url, pictures[:1], model="whole")
        assert found[0].estimates == Estimates("px", [1.5], [4.5], [False], True)
        assert client.predictions_csv(pictures[:1], found).splitlines()[1] == "hand_007,0,1.0000,2.0000,3,1.5000,4.5000,px,0,1"
        server.shutdown()


def test_the_client_imports_without_tensorflow():
    code = (
        "import importlib.util, sys; sys.modules['tensorflow'] = sys.modules['grpc'] = None\n"
        f"spec = importlib.util.spec_from_file_location('client', {client.__file__!r})\n"
        "module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module)\n"
        "try: module.predict_grpc('127.0.0.1:1', [])\n"
        "except module.ClientError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "grpc is not installed; pip install 'tensorflow-serving-api>=2.21,<2.22', or use REST" in done.stdout


def test_metadata_over_grpc_states_the_input(grpc_address):
    with grpc.insecure_channel(grpc_address) as channel:
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        request.model_spec.name = "scn"
        response = prediction_service_pb2_grpc.PredictionServiceStub(channel).GetModelMetadata(request, timeout=10)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    image_bytes = signatures.signature_def["serving_default"].inputs["image_bytes"]
    assert (image_bytes.dtype, [dim.size for dim in image_bytes.tensor_shape.dim]) == (tf.string.as_datatype_enum, [-1])


def run_script(*arguments):
    script = [sys.executable, str(REPOSITORY / "export" / "client.py"), *map(str, arguments)]
    return subprocess.run(script, capture_output=True, text=True, timeout=120)


def test_the_script_writes_the_table_of_scn_tf_predict(remote, exported, pictures, run_2d, tmp_path):
    predict, server, _ = remote
    out = tmp_path / "predictions.csv"
    option = "--rest" if predict is client.predict_rest else "--grpc"
    done = run_script(*pictures, option, server, "--out", out, "--names", exported / "assets" / "scn_tf.json")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"4 images, 21 landmarks each, pixel coordinates: {out}\n"
    found, names = predict(server, pictures), scn_tf.load(run_2d).names
    ids = [path.stem for path in pictures]
    columns = zip(*found, strict=True)
    assert out.read_text() == tables.points(ids, names, *columns)
    assert client.predictions_csv(ids, found).splitlines()[2].startswith("hand_007,1,")
    with pytest.raises(client.ClientError, match="names: expected 21"):
        client.predictions_csv(ids, found, names=names[:2])


def test_the_script_says_what_is_wrong_in_one_line(rest_url, pictures, tmp_path):
    out = tmp_path / "predictions.csv"
    for arguments, message in (
        ([pictures[0], pictures[0], "--rest", rest_url], "two files with the ID hand_007"),
        ([pictures[0], "--rest", rest_url, "--names", tmp_path / "none.json"], "none.json: expected assets/scn_tf.json"),
        ([pictures[0], "--rest", rest_url, "--model", "hip"], "Servable not found for request: Latest(hip)"),
    ):
        done = run_script(*arguments, "--out", out)
        assert done.returncode == 1
        assert done.stderr.startswith("error: ")
        assert message in done.stderr
        assert done.stderr.count("\n") == 1
    assert not out.exists()
