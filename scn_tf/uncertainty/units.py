"""Estimates of one image in a unit of its own, from those in network pixels."""

import numpy as np

from scn_tf.types import Array, Estimates, Located
from scn_tf.uncertainty.calibration import Calibration
from scn_tf.uncertainty.doubt import doubtful, usual_error
from scn_tf.uncertainty.ellipses import half_axes
from scn_tf.uncertainty.places import Places, misplaced


def in_unit(located: Located, calibration: Calibration | None, unit: str, per_pixel: float, axes: Array | None = None) -> Estimates | None:
    """What a model states of the points of one image; None if it is not calibrated.

    Args:
        located: answers (N, ...) for the image.
        calibration: of the model.
        unit: of the result, ``"mm"`` or ``"px"``.
        per_pixel: length of a network pixel in it.
        axes: (d, d), a column per axis of the network: its direction in the coordinates of the result. None: no ellipses are stated.
    """
    if located.expected_error is None or located.radius95 is None:
        return None
    regions = None if axes is None else regions95(calibration, np.asarray(located.radius95))
    return Estimates(
        unit=unit,
        expected_error=np.asarray(located.expected_error) * per_pixel,
        radius95=np.asarray(located.radius95) * per_pixel,
        present=None if located.present is None else np.asarray(located.present) > 0,
        doubtful=None if calibration is None else doubtful(calibration, np.asarray(located.expected_error)),
        image_ok=None if located.image_ok is None else bool(np.asarray(located.image_ok) > 0),
        usual_error=None if calibration is None else usual_error(calibration) * per_pixel,
        misplaced=None if calibration is None or calibration.places is None else _misplaced(located, calibration.places),
        ellipse95=None if axes is None or regions is None else half_axes(regions) @ axes.T * per_pixel,
    )


def _misplaced(located: Located, places: Places) -> Array:
    """(N,) bool; no point of an image of another kind, and none that is absent."""
    points = np.asarray(located.landmarks, float)
    shown = np.ones(len(points), bool)
    for flag in (located.present, located.image_ok):
        shown &= True if flag is None else np.asarray(flag) > 0
    return misplaced(places, np.where(shown[:, None], points, np.nan))


def regions95(calibration: Calibration | None, radius95: Array) -> Array | None:
    """Matrices (..., N, d, d) of ellipses ``r @ inv(A) @ r <= 1``, squared network pixels, by radii (..., N). None: there are none."""
    matrices = None if calibration is None else calibration.ellipse_matrices
    return None if matrices is None else radius95[..., None, None] ** 2 * matrices
