"""The processors of this machine: cores that this process may use, hyper-threads and memory nodes among them."""

import os
import platform
from pathlib import Path

from scn_tf.environment.memory import CGROUP, first_line

SYSTEM, INFO = Path("/sys/devices/system"), Path("/proc/cpuinfo")
VARIABLE = "TF_NUM_INTRAOP_THREADS"  # TensorFlow's own, which takes precedence


def numbers() -> set[int]:
    """Numbers of the processors that the system lets this process use. A job of a cluster may have some of the machine's."""
    return set(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def count_cores() -> int:
    """Number of cores that this process may use, by its affinity and the quota of its container."""
    cores = len(numbers())
    return min([cores, *(max(1, round(quota)) for quota in _quotas())])


def physical_cores() -> int:
    """The same without hyper-threads: each pair of them counts once. As many as :func:`count_cores` where the system does not tell."""
    files = [SYSTEM / "cpu" / f"cpu{number}" / "topology" / "core_cpus_list" for number in numbers()]
    cores = {first_line(file) for file in files}
    return count_cores() if "" in cores else min(len(cores), count_cores())


def memory_nodes() -> int:
    """Number of memory nodes (NUMA) whose processors this process may use."""
    lists = [first_line(file) for file in (SYSTEM / "node").glob("node[0-9]*/cpulist")]
    return max(1, sum(bool(_listed(one) & numbers()) for one in lists))


def name() -> str:
    """Name of the processor's model."""
    try:
        lines = INFO.read_text().splitlines()
    except OSError:
        lines = []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor())


def stated_threads() -> int | None:
    """Number of threads that the environment states for TensorFlow. None if it states none."""
    stated = os.environ.get(VARIABLE, "")
    return int(stated) if stated.isdecimal() and int(stated) else None


def _quotas() -> list[float]:
    """Cores that the time of the container, and of the groups around it, amounts to."""
    own = next((line[3:].strip("/") for line in _lines(Path("/proc/self/cgroup")) if line.startswith("0::")), "")
    group, limits = CGROUP / own, [first_line(CGROUP / "cpu" / f"cpu.cfs_{part}_us") for part in ("quota", "period")]
    texts = [" ".join(limits), first_line(CGROUP / "cpu.max")]
    while group != CGROUP and CGROUP in group.parents:
        texts.append(first_line(group / "cpu.max"))
        group = group.parent
    pairs = [text.split() for text in texts]
    return [int(pair[0]) / int(pair[1]) for pair in pairs if len(pair) == 2 and all(part.isdecimal() and int(part) for part in pair)]


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _listed(text: str) -> set[int]:
    """Numbers of a list of the system, such as ``0-3,8``."""
    ends = [part.split("-") for part in text.split(",") if part]
    return {number for pair in ends for number in range(int(pair[0]), int(pair[-1]) + 1)}
