"""Time one network under the Keras backend that the environment names: `KERAS_BACKEND=jax python benchmarks/backend_time.py`.

Networks, heatmaps and losses are written in keras.ops, so this needs no TensorFlow where the backend is another one. A step is the
gradient of the heatmap loss by all weights, without augmentation and optimizer.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

import scn_tf
from scn_tf.environment.backend import keras, ops
from scn_tf.heatmaps import gaussians, losses


def step_function(network, landmarks, sigma):
    """Function of images (B, [D,] H, W, C) -> loss, with all gradients computed, compiled by the backend."""
    size = network.output_shape[1:-1]
    target = gaussians.render_gaussians(landmarks, ops.convert_to_tensor([sigma] * network.output_shape[-1]), size, gamma=100.0)
    visible = ops.ones(landmarks.shape[:2])
    if keras.config.backend() == "jax":
        import jax

        def loss(weights, state, images):
            maps, _ = network.stateless_call(weights, state, images, training=False)
            return losses.heatmap_loss(maps, target, visible, 0.0 * visible)

        gradient = jax.jit(jax.value_and_grad(loss))
        values = [[variable.value for variable in group] for group in (network.trainable_variables, network.non_trainable_variables)]
        return lambda images: jax.block_until_ready(gradient(*values, images))[0]
    import tensorflow as tf

    @tf.function
    def step(images):
        with tf.GradientTape() as tape:
            loss = losses.heatmap_loss(network(images, training=False), target, visible, 0.0 * visible)
        return loss, tape.gradient(loss, network.trainable_variables)

    return lambda images: step(images)[0].numpy()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="scn")
    parser.add_argument("--filters", type=int, default=64)
    parser.add_argument("--size", type=int, nargs="+", default=[256, 256], help="sides of the input in array order")
    parser.add_argument("--landmarks", type=int, default=19)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    dims = len(options.size)
    network = scn_tf.build_network(
        options.model, dims, landmarks=options.landmarks, image_size=options.size, filters=options.filters, preset="small"
    )
    rng = np.random.default_rng(0)
    images = rng.normal(size=(1, *options.size, 1)).astype("float32")
    points = rng.uniform(0, min(options.size) - 1, (1, options.landmarks, dims)).astype("float32")
    step = step_function(network, ops.convert_to_tensor(points), 2.0)
    value, seconds = float(step(images)), []
    for _ in range(options.repeats):
        started = time.perf_counter()
        step(images)
        seconds.append(time.perf_counter() - started)
    took = 1e3 * statistics.median(seconds)
    print(f"{keras.config.backend()}: {network.count_params():,} weights, loss {value:.4f}, {took:.1f} ms per step")


if __name__ == "__main__":
    main()
