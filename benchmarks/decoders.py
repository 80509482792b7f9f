"""Error of every decoder on one network's heatmaps, and processor time of one image: `python benchmarks/decoders.py RUN [--split val]`."""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import tensorflow as tf

import scn_tf  # noqa: F401
from scn_tf.data import pipeline
from scn_tf.data.dataset import open_dataset
from scn_tf.heatmaps.decoders import DECODERS
from scn_tf.runs import checkpoints
from scn_tf.scoring import localization, scores
from scn_tf.systems import opening


def milliseconds(decode, shape, repeats=15):
    """Median processor time of decoding random maps of a shape (1, [D,] H, W, N)."""
    maps, times = tf.random.stateless_normal(shape, [0, 1]), []
    run = tf.function(decode, input_signature=[tf.TensorSpec((None, *shape[1:]))])  # as in a prediction
    for _ in range(repeats + 1):  # the first one builds
        started = time.process_time()
        run(maps)[0].numpy()
        times.append(time.process_time() - started)
    return 1e3 * float(np.median(times[1:]))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--split", default="val")
    options = parser.parse_args()
    network, info = checkpoints.load_model(opening.network_file(options.run))
    settings = info.config
    dataset = open_dataset(settings.data.root)
    data = pipeline.examples(dataset, dataset.split(options.split), settings)
    shape = (1, *settings.model.image_size, len(info.landmarks))
    for name, decoder in DECODERS.items():
        result = localization.localize(localization.localizer(network, name), data)
        errors = localization.point_errors(result)
        summary = scores.summarize(
            errors, localization.point_errors(result, "file_per_pixel"), dataset.unit, errors_percent=localization.relative_errors(result)
        )
        print(f"{name:10s} {scores.headline(summary)}, {milliseconds(decoder.decode, shape):.1f} ms")


if __name__ == "__main__":
    main()
