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
    errors = errors[np.isfinite(errors).any(axis=1)]
    within = np.where(np.isfinite(errors), errors < options.radius, np.nan)
    for name, values in (
        (f"mean error, {unit}", np.nanmean(errors, axis=1)),
        (f"within {options.radius:g} {unit}, %", 100 * np.nanmean(within, axis=1)),
    ):
        low, high = statistics.interval(values)
        print(f"{name}: {values.mean():.3f}, 95 % interval {low:.3f} to {high:.3f}")


if __name__ == "__main__":
    main()
