"""Error of every decoder on one network's heatmaps: `python benchmarks/decoders.py RUN [--split val]`."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import scn_tf  # noqa: F401
from scn_tf import checkpoints, config, evaluation, localization, runs, scores
from scn_tf.data import pipeline
from scn_tf.data.dataset import open_dataset
from scn_tf.heatmaps import DECODERS


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--split", default="val")
    options = parser.parse_args()
    network, metadata = checkpoints.load_model(runs.network_file(options.run))
    settings = config.from_dict(metadata["config"], source=str(options.run))
    dataset = open_dataset(settings.data.root)
    data = pipeline.examples(dataset, dataset.split(options.split), settings)
    for name in DECODERS:
        result = localization.localize(localization.localizer(network, name), data)
        errors = localization.point_errors(result)
        summary = evaluation.summarize(
            errors, localization.point_errors(result, "file_per_pixel"), dataset.unit, errors_percent=localization.relative_errors(result)
        )
        print(f"{name:10s} {scores.headline(summary)}")


if __name__ == "__main__":
    main()
