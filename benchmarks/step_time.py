"""A training step by its parts: `python benchmarks/step_time.py [--size 256 256] [--filters 64] [--batch 4] [--landmarks 37]`.

Prints seconds an image, the share of all that is not the network, and peak memory. The parts run in turns with the whole step. Without
options it measures three steps: 256 x 256 pixels, the configuration `hand_xray`, and the volumes of `mouse_ct`.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import tensorflow as tf

import scn_tf  # noqa: F401
from benchmarks import machine
from scn_tf import config
from scn_tf.data import batching, pipeline, synthetic
from scn_tf.data.dataset import open_dataset
from scn_tf.environment import devices
from scn_tf.training import trainer as trainers
from scn_tf.training.augment import Truth, augment
from scn_tf.training.landmarks import landmark_objective

STEPS = (
    ["--size", "256", "256", "--filters", "64", "--batch", "4", "--landmarks", "37"],
    ["--size", "352", "256", "--filters", "48", "--batch", "1", "--landmarks", "37"],
    ["--size", "40", "72", "48", "--filters", "16", "--batch", "1", "--landmarks", "45"],
)


def medians(parts, rounds):
    """Median seconds of functions by name, measured in turns."""
    times = {name: [] for name in parts}
    for part in parts.values():
        part()
    for _ in range(rounds):
        for name, part in parts.items():
            started = time.perf_counter()
            part()
            times[name].append(time.perf_counter() - started)
    return {name: float(np.median(own)) for name, own in times.items()}


def report(options):
    """Measure one step and print it."""
    devices.keep_large_blocks()
    size, dims, batch_size, count = tuple(options.size), len(options.size), options.batch, options.landmarks
    settings = config.from_dict(
        {
            "model": {"preset": "small", "image_size": size, "filters": options.filters, "dropout": 0.0},
            "heatmap": {"sigma_mode": "fixed"},
            "train": {"batch_size": batch_size, "ema": 0.998},
        }
    ).resolved(dims)

    # Host: what the pipeline costs when the images are cached, as in every epoch but the first.
    root = Path(tempfile.mkdtemp())
    synthetic.generate(root, dims=dims, train=6, val=1)
    dataset = open_dataset(root)
    examples = pipeline.examples(dataset, dataset.split("train"), settings)
    stream = iter(batching.training_batches(examples, count=6, batch_size=batch_size, seed=0))

    trainer = trainers.build_trainer(settings, landmark_objective, num_maps=count, channels=1)
    image = next(stream)["image"]
    points = tf.random.stateless_uniform((batch_size, count, dims), [1, 2], 4.0, min(size) - 4.0)
    truth = Truth(points, tf.ones((batch_size, count)), tf.zeros((batch_size, count)))
    batch, maps = {"image": image, **truth._asdict()}, tf.random.stateless_normal((batch_size, *size, count), [1, 2])
    variables = trainer.trainable_variables
    gradients = [tf.zeros_like(variable) for variable in variables]
    step = tf.function(trainer.train_step)

    @tf.function
    def targets():
        with tf.GradientTape() as tape:
            tape.watch(maps)
            loss = trainer.objective.loss_terms(maps, truth)["heatmap_loss"]
        return tape.gradient(loss, maps)

    @tf.function
    def update():
        clipped, _ = tf.clip_by_global_norm(gradients, 1.0)
        trainer.optimizer.apply(clipped, variables)
        return tf.constant(0)

    draw = tf.function(lambda: augment(settings.augment, image, truth, seed=[3, 4])[0])
    parts = {
        "training step": lambda: step(batch)["loss"].numpy(),
        "host pipeline": lambda: next(stream),
        "augmentation": lambda: draw().numpy(),
        "targets and loss": lambda: targets()[0, 0].numpy(),
        "optimizer": lambda: update().numpy(),
    }
    found = medians(parts, options.rounds)
    whole = found.pop("training step")
    print(f"{' x '.join(map(str, size))}, F = {options.filters}, {count} landmarks, batch {batch_size}, {devices.precision('auto')}")
    print(f"training step        {whole / batch_size:.3f} s an image")
    for name, seconds in found.items():
        print(f"{name:20s} {100 * seconds / whole:.1f} % of a step")
    print(f"all but the network  {100 * sum(found.values()) / whole:.1f} % of a step")
    print(f"peak memory          {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB\n", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, nargs="+", help="([D] H W), array order; default: three steps")
    parser.add_argument("--filters", type=int, default=64)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--landmarks", type=int, default=37)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    if options.size:
        report(options)
        return
    print(machine.describe(), flush=True)
    for words in STEPS:
        subprocess.run([sys.executable, __file__, *words, "--rounds", str(options.rounds)], check=True)


if __name__ == "__main__":
    main()
