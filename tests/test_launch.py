"""Files that start a training on several machines: their form, what they start, and the addresses that the workers find."""

import json
import os
import re
import shlex
import subprocess

import pytest
import yaml

from scn_tf import cli, launch
from scn_tf.environment import cluster
from tests.conftest import REPOSITORY

RUN = "/data/runs/my hands"
TRAIN = ["--config", "hand_xray", "--data.root", "/data/hands", "--run-dir", RUN]
NAME = "scn-tf-my-hands"
KINDS = {
    "slurm": ["--workers", "3", "--gpus", "2"],
    "ssh": ["--hosts", "a,ann@b.example,a"],
    "job": ["--workers", "3"],
    "jobset": ["--workers", "3", "--gpus", "2", "--image", "registry.example/scn-tf:1", "--claim", "hands"],
    "tfjob": ["--workers", "3", "--gpus", "1"],
}
KUBERNETES = ("job", "jobset", "tfjob")
# What the workers of a kind are to find: their addresses.
EXPECTED = {
    "slurm": [f"node{rank}:12345" for rank in range(3)],
    "ssh": ["a:12345", "b.example:12345", "a:12346"],
    "job": [f"{NAME}-{rank}.{NAME}:12345" for rank in range(3)],
    "jobset": [f"{NAME}-workers-0-{rank}.{NAME}:12345" for rank in range(3)],
    "tfjob": [f"{NAME}-worker-{rank}.hands.svc:2222" for rank in range(3)],
}
# The parts of https://github.com/kubernetes-sigs/jobset (v1alpha2) and of Kubeflow's training operator (v1) that a user may write here.
# Pods and jobs in them are checked by Kubernetes' own schemas.
TEXT, COUNT, TRUTH = {"type": "string"}, {"type": "integer", "minimum": 0}, {"type": "boolean"}


def record(required=(), **properties):
    return {"type": "object", "additionalProperties": False, "required": list(required), "properties": properties}


