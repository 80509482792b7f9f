"""Cost of a training step by its parts, for `scn_tf/suggest/cost.py`: `taskset -c 1 python benchmarks/step_costs.py [float32]`.

Measures steps of networks of many sizes, and fits the five constants of each number of dimensions by non-negative least squares of the
relative error. Prints them, and estimated over measured seconds. Use one core, since the constants belong to one.
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import tensorflow as tf
from scipy.optimize import nnls

import scn_tf  # noqa: F401
from scn_tf import config
from scn_tf.environment import devices
from scn_tf.suggest import machine
from scn_tf.suggest.cost import Shape
from scn_tf.training.landmarks import landmark_objective
from scn_tf.training.trainer import build_trainer

SHAPES = [
    Shape((64, 48), 10, 16, 4, 16, 11, 8), Shape((128, 96), 37, 32, 4, 32, 11, 8), Shape((128, 96), 37, 64, 4, 64, 11, 8),
    Shape((176, 128), 37, 32, 4, 32, 11, 8), Shape((256, 192), 37, 32, 4, 32, 11, 8), Shape((256, 192), 10, 32, 4, 32, 11, 16),
    Shape((352, 256), 37, 48, 4, 48, 11, 8), Shape((352, 256), 37, 32, 4, 32, 11, 8), Shape((352, 256), 20, 16, 4, 16, 11, 8),
    Shape((448, 320), 37, 64, 4, 64, 11, 16), Shape((512, 384), 100, 24, 4, 24, 11, 16),
    Shape((16, 32, 24), 12, 16, 3, 16, 5, 4), Shape((40, 72, 48), 45, 16, 3, 32, 5, 4), Shape((40, 72, 48), 45, 32, 3, 32, 5, 4),
    Shape((56, 96, 64), 45, 16, 3, 32, 5, 4), Shape((64, 64, 64), 20, 24, 3, 32, 5, 4),
]  # fmt: skip


def measured(shape, precision):
    """Median seconds of a training step with one image."""
    settings = config.from_dict(
        {
            "model": {
                "image_size": shape.image_size, "filters": shape.filters, "levels": shape.levels, "dropout": 0.25,
                "spatial_filters": shape.spatial_filters, "spatial_kernel": shape.spatial_kernel, "spatial_pooling": shape.spatial_pooling,
            },
            "heatmap": {"sigma_mode": "fixed"},
            "train": {"batch_size": 1, "precision": precision},
        }
    ).resolved(shape.dims)  # fmt: skip
    trainer = build_trainer(settings, landmark_objective, num_maps=shape.landmarks, channels=1)
    points = tf.random.uniform((1, shape.landmarks, shape.dims), 4.0, min(shape.image_size) - 4.0)
    shown = tf.ones((1, shape.landmarks))
    batch = {"image": tf.random.normal((1, *shape.image_size, 1)), "landmarks": points, "visible": shown, "absent": 0.0 * shown}
    step, times = tf.function(trainer.train_step), []
    for repeat in range(9):
        started = time.perf_counter()
        step(batch)["loss"].numpy()
        if repeat > 1:
            times.append(time.perf_counter() - started)
    return float(np.median(times))


def parts(shape):
    """What the constants of ``COSTS`` are multiplied with."""
    return np.array([1.0, shape.products / 1e9, shape.features / 1e6, shape.landmarks * shape.pixels / 1e6, shape.pixels / 1e6])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("precision", nargs="?", default="auto")
    precision = devices.precision(parser.parse_args().precision)
    devices.keep_large_blocks()
    print(f"{precision}, trial of the machine: {1000 * machine._trial(precision):.2f} ms")
    for dims in (2, 3):
        shapes = [shape for shape in SHAPES if shape.dims == dims]
        seconds = np.array([measured(shape, precision) for shape in shapes])
        table = np.array([parts(shape) for shape in shapes])
        constants, _ = nnls(table / seconds[:, None], np.ones(len(seconds)))
        shares = np.round(table @ constants / seconds, 2).tolist()
        print(f"{dims}D constants {np.round(constants, 4).tolist()}, estimated over measured {shares}")


if __name__ == "__main__":
    main()
