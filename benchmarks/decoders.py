"""Error of every decoder on one network's heatmaps: `python benchmarks/decoders.py RUN [--split val]`."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import scn_tf  # noqa: F401
from scn_tf.data import pipeline
from scn_tf.data.dataset import open_dataset
from scn_tf.heatmaps.decoders import DECODERS
from scn_tf.runs import checkpoints
from scn_tf.scoring import localization, scores
from scn_tf.systems import opening


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--split", default="val")
    options = parser.parse_args()
    network, info = checkpoints.load_model(opening.network_file(options.run))
    settings = info.config
    dataset = open_dataset(settings.data.root)
    data = pipeline.examples(dataset, dataset.split(options.split), settings)
    for name in DECODERS:
        result = localization.localize(localization.localizer(network, name), data)
        errors = localization.point_errors(result)
        summary = scores.summarize(
            errors, localization.point_errors(result, "file_per_pixel"), dataset.unit, errors_percent=localization.relative_errors(result)
        )
        print(f"{name:10s} {scores.headline(summary)}")


if __name__ == "__main__":
    main()
