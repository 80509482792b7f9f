"""Which processes train together, by the environment variables of whatever started them."""

import json
import os
import re
from collections.abc import Mapping
from typing import NamedTuple

from scn_tf.errors import ConfigError

PORT = 12345  # of SLURM tasks, which state none; a second task of a host takes the next
WAYS = "TF_CONFIG, or SCN_TF_WORKERS with SCN_TF_RANK or JOB_COMPLETION_INDEX, or start it by srun"


class Cluster(NamedTuple):
    """Processes that train together.

    Fields:
        - ``addresses``: ``HOST:PORT`` of each, in the order of their ranks. The first is the chief, who writes the run.
        - ``rank``: of this process, from 0.
    """

    addresses: tuple[str, ...]
    rank: int


def find(environment: Mapping[str, str] = os.environ) -> Cluster:
    """Cluster by the first of these that is set.

    - ``TF_CONFIG``: TensorFlow's own variable, which Kubeflow's TFJob sets. Tasks ``chief`` and ``worker`` train.
    - ``SCN_TF_WORKERS``: addresses separated by commas, with the rank in ``SCN_TF_RANK`` or, in an indexed job of Kubernetes,
      ``JOB_COMPLETION_INDEX``.
    - ``SLURM_PROCID`` and the other variables of a step that ``srun`` starts. Ports begin at ``SCN_TF_PORT``.

    Raises:
        ConfigError: none is set, or one holds something else.
    """
    if environment.get("TF_CONFIG"):
        return checked(*_of_tensorflow(environment["TF_CONFIG"]), "TF_CONFIG")
    if environment.get("SCN_TF_WORKERS"):
        name = "SCN_TF_RANK" if environment.get("SCN_TF_RANK") else "JOB_COMPLETION_INDEX"
        addresses = [address.strip() for address in environment["SCN_TF_WORKERS"].split(",")]
        return checked(addresses, _number(environment, name), "SCN_TF_WORKERS")
    if environment.get("SLURM_STEP_NODELIST"):
        return checked(_of_slurm(environment), _number(environment, "SLURM_PROCID"), "SLURM_STEP_NODELIST")
    if "JOB_COMPLETION_INDEX" in environment:
        raise ConfigError("SCN_TF_WORKERS: is not set. An indexed job of Kubernetes needs the addresses of all its pods there.")
    raise ConfigError(f"train.strategy: multi_worker needs to know the workers. Set {WAYS}.")


def _of_tensorflow(text: str) -> tuple[list[str], int]:
    """Addresses and own rank by ``TF_CONFIG``."""
    try:
        values = json.loads(text)
        jobs, task = values["cluster"], values["task"]
        if other := sorted({*jobs, task["type"]} - {"chief", "worker"}):
            raise ConfigError(f"TF_CONFIG: expected tasks chief and worker, received {', '.join(other)}.")
        first, own = jobs.get("chief", []), int(task["index"])
        if not 0 <= own < len(jobs[task["type"]]):
            raise ConfigError(f"TF_CONFIG: task {task['type']} {own} is not among its {len(jobs[task['type']])} addresses.")
        return [*first, *jobs.get("worker", [])], own + (len(first) if task["type"] == "worker" else 0)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, ConfigError):
            raise
        form = '{"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": "worker", "index": 0}}'
        raise ConfigError(f"TF_CONFIG: expected {form}.") from None


def _of_slurm(environment: Mapping[str, str]) -> list[str]:
    """Addresses of the tasks of a step. TensorFlow's resolver reads the host list; it counts tasks as srun places them by default."""
    from tensorflow.python.distribute.cluster_resolver import slurm_cluster_resolver as slurm

    port = _number(environment, "SCN_TF_PORT") if environment.get("SCN_TF_PORT") else PORT
    try:
        hosts = slurm.expand_hostlist(environment["SLURM_STEP_NODELIST"])
        counts = slurm.expand_tasks_per_node(environment["SLURM_STEP_TASKS_PER_NODE"])
        return [f"{host}:{port + task}" for host, count in zip(hosts, counts, strict=True) for task in range(count)]
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise ConfigError(f"SLURM_STEP_NODELIST, SLURM_STEP_TASKS_PER_NODE: cannot be read ({error}); set SCN_TF_WORKERS.") from None


def _number(environment: Mapping[str, str], name: str) -> int:
    text = environment.get(name, "")
    if not re.fullmatch(r"[0-9]{1,6}", text):
        raise ConfigError(f"{name}: expected a whole number from 0, received {text[:40]!r}.")
    return int(text)


def checked(addresses: list[str], rank: int, source: str) -> Cluster:
    """Cluster of these addresses.

    Raises:
        ConfigError: one is no address or is listed twice, or there is none of this rank. The message begins with ``source``.
    """
    for address in addresses:
        found = re.fullmatch(r"[A-Za-z0-9._-]+:([0-9]{1,5})", address) if isinstance(address, str) else None
        if not found or not 0 < int(found[1]) < 2**16:
            raise ConfigError(f"{source}: expected addresses HOST:PORT, received {str(address)[:80]!r}.")
    if len({*addresses}) < len(addresses):
        raise ConfigError(f"{source}: an address is listed twice; workers on one host need ports of their own.")
    if rank >= len(addresses):
        raise ConfigError(f"{source}: has {len(addresses)} addresses, and none for the worker of rank {rank}.")
    return Cluster(tuple(addresses), rank)
