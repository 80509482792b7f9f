"""Coverage and width of the 95 % intervals of measurements, on images that neither trained nor calibrated a run.

`python benchmarks/measurement_intervals.py RUN [--split val] [--data.root FOLDER]`

The data set or the run names the measurements. Each image of the split in turn is left out: the run is calibrated on the others, and its
intervals are judged on it. The last lines ask whether a factor helps, for all measurements or for each, that is fitted to the other images.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from benchmarks.calibrated_errors import judged
from scn_tf import measurements
from scn_tf.data import pipeline
from scn_tf.data.dataset import open_dataset
from scn_tf.runs import checkpoints
from scn_tf.runs.training_images import trained_on
from scn_tf.scoring import agreement, calibration, localization
from scn_tf.scoring.trust import Stated
from scn_tf.systems import opening
from scn_tf.uncertainty import conformal


def measured(run, root, split):
    """:class:`scn_tf.scoring.agreement.Agreement` of the images of a split, each calibrated with the others."""
    network, info = checkpoints.load_model(opening.landmark_network_file(run))
    dataset = open_dataset(root or info.config.data.root)
    ids, described = dataset.split(split), dataset.description
    texts, names = (described.measurements, described.names) if described.measurements else (info.measurements, info.landmarks)
    if not texts:
        raise SystemExit(f"{dataset.root}: names no measurements")
    observe = localization.observer(network, info.config.heatmap.decoder)
    training = pipeline.examples(dataset, trained_on(info, dataset)[: calibration.MAX_TRAINING], info.config, measured=False)
    result = localization.localize(observe, pipeline.examples(dataset, ids, info.config))
    observed, trained = (calibration.of_result(one, info) for one in (result, localization.localize(observe, training)))
    known = np.isfinite(observed.errors)
    radii, fitted = judged(observed, trained, info.config.heatmap.decoder)
    expected = np.stack([(own / one.factor) ** (1.0 / one.power) for own, one in zip(radii, fitted, strict=True)])
    length = result["unit_per_pixel"].mean(axis=1, keepdims=True)
    truth = np.where(known[..., None], result["landmarks"], np.nan)
    stated = Stated(expected * length, radii * length)
    chosen = measurements.read(texts, names, info.dims)
    return agreement.compare(chosen, result["predicted"], truth, result["unit_per_pixel"], dataset.unit, stated)


def scaled(found, each):
    """Intervals widened by a factor from the other images, of each measurement or of all. It is infinite where they are too few."""
    middle, half = found.intervals.mean(axis=-1), np.ptp(found.intervals, axis=-1) / 2
    surprise = np.abs(found.found - found.errors - middle) / half
    factors = np.empty_like(half)
    for image in range(len(half)):
        others = np.delete(surprise, image, axis=0)
        columns = others.T if each else [others]
        factors[image] = [conformal.quantile(column[np.isfinite(column)]) for column in columns]
    return found._replace(intervals=middle[..., None] + (factors * half)[..., None] * [-1, 1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--split", default="val")
    parser.add_argument("--data.root", dest="root", type=Path)
    options = parser.parse_args()
    found = measured(options.run, options.root, options.split)
    print(f"{options.run}, {options.split}: {len(found.found)} images, {len(found.measurements)} measurements\n")
    print("| measurement | inside its interval | mean half width | mean absolute error |\n|---|---|---|---|")
    for name, own in agreement.summarize(found).items():
        if own["coverage95_percent"] is not None:
            lengths = [f"{own[key]:.3g} {own['unit']}".strip() for key in ("half_width95_mean", "mean_absolute_error")]
            print(f"| {name} | {own['coverage95_percent']:.1f} % | {' | '.join(lengths)} |")
    print("\n| intervals | inside, all measurements | 95 % interval over images | mean width, propagated = 1 |\n|---|---|---|---|")
    variants = {"propagated": found, "with one factor": scaled(found, False), "with a factor per measurement": scaled(found, True)}
    for name, one in variants.items():
        if np.isinf(one.intervals).any():
            print(f"| {name} | too few images | | |")
            continue
        share, (low, high) = agreement.coverage(one)
        ratio = np.nanmean(np.ptp(one.intervals, axis=-1) / np.ptp(found.intervals, axis=-1))
        print(f"| {name} | {share:.1f} % | {low:.1f} to {high:.1f} % | {ratio:.2f} |")


if __name__ == "__main__":
    main()
