"""What the machine offers to a training: devices that share a batch, the precision they compute in, memory that stays."""

import ctypes
from pathlib import Path

import tensorflow as tf

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # malloc.h


def strategy(name: str, batch_size: int) -> tf.distribute.Strategy:
    """``tf.distribute.Strategy`` by its configuration name; ``auto`` mirrors where GPUs can share a batch equally."""
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    several_gpus = devices[0].device_type == "GPU" and len(devices) > 1
    if name == "mirrored" or (name == "auto" and several_gpus and batch_size % len(devices) == 0):
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    return tf.distribute.get_strategy()


def kind() -> str:
    """What trains, ``"GPU"`` or ``"CPU"``: whoever owns a GPU should see at once that it is not used."""
    return "GPU" if tf.config.list_physical_devices("GPU") else "CPU"


def precision(name: str) -> str:
    """Keras dtype policy name; ``auto`` is bfloat16 where the processor computes in it."""
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
    """Let glibc keep the memory of large tensors instead of asking the kernel for it anew each step.

    By default every tensor over 32 MB costs page faults whenever it is made: a quarter of a
    step at 256 x 256 pixels and batches of 4 on a CPU. Elsewhere than on glibc nothing happens.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
        for parameter, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 2**28)):
            libc.mallopt(parameter, value)
    except (OSError, AttributeError):
        pass
