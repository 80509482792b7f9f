"""Estimates of one image in a unit of its own, from those in network pixels."""

import numpy as np

from scn_tf.types import Estimates, Located
from scn_tf.uncertainty.calibration import Calibration
from scn_tf.uncertainty.doubt import doubtful, usual_error


def in_unit(located: Located, calibration: Calibration | None, unit: str, per_pixel: float) -> Estimates | None:
    """What a model states of the points of one image; None if it is not calibrated.

    Args:
        located: answers (N, ...) for the image.
        calibration: of the model.
        unit: of the result, ``"mm"`` or ``"px"``.
        per_pixel: length of a network pixel in it.
    """
    if located.expected_error is None or located.radius95 is None:
        return None
    return Estimates(
        unit=unit,
        expected_error=np.asarray(located.expected_error) * per_pixel,
        radius95=np.asarray(located.radius95) * per_pixel,
        present=None if located.present is None else np.asarray(located.present) > 0,
        doubtful=None if calibration is None else doubtful(calibration, np.asarray(located.expected_error)),
        image_ok=None if located.image_ok is None else bool(np.asarray(located.image_ok) > 0),
        usual_error=None if calibration is None else usual_error(calibration) * per_pixel,
    )
