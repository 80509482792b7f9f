"""How far networks agree, and what the means of their points give: `python benchmarks/agreement.py RUN RUN [RUN ...] --data.root FOLDER`.

Where all are off by the same way they agree with each other and not with the annotation: more training of this kind changes little
there. Each network sees the images at its own size, unlike in an ensemble of `scn-tf combine`, whose heatmaps are averaged.
"""

import argparse
import itertools
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

import scn_tf  # noqa: F401
from scn_tf import geometry
from scn_tf.data import pipeline
from scn_tf.data.dataset import open_dataset
from scn_tf.scoring import localization
from scn_tf.systems import opening

MISS_MM = 2.0


def points_in_mm(run, dataset, split):
    """What a run finds and what is annotated: two arrays (I, N, d), mm in axes of the images, and the errors (I, N), NaN where absent."""
    locate, info = opening.open_run(run)
    result = localization.localize(locate, pipeline.examples(dataset, dataset.split(split), info.config))
    # Pixels of each image are the same for every network; mm a pixel of it too.
    own_from_input, per_pixel = result["own_from_input"], result["unit_per_pixel"] / result["file_per_pixel"]
    if dataset.description.coordinates == "physical":  # mm already
        per_pixel = np.ones_like(per_pixel)
    found, true = (
        np.stack([geometry.apply(matrix, points) for matrix, points in zip(own_from_input, result[name], strict=True)]) * per_pixel[:, None]
        for name in ("predicted", "landmarks")
    )
    return found, true, localization.point_errors(result)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="run folders or model files, at least two")
    parser.add_argument("--data.root", type=Path, dest="root", required=True, help="data set")
    parser.add_argument("--split", default="val")
    options = parser.parse_args()
    if len(options.runs) < 2:
        parser.error("RUN: at least two")
    dataset = open_dataset(options.root)
    found, true, errors = map(np.stack, zip(*(points_in_mm(run, dataset, options.split) for run in options.runs), strict=True))
    annotated = np.isfinite(errors[0])
    for count in range(1, len(found) + 1):
        for chosen in map(list, itertools.combinations(range(len(found)), count)):
            values = np.linalg.norm(found[chosen].mean(axis=0) - true[0], axis=-1)[annotated]
            names = " + ".join(options.runs[index].name for index in chosen)
            print(f"{names}: mean {values.mean():.4f} mm, {(values >= MISS_MM).sum()} of {values.size} points beyond {MISS_MM:g} mm")
    centre = found.mean(axis=0)
    spread = np.linalg.norm(found - centre, axis=-1).mean(axis=0)
    print(f"they are {spread[annotated].mean():.2f} mm from their mean")
    misses = (errors[:, annotated] >= MISS_MM).sum(axis=0)
    counts = ", ".join(f"{times} in {networks}" for networks, times in enumerate(np.bincount(misses, minlength=len(found) + 1)))
    print(f"points by the number of networks in which they are beyond {MISS_MM:g} mm: {counts}")
    if (missed := misses == len(found)).any():
        off = np.linalg.norm(centre - true[0], axis=-1)[annotated][missed].mean()
        close = spread[annotated][missed].mean()
        print(f"those that are in all: the networks are {close:.2f} mm from their mean, it {off:.2f} mm from the annotation")


if __name__ == "__main__":
    main()
