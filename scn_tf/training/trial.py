"""Seconds of a training step of a usual network, in several variants that take turns. :mod:`scn_tf.environment.speed` runs this module
in a process of its own: ``python -m scn_tf.training.trial DIMS VARIANT ...``, for instance ``2 float32 mixed_bfloat16``.

A variant is a precision, with ``+xla`` if the step is compiled. The last line on standard output is JSON: seconds by variant, without
those that failed.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence

import tensorflow as tf

from scn_tf import config
from scn_tf.config import Config
from scn_tf.environment import devices, parent
from scn_tf.environment.speed import XLA
from scn_tf.training.landmarks import landmark_objective
from scn_tf.training.trainer import build_trainer
from scn_tf.types import known

# As trainings of half an hour have them. bfloat16 gains least in the smallest networks, which are not worth a measurement.
SIZES, FILTERS, LANDMARKS = {2: (176, 128), 3: (24, 40, 32)}, {2: 48, 3: 32}, {2: 37, 3: 45}
SECONDS = 3.0  # for steps of all variants together, once each has been built
LEAST, MOST = 5, 60  # rounds of a step of each
GPU_LARGER = 2  # times the sides: a GPU is quick with steps that fill it


def settings(image_size: Sequence[int], filters: int) -> Config:
    """Settings of the network: those of the preset ``tiny``, with this input and width, and one image per step."""
    model = {"image_size": list(image_size), "filters": filters}
    return config.from_dict({"model": model, "train": {"batch_size": 1}}).resolved(len(image_size))


def measure(own: Config, variants: Sequence[str], *, landmarks: int, seconds: float = SECONDS) -> dict[str, float]:
    """Shortest seconds of a training step by variant. Variants take turns, so that other programs slow all of them alike.

    On a CPU, several variants are compared by the time of the processor, which other programs lengthen least. A single one is for
    comparison with another number of threads, which only the clock on the wall tells.

    Args:
        own: resolved settings.
        variants: see the module.
        landmarks: of the network.
        seconds: for all steps together, without the first ones, which build the graphs.
    """
    size = known(own.model.image_size)
    dims = len(size)
    points = tf.random.stateless_uniform((1, landmarks, dims), [1, 2], 4.0, min(size) - 4.0)
    image, shown = tf.random.stateless_normal((1, *size, 1), [3, 4]), tf.ones((1, landmarks))
    batch = {"image": image, "landmarks": points, "visible": shown, "absent": 0.0 * shown}
    steps: dict[str, Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]]] = {}
    times: dict[str, list[float]] = {}
    for variant in variants:
        precision = variant.removesuffix(XLA)
        train = own.train.model_copy(update={"precision": precision})
        try:
            trainer = build_trainer(own.model_copy(update={"train": train}), landmark_objective, num_maps=landmarks, channels=1)
            step = tf.function(trainer.train_step, jit_compile=variant.endswith(XLA))
            for _ in range(2):
                step(batch)["loss"].numpy()
        except (tf.errors.OpError, ValueError, TypeError):  # no kernel for it, or too little memory
            continue
        steps[variant] = step
        times[variant] = []
    clock = time.process_time if len(steps) > 1 and devices.kind() == "CPU" else time.perf_counter
    ended = time.perf_counter() + seconds
    for number in range(MOST):
        if number >= LEAST and time.perf_counter() > ended:
            break
        for variant, step in steps.items():
            started = clock()
            step(batch)["loss"].numpy()
            times[variant].append(clock() - started)
    return {variant: min(found) for variant, found in times.items()}


def main(arguments: Sequence[str]) -> None:
    """Print the seconds of variants."""
    parent.end_with_it(lambda: os._exit(1))
    dims, variants = int(arguments[0]), arguments[1:]
    devices.keep_large_blocks()
    larger = GPU_LARGER if devices.kind() == "GPU" else 1
    own = settings([larger * side for side in SIZES[dims]], FILTERS[dims])
    print(json.dumps(measure(own, variants, landmarks=LANDMARKS[dims])), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
