"""A study as one job a run: files for SLURM and Kubernetes, to be looked through and submitted by hand."""

import shlex

import yaml


def slurm_script(command, count):
    """Text of an ``sbatch`` script: a job array with one task a run.

    Args:
        command: words of the ``scn-tf study`` command without ``--run``.
        count: number of runs.
    """
    return (
        "#!/bin/bash\n"
        "# sbatch THIS_FILE; when all tasks have ended: the same scn-tf study command with --report.\n"
        f"#SBATCH --job-name=scn-tf-study\n#SBATCH --array=0-{count - 1}\n#SBATCH --cpus-per-task=8\n#SBATCH --mem=8G\n"
        "#SBATCH --output=scn-tf-study-%a.out\n#SBATCH --time=24:00:00\n\n"
        f'{shlex.join(command)} --run "$SLURM_ARRAY_TASK_ID"\n'
    )


def kubernetes_manifest(command, count, *, image="scn-tf:latest", claim="study"):
    """YAML of an indexed Job with one completion a run.

    Args:
        command: words of the ``scn-tf study`` command without ``--run``; its folders must lie below the mount, /study.
        count: number of runs.
        image: container image with scn_tf installed.
        claim: persistent volume claim with data set and study.
    """
    container = {
        "name": "run",
        "image": image,
        # Kubernetes sets the variable in every pod of an indexed job.
        "command": ["sh", "-c", f'{shlex.join(command)} --run "$JOB_COMPLETION_INDEX"'],
        "workingDir": "/study",
        "resources": {"requests": {"cpu": "8", "memory": "8Gi"}},
        "volumeMounts": [{"name": "study", "mountPath": "/study"}],
    }
    volume = {"name": "study", "persistentVolumeClaim": {"claimName": claim}}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "scn-tf-study"},
        "spec": {
            "completions": count,
            "parallelism": min(count, 8),
            "completionMode": "Indexed",
            "backoffLimit": 2 * count,
            "template": {"spec": {"restartPolicy": "OnFailure", "containers": [container], "volumes": [volume]}},
        },
    }
    return yaml.safe_dump(job, sort_keys=False, width=1000)