METADATA = record(["name"], name={"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63})
RULE = record(["name", "action"], name=TEXT, action={"enum": ["FailJobSet", "RestartJobSet", "RestartJobSetAndIgnoreMaxRestarts"]})
SCHEMAS = {
    "JobSet": record(
        ["apiVersion", "kind", "metadata", "spec"],
        apiVersion={"const": "jobset.x-k8s.io/v1alpha2"},
        kind={"const": "JobSet"},
        metadata=METADATA,
        spec=record(
            ["replicatedJobs"],
            replicatedJobs={
                "type": "array",
                "minItems": 1,
                "items": record(["name", "template"], name=METADATA["properties"]["name"], replicas=COUNT, template={"type": "object"}),
            },
            network=record(enableDNSHostnames=TRUTH, subdomain=METADATA["properties"]["name"], publishNotReadyAddresses=TRUTH),
            failurePolicy=record(maxRestarts=COUNT, rules={"type": "array", "items": RULE}),
            successPolicy=record(["operator"], operator={"enum": ["All", "Any"]}, targetReplicatedJobs={"type": "array", "items": TEXT}),
            suspend=TRUTH,
            ttlSecondsAfterFinished=COUNT,
        ),
    ),
    "TFJob": record(
        ["apiVersion", "kind", "metadata", "spec"],
        apiVersion={"const": "kubeflow.org/v1"},
        kind={"const": "TFJob"},
        metadata=METADATA,
        spec=record(
            ["tfReplicaSpecs"],
            runPolicy=record(
                cleanPodPolicy={"enum": ["All", "Running", "None"]},
                backoffLimit=COUNT,
                activeDeadlineSeconds=COUNT,
                ttlSecondsAfterFinished=COUNT,
                suspend=TRUTH,
            ),
            successPolicy={"enum": ["", "AllWorkers"]},
            enableDynamicWorker=TRUTH,
            tfReplicaSpecs={
                "type": "object",
                "propertyNames": {"enum": ["PS", "Worker", "Chief", "Master", "Evaluator"]},
                "additionalProperties": record(
                    replicas=COUNT, restartPolicy={"enum": ["Always", "OnFailure", "Never", "ExitCode"]}, template={"type": "object"}
                ),
            },
        ),
    ),
}


@pytest.fixture(params=KINDS)
def written(request, tmp_path):
    """(kind, folder) of the files of each kind."""
    return write(request.param, tmp_path)


def write(kind, folder, train=TRAIN):
    assert cli.main(["deploy", kind, "--out", str(folder / "launch"), *KINDS[kind], "--train", *train]) == 0
    return kind, folder / "launch"


def objects(folder):
    return {found["kind"]: found for found in yaml.safe_load_all((folder / "train.yaml").read_text())}


def pod(folder):
    """The template of a worker's pod."""
    found = objects(folder)
    if "JobSet" in found:
        return found["JobSet"]["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]
    return (found["TFJob"]["spec"]["tfReplicaSpecs"]["Worker"] if "TFJob" in found else found["Job"]["spec"])["template"]


def variables(folder):
    return {variable["name"]: variable["value"] for variable in pod(folder)["spec"]["containers"][0]["env"]}


def environments(kind, folder, run):
    """Environments of the workers by the files, and by what the cluster is known to set."""
    if kind == "slurm":
        said = dict(re.findall(r"^#SBATCH --([a-z-]+)=(.*)$", (folder / "train.sbatch").read_text(), flags=re.M))
        nodes = ",".join(f"node{number}" for number in range(int(said["nodes"])))
        step = {"SLURM_STEP_NODELIST": nodes, "SLURM_STEP_TASKS_PER_NODE": f"{said['ntasks-per-node']}(x{said['nodes']})"}
        return [{**step, "SLURM_PROCID": str(rank)} for rank in range(int(said["nodes"]))]
    if kind == "ssh":
        assert run("bash train.sh").returncode == 0
        return [json.loads((folder / f"worker{rank}.log").read_text())["environment"] for rank in range(3)]
    found = objects(folder)
    if kind == "tfjob":
        replicas = found["TFJob"]["spec"]["tfReplicaSpecs"]
        (container,) = (one for one in replicas["Worker"]["template"]["spec"]["containers"] if one["name"] == "tensorflow")
        (port,) = (one["containerPort"] for one in container["ports"] if one["name"] == "tfjob-port")
        name = found["TFJob"]["metadata"]["name"]
        hosts = [f"{name}-worker-{number}.hands.svc:{port}" for number in range(replicas["Worker"]["replicas"])]
        tasks = [{"type": "worker", "index": number} for number in range(len(hosts))]
        return [{"TF_CONFIG": json.dumps({"cluster": {"worker": hosts}, "task": task, "environment": "cloud"})} for task in tasks]
    job = (found["JobSet"]["spec"]["replicatedJobs"][0]["template"] if kind == "jobset" else found["Job"])["spec"]
    assert job["completions"] == job["parallelism"]
    return [{**variables(folder), "JOB_COMPLETION_INDEX": str(number)} for number in range(job["completions"])]


@pytest.fixture
def run(tmp_path):
    """Runs a shell command in the folder of the files. ``scn-tf`` says what it received, ``ssh`` and ``srun`` start it here."""
    commands = {
        "scn-tf": f"exec {shlex.quote(os.sys.executable)} -c "
        "'import json, os, sys; print(json.dumps(dict(words=sys.argv[1:], environment=dict(os.environ))))' \"$@\"",
        "ssh": 'test "$1 $2" = "-o BatchMode=yes" && exec sh -c "$4"',
        "srun": 'shift 2; test -z "$FAILS" && exec "$@"',
        "scontrol": 'echo "$@"',
    }
    (tmp_path / "bin").mkdir()
    for name, text in commands.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / "bin" / name).chmod(0o755)

    def start(command, **environment):
        path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
        return subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path / "launch",
            env={**os.environ, "PATH": path, **environment},
            capture_output=True,
            text=True,
        )

    return start


def test_every_kind_has_a_test():
    assert {*launch.KINDS} == {*KINDS}


def test_the_workers_find_the_addresses_that_the_cluster_gives_them(written, run):
    kind, folder = written
    found = [cluster.find(environment) for environment in environments(kind, folder, run)]
    assert found == [cluster.Cluster(tuple(EXPECTED[kind]), rank) for rank in range(3)]


def test_names_of_kubernetes_pods_are_those_of_the_addresses(tmp_path):
    """``JOB-INDEX.SUBDOMAIN`` of an indexed Job, ``JOBSET-JOB-0-INDEX.SUBDOMAIN`` of a JobSet, where a headless service has that name."""
    _, folder = write("job", tmp_path)
    found = objects(folder)
    job, service = found["Job"], found["Service"]
    assert service["spec"] == {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": {"job-name": job["metadata"]["name"]}}
    hosts = [f"{job['metadata']['name']}-{number}.{service['metadata']['name']}" for number in range(3)]
    assert pod(folder)["spec"]["subdomain"] == service["metadata"]["name"]
    assert variables(folder)["SCN_TF_WORKERS"] == ",".join(f"{host}:12345" for host in hosts)
    _, folder = write("jobset", tmp_path / "set")
    jobset = objects(folder)["JobSet"]
    (job,), network = jobset["spec"]["replicatedJobs"], jobset["spec"]["network"]
    hosts = [f"{jobset['metadata']['name']}-{job['name']}-0-{number}.{network['subdomain']}" for number in range(3)]
    assert network["enableDNSHostnames"]
    assert network["publishNotReadyAddresses"]
    assert variables(folder)["SCN_TF_WORKERS"] == ",".join(f"{host}:12345" for host in hosts)
    for kind in KUBERNETES:
        _, folder = write(kind, tmp_path / kind, ["--run-dir", f"runs/{'Long_name' * 30}"])
        assert len(f"{objects(folder)['Job' if kind == 'job' else next(iter(objects(folder)))]['metadata']['name']}-workers-0-9999") <= 63


@pytest.mark.parametrize("kind", KUBERNETES)
def test_manifests_follow_the_schemas_of_kubernetes(kind, tmp_path):
    jsonschema = pytest.importorskip("jsonschema")
    kubernetes = pytest.importorskip("kubernetes_validate")
    _, folder = write(kind, tmp_path)
    version = kubernetes.latest_version()
    for name, found in objects(folder).items():
        if name in SCHEMAS:
            jsonschema.validate(found, SCHEMAS[name])
        else:
            kubernetes.validate(found, version, strict=True)
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "a"}, "spec": {"template": pod(folder)}}
    if kind == "jobset":
        job["spec"] = objects(folder)["JobSet"]["spec"]["replicatedJobs"][0]["template"]["spec"]
    kubernetes.validate(job, version, strict=True)
    job["spec"]["template"]["spec"]["containers"][0]["port"] = 1
    with pytest.raises(kubernetes.ValidationError):
        kubernetes.validate(job, version, strict=True)


