"""Points that look doubtful: their error is expected to be larger than usual for their landmark."""

import numpy as np

from scn_tf.types import Array
from scn_tf.uncertainty.calibration import Calibration

TIMES = 2.0  # as large an error as usual


def usual_error(calibration: Calibration) -> Array:
    """Expected error of an average map of each landmark (N,), network pixels."""
    return np.exp(np.array(calibration.offsets))


def doubtful(calibration: Calibration, expected_error: Array) -> Array:
    """Whether the expected error of each landmark (N,), in network pixels, is at least ``TIMES`` that of an average map of it."""
    return expected_error >= TIMES * usual_error(calibration)
