"""The augmentation's interpolation beside `keras.ops.image.map_coordinates`: `python benchmarks/interpolation.py`.

Keras' function takes one image and one channel at a time and fills the outside with one value; the package's own takes a batch.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import tensorflow as tf

from benchmarks import machine
from scn_tf.data.preprocess import BACKGROUND
from scn_tf.environment.backend import ops
from scn_tf.training.augment import interpolate


def by_keras(images, coordinates):
    """The same as :func:`scn_tf.training.augment.interpolate`."""
    batch = []
    for image, points in zip(tf.unstack(images), tf.unstack(coordinates), strict=True):
        axes = tf.unstack(points[..., ::-1], axis=-1)
        channels = [
            ops.image.map_coordinates(channel, axes, order=1, fill_mode="constant", fill_value=BACKGROUND)
            for channel in tf.unstack(image, axis=-1)
        ]
        batch.append(tf.stack(channels, axis=-1))
    return tf.stack(batch)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    print(machine.describe())
    rng = np.random.default_rng(0)
    for size in ((352, 256), (64, 64, 64)):
        images = tf.constant(rng.normal(size=(2, *size, 1)), tf.float32)
        grid = np.stack(np.meshgrid(*(np.arange(side) for side in size), indexing="ij")[::-1], axis=-1)
        coordinates = tf.constant(grid[None] + rng.normal(0, 3, (2, *size, len(size))), tf.float32)
        own, keras = tf.function(interpolate), tf.function(by_keras)
        apart = np.abs(own(images, coordinates) - keras(images, coordinates)).max()
        pairs = []
        for _ in range(options.repeats):
            pairs.append([machine.median_seconds(lambda f=f: f(images, coordinates).numpy(), repeats=3) for f in (own, keras)])  # noqa: B023
        mine, theirs = np.median(pairs, axis=0)
        took = f"own {1e3 * mine:.1f} ms, map_coordinates {1e3 * theirs:.1f} ms, ratio {theirs / mine:.2f}"
        print(f"{size}: {took}, largest difference {apart:.2g}")


if __name__ == "__main__":
    main()