@pytest.mark.parametrize("kind", ["JobSet", "TFJob"])
def test_the_schemas_find_misspelt_fields(kind, tmp_path):
    jsonschema = pytest.importorskip("jsonschema")
    _, folder = write(kind.lower(), tmp_path)
    found = objects(folder)[kind]
    found["spec"]["replicas"] = 1
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(found, SCHEMAS[kind])


def script(kind, folder):
    """Command that starts a worker."""
    return {"slurm": "bash train.sbatch", "ssh": "sh worker.sh"}.get(kind) or shlex.join(pod(folder)["spec"]["containers"][0]["command"])


def test_shells_accept_the_scripts(written):
    kind, folder = written
    texts = [path.read_text() for path in folder.iterdir() if path.suffix != ".yaml"]
    texts += [pod(folder)["spec"]["containers"][0]["command"][2]] if kind in KUBERNETES else []
    assert texts
    for text in texts:
        subprocess.run(["bash", "-n"], input=text, text=True, check=True)
        assert not re.search("@[a-z]+@", text)  # of the template


def test_the_same_training_starts_and_resumes_where_there_is_a_run(tmp_path, run):
    for kind in KINDS:
        place = tmp_path / kind
        folder = write(kind, place, ["--config", "hand_xray", "--run-dir", str(place / "my run")])[1]
        (tmp_path / "launch").unlink(missing_ok=True)
        (tmp_path / "launch").symlink_to(folder)
        words = ["train", "--config", "hand_xray", "--run-dir", str(place / "my run"), "--train.strategy", "multi_worker"]
        for resumed in ([], ["--resume"]):
            done = run(script(kind, folder))
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout)["words"] == [*words, *resumed]
            (place / "my run").mkdir(exist_ok=True)
            (place / "my run" / "config.yaml").touch()


