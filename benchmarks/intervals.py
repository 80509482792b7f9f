"""How sure the figures of an evaluation are: `python benchmarks/intervals.py RUN/evaluation/val/errors.csv`.

Draws the images anew with repetition: what other images would have given, not what other trainings would. Two runs on the same images are
compared by the interval of their difference (``scn-tf study``), not by whether their own ones overlap.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

from scn_tf.scoring import resampling, run_errors


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("errors", type=Path, metavar="ERRORS.csv")
    parser.add_argument("--radius", type=float, default=2.0)
    options = parser.parse_args()
    _, errors, unit, *_ = run_errors.read_run(options.errors)
    for name, value, low, high in intervals(errors, unit, options.radius):
        print(f"{name}: {value:.3f}, 95 % interval {low:.3f} to {high:.3f}")


def intervals(errors, unit, radius):
    """Rows (name, value, low, high) of means over all points (errors (I, N), NaN where absent); images are drawn with all their points."""
    annotated = np.isfinite(errors)
    counts = annotated.sum(axis=1)
    sums = np.stack([np.nansum(errors, axis=1), 100.0 * (annotated & (errors < radius)).sum(axis=1)], axis=1)
    names = f"mean error, {unit}", f"within {radius:g} {unit}, %"
    for name, own, (low, high) in zip(names, sums.T, resampling.pooled_intervals(sums, counts), strict=True):
        yield name, own.sum() / counts.sum(), low, high


if __name__ == "__main__":
    main()
