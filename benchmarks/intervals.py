"""How sure the figures of an evaluation are: `python benchmarks/intervals.py RUN/evaluation/val/errors.csv`.

Draws the images anew with repetition: what other images would have given, not what other trainings would. Two runs on the same images are
compared by the interval of their difference (``scn-tf study``), not by whether their own ones overlap.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from scn_tf.study import statistics


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("errors", type=Path, metavar="ERRORS.csv")
    parser.add_argument("--radius", type=float, default=2.0)
    options = parser.parse_args()
    _, errors, unit = statistics.read_errors(options.errors)
    for name, value, low, high in intervals(errors, unit, options.radius):
        print(f"{name}: {value:.3f}, 95 % interval {low:.3f} to {high:.3f}")


def intervals(errors, unit, radius):
    """Rows (name, value, low, high) of means over all points (errors (I, N), NaN where absent); images are drawn with all their points."""
    annotated = np.isfinite(errors)
    counts = annotated.sum(axis=1)
    for name, sums in (
        (f"mean error, {unit}", np.nansum(errors, axis=1)),
        (f"within {radius:g} {unit}, %", 100.0 * (annotated & (errors < radius)).sum(axis=1)),
    ):
        drawn = np.random.default_rng(0).integers(0, len(errors), (statistics.RESAMPLINGS, len(errors)))
        points = counts[drawn].sum(axis=1)
        low, high = np.percentile(sums[drawn].sum(axis=1)[points > 0] / points[points > 0], (2.5, 97.5))
        yield name, sums.sum() / counts.sum(), low, high


if __name__ == "__main__":
    main()
