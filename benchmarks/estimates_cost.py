"""Cost of expected errors, radii and flags: `serving_default` of a network with and without a calibration.

Random weights: speed does not depend on them. Both exports take turns in one process, in changing order, and each round gives one ratio, so
that what else the machine does meets both. A second copy of the bare export shows how far equal ones differ. Aim: a median ratio of 1.05.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

import scn_tf  # noqa: F401  sets TensorFlow's log level first
from benchmarks import machine, server_load
from scn_tf.export import export_saved_model
from scn_tf.runs import checkpoints
from scn_tf.serving import servable
from scn_tf.uncertainty.calibration import Calibration
from scn_tf.uncertainty.peak_statistics import NAMES

CALIBRATION = Calibration(
    split="val",
    images=20,
    points=20 * server_load.LANDMARKS,
    decoder="quadratic",
    mean=(0.0,) * len(NAMES),
    deviation=(1.0,) * len(NAMES),
    weights=(0.1,) * len(NAMES),
    offsets=(0.0,) * server_load.LANDMARKS,
    factor=2.0,
    power=0.8,
    median=((0.0,) * len(NAMES),) * server_load.LANDMARKS,
    usual=((1.0,) * len(NAMES),) * server_load.LANDMARKS,
    lowest_presence=0.0,
    largest_strangeness=1.0,
)


def exports(folder, size, filters):
    """Write the exports; returns their paths by name."""
    network, info = server_load.untrained(size, filters)
    calibrated = info.model_copy(update={"calibration": CALIBRATION})
    paths = {}
    for name, facts in (("bare", info), ("bare again", info), ("calibrated", calibrated)):
        run = folder / f"{name}.keras"
        checkpoints.save_model(network, run, facts)
        paths[name] = export_saved_model(run, folder / name)
    return paths


def seconds(calls, rounds):
    """Seconds (rounds,) of each call by its name. The first two rounds warm up and do not count."""
    found = {name: [] for name in calls}
    for number in range(-2, rounds):
        for name in sorted(calls, reverse=number % 2 == 1):
            start = time.perf_counter()
            calls[name]()
            if number >= 0:
                found[name].append(time.perf_counter() - start)
    return {name: np.array(times) for name, times in found.items()}


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--filters", type=int, default=64)
    parser.add_argument("--batch", type=int, default=1, help="images per call")
    parser.add_argument("--rounds", type=int, default=60)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models = {name: servable.load(path) for name, path in exports(folder, options.size, options.filters).items()}
        server_load.write_pictures(folder, options.size)
        pictures = [path.read_bytes() for path in sorted(folder.glob("*.png"))]
    images = {"image_bytes": np.array([pictures[number % len(pictures)] for number in range(options.batch)], dtype=object)}

    def call(model):
        return lambda: servable.run(model.signatures["serving_default"], images)

    times = seconds({name: call(model) for name, model in models.items()}, options.rounds)
    what = f"{options.size} px, F = {options.filters}, {server_load.LANDMARKS} landmarks, batches of {options.batch}"
    print(f"{what}, {options.rounds} rounds")
    print(f"bare        {1e3 * np.median(times['bare']):.1f} ms")
    for name in ("bare again", "calibrated"):
        low, middle, high = np.percentile(times[name] / times["bare"], [25, 50, 75])
        print(f"{name:11s} {middle:.3f} times as long (quarters {low:.3f} to {high:.3f})")
    print(machine.describe())


if __name__ == "__main__":
    main()
