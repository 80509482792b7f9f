"""TensorFlow Serving: warm-up requests in the export, and configuration files that agree with each other and with it."""

import http.server
import json
import subprocess
import sys
import threading

import numpy as np
import pytest
import tensorflow as tf
import yaml
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2
from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.config import model_server_config_pb2

from scn_tf import export
from scn_tf.errors import CheckpointError
from scn_tf.export import warmup
from scn_tf.serving import client, deploy

FOLDER = deploy.SOURCE


def read_records(path):
    for record in tf.data.TFRecordDataset([str(path)]):
        yield prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("saved_2d", [("serve_input", (1, 48, 32, 1)), ("serving_default", (1,)), ("serving_default", (8,))]),
        ("saved_3d", [("serve_input", (1, 8, 16, 12, 1))]),
    ],
)
def test_warm_up_requests_run_on_the_exported_model(kind, expected, request):
    version = request.getfixturevalue(kind)
    path = version / "assets.extra" / "tf_serving_warmup_requests"
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert path.stat().st_size < 2_000_000
    module = tf.saved_model.load(str(version))
    seen = []
    for log in read_records(path):
        assert log.model_spec.name == "scn"
        inputs = {name: tf.constant(tf.make_ndarray(tensor)) for name, tensor in log.inputs.items()}
        result = module.signatures[log.model_spec.signature_name](**inputs)
        (tensor,) = inputs.values()
        seen.append((log.model_spec.signature_name, tuple(tensor.shape)))
        assert len(result["landmarks"]) == len(tensor)
        assert np.isfinite(result["landmarks"]).all()
    assert seen == expected


def test_without_tensorflow_serving_api_one_warning_and_no_file(run_2d, tmp_path, monkeypatch):
    version = export.export_saved_model(run_2d, tmp_path)
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setitem(sys.modules, "tensorflow_serving.apis", None)
    if (version / warmup.WARMUP_FILE).exists():
        (version / warmup.WARMUP_FILE).unlink()
        before.remove(version / warmup.WARMUP_FILE)
    with pytest.warns(warmup.WarmupWarning, match="pip install 'tensorflow-serving-api>=2.21,<2.22'") as caught:
        assert warmup.write_warmup(version) is None
    assert len(caught) == 1
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("content", [None, b"no protobuf", b""])
def test_warm_up_refuses_a_folder_that_holds_no_export(tmp_path, content):
    if content is not None:
        (tmp_path / "saved_model.pb").write_bytes(content)
    with pytest.raises(CheckpointError, match="expected an exported version such as OUT/1"):
        warmup.write_warmup(tmp_path)
    assert not (tmp_path / "assets.extra").exists()


# monitoring_config.proto and session_bundle_config.proto are in TF Serving's repository but in no wheel: the messages by
# their documented names, numbers and types. "[]" marks a repeated field.
MESSAGES = {
    "PrometheusConfig": {"enable": (1, "bool"), "path": (2, "string")},
    "MonitoringConfig": {"prometheus_config": (1, ".scn_tf.test.PrometheusConfig")},
    "BatchingParameters": {
        "max_batch_size": (1, ".google.protobuf.Int64Value"),
        "batch_timeout_micros": (2, ".google.protobuf.Int64Value"),
        "max_enqueued_batches": (3, ".google.protobuf.Int64Value"),
        "num_batch_threads": (4, ".google.protobuf.Int64Value"),
        "thread_pool_name": (5, ".google.protobuf.StringValue"),
        "allowed_batch_sizes": (6, "int64[]"),
        "pad_variable_length_inputs": (7, "bool"),
    },
}


@pytest.fixture(scope="module")
def documented():
    """Message classes of :data:`MESSAGES` by name."""
    file = descriptor_pb2.FileDescriptorProto(name="scn_tf_test.proto", package="scn_tf.test", syntax="proto3")
    file.dependency.append(wrappers_pb2.DESCRIPTOR.name)
    kinds = descriptor_pb2.FieldDescriptorProto
    for message, fields in MESSAGES.items():
        described = file.message_type.add(name=message)
        for name, (number, kind) in fields.items():
            field = described.field.add(name=name, number=number, label=kinds.LABEL_REPEATED if "[]" in kind else kinds.LABEL_OPTIONAL)
            if kind.startswith("."):
                field.type, field.type_name = kinds.TYPE_MESSAGE, kind
            else:
                field.type = kinds.Type.Value(f"TYPE_{kind.removesuffix('[]').upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"scn_tf.test.{name}")) for name in MESSAGES}


def parse(name, message):
    return text_format.Parse((FOLDER / name).read_text(), message)


@pytest.fixture(scope="module")
def model():
    (model,) = parse("models.config", model_server_config_pb2.ModelServerConfig()).model_config_list.config
    return model


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load((FOLDER / "docker-compose.yml").read_text())["services"]["serving"]


@pytest.fixture(scope="module")
def kubernetes():
    return {entry["kind"]: entry for entry in yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text())}


@pytest.fixture(scope="module")
def pod(kubernetes):
    return kubernetes["Deployment"]["spec"]["template"]["spec"]


def flags(arguments):
    return dict(argument.removeprefix("--").split("=", 1) for argument in arguments)


