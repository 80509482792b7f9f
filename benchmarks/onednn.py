"""What TensorFlow's oneDNN kernels are worth: training steps with and without them, alternating: `python benchmarks/onednn.py`.

`scn_tf` turns them on (TF_ENABLE_ONEDNN_OPTS=1) where TensorFlow would not. The switch is read once a process,
so every measurement is a process of its own.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 3
CASES = {
    "2D 128 x 128, F = 32, batch 2": dict(image_size=[128, 128], filters=32, spatial_pooling=8, batch=2),
    "2D 256 x 256, F = 64, batch 2": dict(image_size=[256, 256], filters=64, spatial_pooling=16, batch=2),
    "3D 40 x 72 x 48, F = 16, batch 1": dict(image_size=[40, 72, 48], filters=16, spatial_pooling=4, batch=1),
}


def measure(case):
    """Seconds of one training step in this process."""
    sys.path.insert(0, str(ROOT))
    import scn_tf  # noqa: F401  sets TensorFlow's log level first
    import tensorflow as tf  # isort: skip

    from benchmarks import machine
    from scn_tf import config
    from scn_tf.environment import devices
    from scn_tf.training import trainer as trainers
    from scn_tf.training.landmarks import landmark_objective

    devices.keep_large_blocks()
    batch, size = case.pop("batch"), tuple(case["image_size"])
    settings = config.from_dict({"model": case, "train": {"batch_size": batch}}).resolved(len(size))
    landmarks = 40
    trainer = trainers.build_trainer(settings, landmark_objective, num_maps=landmarks, channels=1)
    points = tf.random.stateless_uniform((batch, landmarks, len(size)), [1, 2], 8.0, min(size) - 8.0)
    image = tf.random.stateless_normal((batch, *size, 1), [3, 4])
    data = {"image": image, "landmarks": points, "visible": tf.ones((batch, landmarks)), "absent": tf.zeros((batch, landmarks))}
    step = tf.function(trainer.train_step)
    return machine.median_seconds(lambda: step(data)["loss"].numpy(), repeats=5)


def main():
    print(f"{'training step':34s} {'off s':>8s} {'on s':>8s} {'ratio':>6s}   (medians of {ROUNDS} processes each)")
    for name, case in CASES.items():
        seconds = {"0": [], "1": []}
        for _ in range(ROUNDS):
            for switch, times in seconds.items():
                output = subprocess.run(
                    [sys.executable, __file__, json.dumps(case)],
                    env={**os.environ, "TF_ENABLE_ONEDNN_OPTS": switch},
                    check=True,
                    capture_output=True,
                    text=True,
                ).stdout
                times.append(float(output.split()[-1]))
        off, on = np.median(seconds["0"]), np.median(seconds["1"])
        print(f"{name:34s} {off:8.3f} {on:8.3f} {off / on:6.2f}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(measure(json.loads(sys.argv[1])))
    else:
        main()
