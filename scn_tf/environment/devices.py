"""Devices: how they share a batch or processes share them, their precision, and their memory."""

import ctypes
import os
from pathlib import Path

import tensorflow as tf

from scn_tf.environment import workers

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # malloc.h


def strategy(name: str, batch_size: int) -> tf.distribute.Strategy:
    """``tf.distribute.Strategy`` by its configuration name. ``auto`` mirrors if the GPUs can share a batch equally.

    ``multi_worker`` is that of the joined workers (:mod:`scn_tf.environment.workers`). One process alone does as with ``auto``.
    """
    if name == "multi_worker":
        return workers.strategy() or strategy("auto", batch_size)
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    several_gpus = devices[0].device_type == "GPU" and len(devices) > 1
    if name == "mirrored" or (name == "auto" and several_gpus and batch_size % len(devices) == 0):
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    return tf.distribute.get_strategy()


def alone(name: str) -> bool:
    """Whether one device trains, by the strategy's configuration name."""
    return name == "single" or (name in ("auto", "mirrored") and len(tf.config.list_physical_devices("GPU")) < 2)


def kind() -> str:
    """Device that trains, ``"GPU"`` or ``"CPU"``. It is printed, so that an unused GPU is noticed at once."""
    return "GPU" if tf.config.list_physical_devices("GPU") else "CPU"


def of_process(number: int) -> dict[str, str]:
    """Environment variables that give a process one of the GPUs, in turn. Empty without GPUs."""
    gpus = tf.config.list_physical_devices("GPU")
    stated = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = stated.split(",") if stated else [str(one) for one in range(len(gpus))]
    return {"CUDA_VISIBLE_DEVICES": names[number % len(names)]} if gpus else {}


def precision(name: str) -> str:
    """Keras dtype policy name. ``auto`` is bfloat16 if the processor supports it, whether or not that is faster."""
    if name != "auto":
        return name
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        capability = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability", (0, 0))
        return "mixed_bfloat16" if capability >= (8, 0) else "float32"
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return "float32"
    return "mixed_bfloat16" if "avx512_bf16" in flags or "amx_bf16" in flags else "float32"


def keep_large_blocks() -> None:
    """Let glibc keep the memory of large tensors instead of requesting it from the kernel in each step.

    By default every new tensor over 32 MB causes page faults. On a CPU they take a quarter of a step at 256 x 256 pixels and
    batches of 4. Without glibc this does nothing.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
        for parameter, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 2**28)):
            libc.mallopt(parameter, value)
    except (OSError, AttributeError):
        pass
