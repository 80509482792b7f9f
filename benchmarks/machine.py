"""One line about the machine, with its matrix peak: the yardstick for every time measured on it."""

import os
import platform
import time
from pathlib import Path

import numpy as np
import tensorflow as tf


def median_seconds(call, repeats=7):
    """Median wall clock of a call, after two that warm up."""
    for _ in range(2):
        call()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def describe():
    matrix = tf.random.stateless_normal((2048, 2048), [0, 1])
    product = tf.function(lambda: tf.matmul(matrix, matrix))
    peak = 2 * 2048**3 / median_seconds(lambda: product().numpy()) / 1e9
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
        bfloat16 = "yes" if any("avx512_bf16" in line for line in lines) else "no"
    except (OSError, StopIteration):
        processor, bfloat16 = platform.processor(), "unknown"
    return (
        f"{processor}, {os.cpu_count()} cores, bfloat16 {bfloat16}, {peak:.0f} GFLOP/s float32 matrix product, "
        f"TensorFlow {tf.__version__}, Python {platform.python_version()}"
    )
