"""Evidence for `scn_tf/environment/speed.py`: `python benchmarks/speed_policy.py [steps] [threads] [predict] [decision]`.

- `steps`: seconds of a training step by precision, for networks of many sizes: is the one of `scn_tf/training/trial.py` typical?
  On a GPU with XLA, too.
- `threads`: seconds of its step by the number of threads, each in a process of its own.
- `predict`: seconds for an image by the number of images in a batch.
- `decision`: what a training of this machine would print, measured anew, and how long that takes.

Variants take turns; times are the shortest ones. Those of `steps` and `predict` are processor time on a CPU.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import tensorflow as tf

import scn_tf  # noqa: F401
from benchmarks import machine
from scn_tf import build
from scn_tf.environment import devices, processors, speed
from scn_tf.training import trial

NETWORKS = [  # image size, filters, landmarks
    ((128, 96), 32, 20), ((176, 128), 48, 37), ((256, 192), 32, 37), ((352, 256), 48, 37), ((256, 256), 64, 37),
    ((24, 40, 32), 16, 20), ((24, 40, 32), 32, 20), ((40, 72, 48), 16, 45), ((40, 72, 48), 32, 45), ((64, 64, 64), 32, 20),
]  # fmt: skip
BATCHES = (1, 2, 4, 8, 16)
ROUNDS = 4


def steps():
    """Print the seconds of all networks."""
    for image_size, filters, landmarks in NETWORKS:
        own = trial.settings(image_size, filters)
        found = trial.measure(own, speed._variants(), landmarks=landmarks, seconds=12)
        times = ", ".join(f"{name} {1000 * one:.1f} ms ({found['float32'] / one:.2f})" for name, one in found.items())
        print(f"{image_size}, F = {filters}, {landmarks} landmarks: {times}", flush=True)


def threads():
    """Print the seconds of the usual networks by number of threads."""
    counts = sorted({processors.count_cores() >> shift for shift in range(7)} - {0} | {processors.physical_cores()})
    for dims in (2, 3):
        found = {count: speed._steps(dims, [devices.precision("auto")], threads=count) for count in counts}
        print(f"{dims}D: " + ", ".join(f"{count} threads {1000 * min(one.values()):.1f} ms" for count, one in found.items()), flush=True)


def predict():
    """Print the seconds for an image by the number of images in a batch, in float32, as predictions are."""
    clock = time.process_time if devices.kind() == "CPU" else time.perf_counter
    for image_size, filters in (((128, 96), 32), ((352, 256), 48), ((40, 72, 48), 16)):
        settings = trial.settings(image_size, filters)
        network = build.from_config(settings.model, num_maps=37, channels=1)
        run = tf.function(network)
        images = {count: tf.random.stateless_normal((count, *image_size, 1), [0, 1]) for count in BATCHES}
        times = {count: [] for count in BATCHES}
        for number in range(1 + ROUNDS):
            for count in BATCHES:
                started = clock()
                run(images[count]).numpy()
                if number:
                    times[count].append((clock() - started) / count)
        print(f"{image_size}, F = {filters}: " + ", ".join(f"{n} at once {1000 * np.min(t):.1f} ms" for n, t in times.items()), flush=True)


def decision():
    """Print what a long training would."""
    for dims in (2, 3):
        with tempfile.TemporaryDirectory() as folder:
            speed.os.environ[speed.caches.FOLDER] = folder
            started = time.perf_counter()
            print(speed.decide("auto", "auto", dims, seconds=speed.LONG).line)
            print(f"{dims}D: {time.perf_counter() - started:.1f} s, then", end=" ")
            started = time.perf_counter()
            speed.decide("auto", "auto", dims, seconds=speed.LONG)
            print(f"{1000 * (time.perf_counter() - started):.1f} ms", flush=True)


PARTS = {one.__name__: one for one in (steps, threads, predict, decision)}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; default: all")
    chosen = parser.parse_args(arguments).parts or list(PARTS)
    devices.keep_large_blocks()
    print(machine.describe())
    for name in chosen:
        PARTS[name]()


if __name__ == "__main__":
    main()
