"""Radii of images that were not used for them: each half of some annotated images is calibrated with the other half.

They show during a training how the calibration develops. A look must cost little, so it takes some of the images only.
"""

import numpy as np

from scn_tf.types import Array
from scn_tf.uncertainty import error_model, fitting
from scn_tf.uncertainty.fitting import LEAST_IMAGES, Observed

MOST_IMAGES = 100
MOST_NUMBERS = 1_000_000  # images times squared landmarks: a fit has a column per landmark


def radii(observed: Observed) -> Array | None:
    """Radius (I, N) of points in network pixels, NaN in images that were not chosen. None: there are too few images or points.

    The chosen images are spread over all, and belong to the halves in turn. See :func:`scn_tf.uncertainty.fitting.calibrate`.
    """
    images, landmarks = observed.errors.shape
    most = int(np.clip(MOST_NUMBERS // landmarks**2, 2 * LEAST_IMAGES, MOST_IMAGES))
    chosen = np.linspace(0, images - 1, min(images, most)).round().astype(int)
    found = np.full(observed.errors.shape, np.nan)
    for own, other in ((chosen[::2], chosen[1::2]), (chosen[1::2], chosen[::2])):
        try:
            calibration = fitting.calibrate(Observed(observed.errors[other], observed.statistics[other]), None, split="", decoder="")
        except ValueError:
            return None
        expected = error_model.expected_error(calibration.error_model, observed.statistics[own].astype("float32"))
        found[own] = calibration.factor * np.asarray(expected) ** calibration.power
    return found
