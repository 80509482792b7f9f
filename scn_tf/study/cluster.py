"""Files for SLURM and Kubernetes that run a study with one job per run. Users check and submit them."""

import re
import shlex
from collections.abc import Sequence

import yaml

from scn_tf.environment.cores import THREAD_VARIABLES

CORES = 8  # of a task


def slurm_script(command: Sequence[str], count: int, *, name: str) -> str:
    """Text of an ``sbatch`` script: a job array with one task per run.

    Args:
        name: of the study.  command: words of the ``scn-tf study`` command without ``--run``.
        count: number of runs.
    """
    return (
        "#!/bin/bash\n"
        "# sbatch THIS_FILE; when all tasks have ended: the same scn-tf study command with --report.\n"
        f"#SBATCH --job-name={job_name(name)}\n#SBATCH --array=0-{count - 1}\n#SBATCH --cpus-per-task={CORES}\n#SBATCH --mem=8G\n"
        f"#SBATCH --output={job_name(name)}-%a.out\n#SBATCH --time=24:00:00\n\n"
        f'{shlex.join(command)} --run "$SLURM_ARRAY_TASK_ID"\n'
    )


KUBERNETES_NOTE = """\
# kubectl apply -f THIS_FILE; when all pods have ended: the same scn-tf study command with --report.
# Fill in: image, a container image with scn_tf and its extras; claimName, a volume with the study's file, its base and the data set.
# The command runs in that volume, mounted at /study: its paths must be relative to it, or begin with /study.
"""


def job_name(study: str) -> str:
    """``scn-tf-`` and a study's name, in characters allowed in job names. It is short enough for a pod's ``NAME-INDEX`` (63)."""
    return f"scn-tf-{re.sub(r'[^a-z0-9]+', '-', study.lower()).strip('-') or 'study'}"[:55].rstrip("-")


def kubernetes_manifest(command: Sequence[str], count: int, *, name: str, image: str = "scn-tf:latest", claim: str = "study") -> str:
    """YAML of an indexed Job with one completion per run.

    Args:
        command: words of the ``scn-tf study`` command without ``--run``; its folders must lie below the mount, /study.
        count: number of runs.
        name: of the study.
        image: container image with scn_tf installed.
        claim: persistent volume claim with data set and study.
    """
    container = {
        "name": "run",
        "image": image,
        # Kubernetes sets the variable in every pod of an indexed job.
        "command": ["sh", "-c", f'{shlex.join(command)} --run "$JOB_COMPLETION_INDEX"'],
        "workingDir": "/study",
        # A limit is no news to the libraries: without these they would start a thread for every core of the node.
        "env": [{"name": variable, "value": str(CORES)} for variable in THREAD_VARIABLES],
        "resources": {"requests": {"cpu": str(CORES), "memory": "8Gi"}, "limits": {"memory": "16Gi"}},
        "volumeMounts": [{"name": "study", "mountPath": "/study"}],
    }
    volume = {"name": "study", "persistentVolumeClaim": {"claimName": claim}}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": job_name(name)},
        "spec": {
            "completions": count,
            "parallelism": min(count, 8),
            "completionMode": "Indexed",
            # Of each run alone, since Kubernetes 1.29: one that always fails must not end the others.
            "backoffLimitPerIndex": 2,
            "maxFailedIndexes": count,
            "template": {"spec": {"restartPolicy": "Never", "containers": [container], "volumes": [volume]}},
        },
    }
    return KUBERNETES_NOTE + yaml.safe_dump(job, sort_keys=False, width=1000)
