"""A training step at 256 x 256, F = 64, 37 landmarks: seconds an image, shares, peak memory.

`python benchmarks/step_time.py [--size 256] [--filters 64] [--batch 4]`
"""

import argparse
import resource
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import tensorflow as tf

import scn_tf  # noqa: F401
from benchmarks import machine
from scn_tf import config
from scn_tf.data import pipeline, synthetic
from scn_tf.data.dataset import open_dataset
from scn_tf.environment import devices
from scn_tf.training import trainer as trainers
from scn_tf.training.augment import Truth, augment
from scn_tf.training.landmarks import landmark_objective


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--filters", type=int, default=64)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=6)
    options = parser.parse_args()
    print(machine.describe())
    devices.keep_large_blocks()
    size, landmarks = (options.size, options.size), 37
    settings = config.from_dict(
        {
            "model": {"preset": "small", "image_size": size, "filters": options.filters, "dropout": 0.0},
            "train": {"batch_size": options.batch},
        }
    ).resolved(2)

    # Host: what the pipeline costs when the images are cached, as in every epoch but the first.
    root = Path(tempfile.mkdtemp())
    synthetic.generate(root, train=12, val=1)
    dataset = open_dataset(root)
    examples = pipeline.examples(dataset, dataset.split("train"), settings)
    stream = iter(pipeline.training_batches(examples, count=12, batch_size=options.batch, seed=0))
    host = machine.median_seconds(lambda: next(stream), repeats=15)

    trainer = trainers.build_trainer(settings, landmark_objective, num_maps=landmarks, channels=1)
    image = next(stream)["image"]
    points = tf.random.stateless_uniform((options.batch, landmarks, 2), [1, 2], 20.0, options.size - 20.0)
    truth = Truth(points, tf.ones((options.batch, landmarks)), tf.zeros((options.batch, landmarks)))
    batch = {"image": image, **truth._asdict()}
    step = tf.function(trainer.train_step)
    draw = tf.function(lambda: augment(settings.augment, image, truth, seed=[3, 4]))
    whole = machine.median_seconds(lambda: {k: v.numpy() for k, v in step(batch).items()}, repeats=options.steps)
    device = machine.median_seconds(lambda: draw()[0].numpy(), repeats=options.steps)
    print(f"{options.size} px, F = {options.filters}, batch {options.batch}, {devices.precision('auto')}")
    print(f"training step        {whole / options.batch:.3f} s an image")
    print(f"host pipeline        {100 * host / whole:.2f} % of a step")
    print(f"augmentation         {100 * device / whole:.2f} % of a step")
    print(f"peak memory          {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


if __name__ == "__main__":
    start = time.monotonic()
    main()
    print(f"({time.monotonic() - start:.0f} s)")
