"""Gradients of our convolutions against those of Keras' layers, paired in one run: `python benchmarks/conv_gradient.py`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import keras
import numpy as np
import tensorflow as tf

import scn_tf  # noqa: F401
from benchmarks import machine
from scn_tf.layers import Convolution2D, Convolution3D

CASES = [
    (Convolution2D, keras.layers.Conv2D, (2, 128, 128, 32), 32),
    (Convolution2D, keras.layers.Conv2D, (2, 256, 256, 32), 32),
    (Convolution2D, keras.layers.Conv2D, (4, 256, 256, 64), 64),
    (Convolution3D, keras.layers.Conv3D, (1, 40, 72, 48, 16), 16),
]


def step(layer, inputs):
    layer.build(inputs.shape)

    @tf.function
    def run():
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            loss = tf.reduce_sum(layer(inputs) ** 2)
        return tape.gradient(loss, [inputs, layer.kernel.value])

    return lambda: run()[0].numpy()


def main():
    print(machine.describe())
    print(f"{'inputs':>24s} {'filters':>8s} {'keras ms':>9s} {'ours ms':>8s} {'ratio':>6s}")
    for ours, theirs, shape, filters in CASES:
        inputs = tf.random.stateless_normal(shape, [0, 1])
        pair = [step(layer(filters, 3, padding="same"), inputs) for layer in (theirs, ours)]
        # Alternating, so that what else the machine does meets both.
        rounds = [[machine.median_seconds(run, repeats=2) for run in pair] for _ in range(4)]
        reference, mine = np.median(rounds, axis=0)
        print(f"{shape!s:>24s} {filters:8d} {1e3 * reference:9.1f} {1e3 * mine:8.1f} {reference / mine:6.2f}")


if __name__ == "__main__":
    main()
