"""How far two networks agree, and what the mean of their heatmaps gives: `python benchmarks/agreement.py RUN RUN --data.root FOLDER`.

Where both are off by the same way they agree with each other and not with the annotation: more training of this kind changes little there.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

import scn_tf  # noqa: F401
from scn_tf import checkpoints, config, localization, runs
from scn_tf.data import pipeline
from scn_tf.data.dataset import open_dataset

MISS_MM = 2.0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs=2, metavar="RUN", help="run folder or .keras file; both of one input size")
    parser.add_argument("--data.root", type=Path, dest="root", help="data set; the second run's own if left out")
    parser.add_argument("--split", default="val")
    options = parser.parse_args()
    networks, metadata = zip(*(checkpoints.load_model(runs.network_file(run)) for run in options.runs), strict=True)
    settings = config.from_dict(metadata[1]["config"], source=str(options.runs[1]))
    dataset = open_dataset(options.root or settings.data.root)
    data = pipeline.examples(dataset, dataset.split(options.split), settings).cache()

    def both(images, training):
        return sum(network(images, training=training) for network in networks) / len(networks)

    found = [localization.localize(localization.localizer(f, settings.heatmap.decoder), data) for f in (*networks, both)]
    errors = [localization.point_errors(result) for result in found]
    for name, values in zip((*options.runs, "mean of their heatmaps"), errors, strict=True):
        values = values[np.isfinite(values)]
        print(f"{name}: mean {values.mean():.4f} mm, {(values >= MISS_MM).sum()} of {values.size} points beyond {MISS_MM:g} mm")
    apart = np.linalg.norm((found[0]["predicted"] - found[1]["predicted"]) * found[0]["unit_per_pixel"][:, None], axis=-1)
    missed = (errors[0] >= MISS_MM) & (errors[1] >= MISS_MM)
    print(f"the two are {apart.mean():.2f} mm from each other in the mean")
    if missed.any():
        print(
            f"{missed.sum()} points are beyond {MISS_MM:g} mm in both: there the two are {apart[missed].mean():.2f} mm from each other "
            f"and the first {errors[0][missed].mean():.2f} mm from the annotation"
        )


if __name__ == "__main__":
    main()
