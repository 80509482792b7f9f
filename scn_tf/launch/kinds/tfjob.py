"""TFJob of Kubeflow's training operator, which sets ``TF_CONFIG``."""

from scn_tf.launch import pods
from scn_tf.launch.kind import RESTARTS, Kind, Launch

CONTAINER, PORT_NAME, PORT = "tensorflow", "tfjob-port", 2222  # the operator looks for these


def files(launch: Launch) -> dict[str, str]:
    """See :class:`scn_tf.launch.kind.Kind`. The training has ended when the first worker has."""
    pod = pods.template(launch, {}, restart=None, container=CONTAINER, port=PORT_NAME, number=PORT)
    job = {
        "apiVersion": "kubeflow.org/v1",
        "kind": "TFJob",
        "metadata": {"name": launch.name},
        "spec": {
            "runPolicy": {"backoffLimit": RESTARTS * launch.workers, "cleanPodPolicy": "None"},
            "tfReplicaSpecs": {"Worker": {"replicas": launch.workers, "restartPolicy": "OnFailure", "template": pod}},
        },
    }
    return pods.manifest(job)


TFJOB = Kind(
    name="tfjob",
    description="a TFJob of Kubeflow",
    files=files,
    start="kubectl apply -f train.yaml",
    uses=("workers", "gpus", "image", "claim"),
    rank=5,
)