def test_the_server_configuration_names_one_model(model):
    assert (model.name, model.base_path, model.model_platform) == ("scn", "/models/scn", "tensorflow")
    assert model.model_version_policy.latest.num_versions == 1


def test_batches_fit_the_client_and_the_warm_up_requests(documented):
    batching = parse("batching.config", documented["BatchingParameters"]())
    sizes = list(batching.allowed_batch_sizes)
    # TF Serving's own conditions: increasing, the last one the largest batch.
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == batching.max_batch_size.value == client.MAX_BATCH == max(warmup.write_warmup.__kwdefaults__["batch_sizes"])
    assert min(batching.num_batch_threads.value, batching.max_enqueued_batches.value, batching.batch_timeout_micros.value) > 0


def test_monitoring_is_on_where_kubernetes_looks(documented, kubernetes):
    prometheus = parse("monitoring.config", documented["MonitoringConfig"]()).prometheus_config
    notes = kubernetes["Deployment"]["spec"]["template"]["metadata"]["annotations"]
    assert prometheus.enable
    assert (notes["prometheus.io/path"], notes["prometheus.io/port"]) == (prometheus.path, "8501")


def test_both_deployments_start_the_same_server(compose, pod):
    (container,) = pod["containers"]
    assert container["image"] == compose["image"]
    assert container["command"] == compose["entrypoint"] == ["/usr/bin/tensorflow_model_server"]
    assert flags(compose["command"]).items() <= flags(container["args"]).items()
    # A server reads what a TensorFlow of its own version wrote.
    tag = compose["image"].removeprefix("tensorflow/serving:")
    assert tag.split(".")[:2] == tf.__version__.split(".")[:2]


@pytest.mark.parametrize("where", ["compose", "kubernetes"])
def test_every_path_on_the_command_line_is_mounted_read_only(where, compose, kubernetes, pod, model):
    if where == "compose":
        arguments = flags(compose["command"])
        mounts = {mount["target"]: mount["read_only"] for mount in compose["volumes"]}
        configured = {f"/config/{path.name}" for path in FOLDER.glob("*.config")}
        assert [mount["source"] for mount in compose["volumes"] if mount["target"] == "/config"] == ["."]
        models = "/models/scn"
    else:
        (container,) = pod["containers"]
        arguments = flags(container["args"])
        mounts = {mount["mountPath"]: mount.get("readOnly", False) for mount in container["volumeMounts"]}
        assert {volume["name"] for volume in pod["volumes"]} == {mount["name"] for mount in container["volumeMounts"]}
        configured = {f"/config/{name}" for name in kubernetes["ConfigMap"]["data"]}
        models = "/models"
    named = {arguments[flag] for flag in ("model_config_file", "batching_parameters_file", "monitoring_config_file")}
    assert named == configured
    assert arguments["enable_batching"] == "true"
    assert mounts["/config"] is mounts[models] is True
    assert model.base_path.startswith(models)
    assert (arguments["port"], arguments["rest_api_port"]) == ("8500", "8501")


def test_compose_limits_the_container(compose):
    assert compose["ports"] == ["127.0.0.1:8500:8500", "127.0.0.1:8501:8501"]
    assert compose["user"].split(":")[0] != "0"
    assert compose["read_only"] is True
    assert compose["cap_drop"] == ["ALL"]
    assert compose["deploy"]["resources"]["limits"] == {"cpus": "2", "memory": "8G"}


def test_kubernetes_limits_the_container_and_asks_the_status_route(kubernetes, pod, model):
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"] == {"cpu": "2", "memory": "8Gi"}
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"grpc": 8500, "rest": 8501}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == {"path": f"/v1/models/{model.name}", "port": "rest"}
    assert {port["name"]: (port["port"], port["targetPort"]) for port in kubernetes["Service"]["spec"]["ports"]} == {
        "grpc": (8500, "grpc"),
        "rest": (8501, "rest"),
    }
    labels = kubernetes["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert kubernetes["Service"]["spec"]["selector"] == kubernetes["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    claimed = [volume["persistentVolumeClaim"]["claimName"] for volume in pod["volumes"] if "persistentVolumeClaim" in volume]
    assert claimed == [kubernetes["PersistentVolumeClaim"]["metadata"]["name"]]


def test_kubernetes_carries_the_configuration_files_word_for_word(kubernetes):
    assert kubernetes["ConfigMap"]["data"] == {path.name: path.read_text() for path in FOLDER.glob("*.config")}


@pytest.mark.parametrize(("state", "healthy"), [("AVAILABLE", True), ("LOADING", False)])
def test_the_health_check_of_compose_runs_without_curl(compose, state, healthy):
    class Status(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            content = json.dumps({"model_version_status": [{"version": "1", "state": state}]}, indent=1).encode()
            self.send_response(200 if self.path == "/v1/models/scn" else 404)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content if self.path == "/v1/models/scn" else b" " * len(content))

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Status) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        kind, *command = compose["healthcheck"]["test"]
        command = [part.replace("/8501 ", f"/{server.server_port} ") for part in command]
        done = subprocess.run(command, timeout=10, capture_output=True)
        server.shutdown()
    assert kind == "CMD"
    assert (done.returncode == 0) is healthy, done.stderr
