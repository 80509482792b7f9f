"""How several processes share the processor's cores."""

import os

from scn_tf.environment import processors

# TensorFlow's, NumPy's and scikit-learn's.
THREAD_VARIABLES = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", "LOKY_MAX_CPU_COUNT")


def threads_of_each(processes: int) -> int | None:
    """Number of threads for each of several parallel processes. None for a single process, which is not limited."""
    return None if processes <= 1 else max(1, processors.count_cores() // processes)


def variables(threads: int | None) -> dict[str, str]:
    """Environment variables of a process with so many threads. Those that the user has set are not among them."""
    if threads is None:
        return {}
    # Several processes on one GPU: each takes of its memory what it needs, not all.
    limits = {**dict.fromkeys(THREAD_VARIABLES, str(threads)), "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
    return {name: value for name, value in limits.items() if name not in os.environ}
