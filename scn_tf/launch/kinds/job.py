"""Kubernetes without extensions: an indexed Job, and the headless Service that gives its pods names."""

from scn_tf.launch import pods
from scn_tf.launch.kind import RESTARTS, Kind, Launch


def files(launch: Launch) -> dict[str, str]:
    """See :class:`scn_tf.launch.kind.Kind`."""
    name = launch.name
    variables = pods.addresses([f"{name}-{rank}.{name}" for rank in range(launch.workers)])
    pod = pods.template(launch, variables, restart="OnFailure")
    pod["spec"]["subdomain"] = name
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        # Workers look for each other before they are ready.
        "spec": {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": {"job-name": name}},
    }
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {
            "completionMode": "Indexed",
            "completions": launch.workers,
            "parallelism": launch.workers,
            "backoffLimit": RESTARTS * launch.workers,  # a lost worker ends all, and each end counts
            "template": pod,
        },
    }
    return pods.manifest(service, job)


JOB = Kind(
    name="job",
    description="an indexed Job of Kubernetes",
    files=files,
    start="kubectl apply -f train.yaml",
    uses=("workers", "gpus", "image", "claim"),
    rank=3,
)
