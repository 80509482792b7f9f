"""JobSet (https://jobset.sigs.k8s.io): Kubernetes starts all workers again when one is lost."""

from scn_tf.launch import pods
from scn_tf.launch.kind import RESTARTS, Kind, Launch

JOBS = "workers"


def files(launch: Launch) -> dict[str, str]:
    """See :class:`scn_tf.launch.kind.Kind`. A pod is named JOBSET-JOBS-JOB-POD, in the subdomain JOBSET."""
    name = launch.name
    variables = pods.addresses([f"{name}-{JOBS}-0-{rank}.{name}" for rank in range(launch.workers)])
    job = {
        "completionMode": "Indexed",
        "completions": launch.workers,
        "parallelism": launch.workers,
        "backoffLimit": 0,  # a lost worker is for the set, which starts all of them again
        "template": pods.template(launch, variables, restart="Never"),
    }
    jobset = {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": {"name": name},
        "spec": {
            "network": {"enableDNSHostnames": True, "publishNotReadyAddresses": True, "subdomain": name},
            "failurePolicy": {"maxRestarts": RESTARTS},
            "replicatedJobs": [{"name": JOBS, "replicas": 1, "template": {"spec": job}}],
        },
    }
    return pods.manifest(jobset)


JOBSET = Kind(
    name="jobset",
    description="a JobSet of Kubernetes",
    files=files,
    start="kubectl apply -f train.yaml",
    uses=("workers", "gpus", "image", "claim"),
    rank=4,
)
