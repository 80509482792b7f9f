"""Processor time of one image on its way to the network, part by part: reading, resampling and normalising, and both together.

`python benchmarks/preparation_cost.py [--width 1000] [--height 1400] [--model hand_xray] [--repeats 60]`

Medians of process time with one thread, so that other work on the machine matters little. `as predict` is what `scn-tf predict` does with a
file; `with pixels` is what it does for overlays, and `scn_tf.load(...).predict` always.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import tensorflow as tf

from benchmarks.predict_rate import generate
from scn_tf import predict
from scn_tf.data import images
from scn_tf.prediction import steps


def milliseconds(call, repeats):
    """Median processor time of a call, after two that warm up."""
    times = []
    for _ in range(repeats + 2):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return 1e3 * float(np.median(times[2:]))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=1000)
    parser.add_argument("--height", type=int, default=1400)
    parser.add_argument("--model", default="hand_xray")
    parser.add_argument("--repeats", type=int, default=60)
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    info = predict.load(options.model).info
    with tempfile.TemporaryDirectory() as name:
        generate(Path(name), 2, options.width, options.height)
        for path in sorted(Path(name).iterdir()):
            array = images.read_safely(path).array
            parts = {
                "decode": lambda path=path: images.read_safely(path),
                "read, float32": lambda path=path: images.read_image(path, dims=2, channels=info.channels),
                "array to input": lambda array=array: steps.prepare(array, info),
                "with pixels": lambda path=path: steps.prepare(path, info),
                "as predict": lambda path=path: steps.prepare(path, info, keep_pixels=False),
            }
            found = {part: milliseconds(call, options.repeats) for part, call in parts.items()}
            print(f"{path.suffix[1:]:5}" + ", ".join(f"{part} {value:.1f} ms" for part, value in found.items()))


if __name__ == "__main__":
    main()
