"""Facts of the machine: cores, free memory, precision, and the speed of a convolution on it."""

import functools
import math
import time
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from scn_tf.environment import devices
from scn_tf.environment.memory import free_memory
from scn_tf.environment.processors import count_cores

# Seconds of the trial on one core of the machine that the costs were measured on (docs/training.md). That has no float16: such devices
# compute bfloat16 and float16 alike.
REFERENCE_SECONDS = {"mixed_bfloat16": 0.0056, "mixed_float16": 0.0056, "float32": 0.0088}
DTYPES = {"mixed_bfloat16": tf.bfloat16, "mixed_float16": tf.float16, "float32": tf.float32}
TRIAL_SIDE, TRIAL_FILTERS = 128, 32
GPU_LARGER = 4  # times the side: a GPU is quick with work that fills it, and a smaller trial would measure the start of its kernels
REPEATS = 24
SPEED_STEPS = 2  # for each doubling: a rounded speed gives the same settings again
PARALLEL, MOST_PARALLEL = 0.8, 16  # two cores are 1.74 times as fast as one; more than so many do not help a single image
SHARING = 1.1  # several threads take more of the processors' time for the same work


@dataclass(frozen=True)
class Machine:
    """What trains.

    Attributes:
        cores: processor cores that this process may use.
        memory: bytes of free memory.
        precision: Keras dtype policy of the training.
        gpu: whether a GPU trains.
        speed: how many times as fast as the reference core, all cores together.
    """

    cores: int
    memory: float
    precision: str
    gpu: bool
    speed: float

    def __str__(self) -> str:
        device = "the GPU" if self.gpu else f"{self.cores} processor core{'s' if self.cores > 1 else ''}"
        return f"{device}, {self.precision.removeprefix('mixed_')}, {self.memory / 2**30:.1f} GiB of free memory"


def this_machine(precision: str = "auto") -> Machine:
    """Measure this machine, which takes about a second, once in a process.

    Args:
        precision: value of ``train.precision``.
    """
    policy, gpu, cores = devices.precision(precision), devices.kind() == "GPU", count_cores()
    relative = REFERENCE_SECONDS[policy] / _trial(policy)
    if gpu:
        return Machine(cores, free_memory(), policy, gpu, rounded(relative * GPU_LARGER**2))
    core = rounded(relative * (SHARING if cores > 1 else 1.0))
    return Machine(cores, free_memory(), policy, gpu, core * min(cores, MOST_PARALLEL) ** PARALLEL)


def rounded(speed: float) -> float:
    """Round a speed to steps of 40 %, so that noise of the measurement rarely changes a setting."""
    return 2.0 ** (round(SPEED_STEPS * math.log2(speed)) / SPEED_STEPS)


@functools.cache
def _trial(policy: str) -> float:
    """Seconds of a convolution with its gradients: time of the processor, which other programs do not lengthen, or of the GPU."""
    dtype = DTYPES[policy]
    side = TRIAL_SIDE * (GPU_LARGER if devices.kind() == "GPU" else 1)
    image = tf.cast(tf.random.stateless_normal((1, side, side, TRIAL_FILTERS), [1, 2]), dtype)
    kernel = tf.cast(tf.random.stateless_normal((3, 3, TRIAL_FILTERS, TRIAL_FILTERS), [3, 4]), dtype)

    @tf.function
    def step() -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch([image, kernel])
            result = tf.nn.conv2d(tf.nn.leaky_relu(tf.nn.conv2d(image, kernel, 1, "SAME"), 0.1), kernel, 1, "SAME")
            loss = tf.reduce_sum(tf.square(tf.cast(result, tf.float32)))
        return tape.gradient(loss, [image, kernel])

    clock = time.perf_counter if devices.kind() == "GPU" else time.process_time
    times = []
    for repeat in range(2 + REPEATS):
        started = clock()
        for gradient in step():
            gradient.numpy()
        if repeat >= 2:
            times.append(clock() - started)
    return max(float(np.min(times)), 1e-6)