def test_a_slurm_job_is_queued_again_three_times(tmp_path, run):
    write("slurm", tmp_path)
    for number in range(5):
        done = run("bash train.sbatch", FAILS="1", SLURM_JOB_ID="7", SLURM_RESTART_COUNT=str(number))
        assert done.returncode == 1
        assert done.stdout == ("requeue 7\n" if number < 3 else "")


def test_a_worker_that_fails_is_named(tmp_path, run):
    write("ssh", tmp_path)
    (tmp_path / "bin" / "scn-tf").write_text('#!/bin/sh\ntest "$SCN_TF_RANK" != 1\n')
    done = run("bash train.sh")
    assert done.returncode == 1
    assert done.stderr == "worker 1 (ann@b.example) failed, see worker1.log\n"


@pytest.mark.parametrize("kind", KINDS)
def test_gpus_are_asked_for_where_they_are_wanted(kind, tmp_path):
    _, folder = write(kind, tmp_path)
    text = "".join(path.read_text() for path in folder.iterdir())
    wanted = dict(zip(KINDS[kind][::2], KINDS[kind][1::2], strict=True)).get("--gpus")
    lines = {"slurm": f"#SBATCH --gpus-per-node={wanted}\n"}
    assert (lines.get(kind, f"nvidia.com/gpu: '{wanted}'\n") in text) == (wanted is not None)
    assert wanted is not None or "gpu" not in text


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("slurm", "--out: name the folder to write."),
        ("slurm --out X --train --config a", "--train: needs --run-dir FOLDER"),
        ("slurm --out X --train --run-dir r --resume", "--train: the files add --train.strategy multi_worker, and --resume"),
        ("slurm --out X --train --run-dir r --train.strategy auto", "--train: the files add --train.strategy multi_worker"),
        ("slurm --out X --workers 1 --train --run-dir r", "--workers: expected a number from 2 to 10000, received 1."),
        ("slurm --out X --hosts a,b --train --run-dir r", "--hosts: not for kind slurm."),
        ("serving --out X --workers 2", "--workers: not for kind serving."),
        ("ssh --out X --train --run-dir r", "hosts: expected two or more names, received 0"),
        ("ssh --out X --hosts a,b;c --train --run-dir r", "hosts: expected addresses HOST:PORT, received 'b;c:12345'"),
        ("slrm --out X --train --run-dir r", "kind of launch files slrm: unknown; did you mean slurm?"),
    ],
)
def test_what_cannot_be_launched_is_refused(line, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["deploy", *line.split()]) == 1
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_edited_files_stay(tmp_path, capsys):
    _, folder = write("slurm", tmp_path)
    (folder / "train.sbatch").write_text("#SBATCH --partition=long\n")
    assert cli.main(["deploy", "slurm", "--out", str(folder), "--train", *TRAIN]) == 1
    assert "already exists with other contents" in capsys.readouterr().err
    assert (folder / "train.sbatch").read_text() == "#SBATCH --partition=long\n"


def test_a_folder_alone_gets_the_files_of_the_server(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["deploy", "one"]) == cli.main(["deploy", "serving", "--out", "two"]) == 0
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == sorted(path.name for path in (tmp_path / "two").iterdir())


def test_templates_are_part_of_the_package():
    assert '"scn_tf.launch" = ["templates/*"]' in (REPOSITORY / "pyproject.toml").read_text()
