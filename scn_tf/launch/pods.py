"""What all kinds of launch files for Kubernetes share: the pod of a worker, and the text of a manifest."""

from typing import Any

import yaml

from scn_tf.environment.cluster import PORT
from scn_tf.launch.kind import CORES, Launch, filled

NOTE = """\
# kubectl apply -f train.yaml
# Check: image, a container image with scn_tf; claimName, a volume with the data set and the run, which all pods can mount; resources.
# The command runs in that volume, mounted at /data: its paths must be relative to it, or begin with /data.
"""
THREADS = ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS")


def template(
    launch: Launch, environment: dict[str, str], *, restart: str | None, container: str = "train", port: str = "train", number: int = PORT
) -> dict[str, Any]:
    """Template of a worker's pod.

    Args:
        launch: :class:`scn_tf.launch.kind.Launch`.
        environment: variables that name the workers.
        restart: ``restartPolicy``. None: it is stated elsewhere.
        container: name of the container.
        port: name of its port.
        number: of the port.
    """
    # A request is no news to the libraries: without these they would start a thread for every core of the node.
    variables = {**environment, **{name: str(CORES) for name in THREADS}}
    mounts = [{"name": "data", "mountPath": "/data"}]
    volumes: list[dict[str, Any]] = [{"name": "data", "persistentVolumeClaim": {"claimName": launch.claim}}]
    limits = {"memory": "32Gi"}
    if launch.gpus:
        limits["nvidia.com/gpu"] = str(launch.gpus)
        mounts.append({"name": "shared-memory", "mountPath": "/dev/shm"})  # over which GPUs of a pod exchange gradients
        volumes.append({"name": "shared-memory", "emptyDir": {"medium": "Memory"}})
    one = {
        "name": container,
        "image": launch.image,
        "command": ["sh", "-c", filled("worker.sh", launch)],
        "workingDir": "/data",
        "env": [{"name": name, "value": value} for name, value in variables.items()],
        "ports": [{"name": port, "containerPort": number}],
        "resources": {"requests": {"cpu": str(CORES), "memory": "16Gi"}, "limits": limits},
        "volumeMounts": mounts,
    }
    # A sidecar would stand between the workers.
    return {
        "metadata": {"annotations": {"sidecar.istio.io/inject": "false"}},
        "spec": {**({"restartPolicy": restart} if restart else {}), "containers": [one], "volumes": volumes},
    }


def addresses(hosts: list[str]) -> dict[str, str]:
    """Variables that name the workers in the pods of an indexed job, which Kubernetes numbers."""
    return {"SCN_TF_WORKERS": ",".join(f"{host}:{PORT}" for host in hosts)}


def manifest(*objects: dict[str, Any]) -> dict[str, str]:
    """The file of a manifest."""
    return {"train.yaml": NOTE + yaml.dump_all(objects, Dumper=_Dumper, sort_keys=False, width=1000)}


class _Dumper(yaml.SafeDumper):
    """Writes scripts as they are, line by line."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        return self.represent_scalar("tag:yaml.org,2002:str", data, style="|" if "\n" in data else None)


_Dumper.add_representer(str, _Dumper.represent_str)
